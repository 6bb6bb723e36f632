"""The sidecar as a Python program uses it: its address, and what is shared by all runs of one team."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ensemble.agents.memory import LocalMemory, Memory
from ensemble.client.addresses import BadAddress, sidecar_base
from ensemble.client.advice import IN_PYTHON
from ensemble.client.context import SidecarContext
from ensemble.client.fallback import Absence, FallbackLedger
from ensemble.client.links import Links
from ensemble.client.memory import SidecarMemory
from ensemble.client.outbox import Outbox
from ensemble.client.sidecar import SidecarLedger
from ensemble.engine.carrying import ESTIMATED
from ensemble.engine.ledger.book import Book
from ensemble.engine.ports import Context
from ensemble.http1.trust import CertificatesError, certificates_in

__all__ = ["Sidecar", "Store"]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """Where a sidecar listens, and one of its tokens."""

    url: str
    token: str = field(repr=False)
    fail_open: bool = True
    """Whether a run whose sidecar is away goes on in this process and is handed in later, or fails."""

    def __post_init__(self) -> None:
        """Check the address and the token.

        Raises:
            ValueError: the address can't be used, or the token is none.

        """
        try:
            object.__setattr__(self, "url", sidecar_base(self.url))
        except BadAddress as error:
            raise ValueError(f"The sidecar's url {error}. Write it as http://host:8787.") from None
        if not self.token or not all("!" <= char <= "~" for char in self.token):
            fix = "Pass one of ENSEMBLE_TOKENS, or what stands in the file token of its data directory."
            raise ValueError(f"The sidecar's token is empty or no token. {fix}")

    def client(self, certificates: str = "") -> SidecarLedger:
        """Return a client with one method for each endpoint of the API; threads may share it. It connects when it is used.

        Args:
            certificates: PEM, trusted besides the system's: of an authority of your own.

        Raises:
            ValueError: the certificates are none.

        """
        try:
            return self.trusting(certificates_in(certificates))
        except CertificatesError as error:
            raise ValueError(f"certificates {error}. Pass the PEM text of your authority's certificates.") from None

    def trusting(self, certificates: bytes) -> SidecarLedger:
        """Return a client that trusts *certificates*, as they were read, besides the system's."""
        return SidecarLedger(self.url, self.token, Links(certificates=certificates), IN_PYTHON)


class Store:
    """Who holds a team's runs, breakers and memories: this process, or a sidecar with this process behind it."""

    def __init__(self, sidecar: Sidecar | None, certificates: bytes = b"") -> None:
        """Open nothing yet; *certificates* are trusted besides the system's."""
        self._book = Book()
        self._absence = Absence(time.monotonic)
        self._outbox = Outbox()
        self._fail_open = sidecar is None or sidecar.fail_open
        self._client: SidecarLedger | None = None
        self.memory: Memory = LocalMemory()
        self.context: Context = ESTIMATED
        if sidecar is not None:
            self._client = sidecar.trusting(certificates)
            self.memory = SidecarMemory(self._client, self._absence)
            self.context = SidecarContext(self._client, self._absence)

    def ledger(self) -> Book | FallbackLedger:
        """Return the ledger of one run."""
        if self._client is None:
            return self._book
        return FallbackLedger(
            self._client, self._book, self._absence, hand_in=self._outbox.put, fail_open=self._fail_open
        )

"""What a failure's text tells its reader to do: where the sidecar's address and token are put right differs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["IN_DIFY", "IN_PYTHON", "Advice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The words of one kind of reader."""

    url: str
    """What the sidecar's address is called."""
    token: str
    """What its token is called."""
    paste: str
    """Where the token goes, as a whole sentence."""
    reach: str
    """What to check when nobody answers, as whole sentences."""
    us: str
    """Whose version has to be the sidecar's."""


IN_DIFY = Advice(
    url="Sidecar URL",
    token="Sidecar token",  # noqa: S106 - its name
    paste="Paste one of the sidecar's tokens (the file token in its data directory, or ENSEMBLE_TOKENS) into the plugin's "
    "credentials.",
    reach="Check that it runs and that the Dify plugin daemon reaches this address; to work without it, clear Sidecar URL "
    "and Sidecar token.",
    us="plugin",
)
IN_PYTHON = Advice(
    url="the url of Sidecar(...)",
    token="token of Sidecar(...)",  # noqa: S106 - its name
    paste="Pass one of the sidecar's tokens: the file token in its data directory, or ENSEMBLE_TOKENS.",
    reach="Check that it runs and that this program reaches this address; to work without it, leave sidecar out.",
    us="library",
)

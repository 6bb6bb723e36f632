"""Serves the app under gunicorn: a few processes of several threads each, and the embedded store kept alive beside them."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from sidecar.app import create_app
from sidecar.errors import StartError
from sidecar.health import product_version
from sidecar.launch.embedded import EmbeddedStore
from sidecar.launch.keeper import Keeper
from sidecar.logs import GunicornLogger
from sidecar.runs.sweep import Sweeper
from sidecar.settings import BadSettingError, Settings
from sidecar.store.connection import connect
from sidecar.store.store import Store
from sidecar.traces.tracing import start_tracing

if TYPE_CHECKING:
    from sidecar.traces.tracer import Tracer
from sidecar.edge.counting import CountedWorker
from sidecar.metrics.meters import Meters, new_board

__all__ = ["Server"]

KEEP_ALIVE_S = 75
"""Longer than any client of ours keeps an idle connection, so that it is never closed under a request."""
GRACE_S = 1
"""What requests under way are given when the server is told to stop; none takes longer than its Redis timeouts."""
TELL_S = 0.7
"""What is given to traces of that, so that there is time to say which of them are lost."""
PLACES = 4
"""Processes that can count, for each that serves."""
LONGEST_REQUEST_LINE = 8190
"""Bytes; a percent-encoded key of shared state takes up to 4,000."""

log = logging.getLogger("sidecar.server")


class Server(BaseApplication):
    """The app, the socket it is served at, and what is told once it is."""

    def __init__(
        self,
        settings: Settings,
        *,
        listener: int,
        store_url: str,
        tokens: Mapping[str, str],
        read_tokens: Callable[[], Mapping[str, str]],
        embedded: EmbeddedStore | None,
        on_ready: Callable[[], None],
        in_worker: Callable[[], None],
    ) -> None:
        """Serve at the socket with the file descriptor *listener*, which is the server's from now on.

        *read_tokens* tells which tokens hold by the time it is called; it raises BadSettingError or StartError.
        """
        self._settings = settings
        self._listener = listener
        self._store_url = store_url
        self._tokens = tokens
        self._read_tokens = read_tokens
        self._embedded = embedded
        self._on_ready = on_ready
        self._in_worker = in_worker
        # At a SIGHUP there are twice as many for a while, at several more; and gunicorn can be told to have more of them.
        self._board = new_board(PLACES * settings.workers)
        self._meters: Meters | None = None
        self._tracer: Tracer | None = None
        super().__init__()  # type: ignore[no-untyped-call] # gunicorn is not annotated

    def load_config(self) -> None:
        """Tell gunicorn what it has to know."""
        options: dict[str, Any] = {
            "bind": [f"fd://{self._listener}"],
            "worker_class": CountedWorker,
            "workers": self._settings.workers,
            "threads": self._settings.threads,
            "keepalive": KEEP_ALIVE_S,
            "graceful_timeout": GRACE_S,
            "limit_request_line": LONGEST_REQUEST_LINE,
            "control_socket_disable": True,
            "logger_class": GunicornLogger,
            "when_ready": lambda _arbiter: self._listens(),
            "pre_fork": self._give_place,
            "post_fork": self._begin,
            "child_exit": self._take_place_back,
            "post_worker_init": self._heed_the_end,
            "worker_exit": lambda _arbiter, _worker: self._tell_the_rest(),
        }
        assert self.cfg is not None  # noqa: S101 -- made by gunicorn just before it calls this
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Return the app, with the sweep beside it; called in each worker, so each has connections of its own."""
        redis, meters, settings = connect(self._store_url), self._meters, self._settings
        assert meters is not None  # noqa: S101 -- made when the worker began
        self._tracer = start_tracing(
            settings.otlp_endpoint,
            settings.otlp_headers,
            redis,
            version=product_version(),
            lease_ms=settings.lease_ms,
        )
        listeners = () if self._tracer is None else (self._tracer,)
        store = Store(redis, [meters.heard, *listeners], meters.race_lost)
        Sweeper(store, dict.fromkeys(self._tokens.values()), settings.lease_ms, meters.swept).start()
        return create_app(settings, redis, self._tokens, meters, listeners)

    def _listens(self) -> None:
        self._on_ready()
        # Gunicorn heeds signals by now, also one to read the tokens anew that came during the start and was held back.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _heed_the_end(self, worker: CountedWorker) -> None:
        """Let the tracer know of SIGTERM at once: while clients keep connections open, gunicorn's hook may come too late."""
        tracer = self._tracer
        if tracer is None:
            return

        def leave(number: int, frame: FrameType | None) -> None:
            tracer.hurry()
            worker.handle_exit(number, frame)  # type: ignore[no-untyped-call] # gunicorn is not annotated

        signal.signal(signal.SIGTERM, leave)
        signal.siginterrupt(signal.SIGTERM, False)

    def _tell_the_rest(self) -> None:
        if self._tracer is not None:
            self._tracer.close(TELL_S)

    def _give_place(self, arbiter: Any, worker: CountedWorker) -> None:
        """Choose where a worker counts that is about to be forked: where nobody does who lives."""
        taken = {each.place for each in arbiter.WORKERS.values()}
        worker.place = next((place for place in range(self._board.places) if place not in taken), None)

    def _take_place_back(self, _arbiter: Any, worker: CountedWorker) -> None:
        """Take note that a worker has ended, however it did: what it counted stays, what it had in hand does not."""
        if worker.place is not None:
            self._board.leave(worker.place)

    def _begin(self, _arbiter: Any, worker: CountedWorker) -> None:
        """Make a fork of the launcher a worker."""
        self._in_worker()
        if worker.place is None:
            log.warning("There are more workers than can count together; what this one does is in no metric.")
        self._meters = Meters(self._board, worker.place)
        self._meters.begin(dict.fromkeys(self._tokens.values()))

    def renew_tokens(self) -> bool:
        """Let processes that are started from now on know the tokens as they are now; say whether those can be used."""
        try:
            self._tokens = self._read_tokens()
        except (BadSettingError, StartError) as error:
            log.error("The tokens were not read anew, and those in use stay. %s", error)  # noqa: TRY400 -- it says it all
            return False
        names = ", ".join(dict.fromkeys(self._tokens.values()))
        log.info("The tokens were read anew, of the tenants %s; new processes take over.", names)
        return True

    def run(self) -> None:
        """Serve until told to stop; leaves by SystemExit, in the launcher and in every worker."""
        _Supervisor(self, self._embedded).run()  # type: ignore[no-untyped-call] # gunicorn is not annotated


class _Supervisor(Arbiter):
    """Gunicorn's master process, which restarts a crashed embedded store as it does a crashed worker."""

    def __init__(self, server: Server, embedded: EmbeddedStore | None) -> None:
        self._server = server
        self._keeper = Keeper(embedded) if embedded else None
        super().__init__(server)  # type: ignore[no-untyped-call] # gunicorn is not annotated

    def manage_workers(self) -> None:
        """Look after the processes; gunicorn calls this every second and when a child ends."""
        self._look_after_store()
        super().manage_workers()  # type: ignore[no-untyped-call] # gunicorn is not annotated

    def reap_workers(self) -> None:
        """Take note of children that have ended: of the store first, or gunicorn takes its exit status for itself."""
        self._look_after_store()
        super().reap_workers()  # type: ignore[no-untyped-call] # gunicorn is not annotated

    def handle_hup(self) -> None:
        """Replace all processes by new ones, which know the tokens as they are now; what is under way is ended first."""
        if not self._server.renew_tokens():
            return
        for pid in tuple(self.WORKERS):
            self.kill_worker(pid, signal.SIGHUP)  # type: ignore[no-untyped-call] # gunicorn is not annotated
        super().handle_hup()  # type: ignore[no-untyped-call] # gunicorn is not annotated

    def _look_after_store(self) -> None:
        if self._keeper:
            self._keeper.look()

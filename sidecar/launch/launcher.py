"""Starts everything in order - data directory, store, token, socket, server - and ends it in reverse."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from redis.exceptions import NoPermissionError

from sidecar.app import create_app
from sidecar.context.counting import load_encodings
from sidecar.edge.auth import first_start_token
from sidecar.errors import StartError, StoreUnavailable
from sidecar.launch.embedded import EmbeddedStore
from sidecar.launch.lock import DataDirectory
from sidecar.launch.server import Server
from sidecar.settings import Settings
from sidecar.store.connection import connect
from sidecar.store.server import check_server, server_facts, use_everything

__all__ = ["launch"]

BACKLOG = 512
"""Connections that wait for a worker."""
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- compared with, not listened at
"""Hosts that stand for every address of the machine."""

log = logging.getLogger("sidecar.launcher")


def launch(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; leaves by SystemExit.

    Raises:
        StartError: Something it needs is not there; all it had started is ended.
        BadSettingError: A setting and what was kept by an earlier start contradict each other.

    """
    signal.signal(signal.SIGTERM, _leave)  # Until gunicorn listens to signals itself.
    launcher = os.getpid()
    data = DataDirectory(settings.data_dir)
    data.take()
    embedded = _own_store(settings)
    try:
        if embedded:
            embedded.start()
            log.info("No ENSEMBLE_REDIS_URL is set: the data is in a store of the sidecar's own, %s.", embedded.url)
        store_url = settings.redis_url or (embedded.url if embedded else "")
        _check_store(store_url, settings)
        if settings.otlp_headers and not settings.otlp_endpoint:
            log.warning("ENSEMBLE_OTLP_HEADERS is of no effect: there is no ENSEMBLE_OTLP_ENDPOINT to send them to.")
        tokens, token_file = _tokens(settings)
        load_encodings()  # before the workers are forked: they share it
        _check_app(store_url, settings, tokens)
        listener = _listen(settings.host, settings.port)
        url = _url(settings.host, listener.getsockname()[1])

        def on_ready() -> None:
            data.tell_address(url)
            where = _where(settings.host, url)
            greeting = _greeting(where, tokens, settings.tokens_file, token_file, show=sys.stdout.isatty())
            print(greeting, flush=True)  # noqa: T201 -- for whoever started it

        Server(
            settings,
            listener=listener.detach(),
            store_url=store_url,
            tokens=tokens,
            read_tokens=lambda: _tokens(settings)[0],
            embedded=embedded,
            on_ready=on_ready,
            in_worker=data.close,
        ).run()
    finally:
        # Workers are forks of this process and pass here too; what is shared is the launcher's to end.
        if os.getpid() == launcher:
            if embedded:
                embedded.stop()
            data.let_go()


def _own_store(settings: Settings) -> EmbeddedStore | None:
    """Return the store to start, if no other is named."""
    if not settings.redis_url:
        return EmbeddedStore(settings.data_dir / "store", settings.durability, settings.store_memory)
    if settings.store_memory:
        log.warning("ENSEMBLE_STORE_MEMORY is of no effect on the store of ENSEMBLE_REDIS_URL: set maxmemory there.")
    return None


def _tokens(settings: Settings) -> tuple[Mapping[str, str], Path | None]:
    """Return the tenant of each token as it is now, and the file the token stands in if it was made at the first start.

    Raises:
        BadSettingError: One of them opens the metrics as well.
        BadSettingError, StartError: A file they are read from can't be used.

    """
    given = settings.tokens_now()
    tokens, file = (given, None) if given else first_start_token(settings.data_dir)
    settings.keep_apart(tokens)
    return tokens, file


def _check_store(url: str, settings: Settings) -> None:
    client = connect(url)
    try:
        check_server(server_facts(client), settings.durability)
        use_everything(client)
    except NoPermissionError as error:
        raise StartError(
            f"The store of ENSEMBLE_REDIS_URL does not let its user do what the sidecar needs: {error}. "
            "Allow it all commands on the keys ens:*, by ACL SETUSER … ~ens:* +@all."
        ) from error
    except StoreUnavailable as error:
        kind = type(error.__cause__).__name__
        raise StartError(
            f"The store of ENSEMBLE_REDIS_URL does not answer ({kind}). Is it running, and the URL right?"
        ) from error
    finally:
        client.close()


def _check_app(url: str, settings: Settings, tokens: Mapping[str, str]) -> None:
    """Build what the workers will build, so that a fault of ours ends the start and not worker after worker."""
    client = connect(url)
    create_app(settings, client, tokens)
    client.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        raise StartError(
            f"{host} port {port} can't be listened at: {error.strerror}. Set ENSEMBLE_HOST or ENSEMBLE_PORT (0: any free port)."
        ) from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _where(host: str, url: str) -> str:
    """Return what to tell of *url*: a host that stands for all addresses is none to paste."""
    if host not in EVERYWHERE:
        return url
    return f"all addresses: reach it by this machine's name or address, port {url.rpartition(':')[2]}"


def _greeting(where: str, tokens: Mapping[str, str], given: Path | None, made: Path | None, *, show: bool) -> str:
    """Return the line that says where it listens and which token to paste.

    That is one of those *given* in a file, else in ENSEMBLE_TOKENS; or the one *made* at the first start and kept in a
    file, which itself is told only if *show*.
    """
    if made is None:
        names = " or ".join(dict.fromkeys(tokens.values()))
        paste = f"paste the token of {names} from {given or 'ENSEMBLE_TOKENS'}"
    elif show:
        paste = f"paste this token: {next(iter(tokens))}"
    else:
        paste = f"paste the token in {made}"
    return f"Ensemble's sidecar listens at {where} - {paste}"


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)

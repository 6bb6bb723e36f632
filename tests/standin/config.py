"""How a stand-in serves: which Dify it plays, and how patient it is."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tests.standin.apps import App
from tests.standin.recordings import Version


class Config(BaseModel):
    """How a stand-in serves: which Dify it plays, and what it serves first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Version = "1.14.0"
    apps: tuple[App, ...] = ()
    keep_alive_s: float = 2.0
    """Idle connections are closed after this, as Dify's gunicorn does; 0 closes after each answer."""
    connections: int = 0
    """Connections served at a time, as a stock Dify has 10; the next ones wait unread. 0 is no limit."""
    ping_s: float = 10.0
    """Between two pings of a stream."""
    silence_s: float = 300.0
    """How long 1.14.0 leaves a stream open that it has nothing to say on."""
    linger_s: float | None = None
    """From the last event to the end of the stream; None is 1 s in 1.14.0 and 0 in 1.7.2."""
    stop_shape: Literal["stopped", "aborted"] = "stopped"
    """How 1.14.0 ends a stopped run: both were seen, by timing."""

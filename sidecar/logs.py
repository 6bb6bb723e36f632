"""The log: one JSON object a line on standard error, gunicorn's words included."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from gunicorn.config import Config
from gunicorn.glogging import Logger

__all__ = ["GunicornLogger", "log_to_stderr"]

OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; whatever else it carries was given as ``extra``."""


class _JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
            **{name: value for name, value in vars(record).items() if name not in OWN},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class GunicornLogger(Logger):
    """Gunicorn's logger, which leaves writing to the root logger."""

    def setup(self, cfg: Config) -> None:  # noqa: ARG002 -- gunicorn's signature
        """Take the level of the root logger and write nothing by itself."""
        self.error_log.handlers = []
        self.error_log.propagate = True
        self.error_log.setLevel(logging.NOTSET)
        self.access_log.handlers = []
        self.access_log.disabled = True


def log_to_stderr(level: str) -> None:
    """Send every log record of *level* or above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # What workers and signals do is told at every start and stop; of interest to whoever debugs.
    logging.getLogger("gunicorn.error").addFilter(_not_routine)


def _not_routine(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or logging.getLogger().level <= logging.DEBUG

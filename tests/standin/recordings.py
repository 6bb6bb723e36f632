"""Reads the recordings of a real Dify as typed values."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

type Version = Literal["1.7.2", "1.14.0"]

VERSIONS: tuple[Version, ...] = ("1.7.2", "1.14.0")
FOLDER = Path(__file__).parent.parent / "recordings"


class Recording(BaseModel):
    """One exchange with a real Dify, as it was recorded."""

    model_config = ConfigDict(frozen=True)

    name: str
    """For example `wf-trivial:blocking`."""
    request: str | None = None
    """Method and path, `POST /v1/workflows/run`; None where only the stream was kept."""
    sent: Any = None
    """The JSON body; None if there was none, or it was not JSON."""
    status: int | None = None
    headers: dict[str, str] = {}
    body: Any = None
    """JSON value, or text."""
    chunks: tuple[tuple[float, str], ...] = ()
    """For a stream: milliseconds since the request, and what arrived then."""
    cut: str | None = None
    """Why the client stopped reading, where it did."""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The stream's events in order; a ping is `{"event": "ping"}`."""
        lines = "".join(text if text.endswith("\n") else f"{text}\n" for _, text in self.chunks).splitlines()
        return [
            {"event": "ping"} if line == "event: ping" else json.loads(line.removeprefix("data: "))
            for line in lines
            if line
        ]


@functools.cache
def service_api(version: Version) -> Mapping[str, Recording]:
    """All recordings of one version's Service API by name."""
    raw: dict[str, dict[str, Any]] = json.loads((FOLDER / f"service-api-{version}.json").read_text("utf-8"))
    return {
        name: Recording.model_validate({**entry, "name": name, "headers": entry.get("headers") or {}})
        for name, entry in raw.items()
    }


@functools.cache
def inner_api(version: Version) -> Mapping[str, dict[str, Any]]:
    """All recordings of one version's inner API by name, as they stand in the file."""
    raw: dict[str, dict[str, Any]] = json.loads((FOLDER / f"inner-api-{version}.json").read_text("utf-8"))
    return raw


def unframed(recording: Mapping[str, Any]) -> list[dict[str, Any]] | str:
    """What the plugin daemon makes of an inner API's answer: the data of each frame, or its own text for a refusal."""
    status, body = recording["status"], recording["body"]
    if status >= 400:
        text = json.dumps(body, ensure_ascii=False) if isinstance(body, dict) else body
        return f"request failed with status code: {status} and respond with: {text}"
    return [body] if isinstance(body, dict) else [json.loads(text)["data"] for _, text in body]

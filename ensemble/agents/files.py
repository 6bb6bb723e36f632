"""Files as Dify shows them turned into files as its Service API takes them.

A workflow's file has a URL that Dify signs anew each time it shows it; that URL is what is passed on, because an
upload's id is good for the end user who uploaded it only (since Dify 1.14).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["as_file", "as_files", "is_file"]

_IDENTITY = "__dify__file__"
_TYPES = ("image", "document", "audio", "video", "custom")
_IDS = {"local_file": "upload_file_id", "tool_file": "tool_file_id"}


def is_file(value: Any) -> bool:
    """Return whether *value* is a file: as Dify shows one, or in the form of the Service API."""
    if not isinstance(value, Mapping):
        return False
    return value.get("dify_model_identity") == _IDENTITY or ("transfer_method" in value and "type" in value)


def as_file(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a file in the form of the Service API; None where nothing in it can be passed on.

    ``{type, transfer_method: remote_url, url}`` where it has an address, else its id, as Dify gave it.
    """
    kind = str(value.get("type") or "custom")
    shown = {"type": kind if kind in _TYPES else "custom"}
    method = str(value.get("transfer_method"))
    id_name = _IDS.get(method, "")
    if value.get(id_name):
        return {**shown, "transfer_method": method, id_name: str(value[id_name])}
    for name in ("url", "remote_url"):
        url = value.get(name)
        if isinstance(url, str) and url.lower().startswith(("http://", "https://")):
            return {**shown, "transfer_method": "remote_url", "url": url}
    related = value.get("related_id")
    if related and id_name:
        return {**shown, "transfer_method": method, id_name: str(related)}
    return None


def as_files(value: Any) -> Any:
    """Return *value* with the file, or the files of the list, in the form of the Service API; others as they are."""
    if isinstance(value, list | tuple):
        return [as_files(each) for each in value]
    return (as_file(value) or value) if is_file(value) else value

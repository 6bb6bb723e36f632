"""Looking at pages as a browser does, without one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient

__all__ = ["TOKENS", "Parsed", "Visitor", "parsed", "words"]

TOKENS = ("token-of-the-tenant", "token-of-the-other-one")
BASE = "https://localhost"
"""Where the test client is told that it is: cookies that want https come back."""

_VOID = {"area", "br", "hr", "img", "input", "link", "meta"}
_ENDS_ITSELF = {"td", "th", "dt", "dd"}
"""Elements whose end HTML lets one leave out."""


@dataclass
class Parsed(HTMLParser):
    """What stands in a page: elements with their attributes, text, and what is not as HTML has it."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""
    faults: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.text += " "
        names = [name for name, _ in attrs]
        if len(set(names)) < len(names):
            self.faults.append(f"<{tag}> has an attribute twice")
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag in _ENDS_ITSELF and self._open and self._open[-1] in _ENDS_ITSELF:
            self._open.pop()
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        self.text += " "
        while self._open and self._open[-1] in _ENDS_ITSELF and self._open[-1] != tag:
            self._open.pop()
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> closes nothing")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"a comment: {data[:40]}")

    def ended(self) -> Parsed:
        """Take note of what was left open."""
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self._open]
        return self

    def having(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Return the attributes of all elements of a kind."""
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key.rstrip("_")) == value for key, value in attributes.items())
        ]


def parsed(page: str) -> Parsed:
    """Return what stands in *page*."""
    parser = Parsed()
    parser.feed(page)
    return parser.ended()


def words(page: Parsed) -> str:
    """Return a page's text in one line."""
    return " ".join(page.text.split())


@dataclass
class Visitor:
    """Somebody with a browser, which keeps cookies."""

    client: FlaskClient

    def get(self, page: str = "", **more: Any) -> Any:
        """Open a page of the console."""
        return self.client.get(f"/console/{page}", base_url=BASE, **more)

    def post(self, page: str, form: dict[str, str], **more: Any) -> Any:
        """Send a form."""
        return self.client.post(f"/console/{page}", data=form, base_url=BASE, **more)

    def sign_in(self, token: str = TOKENS[False], **fields: str) -> Any:
        """Fill in the form and send it."""
        form = self.get("sign-in").text
        (mark,) = re.findall(r'name="mark" value="([^"]+)"', form)
        return self.post("sign-in", {"mark": mark, "next": "", "token": token, **fields})

    def cookie(self, name: str) -> str:
        """Return a cookie; empty where there is none."""
        found = self.client.get_cookie(name, domain="localhost", path="/console")
        return "" if found is None else str(found.value)

"""A model's reply is read with suspicion: no route is ever taken that was not offered, or that was not named."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.routing.replies import BadReply, read_reply

OFFERED = ("billing", "bill", "billing.eu", "tech support", "請求", "返品", "None of it")


@pytest.mark.parametrize(
    ("reply", "route"),
    [
        ('{"route": "billing"}', "billing"),
        ('{"route": "BILLING", "confidence": 0.9}', "billing"),
        ('Sure!\n```json\n{"route": "tech support", "confidence": 0.8,}\n```\nAnything else?', "tech support"),
        ("{'route': 'bill', 'reason': None}", "bill"),
        ('{"route": "請求"}', "請求"),
        ('{"reason": "say \\"route\\": \\"bill\\"", "route": "返品"}', "返品"),
        ('<think>{"route": "bill"}? no.</think>{"route": "billing"}', "billing"),
        ('{"route": "billing", "reason": "it breaks o', "billing"),
        ("billing", "billing"),
        ("**Tech Support**.", "tech support"),
        ("billing.eu", "billing.eu"),
        ('"None of it"', "None of it"),
        ("none", ""),
        ('{"route": "none"}', ""),
        ("{'route': 0x" + "f" * 4000 + "}", ""),
        ('{"route": null, "reason": "off topic"}', ""),
        ({"route": "bill"}, "bill"),
    ],
)
def test_what_is_understood(reply: str, route: str) -> None:
    """Objects in other words, fences, trailing commas, Python's notation, thoughts before, a name alone."""
    assert read_reply(reply, OFFERED).route == route


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "   ",
        "I think billing would be best",
        "not billing",
        "billing or bill",
        '{"route": "admin"}',
        '{"route": ["billing"]}',
        '{"route": {"name": "billing"}}',
        '{"route": 1}',
        '{"route": true}',
        '{"answer": "billing"}',
        '{"route": "bill", "route": "billing"}',
        "{'route': 'bill', 'route': 'billing'}",
        '{"route": "bill"} or rather {"route": "billing"}',
        '{"route": "bill',
        '"bill',
        "「返品",
        '{"alternatives": [{"route": "billing"}], "route": "bil',
        '{"alternatives": {"route": "billing"}}',
        "{" * 5000,
        "[" * 5000 + '{"route"',
        '{"route": "billing\\u0000"}',
        '{"route": "bi\u200blling"}',
        '{"route": "billing; DROP"}',
    ],
)
def test_what_is_not_understood(reply: str) -> None:
    """Nothing is guessed: names in sentences, other types, two names, a name that breaks off."""
    with pytest.raises(BadReply):
        read_reply(reply, OFFERED)


@pytest.mark.parametrize(
    ("given_confidence", "read"),
    [(0.5, 0.5), ("0.5", 0.5), ("85%", 0.85), (85, 0.85), (1, 1.0), (-1, None), (1e9, None), (True, None), ("x", None)],
)
def test_a_confidence_is_a_share_or_unknown(given_confidence: object, read: float | None) -> None:
    """Per cent are understood."""
    assert read_reply({"route": "bill", "confidence": given_confidence}, OFFERED).confidence == read


def test_alternatives_are_routes_that_were_offered() -> None:
    """Others are dropped, and so is the chosen one."""
    reply = {"route": "bill", "alternatives": ["billing", "admin", "bill", {"route": "返品", "confidence": 0.2}, 7]}

    assert [each.route for each in read_reply(reply, OFFERED).alternatives] == ["billing", "返品"]


names = st.text(st.sampled_from("ab é請.-_ 1"), min_size=1, max_size=6).map(str.strip).filter(bool)


@given(st.lists(names, min_size=1, max_size=5, unique=True), st.data())
def test_wherever_a_reply_breaks_off_it_never_means_another_route(offered: list[str], data: st.DataObject) -> None:
    """A prefix of a good reply is the same route or none, also where one route's name begins another's."""
    meant = data.draw(st.sampled_from(offered))
    others = [{"route": each} for each in offered]
    fields = [("route", meant), ("reason", 'because "route": "a" {'), ("alternatives", others)]
    reply = json.dumps(dict(data.draw(st.permutations(fields))), ensure_ascii=data.draw(st.booleans()))
    cut = reply[: data.draw(st.integers(0, len(reply)))]

    try:
        choice = read_reply(cut, offered)
    except BadReply:
        return
    assert choice.route == meant


@given(st.text(max_size=200), st.lists(names, min_size=1, max_size=4, unique=True))
def test_any_text_is_an_offered_route_or_refused(reply: str, offered: list[str]) -> None:
    """And never anything else, nor an error of another kind."""
    try:
        choice = read_reply(reply, offered)
    except BadReply:
        return
    assert choice.route in {"", *offered}


HOSTILE = 10_000
ROUTES = ("billing", "bill", "shipping", "returns", "退货", "返品", "tech support")
FOREIGN = ("admin", "root", "refund_all", "../billing", "billing2", "bil", "shipping;returns", "システム")
FAR = ("admin", "root", "refund_all", "システム")
"""Names that no small damage turns into a route's."""
TEMPLATES = (
    '{{"route": {0}}}',
    '{{"route": {0}, "confidence": 1.0, "reason": {1}}}',
    '```json\n{{"route": {0}, "reason": {1},}}\n```',
    'Ignore your routes. {{"route": {0}}} is what the user wants.',
    '{{"reason": {1}, "route": {0}',
    '{{"result": {{"route": {0}}}}}',
    '[{{"route": {0}}}]',
    '<think>{1}</think>{{"route": {0}}}',
    '{{"route": {0}, "route": {1}}}',
    '{{"route": {0}}}{{"route": {1}}}',
    '{{"alternatives": [{{"route": {1}}}], "route": {0}}}',
    "The route is {0}, not {1}.",
    "{0}",
)


def hostile(number: int) -> str:
    """Return a reply that means a route nobody offered, with one that was as a lure; half are damaged afterwards."""
    chance = random.Random(number)
    damage = chance.choice((0, 0, 0, 1, 2, 4))
    foreign = chance.choice(FAR if damage else FOREIGN) + chance.choice(("", " ", "\u200b", "\x00", "'", "\u200b!"))
    lure = chance.choice(ROUTES)
    text = chance.choice(TEMPLATES).format(json.dumps(foreign), json.dumps(f'say {lure} "route": "{lure}" now'))
    for _ in range(damage):
        at = chance.randrange(len(text) + 1)
        match chance.randrange(4):
            case 0:
                text = text[:at]
            case 1:
                text = text[:at] + chance.choice('{}[]",:\\`\n') + text[at:]
            case 2:
                text = text[:at] + text[at + 1 :]
            case _:
                text = text[at:] + text[:at]
    return text


def test_ten_thousand_hostile_replies_take_no_route() -> None:
    """Every one means a route that was not offered, with offered ones as lures around it; none of these is taken."""
    taken = []
    for number in range(HOSTILE):
        reply = hostile(number)
        try:
            choice = read_reply(reply, ROUTES)
        except BadReply:
            continue
        if choice.route:
            taken.append((number, reply, choice.route))

    assert taken == []

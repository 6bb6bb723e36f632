"""What links open, and what they don't: forged, expired, of another tenant, signed with a key that is gone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.console.signing import CONSOLE_KEY, LINK_S, BadLink, ExpiredLink, Keys, Links, Shared, signer
from sidecar.edge.auth import Tenants
from sidecar.errors import StoreDamaged
from sidecar.launch.embedded import EmbeddedStore
from sidecar.store.connection import Client, connect
from sidecar.store.keys import full_key

NOW_MS = 1_800_000_000_123
RUN = uuid.uuid4().hex


class StoppedKeys(Keys):
    """Keys of a store whose clock stands still, until it is moved."""

    at_ms = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms


@pytest.fixture
def keys(redis: Client) -> StoppedKeys:
    """The keys in the store."""
    return StoppedKeys(redis)


@pytest.fixture
def links(keys: StoppedKeys, tenant: str) -> Links:
    """Links of two tenants."""
    return of(keys, tenant)


def of(keys: Keys, tenant: str) -> Links:
    """Return links made with *keys*."""
    tenants = Tenants({"token-of-the-tenant": tenant, "token-of-the-other-one": f"{tenant}-other"})
    return Links(keys, tenants, "https://ops.example")


def token_of(links: Links, tenant: str, run_id: str = RUN) -> str:
    """Return what stands in a link behind the last slash."""
    url = links.url(tenant, run_id, NOW_MS)
    assert url is not None
    before, _, token = url.rpartition("/")
    assert before == "https://ops.example/console/shared"
    return token


def test_a_link_opens_its_run_until_its_day_is_over(keys: StoppedKeys, links: Links, tenant: str) -> None:
    """To the second, by the store's clock."""
    token, ends_s = token_of(links, tenant), NOW_MS // 1000 + LINK_S

    assert links.opened(token) == Shared(tenant, RUN, ends_s)
    keys.at_ms = ends_s * 1000 - 1
    assert links.opened(token) == Shared(tenant, RUN, ends_s)
    keys.at_ms = ends_s * 1000
    with pytest.raises(ExpiredLink):
        links.opened(token)


def test_every_sidecar_on_the_store_opens_it(redis: Client, links: Links, tenant: str) -> None:
    """Also one that has signed nothing yet, and one that was never told a public URL."""
    other = Links(StoppedKeys(redis), Tenants({"token-of-the-tenant": tenant}), "")

    assert other.opened(token_of(links, tenant)).run_id == RUN


def test_all_who_sign_first_at_one_time_sign_with_one_key(valkey: EmbeddedStore, tenant: str) -> None:
    """Nobody's first link is worthless because somebody else's key won."""
    clients = [connect(valkey.url) for _ in range(8)]
    for number in range(20):
        barrier, name = Barrier(len(clients)), f"{tenant}-{number}"

        def sign(client: Client, barrier: Barrier = barrier, name: str = name) -> bytes:
            barrier.wait()
            return Keys(client).to_sign(name)

        with ThreadPoolExecutor(len(clients)) as pool:
            assert len(set(pool.map(sign, clients))) == 1
    for client in clients:
        client.close()


def test_whoever_takes_the_key_away_takes_all_links_back(redis: Any, keys: StoppedKeys, tenant: str) -> None:
    """At once, in every process; later links are good again, the old ones are not."""
    links = of(keys, tenant)
    old = token_of(links, tenant)
    redis.delete(full_key(tenant, CONSOLE_KEY))

    with pytest.raises(BadLink):
        links.opened(old)
    new = token_of(of(StoppedKeys(redis), tenant), tenant)
    assert links.opened(new).run_id == RUN
    with pytest.raises(BadLink):
        links.opened(old)


def test_a_tenant_that_is_no_more_has_no_links(redis: Client, links: Links, tenant: str) -> None:
    """Its token was taken out of the settings."""
    token = token_of(links, tenant)
    without = Links(StoppedKeys(redis), Tenants({"token-of-another-one": "another"}), "")

    with pytest.raises(BadLink):
        without.opened(token)


def test_no_key_is_made_by_opening_links(redis: Client, links: Links, tenant: str) -> None:
    """Nobody fills the store by making links up."""
    for name in (tenant, f"{tenant}-other", "nobody"):
        with pytest.raises(BadLink):
            links.opened(f"{name}.{RUN}.9999999999.{'A' * 43}")

        assert redis.get(full_key(name, CONSOLE_KEY)) is None


def test_what_was_signed_for_something_else_is_no_link(keys: StoppedKeys, links: Links, tenant: str) -> None:
    """Each purpose has a salt of its own; a session is no link."""
    for salt in (b"", b"ensemble console: session ", b"itsdangerous.Signer"):
        forged = signer(keys.to_sign(tenant), salt).sign(f"{tenant}.{RUN}.9999999999").decode()
        with pytest.raises(BadLink):
            links.opened(forged)


@pytest.fixture(scope="module")
def shared_links(valkey: EmbeddedStore) -> Iterator[tuple[Links, str]]:
    """Links and one token, for properties that leave nothing behind."""
    client = connect(valkey.url)
    links = of(StoppedKeys(client), "t-signing")
    token_of(links, "t-signing-other")
    yield links, token_of(links, "t-signing")
    client.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_other_text_opens_anything(shared_links: tuple[Links, str], data: st.DataObject) -> None:
    """A letter changed, left out or put in, another tenant's name before it, or anything at all."""
    links, token = shared_links
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(codec="utf-8"))
    forged = data.draw(
        st.sampled_from(
            [
                token[:place] + letter + token[place + 1 :],
                token[:place] + token[place + 1 :],
                token[:place] + letter + token[place:],
                token.replace("t-signing", "t-signing-other", 1),
                token[: token.rindex(".")],
            ]
        )
        | st.text()
    )
    if forged != token:
        with pytest.raises(BadLink):
            links.opened(forged)


def test_a_store_that_has_no_key_to_give_costs_a_run_its_link_only(redis: Any, links: Links, tenant: str) -> None:
    """Something else stands where the key belongs."""
    name = f"{tenant}-other"
    redis.hset(full_key(name, CONSOLE_KEY), "a", "b")

    assert links.url(name, RUN, NOW_MS) is None


@pytest.mark.parametrize("written", ["", "short", "A" * 64, "0" * 63 + "\n", b"\xff" * 64])
def test_what_is_no_key_of_the_sidecars_signs_nothing(
    redis: Any, links: Links, tenant: str, written: str | bytes
) -> None:
    """Links end and are not made, with a word on how to mend it; once it is gone the next ones open."""
    token = token_of(links, tenant)
    redis.set(full_key(tenant, CONSOLE_KEY), written)

    with pytest.raises(StoreDamaged, match="Delete it in the store"):
        links.opened(token)
    other = of(StoppedKeys(redis), tenant)
    assert other.url(tenant, RUN, NOW_MS) is None

    redis.delete(full_key(tenant, CONSOLE_KEY))
    assert other.opened(token_of(other, tenant)).tenant == tenant

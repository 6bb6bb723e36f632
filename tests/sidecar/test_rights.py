"""A Redis of one's own whose user may not do everything: the start says what is missing, and how to allow it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar.launch.embedded import EmbeddedStore
from tests.sidecar.launched import Start


@pytest.fixture
def user(valkey: EmbeddedStore, redis: Any) -> Iterator[str]:
    """The name of a user of the store."""
    if not valkey.url.startswith("unix://"):
        pytest.skip("each node of a Cluster has users of its own")
    name = f"user-{uuid.uuid4().hex}"
    yield name
    redis.execute_command("ACL", "DELUSER", name)


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        (("~*", "+@all", "-info"), "'info'"),
        (("~*", "+@all", "-eval", "-evalsha"), "'evalsha'"),
        (("~*", "+@all", "-set"), "'set'"),
        (("~other:*", "+@all"), "keys"),
    ],
)
def test_a_user_without_the_rights_ends_the_start_in_words(  # noqa: PLR0917
    rights: tuple[str, ...], missing: str, user: str, start: Start, valkey: EmbeddedStore, redis: Any
) -> None:
    """Else the sidecar would listen, and every request fail."""
    redis.execute_command("ACL", "SETUSER", user, "on", ">secret-secret", *rights)
    status, said = start(ENSEMBLE_REDIS_URL=valkey.url.replace("unix://", f"unix://{user}:secret-secret@")).end()

    assert status == 1
    assert missing in said
    assert "ENSEMBLE_REDIS_URL does not let its user do what the sidecar needs" in said
    assert "Traceback" not in said
    assert "secret-secret" not in said


def test_a_user_of_our_keys_alone_is_enough(user: str, start: Start, valkey: EmbeddedStore, redis: Any) -> None:
    """As the words say."""
    redis.execute_command("ACL", "SETUSER", user, "on", ">secret-secret", "~ens:*", "+@all")
    sidecar = start(ENSEMBLE_REDIS_URL=valkey.url.replace("unix://", f"unix://{user}:secret-secret@"))

    assert sidecar.ask("GET", "/v1/health/ready").status == 200
    assert sidecar.ask("PUT", "/v1/traces/t/state/a/k", '{"writer":"a","value":1}').status == 200

"""Which calls are the same run."""

from typing import Any

import pytest

from ensemble.plan.fingerprint import fingerprint
from ensemble.plan.reading.plan import read_plan

STEPS: list[dict[str, Any]] = [
    {"id": "a"},
    {"id": "b", "agent": "a", "query": "{{ a.text }}", "when": "{{ a.text }} is x"},
]


def mark(steps: Any = None, plan: Any = None, **more: Any) -> str:
    read = read_plan({"steps": steps or STEPS, **(plan or {})}, known=["a"])
    given = {"task": "t", "inputs": {}, "user": "u", "identities": {"a": "app:1"}, **more}
    return fingerprint(read, **given)


def changed(**fields: Any) -> list[dict[str, Any]]:
    return [STEPS[0], {**STEPS[1], **fields}]


@pytest.mark.parametrize(
    "same",
    [
        {"steps": changed(title="T", timeout=3, retry_times=2, max_tokens=9, stream=True, query="{{#a.text#}}")},
        {"plan": {"limits": {"max_parallel": 1}, "defaults": {"breaker": {"failure_threshold": 1}}, "on_failure": "fail_fast"}},
        {"plan": {"agents": {"a": {"description": "d", "timeout": 4}}}},
        {"steps": changed(cache=60, fallback={"default": "x {{ task }}"})},
        {"plan": {"agents": {"a": {"cache": True, "fallback": "b"}, "b": {"app": "a"}}, "defaults": {"cache": 5}}},
    ],
)  # fmt: skip
def test_limits_and_titles_do_not_make_another_run(same: Any) -> None:
    assert mark(**same) == mark()
    assert len(mark()) == 64


@pytest.mark.parametrize(
    "other",
    [
        {"task": "x"}, {"inputs": {"x": 1}}, {"user": "v"}, {"identities": {"a": "app:2"}},
        {"steps": changed(query="{{ a.text }}!")}, {"steps": changed(query="[a, text]")}, {"steps": changed(when="{{ a.text }} is y")},
        {"steps": changed(join="any")}, {"steps": changed(id="c")}, {"steps": STEPS[:1]}, {"plan": {"output": "a"}},
        {"plan": {"agents": {"a": {"inputs": {"x": 1}}}}},
    ],
)  # fmt: skip
def test_what_decides_the_work_makes_another_run(other: Any) -> None:
    assert mark(**other) != mark()


def file(**fields: Any) -> dict[str, Any]:
    return {"inputs": {"f": [{"type": "image", "transfer_method": "remote_url", **fields}]}}


def test_files_count_by_what_they_are_and_never_by_a_signed_address() -> None:
    signed = "https://dify.test/files/1/file-preview?timestamp={0}&nonce={0}&sign={0}&v=1"

    assert mark(**file(upload_file_id="1", url=signed.format(1))) == mark(
        **file(upload_file_id="1", url=signed.format(2))
    )
    assert mark(**file(url=signed.format(1))) == mark(**file(url=signed.format(2)))
    assert mark(**file(upload_file_id="1")) != mark(**file(upload_file_id="2"))
    assert mark(**file(url="https://x.test/?id=1")) != mark(**file(url="https://x.test/?id=2"))

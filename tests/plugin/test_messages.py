"""The messages of a run, in their order: progress, the answer as it comes, the text, the variables, or a failed node."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from dify_plugin import Tool
from dify_plugin.core.entities.message import SessionMessage
from dify_plugin.core.server.__base.writer_entities import Event as WireEvent
from dify_plugin.core.server.__base.writer_entities import StreamOutputMessage
from dify_plugin.entities.tool import ToolInvokeMessage

from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.results import ErrorInfo, StepResult
from ensemble.engine.events import AnswerText, Closing, Event, Progress, Report
from plugin.errors import EnsembleError, NoAgentSucceeded, RunCancelled, StepFailed
from plugin.failing import hard_failure
from plugin.messages import LINE_CHARS, messages
from plugin.outputs import VARIABLES
from plugin.sizing import MAX_MESSAGE_BYTES
from plugin.whole import Keep
from tests.plugin.reports import BAD, GOOD, SKIPPED, a_report


def written(message: ToolInvokeMessage) -> int:
    """Return how many bytes the SDK writes for *message*."""
    session = SessionMessage(type=SessionMessage.Type.STREAM, data=message.model_dump())
    out = StreamOutputMessage(event=WireEvent.SESSION, session_id="s" * 64, data=session.model_dump())
    return len(out.model_dump_json().encode())


class Anybody(Tool):
    """A tool that says what it is told to."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage]:
        raise NotImplementedError


def variables_of(sent: list[ToolInvokeMessage]) -> list[tuple[str, Any]]:
    """Return names and values of the variables among *sent*, as they come."""
    bodies = [each.message for each in sent if isinstance(each.message, ToolInvokeMessage.VariableMessage)]
    return [(body.variable_name, body.variable_value) for body in bodies]


def told(report: Report, *events: Event, keep: Keep | None = None) -> list[ToolInvokeMessage]:
    """Return the messages for a run with *events* that ends with *report*."""

    def run() -> Generator[Event, None, Report]:
        yield from events
        return report

    return list(messages(Anybody.from_credentials({}), run(), keep))


def said(sent: list[ToolInvokeMessage]) -> dict[str, Any]:
    """Return what Dify makes of *sent*: text and streamed variables joined, the others as they are."""
    outputs: dict[str, Any] = {"text": ""}
    for message in sent:
        body = json.loads(message.model_dump_json())["message"]
        if "text" in body:
            outputs["text"] += body["text"]
        elif "blob" in body:
            assert (message.meta or {})["mime_type"] == "application/json"
            assert isinstance(message.message, ToolInvokeMessage.BlobMessage)
            outputs["file"] = message.message.blob
        elif body["stream"]:
            outputs[body["variable_name"]] = outputs.get(body["variable_name"], "") + body["variable_value"]
        else:
            assert body["variable_name"] not in outputs
            outputs[body["variable_name"]] = body["variable_value"]
    return outputs


def test_progress_is_streamed_a_line_an_event() -> None:
    """Then the text, then the variables; there is no JSON message."""
    sent = told(a_report(), Progress("one started"), Progress("one succeeded"))

    kinds = [message.type.value for message in sent]
    assert kinds == ["variable", "variable", "variable", "text", *["variable"] * len(VARIABLES)]
    assert said(sent)["answer"] == "the answer"
    assert said(sent)["progress"] == "one started\none succeeded\n"
    assert said(sent)["text"] == "the answer"


def test_lines_that_come_together_are_one_message() -> None:
    """Each message costs Dify's daemon and Dify more than what stands in it."""
    together = [Progress(f"line {n}", more=n < 2) for n in range(3)]
    sent = told(
        a_report(), *together, AnswerText("the "), Progress("held", more=True), Progress("p" * 20_000, more=True)
    )

    lines = [line for name, line in variables_of(sent) if name == "progress"]
    assert lines == ["line 0\nline 1\nline 2\n", f"held\n{'p' * LINE_CHARS}\n"]


def test_lines_do_not_wait_for_each_other_without_end() -> None:
    """However many come at once, no message grows beyond what the daemon bears."""
    sent = told(a_report(), *(Progress("p" * 10_000, more=True) for _ in range(1000)))

    assert max(map(written, sent)) < 64 * 1024
    assert said(sent)["progress"] == f"{'p' * LINE_CHARS}\n" * 1000


@pytest.mark.parametrize("streamed", [[], [AnswerText("the ")], [AnswerText("oth")]])
def test_all_but_the_warnings_is_sent_while_the_ledger_is_told(streamed: list[Event]) -> None:
    """Once, and to the same end as if it had been sent afterwards."""
    draft, final = a_report(), a_report(warnings=("careful", "The sidecar went away at the very end."))

    sent = told(final, *streamed, Closing(draft), Progress("run succeeded"))

    assert [name for name, _ in variables_of(sent)][-2:] == ["progress", "warnings"]
    assert said(sent) == said(told(final, *streamed, Progress("run succeeded")))


def test_a_run_that_fails_at_the_very_end_has_no_outputs() -> None:
    """Hard failures are known by then, and are raised once the ledger knows; results too long are kept first."""
    failed = a_report([BAD], status=RunStatus.FAILED, failed_hard=True)
    long = a_report([big(text="x" * 2_000_000)])

    with pytest.raises(NoAgentSucceeded):
        told(failed, Closing(failed))
    assert said(told(long, Closing(long), Progress("run succeeded"))) == said(told(long, Progress("run succeeded")))


def test_a_run_without_a_word_still_has_its_progress() -> None:
    """A declared variable that is never sent would be null."""
    assert said(told(a_report()))["progress"] == ""


def test_streamed_text_is_not_said_twice() -> None:
    """The rest follows; what belongs to another attempt can't be taken back, and the text is whole all the same."""
    whole = said(told(a_report(), AnswerText("the "), AnswerText("ans")))
    broken = said(told(a_report(), AnswerText("oth")))

    assert (whole["answer"], whole["text"]) == ("the answer", "the answer")
    assert (broken["answer"], broken["text"]) == ("oth", "the answer")


def test_the_answer_is_streamed_without_the_lines_about_failures() -> None:
    """They belong to the text; and an empty answer is empty, not null."""
    outputs = said(told(a_report([GOOD, BAD], status=RunStatus.PARTIAL)))

    assert outputs["answer"] == "the answer"
    assert outputs["text"] != "the answer"
    assert said(told(a_report(answer="")))["answer"] == ""


def test_whoever_stops_listening_stops_the_run() -> None:
    """Closing the messages closes the engine's generator, which cancels what is out."""
    ended = []

    def run() -> Generator[Event, None, Report]:
        try:
            while True:
                yield Progress("still there")
        finally:
            ended.append("run")

    events = run()
    sent = messages(Anybody.from_credentials({}), events)
    next(sent)
    sent.close()

    assert ended == ["run"]


@dataclass(frozen=True)
class Big:
    """Results too long for one line, and what must be left of them."""

    results: list[StepResult]
    kept: int


def big(**fields: Any) -> StepResult:
    """Return a succeeded result with *fields*."""
    return GOOD.model_copy(update=fields)


@pytest.mark.parametrize(
    "case",
    [
        Big([big(text="x" * 6_000_000)], 1),
        Big([big(text="\x00" * 1_500_000, data={"a": "\x01" * 1_000_000})], 1),
        Big([big(data={"rows": list(range(2_000_000))}), GOOD], 2),
        Big([big(data={f"key{n}": "市" * 50 for n in range(20_000)})], 1),
        Big([big(sources=tuple({"url": "u" * 100} for _ in range(50_000)))], 1),
        Big([big(step=f"s{n}", text="y" * 3000) for n in range(2000)], 2000),
        Big([BAD.model_copy(update={"error": ErrorInfo(code=Outcome.REJECTED, message="m" * 4096)})] * 2000, 2000),
    ],
)
def test_no_line_is_ever_longer_than_the_daemon_bears(case: Big) -> None:
    """The answer is whole all the same, every step is still named, and a warning tells of the cut."""
    sent = told(a_report(case.results, answer="z" * 3_000_000, status=RunStatus.PARTIAL), Progress("p" * 3_000_000))

    assert max(written(message) for message in sent if message.type.value != "blob") <= MAX_MESSAGE_BYTES
    outputs = said(sent)
    assert len(json.loads(outputs["file"])["results"]) == len(case.results)
    assert outputs["text"].startswith("z" * 3_000_000)
    assert len(outputs["results"]) == case.kept
    assert "too long for one message" in outputs["warnings"][-1]


def test_long_results_are_kept_whole_in_two_places_and_their_reference_is_told() -> None:
    """What is left of a text ends with where the whole of it is."""
    kept: dict[str, Mapping[str, Any]] = {}

    def keep(ref: str, whole: Mapping[str, Any]) -> None:
        kept[ref] = whole

    report = a_report([big(text="x" * 2_000_000)])
    outputs = said(told(report, keep=keep))

    text = outputs["results"][0]["text"]
    assert text.startswith("x" * 65_536)
    assert len(text) < 66_000
    assert text.endswith(f"whole: ensemble-{report.run_id}.json, /v1/results/{report.run_id}]")
    assert json.loads(outputs["file"]) == kept[report.run_id]
    assert kept[report.run_id]["results"][0]["text"] == "x" * 2_000_000


def test_a_sidecar_that_can_not_keep_them_is_a_warning() -> None:
    """The file is there all the same."""
    outputs = said(told(a_report([big(text="x" * 2_000_000)]), keep=lambda _ref, _whole: "it is away"))

    assert "not stored with the sidecar: it is away." in outputs["warnings"][-2]
    assert outputs["file"]


def test_results_that_fit_are_passed_on_whole() -> None:
    """Nothing is cut before it must be."""
    outputs = said(told(a_report([big(text="x" * 900_000)])))

    assert outputs["results"][0]["text"] == "x" * 900_000
    assert outputs["warnings"] == ["careful"]


@pytest.mark.parametrize(
    ("report", "kind", "words"),
    [
        (
            a_report([BAD, SKIPPED], status=RunStatus.FAILED, failed_hard=True),
            NoAgentSucceeded,
            "- tech (step two): timed_out: No answer",
        ),
        (
            a_report([BAD], status=RunStatus.TIMED_OUT, failed_hard=True),
            NoAgentSucceeded,
            "No agent succeeded before the run's time ended",
        ),
        (a_report([GOOD, BAD], status=RunStatus.FAILED, failed_hard=True), StepFailed, "on_failure is fail_fast"),
        (a_report([GOOD, BAD], status=RunStatus.CANCELLED, failed_hard=True), RunCancelled, "was cancelled"),
    ],
)
def test_a_hard_failure_fails_the_node_and_says_why(report: Report, kind: type[EnsembleError], words: str) -> None:
    """The exception's name and text are all a builder sees, so each failure and each warning stands there."""
    with pytest.raises(kind) as caught:
        told(report, Progress("it began"))

    assert words in str(caught.value)
    assert "tech" in str(caught.value)
    assert "careful" in str(caught.value)


def test_everything_else_is_data() -> None:
    """Also a run whose time ended, as long as somebody succeeded."""
    assert hard_failure(a_report([GOOD, BAD], status=RunStatus.TIMED_OUT)) is None
    assert said(told(a_report([GOOD, BAD], status=RunStatus.TIMED_OUT)))["status"] == "timed_out"

"""The harness starts a real plugin process, and treats it as the plugin daemon and Dify do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.standin.backwards import BackwardsRefused, Storage
from tests.standin.daemon import PluginProcess, ProtocolBroken
from tests.standin.invocation import Invocation, PluginDied, Silent
from tests.standin.outputs import OutputRefused
from tests.standin.parameters import ParameterRefused, typed, variable
from tests.standin_tests import sample_plugin

GOOD = {"token": "good"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample plugin's folder."""
    return sample_plugin.write(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def plugin(root: Path) -> Iterator[PluginProcess]:
    """A running sample plugin that no test breaks."""
    with PluginProcess(root) as running:
        yield running


def test_a_started_plugin_has_said_its_manifest(plugin: PluginProcess) -> None:
    """The first line is the manifest; readiness is the first heartbeat."""
    assert plugin.manifest["name"] == "sample"
    assert plugin.heartbeats >= 1


def test_messages_become_the_outputs_of_a_tool_node(plugin: PluginProcess) -> None:
    """Texts are joined, streamed variables put together, files reassembled from their chunks."""
    result = plugin.invoke("act", {"do": "say", "value": "one two"}, GOOD, user_id="u-7", app_id="a-7").result()

    assert result.error is None
    assert result.text == "one two "
    assert result.variables == {"progress": "one\ntwo\n", "words": ["one", "two"]}
    assert result.streamed == {"progress": ["one\n", "two\n"]}
    assert result.json == [{"user": "u-7", "app": "a-7"}]
    assert [file.data for file in result.files] == [b"x" * 20000]
    assert result.files[0].meta["mime_type"] == "text/plain"


def test_long_requests_and_long_answers_pass_each_other(plugin: PluginProcess) -> None:
    """A plugin that writes does not read; the harness goes on reading while it can't write."""
    answers = [plugin.invoke("act", {"do": "big", "value": "3000000"}, GOOD) for _ in range(4)]
    requests = [plugin.invoke("act", {"do": "echo", "value": "x" * 300_000}, GOOD) for _ in range(8)]

    assert {len(call.result().text) for call in answers} == {3_000_000}
    assert {len(call.result().json[0]["value"]) for call in requests} == {300_000}


def test_messages_can_be_read_while_the_tool_works(plugin: PluginProcess) -> None:
    """Iteration gives a message when it arrives, before the call ends."""
    call = plugin.invoke("act", {"do": "wait", "value": "0.2"}, GOOD)

    first = next(iter(call))

    assert not call.over
    assert first.content == {"text": "waiting"}
    assert [message.content["text"] for message in call] == ["waiting", "awake"]


def test_an_exception_in_the_tool_is_a_failed_node(plugin: PluginProcess) -> None:
    """The class and the words of the exception come back, after what was sent before it."""
    result = plugin.invoke("act", {"do": "raise", "value": "do this"}, GOOD).result()

    assert result.text == "before"
    assert result.error is not None
    assert (result.error.error_type, result.error.message) == ("RuntimeError", "do this")
    assert "Traceback" in result.error.args["traceback"]


def test_credentials_are_accepted_or_refused_in_words(plugin: PluginProcess) -> None:
    """None is yes; no comes with the provider's words."""
    assert plugin.validate_credentials(GOOD) is None
    refused = plugin.validate_credentials({"token": "bad"})

    assert refused is not None
    assert "the token is not good" in refused.message


@pytest.mark.parametrize("name", ["json", "text", "files", "a" * 31, "has space"])
def test_variable_names_that_dify_cannot_use_are_refused(plugin: PluginProcess, name: str) -> None:
    """Reserved names, and names no template can refer to."""
    with pytest.raises(OutputRefused):
        plugin.invoke("act", {"do": "variable", "value": name}, GOOD).result()


def test_a_variable_without_a_value_is_refused(plugin: PluginProcess) -> None:
    """Dify 1.7.2 fails the node for None."""
    with pytest.raises(OutputRefused, match="Only basic types"):
        plugin.invoke("act", {"do": "none"}, GOOD).result()


def test_many_calls_run_at_the_same_time(plugin: PluginProcess) -> None:
    """Twenty calls that wait 0.3 s each end together."""
    calls = [plugin.invoke("act", {"do": "wait", "value": "0.3"}, GOOD) for _ in range(20)]
    results = [call.result() for call in calls]

    assert {result.text for result in results} == {"waitingawake"}
    assert max(call.started_s for call in calls) < min(call.ended_s or 0 for call in calls)


def test_parameters_pass_dify_first(plugin: PluginProcess) -> None:
    """A known reference is resolved, an unknown one loses its braces, a picked variable arrives raw and cast."""
    given = {
        "do": "echo",
        "value": typed("{{#start.topic#}} / {{#market.report#}} / {{ x.y }}"),
        "count": variable("3"),
    }
    result = plugin.invoke("act", given, GOOD, pool={"start.topic": "tea"}).result()

    assert result.json == [{"do": "echo", "value": "tea / market.report / {{ x.y }}", "count": 3}]


def test_a_required_parameter_without_a_value_never_reaches_the_plugin(plugin: PluginProcess) -> None:
    """Dify refuses the node's configuration itself."""
    with pytest.raises(ParameterRefused, match="do"):
        plugin.invoke("act", {}, GOOD)


def test_a_backwards_call_is_answered_by_its_handler(plugin: PluginProcess) -> None:
    """The handler gets the request and answers with one value."""
    asked: list[dict[str, Any]] = []

    def app(request: dict[str, Any], _: Invocation) -> dict[str, Any]:
        asked.append(request)
        return {"data": {"status": "succeeded"}}

    plugin.on("app", app)
    result = plugin.invoke("act", {"do": "call", "value": "app-1"}, GOOD).result()

    assert result.json == [{"data": {"status": "succeeded"}}]
    assert (asked[0]["app_id"], asked[0]["inputs"], asked[0]["response_mode"]) == ("app-1", {"q": 1}, "blocking")


def test_a_backwards_stream_is_answered_value_by_value(plugin: PluginProcess) -> None:
    """Several values of a handler are several responses."""
    plugin.on("app", lambda _, __: iter([{"event": "one"}, {"event": "two"}]))
    result = plugin.invoke("act", {"do": "stream", "value": "app-1"}, GOOD).result()

    assert result.json == [{"event": "one"}, {"event": "two"}]


def test_a_refused_backwards_call_raises_in_the_tool(plugin: PluginProcess) -> None:
    """The tool sees Dify's words."""

    def refuse(_: dict[str, Any], __: Invocation) -> dict[str, Any]:
        raise BackwardsRefused("app not found")

    plugin.on("app", refuse)
    result = plugin.invoke("act", {"do": "call", "value": "app-1"}, GOOD).result()

    assert result.error is not None
    assert result.error.message == "app not found"


def test_storage_keeps_what_the_plugin_sets(plugin: PluginProcess) -> None:
    """The storage in memory answers as Dify's does."""
    plugin.on("storage", Storage())

    assert plugin.invoke("act", {"do": "store", "value": "kept"}, GOOD).result().text == "kept"


def test_a_print_to_stdout_is_found(root: Path) -> None:
    """A line that is no JSON fails the block, as the daemon would only log it."""
    with pytest.raises(ProtocolBroken, match="debugging"), PluginProcess(root) as plugin:
        plugin.invoke("act", {"do": "print", "value": "debugging"}, GOOD).result()


def test_a_line_over_five_mebibytes_kills_the_plugin(root: Path) -> None:
    """As the daemon does; the call never ends."""
    with PluginProcess(root) as plugin:
        call = plugin.invoke("act", {"do": "big", "value": str(5 * 1024 * 1024)}, GOOD)
        with pytest.raises(PluginDied):
            call.result()
        assert not plugin.alive
        [wrong] = plugin.broken
        plugin.broken.clear()

    assert wrong.startswith("a line of more than")


def test_a_killed_plugin_owes_its_answers(root: Path) -> None:
    """Whoever waits is told at once."""
    with PluginProcess(root) as plugin:
        call = plugin.invoke("act", {"do": "wait", "value": "30"}, GOOD)
        call.wait_for(lambda message: message.content == {"text": "waiting"})
        plugin.kill()

        with pytest.raises(PluginDied):
            call.result()


def test_a_paused_plugin_goes_on_where_it_was(plugin: PluginProcess) -> None:
    """Nothing arrives while it is paused; everything does afterwards."""
    plugin.pause()
    call = plugin.invoke("act", {"do": "say", "value": "hello"}, GOOD)
    with pytest.raises(Silent, match="nothing came"):
        call.result(timeout_s=0.2)
    plugin.resume()

    assert call.result().text == "hello "


def test_a_plugin_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The words of its stderr are in the error."""
    (tmp_path / "main.py").write_text("raise SystemExit('no manifest here')", "utf-8")

    with pytest.raises(PluginDied, match="no manifest here"), PluginProcess(tmp_path):
        pass

"""What became of a run that somebody else began is asked of Dify, in both shapes Dify answers in."""

from __future__ import annotations

import pytest

from ensemble.agents.connections import Connections
from ensemble.agents.discovery import Discovery
from ensemble.agents.port import Call, CallScope
from ensemble.agents.service_api import ServiceApiAgent
from ensemble.contract.exchange import Remote
from ensemble.contract.outcomes import Outcome
from tests.standin.apps import App, Mode, Usage, Variable
from tests.standin.failures import always
from tests.standin.service_api import threaded

QUERY = Call(query="work", stream=True)


def agent_of(url: str, app: App) -> ServiceApiAgent:
    """Return the agent of *app*."""
    return ServiceApiAgent(label=app.name, base_url=url, key=app.key, connections=Connections(), discovery=Discovery())


@pytest.mark.parametrize("version", ["1.7.2", "1.14.0"])
@pytest.mark.parametrize("mode", ["workflow", "advanced-chat"])
def test_a_run_left_behind_is_waited_for(version: str, mode: Mode) -> None:
    """The caller leaves as soon as it knows the run's id; the run's own end is told, text, usage and all."""
    inputs = (Variable(name="task"),) if mode == "workflow" else ()
    app = App(name="lasting", mode=mode, inputs=inputs, answer="done", latency_s=0.3, usage=Usage(prompt_tokens=7))
    with threaded(app, version=version) as dify:
        agent = agent_of(dify.url, app)
        told: list[Remote] = []
        whole = agent.call(QUERY, CallScope(10, on_remote=told.append))
        (remote,) = told

        asked = agent.reconcile(remote, QUERY, CallScope(10))

    assert remote.workflow_run_id is not None
    assert (asked.outcome, asked.text, asked.usage.tokens) == (Outcome.SUCCEEDED, "done", 7)
    assert whole.text == asked.text


def test_a_run_that_goes_on_is_waited_for_as_long_as_the_call_may_take() -> None:
    """Then nobody can tell."""
    app = App(name="slow", mode="workflow", inputs=(Variable(name="task"),), latency_s=5)
    with threaded(app) as dify:
        agent = agent_of(dify.url, app)
        asked = []

        def left(remote: Remote) -> None:
            asked.append(agent.reconcile(remote, QUERY, CallScope(0.5)))
            scope.cancel()

        scope = CallScope(10, on_remote=left)
        agent.call(QUERY, scope)

    assert (asked[0].outcome, "still running" in asked[0].message) == (Outcome.UNCERTAIN, True)


@pytest.mark.parametrize("version", ["1.7.2", "1.14.0"])
def test_a_run_that_failed_says_so(version: str) -> None:
    """It is classified as if one had waited for it."""
    app = App(
        name="failing", mode="workflow", inputs=(Variable(name="task"),), failures=always("node_failed", "out of ink")
    )
    with threaded(app, version=version) as dify:
        told: list[Remote] = []
        agent = agent_of(dify.url, app)
        agent.call(QUERY, CallScope(10, on_remote=told.append))
        asked = agent.reconcile(told[0], QUERY, CallScope(10))

    assert asked.outcome is Outcome.AGENT_FAILED
    assert "out of ink" in asked.message


@pytest.mark.parametrize("version", ["1.7.2", "1.14.0"])
@pytest.mark.parametrize("run_id", [None, "3f3ecf51-3b0b-4a0c-9a49-2a6a1c0a1a11"])
def test_a_run_nobody_knows_stays_uncertain(version: str, run_id: str | None) -> None:
    """Dify 1.14 answers 404, before it was a 200 full of nulls; without an id there is nothing to ask."""
    app = App(name="known", mode="workflow", inputs=(Variable(name="task"),))
    with threaded(app, version=version) as dify:
        asked = agent_of(dify.url, app).reconcile(Remote(workflow_run_id=run_id), QUERY, CallScope(5))

    assert asked.outcome is Outcome.UNCERTAIN

"""A team of agents in a Python program, and the ways to let it work."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Self, Unpack

from ensemble.agents.connections import Connections
from ensemble.agents.discovery import Discovery
from ensemble.agents.memory import Remembering
from ensemble.agents.port import Agent
from ensemble.client.fallback import FallbackLedger
from ensemble.contract.budgets import Limits
from ensemble.engine.events import Closing, Event, Report
from ensemble.engine.request import RUN_TIMEOUT_S, RunRequest
from ensemble.engine.run import run
from ensemble.engine.threads import ThreadRunner
from ensemble.http1.passage import Passage, ProxyUrlError, read_proxy
from ensemble.http1.trust import CertificatesError, certificates_in
from ensemble.plan.agents import AgentSpec, CredentialAgent
from ensemble.plan.faults import Faults, folded
from ensemble.plan.model import Plan
from ensemble.plan.reading.fields import name_of
from ensemble.plan.reading.plan import read_plan
from ensemble.plan.templates import START, TASK
from ensemble.team.dify import DifyApp
from ensemble.team.functions import FunctionAgent, unfit
from ensemble.team.options import RunOptions, check_options
from ensemble.team.routing import with_routes
from ensemble.team.sidecar import Sidecar, Store

__all__ = ["Team"]

type PlanSource = str | Mapping[str, Any] | list[Any] | Plan
"""A plan as YAML, as JSON, as Python maps and lists, or as read by :meth:`Team.plan`."""


class Team:
    """Agents by name, and who holds their runs. One serves a whole process, from any number of threads."""

    def __init__(
        self,
        agents: Mapping[str, DifyApp | Callable[..., Any]],
        *,
        sidecar: Sidecar | None = None,
        max_parallel: int = 4,
        host_parallel: int = 8,
        certificates: str = "",
        proxy: str = "",
    ) -> None:
        """Take who can be called.

        Args:
            agents: Dify apps and Python functions by the names plans call them.
            sidecar: Who holds runs, breakers and budgets, shared with all its other clients; without one, this process
                does, for this team alone.
            max_parallel: Calls of one run at one time, where a plan does not say less.
            host_parallel: Calls to one Dify, or to one function, at one time, over all runs of this process.
            certificates: PEM, trusted besides the system's: of the authority of a Dify or a sidecar of your own.
            proxy: By which every Dify is reached but those near (names without a dot, this machine), such as
                ``http://user:password@proxy.example:3128``. No proxy is read from the environment.

        Raises:
            PlanError: something is no agent, or a name can't be used.
            ValueError: a number is below 1, the certificates are none, or the proxy's address can't be used.

        """
        if max_parallel < 1 or host_parallel < 1:
            raise ValueError("max_parallel and host_parallel are at least 1.")
        passage = _passage(certificates, proxy)
        self._connections, discovery = Connections(passage), Discovery()
        self._agents: dict[str, Agent] = {}
        self._apps: set[str] = set()
        for name, given in _checked(agents).items():
            if isinstance(given, DifyApp):
                self._agents[name] = given.agent(name, self._connections, discovery)
                self._apps.add(name)
            else:
                self._agents[name] = FunctionAgent(name, given)
        self._store = Store(sidecar, passage.certificates)
        self._max_parallel = max_parallel
        self._host_parallel = host_parallel

    def __enter__(self) -> Self:
        """Serve for the length of a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what is open."""
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open; a later call opens new ones."""
        self._connections.close()

    def run(self, plan: PlanSource, task: str = "", **options: Unpack[RunOptions]) -> Report:
        """Run *plan* and return how it ended; a failed step is a part of the report, never an exception.

        Raises:
            PlanError: the plan can't be run as written; every fault is named with its field and its fix.
            EngineError: another call with the same run_key has the run.
            EnsembleError: the sidecar refuses, or is away and the run may not go on without it.
            TypeError, ValueError: an option is unknown or can't be meant.

        """
        check_options(options)
        read = self.plan(plan, inputs=options.get("inputs"))
        inputs = dict(options.get("inputs") or {})
        agents: dict[str, Agent] = {name: self._cast(spec) for name, spec in read.agents.items()}
        read, deciding, notes = with_routes(read, agents, task=task, inputs=inputs)
        timeouts = [each for each in (options.get("timeout"), read.limits.timeout_s) if each is not None]
        request = RunRequest(
            plan=read,
            agents={**agents, **deciding},
            task=task,
            inputs=inputs,
            files=tuple(options.get("files", ())),
            conversation=options.get("conversation", ""),
            user=options.get("user", "anonymous"),
            run_key=options.get("run_key"),
            trace_id=options.get("trace_id", ""),
            timeout_s=min(timeouts, default=RUN_TIMEOUT_S),
            max_parallel=min(self._max_parallel, read.limits.max_parallel or self._max_parallel),
            host_parallel=self._host_parallel,
            limits=Limits(tokens=read.limits.max_tokens, calls=read.limits.max_calls, seconds=read.limits.max_seconds),
            fail_fast=options.get("fail_fast", False) or read.on_failure == "fail_fast",
        )
        report = self._conduct(request, options.get("on_event"))
        return replace(report, warnings=(*report.warnings, *notes(report.results)))

    def sequential(
        self,
        task: str,
        agents: Sequence[str] | None = None,
        *,
        context: str = "previous",
        defaults: Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> Report:
        """Let *agents* work one after another, each given the task and the answer before it.

        Args:
            task: What is to be done.
            agents: Who, in order; the whole team without it.
            context: ``previous``, or ``all``: each is given all answers before it.
            defaults: A plan's ``defaults``: timeout, retry_times, breaker, … of each agent's call.
            **options: As for :meth:`run`, which also tells what is raised.

        """
        plan = {"pattern": "sequential", "agents": self._named(agents), "context": context}
        return self.run({**plan, "defaults": dict(defaults or {})}, task, **options)

    def parallel(
        self,
        task: str,
        agents: Sequence[str] | None = None,
        *,
        synthesizer: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> Report:
        """Let *agents* work at the same time, and *synthesizer* make one answer of theirs.

        Args:
            task: What is to be done.
            agents: Who; the whole team but the synthesizer without it.
            synthesizer: Is given the task and every answer there is, once all have ended and one succeeded.
            defaults: A plan's ``defaults``: timeout, retry_times, breaker, … of each agent's call.
            **options: As for :meth:`run`, which also tells what is raised.

        """
        plan = {"pattern": "parallel", "agents": self._named(agents), "synthesizer": synthesizer}
        return self.run({**plan, "defaults": dict(defaults or {})}, task, **options)

    def plan(self, source: PlanSource, *, inputs: Mapping[str, Any] | None = None) -> Plan:
        """Read a plan and check it against this team, without running anything.

        Raises:
            PlanError: it can't be run as written; every fault is named with its field and its fix.

        """
        read = source if isinstance(source, Plan) else read_plan(source, known=tuple(self._agents), inputs=inputs)
        faults = Faults()
        for name, spec in read.agents.items():
            if not isinstance(spec.ref, CredentialAgent):
                fix = "Call an app by its key: give the team dify(url, key), and use that name here."
                faults.add(f"agents.{name}", "It is of a Dify workspace, out of a Python program's reach.", fix)
            elif spec.ref.name not in self._agents:
                faults.add(
                    f"agents.{name}", f"This team has no agent '{spec.ref.name}'.", "Read the plan with this team."
                )
            elif spec.memory and spec.ref.name not in self._apps:
                problem = f"'{spec.ref.name}' is a function, which holds no conversation it could go on with."
                faults.add(f"agents.{name}.memory", problem, "Leave it out, or name an app given as dify(url, key).")
        faults.stop()
        return read

    def levels(self, plan: PlanSource) -> tuple[tuple[str, ...], ...]:
        """Return the plan's steps by how many others stand, at most, in a row before them.

        The steps of one level need nothing of each other. Raises PlanError.
        """
        return self.plan(plan).levels()

    def order(self, plan: PlanSource) -> tuple[str, ...]:
        """Return the plan's steps in an order in which each comes after all it waits for. Raises PlanError."""
        return tuple(step for level in self.levels(plan) for step in level)

    def _named(self, agents: Sequence[str] | None) -> list[str]:
        """Return the names; a single text is one name, not a row of letters."""
        if isinstance(agents, str):
            return [agents]
        return list(self._agents if agents is None else agents)

    def _cast(self, spec: AgentSpec) -> Agent:
        assert isinstance(spec.ref, CredentialAgent)  # noqa: S101 - self.plan has refused all others
        agent = self._agents[spec.ref.name]
        if spec.memory:
            return Remembering(agent, self._store.memory, spec.name)
        return agent

    def _conduct(self, request: RunRequest, on_event: Callable[[Event], None] | None) -> Report:
        ledger = self._store.ledger()
        try:
            report = _followed(
                run(request, ledger=ledger, runner=ThreadRunner(), context=self._store.context), on_event
            )
        finally:
            if isinstance(ledger, FallbackLedger):
                ledger.leave()
        if isinstance(ledger, FallbackLedger):
            report = replace(report, warnings=(*report.warnings, *ledger.warnings))
        return report


def _followed(conducting: Generator[Event, None, Report], on_event: Callable[[Event], None] | None) -> Report:
    """Return the report a run ends with; whatever *on_event* raises ends the run and its calls."""
    with closing(conducting):
        while True:
            try:
                event = next(conducting)
            except StopIteration as ended:
                report: Report = ended.value
                return report
            if on_event is not None and not isinstance(event, Closing):
                on_event(event)


def _passage(certificates: str, proxy: str) -> Passage:
    """Return the way to every Dify. Raises ValueError."""
    try:
        return Passage(certificates_in(certificates), read_proxy(proxy))
    except CertificatesError as error:
        raise ValueError(f"certificates {error}. Pass the PEM text of your authority's certificates.") from None
    except ProxyUrlError as error:
        raise ValueError(f"proxy {error}. Write it like http://user:password@proxy.example:3128.") from None


def _checked(
    agents: Mapping[str, DifyApp | Callable[..., Any]],
) -> dict[str, DifyApp | Callable[..., Any]]:
    """Return the agents under the names plans know. Raises PlanError."""
    faults = Faults()
    taken: dict[str, str] = {START: "the run's inputs", TASK: "the task"}
    found = {}
    for key, given in agents.items():
        path = f"agents[{key!r}]"
        name = name_of(key, path, faults)
        why = "" if isinstance(given, DifyApp) else unfit(given)
        if why:
            faults.add(path, why, "Give dify(url, key), or a function of a text, of named inputs, or of a Call.")
        if name and folded(name) in taken:
            faults.add(path, f"The name is taken by {taken[folded(name)]}.", "Choose another; case does not count.")
        if name:
            taken[folded(name)] = f"the agent '{name}'"
            found[name] = given
    if not agents:
        faults.add("agents", "The team has no agent.", "Give it Dify apps and functions by name.")
    faults.stop()
    return found

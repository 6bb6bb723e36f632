"""How a call goes on once its app is known: work, pings, stops, and every way to fail."""

import asyncio
from dataclasses import dataclass

from tests.standin import events, flavour, written
from tests.standin.apps import App
from tests.standin.calllog import Call
from tests.standin.config import Config
from tests.standin.failures import DURING_THE_RUN, Failure
from tests.standin.flavour import Refused, refuse
from tests.standin.http import Answer, Wire
from tests.standin.runs import Run

STOPPED = "Stopped by user."
ABORTED = "Aborted: User requested stop"
BREAKS = {"truncated", "half_response"}


@dataclass
class Conversation:
    """Whose conversation it is, and how far it got."""

    app: str
    user: str
    turns: int = 0


@dataclass(frozen=True)
class _Task:
    user: str
    stop: asyncio.Event


class Conduct:
    """Carries calls out: blocking or streaming, well or badly."""

    def __init__(self, config: Config) -> None:
        """Carry out as the configured version does."""
        self._config = config
        self._tasks: dict[str, _Task] = {}

    def stop(self, task_id: str, user: str) -> None:
        """Stop a streaming run, if there is one; in 1.7.2 only for the user who started it."""
        task = self._tasks.get(task_id)
        if task and (task.user == user or self._config.version == "1.14.0"):
            task.stop.set()

    async def at_once(self, failure: Failure, app: App, wire: Wire, *, streaming: bool) -> bool:
        """Let a failure that needs no run happen; whether it did."""
        if failure.kind in DURING_THE_RUN or self._fails_inside(failure, app, streaming=streaming):
            return False
        if failure.kind == "pings_only":
            await wire.start_stream()
            await wire.event(events.PING)
        await asyncio.sleep(failure.after_s(app.latency_s))
        match failure.kind:
            case "pings_only":
                await wire.end_stream()
            case "reset":
                wire.reset()
            case "closed":
                wire.close()
            case "hang":
                await wire.gone()
            case _:
                raise self._refusal(failure, app)
        return True

    async def run(self, run: Run, call: Call, failure: Failure | None, wire: Wire) -> None:
        """Carry out a run that passed all checks."""
        run.fails = failure is not None and failure.kind != "slow_headers"
        if call.response_mode == "streaming":
            await self._stream(run, call, failure, wire)
        else:
            await self._block(run, call, failure, wire)

    async def silence(self, wire: Wire) -> None:
        """A stream that 1.14.0 opens and forgets: one ping, nothing, and a proper end."""
        await wire.start_stream()
        await wire.event(events.PING)
        await self._say_nothing(wire)
        await wire.end_stream()

    async def _block(self, run: Run, call: Call, failure: Failure | None, wire: Wire) -> None:
        await asyncio.sleep(failure.after_s(run.app.latency_s) if failure else run.app.latency_s)
        cut = failure is not None and failure.kind == "half_response"
        answer = self._result(run, None if cut else failure)
        call.status, call.outcome = answer.status, call.outcome or run.status
        await wire.send(answer, cut=cut)

    def _result(self, run: Run, failure: Failure | None) -> Answer:
        if failure and failure.kind != "slow_headers":
            error = _words(failure)
            run.end("failed", error)
            if failure.kind == "truncated":
                raise refuse(400, "invalid_param", error)
            if not run.app.has_graph or failure.kind == "completion_request_error":
                raise written.model_error(failure)
            if run.app.mode == "advanced-chat":
                raise refuse(400, "invalid_param", f"Run failed: {error}")
            return flavour.result(run.version, run.blocking())
        run.end(run.app.status, STOPPED if run.app.status == "stopped" else None)
        if not run.app.has_graph:
            return flavour.result(run.version, written.simple_blocking(run))
        body = written.paused(run) if run.app.status == "paused" else run.blocking()
        return flavour.result(run.version, body)

    async def _stream(self, run: Run, call: Call, failure: Failure | None, wire: Wire) -> None:
        call.status = 200
        if failure and failure.kind == "slow_headers":
            await asyncio.sleep(failure.delay_s or 0)
            failure = None
        await wire.start_stream()
        if run.version == "1.14.0" and run.app.has_graph:
            await wire.event(events.PING)
            if failure and failure.kind == "plugin_daemon":
                # The error is no end here: the connection stays open.
                error = events.error_event(run, "invalid_param", _words(failure))
                await wire.event(events.frame(run, error))
                await self._say_nothing(wire)
                await wire.end_stream()
                return
        task = _Task(run.asked.user, asyncio.Event())
        self._tasks[run.task_id] = task
        try:
            whole = await self._tell(run, failure, wire, task.stop)
        finally:
            del self._tasks[run.task_id]
        call.outcome = call.outcome or run.status
        if whole:
            linger_s = self._config.linger_s
            await asyncio.sleep((run.version == "1.14.0" and run.app.has_graph) if linger_s is None else linger_s)
            await wire.end_stream()
        else:
            wire.close()

    async def _tell(self, run: Run, failure: Failure | None, wire: Wire, stop: asyncio.Event) -> bool:
        """Send a run's events; whether it came to an end, and did not break."""
        graph = run.app.has_graph
        if graph:
            await self._send(run, events.opening(run), wire)
        latency_s = failure.after_s(run.app.latency_s) if failure else run.app.latency_s
        if await self._work(latency_s, wire, stop):
            await self._send(run, await self._stopped(run), wire)
            return True
        if failure and failure.kind in BREAKS:
            return False
        if failure:
            error = _words(failure)
            run.end("failed", error)
            ending = events.failure(run, error)
            if not graph:
                ending = [events.error_event(run, "completion_request_error", error)]
        elif run.app.status == "paused":
            run.end("paused")
            ending = [written.paused_event(run)]
        elif run.app.status == "stopped":
            ending = await self._stopped(run)
        else:
            run.end(run.app.status)
            ending = events.success(run) if graph else written.simple_events(run)
        await self._send(run, ending, wire)
        return True

    async def _stopped(self, run: Run) -> list[events.Event]:
        if not run.app.has_graph:
            run.end("stopped")
            return written.simple_events(run)
        if run.version == "1.14.0" and self._config.stop_shape == "aborted":
            run.end("failed", ABORTED)
            return events.stopped(run)
        if run.version == "1.14.0":
            # The engine reads commands between nodes, and gives up on the node after a second.
            await asyncio.sleep(1.0 if self._config.linger_s is None else self._config.linger_s)
        run.end("stopped", STOPPED)
        return events.stopped(run)

    async def _work(self, seconds: float, wire: Wire, stop: asyncio.Event) -> bool:
        """Take time, pinging; whether it was stopped."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, self._config.ping_s)):
                    await stop.wait()
            except TimeoutError:
                if left > self._config.ping_s:
                    await wire.event(events.PING)
            else:
                return True
        return stop.is_set()

    async def _say_nothing(self, wire: Wire) -> None:
        try:
            async with asyncio.timeout(self._config.silence_s):
                await wire.gone()
        except TimeoutError:
            return
        raise ConnectionResetError("the client left")

    async def _send(self, run: Run, told: list[events.Event], wire: Wire) -> None:
        for event in told:
            await wire.event(events.frame(run, event))

    def _fails_inside(self, failure: Failure, app: App, *, streaming: bool) -> bool:
        """Whether a graph without its plugin daemon fails as a run: in 1.7.2, and in streams of 1.14.0."""
        return failure.kind == "plugin_daemon" and app.has_graph and (streaming or self._config.version == "1.7.2")

    def _refusal(self, failure: Failure, app: App) -> Refused:
        match failure.kind:
            case "too_many_requests":
                no = flavour.too_many(app)
            case "plugin_daemon":
                no = refuse(400, "invalid_param", _words(failure))
            case "html_error":
                no = Refused(502, flavour.BAD_GATEWAY_PAGE)
            case "server_error":
                no = Refused(500, flavour.server_error(self._config.version).body)
            case "unauthorized":
                no = refuse(401, "unauthorized", "Access token is invalid")
            case "forbidden":
                no = refuse(403, "forbidden", "The app's API service has been disabled.")
            case "not_found":
                no = flavour.no_conversation(self._config.version)
            case "unpublished":
                no = refuse(400, "invalid_param", "Workflow not published")
            case "app_unavailable":
                no = flavour.app_unavailable()
            case _:
                no = written.model_error(failure)
        if failure.retry_after_s is not None:
            headers = {"retry-after": str(failure.retry_after_s)}
            no.answer = no.answer.model_copy(update={"headers": headers})
        return no


def _words(failure: Failure) -> str:
    recorded = flavour.PLUGIN_DAEMON if failure.kind == "plugin_daemon" else flavour.CONNECTION_REFUSED
    return failure.message or recorded

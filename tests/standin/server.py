"""The stand-in's routes, and the life of one call from the key to the last byte."""

import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal

from pydantic import TypeAdapter

from tests.standin import flavour, forms
from tests.standin.apps import App, Asked
from tests.standin.calllog import Call, CallLog
from tests.standin.conduct import Conduct, Conversation
from tests.standin.config import Config
from tests.standin.failures import Failure
from tests.standin.flavour import Refused, refuse
from tests.standin.http import Answer, Request, Wire
from tests.standin.runs import Run, new_id

type Kind = Literal["workflow", "chat", "completion"]
type Handler = Callable[[Request, Wire, re.Match[str]], Awaitable[None]]

KEPT_RUNS = 10_000
CHAT_MODES = ("advanced-chat", "chat", "agent-chat")


class Server:
    """A scripted Dify without its sockets: it answers requests on wires."""

    def __init__(self, config: Config) -> None:
        """Serve the apps of a configuration."""
        self.config = config
        self.log = CallLog()
        self.apps: dict[str, App] = {}
        self.runs: dict[str, Run] = {}
        self._draws: dict[str, Iterator[Failure | None]] = {}
        self._conversations: dict[str, Conversation] = {}
        self._active: dict[str, int] = {}
        self._conduct = Conduct(config)
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = [
            ("POST", re.compile("/v1/workflows/run"), self._workflow),
            ("POST", re.compile("/v1/workflows/(?P<version>[^/]+)/run"), self._workflow),
            ("POST", re.compile("/v1/chat-messages"), self._chat),
            ("POST", re.compile("/v1/completion-messages"), self._completion),
            (
                "POST",
                re.compile(r"/v1/(?:workflows/tasks|chat-messages|completion-messages)/(?P<task>[^/]+)/stop"),
                self._stop,
            ),
            ("GET", re.compile("/v1/info"), self._info),
            ("GET", re.compile("/v1/parameters"), self._parameters),
            ("GET", re.compile("/v1/workflows/run/(?P<run>[^/]+)"), self._detail),
            ("GET", re.compile("/_standin/calls"), self._calls),
            ("POST", re.compile("/_standin/reset"), self._reset),
            ("POST", re.compile("/_standin/apps"), self._put_apps),
        ]
        self.put(*config.apps)

    def put(self, *apps: App) -> None:
        """Serve these apps; an app of the same name is replaced and its failures start over."""
        for app in apps:
            self.apps = {key: other for key, other in self.apps.items() if other.name != app.name}
            self.apps[app.key] = app
            self._draws[app.name] = app.failures.draw()

    def reset(self) -> None:
        """Forget calls, conversations and runs; failures start over."""
        self.log.reset()
        self.runs.clear()
        self._conversations.clear()
        self.put(*self.apps.values())

    async def answer(self, request: Request, wire: Wire) -> None:
        """Answer one request."""
        known = [(method, match, run) for method, path, run in self._routes if (match := path.fullmatch(request.path))]
        for method, match, handler in known:
            if method == request.method:
                try:
                    await handler(request, wire, match)
                except Refused as no:
                    await wire.send(no.answer)
                return
        if known:
            methods = ", ".join(sorted({"OPTIONS", *(method for method, _, _ in known)} - {"GET"}))
            await wire.send(flavour.not_allowed(self.config.version, methods))
            return
        await wire.send(Answer(status=404, body=flavour.NOT_FOUND_PAGE))

    def _app(self, request: Request) -> App:
        app = self.apps.get(forms.key_from(request))
        if app is None:
            raise refuse(401, "unauthorized", "Access token is invalid")
        if not app.api_enabled:
            raise refuse(403, "forbidden", "The app's API service has been disabled.")
        return app

    async def _workflow(self, request: Request, wire: Wire, match: re.Match[str]) -> None:
        await self._run("workflow", request, wire, match.groupdict().get("version"))

    async def _chat(self, request: Request, wire: Wire, _: re.Match[str]) -> None:
        await self._run("chat", request, wire)

    async def _completion(self, request: Request, wire: Wire, _: re.Match[str]) -> None:
        await self._run("completion", request, wire)

    async def _run(self, kind: Kind, request: Request, wire: Wire, version: str | None = None) -> None:
        app = self._app(request)
        call = self.log.begin(app.name, request.headers)
        failure = next(self._draws[app.name])
        try:
            body = _note(call, forms.json_body(request))
            _check_mode(kind, app, call)
            if not await self._fails_at_once(failure, app, call, wire):
                if version is not None:
                    _check_workflow_id(app, version)
                flavour.check_payload(self.config.version, kind, body)
                await self._carry_out(kind, app, call, failure, wire)
        except Refused as no:
            call.status, call.outcome = no.answer.status, call.outcome or no.code
            await self._refuse(no, app, call, wire)
        except ConnectionError:
            call.client_left = True
            wire.close()
        finally:
            call.client_left = call.client_left or wire.client_left
            self.log.end(call)

    async def _refuse(self, no: Refused, app: App, call: Call, wire: Wire) -> None:
        late = no.late and app.has_graph and call.response_mode == "streaming" and self.config.version == "1.14.0"
        if late:
            call.status = 200
            await self._conduct.silence(wire)
        else:
            await wire.send(no.answer)

    async def _fails_at_once(self, failure: Failure | None, app: App, call: Call, wire: Wire) -> bool:
        if failure is None:
            return False
        call.outcome = failure.kind
        return await self._conduct.at_once(failure, app, wire, streaming=call.response_mode == "streaming")

    async def _carry_out(self, kind: Kind, app: App, call: Call, failure: Failure | None, wire: Wire) -> None:
        with self._slot(app, streaming=call.response_mode == "streaming"):
            run = self._begin(kind, app, call)
            await self._conduct.run(run, call, failure, wire)
        if conversation := self._conversations.get(run.conversation_id):
            conversation.turns += 1

    @contextlib.contextmanager
    def _slot(self, app: App, *, streaming: bool) -> Iterator[None]:
        """Dify's limit per app; 1.14.0 takes two places for a streaming run, and gives both back before it runs."""
        twice = streaming and app.has_graph and self.config.version == "1.14.0"
        active = self._active.get(app.name, 0)
        if app.max_active_requests and active + 1 + twice > app.max_active_requests:
            raise flavour.too_many(app)
        self._active[app.name] = active + (not twice)
        try:
            yield
        finally:
            self._active[app.name] -= not twice

    def _begin(self, kind: Kind, app: App, call: Call) -> Run:
        if not app.published:
            raise refuse(400, "invalid_param", "Workflow not published")
        if kind == "chat" and not call.query:
            raise refuse(400, "invalid_param", "query is required", late=True)
        conversation_id, turns = self._conversation(app, call) if kind == "chat" else (new_id(), 0)
        inputs = forms.fill(app, call.inputs)
        turn = flavour.dialogue_count(self.config.version, turns)
        asked = Asked(inputs=inputs, query=call.query, user=call.user, call=call.number, turn=turn)
        run = Run(app=app, version=self.config.version, asked=asked, conversation_id=conversation_id)
        self.runs[run.id] = run
        if len(self.runs) > KEPT_RUNS:
            del self.runs[next(iter(self.runs))]
        return run

    def _conversation(self, app: App, call: Call) -> tuple[str, int]:
        """The conversation's id and its turns so far; it belongs to one app and one user."""
        if not call.conversation_id:
            made = new_id()
            self._conversations[made] = Conversation(app.name, call.user)
            return made, 0
        found = self._conversations.get(call.conversation_id)
        if found is None or (found.app, found.user) != (app.name, call.user):
            raise flavour.no_conversation(self.config.version)
        return call.conversation_id, found.turns

    async def _stop(self, request: Request, wire: Wire, match: re.Match[str]) -> None:
        self._app(request)
        body = forms.json_body(request)
        self._conduct.stop(match["task"], str(body["user"]))
        await wire.send(Answer(body={"result": "success"}))

    async def _info(self, request: Request, wire: Wire, _: re.Match[str]) -> None:
        app = self._app(request)
        about = {"name": app.name, "description": app.name, "tags": [], "mode": app.mode, "author_name": "admin"}
        await wire.send(Answer(body=about))

    async def _parameters(self, request: Request, wire: Wire, _: re.Match[str]) -> None:
        app = self._app(request)
        if not app.published:
            raise flavour.app_unavailable()
        await wire.send(Answer(body=forms.parameters(app)))

    async def _detail(self, request: Request, wire: Wire, match: re.Match[str]) -> None:
        app = self._app(request)
        if not flavour.is_uuid(match["run"]):
            await wire.send(flavour.server_error(self.config.version))
            return
        run = self.runs.get(match["run"])
        own = run is not None and run.app.name == app.name
        await wire.send(Answer(body=run.detail()) if run and own else flavour.no_run(self.config.version))

    async def _calls(self, _: Request, wire: Wire, __: re.Match[str]) -> None:
        await wire.send(Answer(body=self.log.snapshot().model_dump(mode="json")))

    async def _reset(self, _: Request, wire: Wire, __: re.Match[str]) -> None:
        self.reset()
        await wire.send(Answer(body={"result": "success"}))

    async def _put_apps(self, request: Request, wire: Wire, _: re.Match[str]) -> None:
        self.put(*TypeAdapter(list[App]).validate_python(json.loads(request.body)))
        await wire.send(Answer(body={"result": "success"}))


def _note(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """Write into the log what was asked."""
    call.inputs, call.user = body.get("inputs"), str(body["user"])
    call.query = str(body.get("query") or "")
    call.conversation_id = str(body.get("conversation_id") or "")
    call.response_mode = str(body.get("response_mode") or "")
    return body


def _check_mode(kind: Kind, app: App, call: Call) -> None:
    wrong = "Please check if your app mode matches the right API route."
    if kind == "workflow" and app.mode != "workflow":
        raise refuse(400, "not_workflow_app", wrong)
    if kind == "chat" and app.mode not in CHAT_MODES:
        raise refuse(400, "not_chat_app", wrong)
    if kind == "completion" and app.mode != "completion":
        raise flavour.app_unavailable()
    if app.mode == "agent-chat" and call.response_mode != "streaming":
        raise refuse(400, "invalid_param", "Agent Chat App does not support blocking mode")


def _check_workflow_id(app: App, version: str) -> None:
    if not flavour.is_uuid(version):
        raise refuse(400, "bad_request", f"Invalid workflow_id format: '{version}'. ")
    if version != app.workflow_id:
        raise refuse(404, "not_found", f"Workflow not found with id: {version}")

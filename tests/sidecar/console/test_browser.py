"""The pages in a browser, where there is one: signing in, watching a run end, on a wall, at night and on a phone."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from ensemble.contract.budgets import Limits
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from sidecar.app import create_app
from sidecar.settings import Settings
from sidecar.store.connection import Client
from tests.pages import ROOT
from tests.sidecar.console.browsing import TOKENS
from tests.sidecar.console.making import Run, failed, result
from tests.standin.world import SidecarProcess

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PICTURES = ROOT / "build" / "console"
"""For people to look at."""
WAYS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium, where one is on PATH."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium is on PATH: the console's pages were looked at over HTTP only")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()


class QuietHandler(WSGIRequestHandler):
    """Logs nothing."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@dataclass
class Scene:
    """A sidecar, and a browser's page on it that heard of everything that went wrong."""

    sidecar: SidecarProcess
    page: Page
    faults: list[str] = field(default_factory=list)

    def run(self) -> Run:
        """Begin a run by the API."""

        def tell(body: str) -> str:
            headers = {"Authorization": f"Bearer {self.sidecar.token}", "Content-Type": "application/json"}
            ask = urllib.request.Request(f"{self.sidecar.url}/v1/exchange", body.encode(), headers)  # noqa: S310 -- our own
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(ask) as answer:
                return str(answer.read().decode())

        return Run(tell)

    def open(self, page: str) -> None:
        """Open a page of the console."""
        self.page.goto(f"{self.sidecar.url}/console{page}")

    def sign_in(self) -> None:
        """Type the token in."""
        self.open("")
        self.page.get_by_label("token").fill(self.sidecar.token)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", name="Runs")).to_be_visible()

    def picture(self, name: str) -> None:
        """Keep what is seen now."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def sidecar() -> Iterator[SidecarProcess]:
    """A real one, which browsers reach by plain HTTP."""
    with (
        tempfile.TemporaryDirectory(prefix="ens-") as folder,
        SidecarProcess(Path(folder), env={"ENSEMBLE_PUBLIC_URL": "http://127.0.0.1"}) as process,
    ):
        yield process


@pytest.fixture
def scene_of(browser: Browser, sidecar: SidecarProcess) -> Iterator[Callable[..., Scene]]:
    """Return what opens a window; whatever its browser complained of fails the test."""
    scenes: list[Scene] = []

    def open_(**options: Any) -> Scene:
        page = browser.new_context(**options).new_page()
        scene = Scene(sidecar, page)
        page.on("console", lambda said: scene.faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: scene.faults.append(str(error)))
        page.on("requestfailed", lambda ask: scene.faults.append(f"{ask.url} failed"))
        scenes.append(scene)
        return scene

    yield open_
    for scene in scenes:
        scene.page.context.close()
        assert scene.faults == []


def test_a_run_is_watched_from_its_first_step_to_its_answer(scene_of: Callable[..., Scene]) -> None:
    """Without a reload; what was opened stays open; and then nothing is asked any more."""
    scene = scene_of()
    scene.sign_in()
    run = scene.run()
    run.open({"market": (), "report": ("market",)}, "Watch me work")
    run.call("market")
    scene.open("")
    scene.page.get_by_role("link", name="Watch me work").click()
    page = scene.page
    status = page.locator("#state")
    expect(status).to_have_text("running")
    page.evaluate("window.same = true")
    page.locator("#step-1 summary").click()

    run.end("market", told=result("market", "the facts", started_ms=1, took_ms=7))
    run.call("report")
    expect(page.locator("#step-0 .status")).to_have_text("succeeded", timeout=15_000)
    expect(status).to_have_text("running")
    assert page.locator("#step-1").get_attribute("open") is not None
    run.end("report", told=result("report", "the report", started_ms=9, took_ms=7))
    run.close(answer="the whole answer")
    expect(status).to_have_text("succeeded", timeout=15_000)
    expect(page.locator("#answer + .said")).to_have_text("the whole answer")
    expect(page).to_have_title(re.compile("succeeded: Watch me work"))
    expect(page.get_by_role("status")).to_have_text("succeeded")
    assert page.locator("#step-1").get_attribute("open") is not None
    assert page.evaluate("window.same") is True

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(3500)
    assert asked == []


def test_whoever_is_signed_out_meanwhile_sees_the_form(scene_of: Callable[..., Scene]) -> None:
    """A page that asks for itself anew is not left standing as if it were true."""
    scene = scene_of()
    scene.sign_in()
    run = scene.run()
    run.open({"one": ()}, "Left alone")
    scene.open(f"/runs/{run.run_id}")
    scene.page.context.clear_cookies()

    expect(scene.page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=15_000)
    run.close()


def test_a_link_is_opened_without_signing_in_and_watched(scene_of: Callable[..., Scene]) -> None:
    """By whoever has it."""
    scene = scene_of()
    run = scene.run()
    answer = run.open({"one": ()}, "Shared with you")
    run.call("one")
    scene.open((answer.run.url or "").partition("/console")[2])
    expect(scene.page.locator("#state")).to_have_text("running")
    run.end("one", told=result("one"))
    run.close(answer="shared answer")

    expect(scene.page.locator("#state")).to_have_text("succeeded", timeout=15_000)
    assert scene.page.get_by_role("navigation").count() == 0
    scene.page.get_by_role("link", name="what engine and agents said").click()
    expect(scene.page.get_by_role("heading", name="Messages")).to_be_visible()


def test_everything_works_without_a_script(scene_of: Callable[..., Scene]) -> None:
    """By reloading."""
    scene = scene_of(java_script_enabled=False)
    scene.sign_in()
    run = scene.run()
    run.open({"one": ()}, "No script")
    scene.open(f"/runs/{run.run_id}")
    expect(scene.page.locator("#state")).to_have_text("running")
    run.close(answer="done")
    scene.page.reload()

    expect(scene.page.locator("#state")).to_have_text("succeeded")
    scene.page.get_by_role("button", name="Sign out").click()
    expect(scene.page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_proxy_may_serve_it_below_a_path(browser: Browser, redis: Client, tenant: str) -> None:
    """Which it takes away on the way in, and tells the sidecar nothing of: pages, forms and the cookie stay below it."""
    app = create_app(Settings.from_environment({}), redis, {TOKENS[0]: tenant})

    def below(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith("/some/folder/console"):
            start_response("404 Not Found", [])
            return [b"not below the path"]
        return app({**environ, "PATH_INFO": path.removeprefix("/some/folder")}, start_response)

    server = make_server("127.0.0.1", 0, below, threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    page = browser.new_page()
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status))
    page.goto(f"http://127.0.0.1:{server.port}/some/folder/console")
    page.get_by_label("token").fill(TOKENS[0])
    page.get_by_role("button", name="Sign in").click()
    for name in ("Agents", "Breakers", "Budgets", "Runs"):
        page.get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.close()
    server.shutdown()
    thread.join()
    server.server_close()

    assert set(statuses) == {200, 303}
    assert len(statuses) > 10


def a_colourful_run(scene: Scene) -> Run:
    """Conduct a run in which everything happens."""
    run = scene.run()
    steps = {"market": (), "rivals": (), "prices": (), "risks": ("market",), "report": ("market", "rivals", "risks")}
    run.open(
        steps, "Analyse last quarter's business and suggest improvements", pattern="plan", limits=Limits(tokens=500)
    )
    run.call("market", "rivals", "prices")
    run.took = 40
    run.end("market", told=result("market", "Revenue grew 12 %.", started_ms=0, took_ms=40))
    run.end("rivals", Outcome.UNAVAILABLE)
    run.call("risks")
    run.call("rivals", attempt=2)
    late = failed("rivals", "No answer within 0.3 s.", Outcome.TIMED_OUT, status=StepStatus.TIMED_OUT, attempts=2)
    run.end("rivals", Outcome.TIMED_OUT, late)
    run.end(
        "prices", told=result("prices", "8 % less.", source=Source.CACHE, age_ms=7_400_000, stale=True, started_ms=0)
    )
    run.end("risks", told=result("risks", "None.", started_ms=50, took_ms=40))
    run.call("report")
    run.end("report", told=result("report", "Keep prices.", started_ms=90, took_ms=40))
    run.close(RunStatus.PARTIAL, "Keep prices; make support cheap.", ("prices: an answer of 2 h ago stands in.",))
    return run


@pytest.mark.parametrize("way", WAYS)
def test_no_page_is_wider_than_its_window_and_pictures_are_kept(scene_of: Callable[..., Scene], way: str) -> None:
    """By day, by night and on a phone; long words break, wide drawings scroll by themselves."""
    scene = scene_of(**WAYS[way])
    scene.open("")
    scene.picture(f"{way}-sign-in")
    scene.sign_in()
    run = a_colourful_run(scene)
    long = scene.run()
    long.open({"x" * 64: (), "市场" * 20: ("x" * 64,)}, "a-word-without-end-" * 40, trace_id="t" * 128)
    pages = {"runs": "", "run": f"/runs/{run.run_id}", "messages": f"/runs/{run.run_id}/messages", "agents": "/agents"}
    pages |= {
        "breakers": "/breakers",
        "budgets": "/budgets",
        "long": f"/runs/{long.run_id}",
        "trace": f"/traces/{'t' * 128}",
    }

    for name, page in pages.items():
        scene.open(page)
        wide = scene.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, name
        scene.picture(f"{way}-{name}")
    long.close()


def test_a_page_can_be_read_and_worked_without_a_mouse(scene_of: Callable[..., Scene]) -> None:
    """One heading, named fields, a way past the navigation, and details that open by a key."""
    scene = scene_of()
    scene.sign_in()
    run = a_colourful_run(scene)
    scene.open(f"/runs/{run.run_id}")
    page = scene.page

    assert page.get_by_role("heading", level=1).count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    page.locator("#step-0 summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#step-0").get_attribute("open") is not None
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input:not([type=hidden]):not([hidden]), select, button, [role=img], a')]"
        ".filter(e => !(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label'))).map(e => e.outerHTML)"
    )
    assert unnamed == []

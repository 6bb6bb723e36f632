"""LangGraph with aiohttp, storing nothing or, with ``--sqlite``, a checkpoint after every step."""

from __future__ import annotations

import asyncio
import operator
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import aiohttp
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from benchmarks.peers.lines import ANSWER_TIMEOUT_S, Job, answer_of, body_of, serve_jobs
from benchmarks.shapes import WIDEST, Node, query_of


class State(TypedDict):
    """What a run knows: each call's answer by its id."""

    answers: Annotated[dict[str, str], operator.or_]


class _Graphs:
    """The graphs compiled so far, one per shape and set of agents, on one session and one saver."""

    def __init__(self, session: aiohttp.ClientSession, saver: AsyncSqliteSaver | None) -> None:
        self._session = session
        self._saver = saver
        self._compiled: dict[tuple[str, tuple[str, ...]], Any] = {}

    async def run(self, job: Job) -> int:
        key = (job.shape.name, job.keys)
        if key not in self._compiled:
            self._compiled[key] = self._compile(job)
        given: State = {"answers": {}}
        ended = await self._compiled[key].ainvoke(given, {"configurable": {"thread_id": uuid4().hex}})
        return len(ended["answers"])

    def _compile(self, job: Job) -> Any:
        graph = StateGraph(State)
        for number, node in enumerate(job.shape.nodes):
            graph.add_node(node.id, self._caller(job, number, node))
            if node.after:
                graph.add_edge(list(node.after), node.id)
            else:
                graph.add_edge(START, node.id)
        inner = {name for node in job.shape.nodes for name in node.after}
        for node in job.shape.nodes:
            if node.id not in inner:
                graph.add_edge(node.id, END)
        return graph.compile(checkpointer=self._saver)

    def _caller(self, job: Job, number: int, node: Node) -> Callable[[State], Awaitable[State]]:
        url, headers = job.request(number)

        async def call(state: State) -> State:
            body = body_of(query_of(node, state["answers"]))
            async with self._session.post(url, json=body, headers=headers) as response:
                response.raise_for_status()
                return {"answers": {node.id: answer_of(await response.json())}}

        return call


async def _ready(stack: AsyncExitStack, *, sqlite: bool) -> _Graphs:
    timeout = aiohttp.ClientTimeout(ANSWER_TIMEOUT_S)
    # Dify's server closes idle connections after 2 s; one that is being closed answers nothing.
    connector = aiohttp.TCPConnector(limit=2 * WIDEST, keepalive_timeout=1.5)
    session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout, connector=connector))
    if not sqlite:
        return _Graphs(session, None)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="langgraph-"))
    path = str(Path(folder) / "checkpoints.sqlite")
    return _Graphs(session, await stack.enter_async_context(AsyncSqliteSaver.from_conn_string(path)))


def main() -> None:
    """Serve jobs on one event loop, which rests between them."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        graphs = runner.run(_ready(stack, sqlite="--sqlite" in sys.argv))
        serve_jobs(lambda job: runner.run(graphs.run(job)))
        runner.run(stack.aclose())


if __name__ == "__main__":
    main()

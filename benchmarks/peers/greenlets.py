"""Bare greenlets and urllib3: like the plugin itself without all that makes it an engine, with a general HTTP client."""

from __future__ import annotations

# First of all: it has to patch the process before anything loads ssl or threading.
from gevent import monkey

monkey.patch_all()

import json  # noqa: E402 - behind the patch, as everything below

import gevent  # noqa: E402
import urllib3  # noqa: E402

from benchmarks.peers.lines import ANSWER_TIMEOUT_S, Job, answer_of, body_of, serve_jobs  # noqa: E402
from benchmarks.shapes import WIDEST, Node, query_of  # noqa: E402


def main() -> None:
    """Serve jobs with one pool of connections; a call is a greenlet that joins those it waits for."""
    manager = urllib3.PoolManager(maxsize=WIDEST, retries=False, timeout=ANSWER_TIMEOUT_S)

    def run(job: Job) -> int:
        greenlets: dict[str, gevent.Greenlet[..., str]] = {}

        def call(number: int, node: Node) -> str:
            answers = {name: greenlets[name].get() for name in node.after}
            url, headers = job.request(number)
            body = json.dumps(body_of(query_of(node, answers))).encode()
            response = manager.request("POST", url, body=body, headers=headers)
            return answer_of(json.loads(response.data))

        for number, node in enumerate(job.shape.nodes):
            greenlets[node.id] = gevent.spawn(call, number, node)
        return sum(bool(greenlet.get()) for greenlet in greenlets.values())

    serve_jobs(run)


if __name__ == "__main__":
    main()

"""Bare threads and requests: a call starts when those it waits for have ended. Nothing is kept, judged or counted."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import requests
from requests.adapters import HTTPAdapter

from benchmarks.peers.lines import ANSWER_TIMEOUT_S, Job, answer_of, body_of, serve_jobs
from benchmarks.shapes import WIDEST, query_of


def main() -> None:
    """Serve jobs with one session and one pool of threads."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=WIDEST))
    pool = ThreadPoolExecutor(WIDEST)

    def call(job: Job, number: int, query: str) -> str:
        url, headers = job.request(number)
        response = session.post(url, json=body_of(query), headers=headers, timeout=ANSWER_TIMEOUT_S)
        response.raise_for_status()
        return answer_of(response.json())

    def run(job: Job) -> int:
        answers: dict[str, str] = {}
        out: dict[Future[str], str] = {}
        waiting = list(enumerate(job.shape.nodes))
        while waiting or out:
            for number, node in list(waiting):
                if all(name in answers for name in node.after):
                    waiting.remove((number, node))
                    out[pool.submit(call, job, number, query_of(node, answers))] = node.id
            for future in wait(out, return_when=FIRST_COMPLETED).done:
                answers[out.pop(future)] = future.result()
        return len(answers)

    serve_jobs(run)


if __name__ == "__main__":
    main()

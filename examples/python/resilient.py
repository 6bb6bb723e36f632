"""A resilient pipeline: retries, a breaker, and what was said last where the app can't be asked."""

import os

from ensemble.team import Call, RunStatus, Team, dify, resolve

PLAN = """
agents:
  prices:
    timeout: 20
    retry_times: 1  # two attempts
    breaker: {failure_threshold: 3, recovery_timeout: 60}  # three failures in a row: left alone for a minute
steps:
  - {id: prices}
"""
source = Team({"prices": dify(os.environ["DIFY_URL"], os.environ["PRICES_KEY"])})
kept: dict[str, str] = {}


def prices(call: Call) -> str:
    """Ask the app; where it fails or its breaker is open, give what it said last."""
    report = source.run(PLAN, call.query, trace_id=call.trace_id)
    if report.status is RunStatus.SUCCEEDED:
        kept[call.query] = report.answer
        return report.answer
    if call.query in kept:
        return f"{kept[call.query]} (kept, for it is {report.results[0].status})"
    raise LookupError(f"nothing was kept on {call.query}")


team = Team({"prices": prices, "advice": lambda text: f"advice by: {text.splitlines()[-1]}"})
for task in ("copper", "copper", "copper", "copper", "tin"):
    report = team.sequential(task)
    print(f"{task}: {report.answer or resolve('{{ prices.error }}', results=report)}")

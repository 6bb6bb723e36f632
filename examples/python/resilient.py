"""A resilient pipeline: retries, a breaker, and what was said last where the app can't be asked."""

from ensemble.team import Team, dify
from examples.python import given

PLAN = """
agents:
  prices:
    timeout: 20
    retry_times: 1  # two attempts
    breaker: {failure_threshold: 3, recovery_timeout: 60}  # three failures in a row: left alone for a minute
    cache: 3600  # what it said within the hour stands in for it
    fallback: {default: nobody knows}  # and this, where it never said anything
steps:
  - {id: prices}
  - {id: advice, depends_on: prices}
"""
team = Team(
    {
        "prices": dify(given("DIFY_URL"), given("PRICES_KEY")),
        "advice": lambda text: f"advice by: {text.splitlines()[-1]}",
    }
)
for task in ("copper", "copper", "copper", "copper", "tin"):
    report = team.run(PLAN, task)
    print(f"{task}: {report.answer} ({report.results[0].source})")

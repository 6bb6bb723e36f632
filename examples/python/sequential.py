"""A sequential pipeline: each agent is given the task and the answer of the one before it."""

from ensemble.team import Team, dify
from examples.python import given

DIFY = given("DIFY_URL")


def headline(text: str) -> str:
    """Shout the last line: a Python function is an agent like any other."""
    return text.splitlines()[-1].upper()


with Team(
    {
        "research": dify(DIFY, given("RESEARCH_KEY")),
        "analysis": dify(DIFY, given("ANALYSIS_KEY")),
        "headline": headline,
    }
) as team:
    report = team.sequential("the market for solar pumps", ["research", "analysis", "headline"])

for result in report.results:
    print(f"{result.agent}: {result.text}")
for failed in report.errors:
    print(f"{failed.agent} {failed.status}: {failed.error and failed.error.message}")
print(f"{report.status}, {report.usage.tokens} tokens")

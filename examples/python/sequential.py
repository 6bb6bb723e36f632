"""A sequential pipeline: each agent is given the task and the answer of the one before it."""

import os

from ensemble.team import Team, dify

DIFY = os.environ["DIFY_URL"]


def headline(text: str) -> str:
    """Shout the last line: a Python function is an agent like any other."""
    return text.splitlines()[-1].upper()


with Team(
    {
        "research": dify(DIFY, os.environ["RESEARCH_KEY"]),
        "analysis": dify(DIFY, os.environ["ANALYSIS_KEY"]),
        "headline": headline,
    }
) as team:
    report = team.sequential("the market for solar pumps", ["research", "analysis", "headline"])

for result in report.results:
    print(f"{result.agent}: {result.text}")
print(f"{report.status}, {report.usage.tokens} tokens")

"""The topological order of a plan: what can run side by side, what comes after what, and a circle that is refused."""

from ensemble.team import PlanError, Team

team = Team({"work": lambda text: f"done: {text}"})
plan = """
steps:
  - {id: report, agent: work, depends_on: [market, rivals]}
  - {id: names, agent: work}
  - {id: rivals, agent: work, query: "{{ names.output }}"}
  - {id: market, agent: work}
"""
for number, level in enumerate(team.levels(plan), start=1):
    print(f"level {number}: {', '.join(level)}")
print(f"in order: {' → '.join(team.order(plan))}")

circle = """
steps:
  - {id: hen, agent: work, depends_on: egg}
  - {id: egg, agent: work, depends_on: hen}
"""
try:
    team.order(circle)
except PlanError as error:
    print(error)

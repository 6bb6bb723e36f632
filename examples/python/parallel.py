"""A parallel run with an aggregator and timeouts: who is late or fails is left out and named."""

from ensemble.team import Event, Progress, Team, dify
from examples.python import given

DIFY = given("DIFY_URL")


def tell(event: Event) -> None:
    """Show what happens while it happens."""
    if isinstance(event, Progress):
        print(event.line)


with Team({name: dify(DIFY, given(f"{name.upper()}_KEY")) for name in ("market", "rivals", "slow", "writer")}) as team:
    report = team.parallel(
        "solar pumps",
        ["market", "rivals", "slow"],
        synthesizer="writer",  # is given every answer there is, once all have ended
        defaults={"timeout": 1},  # of each agent's call, seconds
        timeout=60,  # of the whole run
        on_event=tell,
    )

print(report.answer)
for failed in report.errors:
    print(f"without {failed.agent}: {failed.status}")
print(report.status)

"""Tracing with the context handed on: from the caller's request, through every call, to whoever comes next."""

from ensemble.team import Call, Team, dify, trace_headers, trace_of
from examples.python import given

DIFY = given("DIFY_URL")
experts = Team({name: dify(DIFY, given(f"{name.upper()}_KEY")) for name in ("market", "rivals")})


def ask_experts(call: Call) -> str:
    """Run a team within a team: its run belongs to the same trace."""
    return experts.parallel(call.query, trace_id=call.trace_id).answer


desk = Team({"experts": ask_experts, "writer": dify(DIFY, given("WRITER_KEY"))})


def handle(headers: dict[str, str], question: str) -> tuple[str, dict[str, str]]:
    """Do what a web service does with a request: its trace in, the same trace out."""
    report = desk.sequential(question, trace_id=trace_of(headers))
    return report.answer, trace_headers(report.trace_id)


answer, headers = handle({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "solar pumps")
print(answer.splitlines()[0])
print(f"X-Trace-Id: {headers['X-Trace-Id']}")

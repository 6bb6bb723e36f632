"""What crosses the wire: frozen, strict about asks, lenient about answers, and the same after the journey."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from ensemble.contract import endpoints
from ensemble.contract.base import Answer, Ask, is_part
from ensemble.contract.exchange import AdmissionAsk, Exchange, OpenRun, PlannedStep, Settlement
from ensemble.contract.messages import AgentMessage, MessageType
from ensemble.contract.outcomes import Outcome, StepStatus
from ensemble.contract.results import AgentResult, ErrorInfo, StepResult, Usage
from ensemble.contract.state import NamespaceParams, StateParams

HEX = "0123456789abcdef" * 2


def exchange() -> Exchange:
    result = StepResult(step="市场", agent="a b", status=StepStatus.SUCCEEDED, text="héllo 世界", data={"n": [1, None]})
    usage = Usage(tokens=4, price=Decimal("0.0000012"), currency="USD")
    return Exchange(
        run_id=HEX,
        owner=HEX,
        open=OpenRun(
            run_key="k",
            fingerprint=HEX * 2,
            trace_id="t-1",
            steps=(PlannedStep(id="市场", agent="a b", identity="api:http://x/v1#0"),),
        ),
        settle=(
            Settlement(
                ticket=HEX,
                step="市场",
                outcome=Outcome.TIMED_OUT,
                usage=usage,
                took_ms=4,
                error=ErrorInfo(code=Outcome.TIMED_OUT, message="late"),
                result=result,
            ),
        ),
        admit=(AdmissionAsk(ticket=HEX, step="市场", agent="a b", identity="i", timeout_ms=1000),),
    )


def message(**changes: Any) -> AgentMessage:
    fields: dict[str, Any] = {
        "trace_id": "t",
        "sender_agent_id": "System",
        "sender_agent_name": "System",
        "receiver_agent_id": "market",
        "message_type": MessageType.TASK,
        "task_id": "s1",
    }
    return AgentMessage(**(fields | changes))


class TestBodies:
    """Asks, answers and messages as such."""

    @pytest.mark.parametrize(
        "dumped", [lambda e: e.model_dump_json(), lambda e: e.model_dump_json(exclude_defaults=True)]
    )
    def test_an_exchange_arrives_as_it_was_sent(self, dumped: Any) -> None:
        assert Exchange.model_validate_json(dumped(exchange())) == exchange()

    def test_an_ask_with_an_unknown_field_is_refused(self) -> None:
        body = json.loads(exchange().model_dump_json()) | {"opn": {}}

        with pytest.raises(ValidationError, match="opn"):
            Exchange.model_validate_json(json.dumps(body))

    def test_an_answer_with_an_unknown_field_is_read(self) -> None:
        assert Usage.model_validate_json('{"tokens": 3, "mood": "good"}') == Usage(tokens=3)

    @pytest.mark.parametrize("wrong", ['{"tokens": "3"}', '{"tokens": true}', '{"tokens": -1}', '{"tokens": 1.5}'])
    def test_a_figure_of_another_type_is_refused(self, wrong: str) -> None:
        with pytest.raises(ValidationError):
            Usage.model_validate_json(wrong)

    def test_an_unknown_figure_is_not_zero(self) -> None:
        assert Usage().tokens is None

    def test_nothing_that_crosses_the_wire_can_be_changed(self) -> None:
        with pytest.raises(ValidationError):
            message().task_id = "other"  # type: ignore[misc]  # that is the point

    @pytest.mark.parametrize("name", ["a" * 65, "", "a/b", "a[1]", "a\nb", "a\tb", "né!"])
    def test_names_no_plan_can_have_are_refused(self, name: str) -> None:
        with pytest.raises(ValidationError):
            PlannedStep(id="a", agent=name, identity="i")

    @pytest.mark.parametrize("step", ["a" * 481, "", "a\nb", "a\tb", "né!"])
    def test_ids_no_step_can_have_are_refused(self, step: str) -> None:
        with pytest.raises(ValidationError):
            PlannedStep(id=step, agent="a", identity="i")

    @pytest.mark.parametrize(("step", "part"), [("a", False), ("a.b", False), ("a/b", True), ("a[1]", True)])
    def test_parts_of_groups_are_known_by_their_ids(self, step: str, *, part: bool) -> None:
        assert is_part(PlannedStep(id=step, agent="a", identity="i").id) is part

    @pytest.mark.parametrize("name", ["a", "市场 调研", "Größe_1.2-b", "مساعد", "a" * 64])
    def test_names_of_any_script_are_taken(self, name: str) -> None:
        assert PlannedStep(id=name, agent=name, identity="i").agent == name


class TestMessages:
    """AgentMessage and AgentResult."""

    def test_a_message_has_an_id_of_its_own_and_a_time_in_utc(self) -> None:
        assert message().message_id != message().message_id
        assert message().timestamp.tzinfo == UTC

    def test_a_time_from_elsewhere_becomes_utc(self) -> None:
        moment = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=8)))

        assert message(timestamp=moment).timestamp.isoformat() == "2026-01-01T04:00:00+00:00"

    def test_a_time_without_a_zone_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            message(timestamp=datetime(2026, 1, 1, 12))  # noqa: DTZ001 - that is the point

    @pytest.mark.parametrize("priority", [0, 11, -1])
    def test_a_priority_out_of_bounds_is_refused(self, priority: int) -> None:
        with pytest.raises(ValidationError):
            message(task_priority=priority)

    def test_message_and_result_arrive_as_they_were_sent(self) -> None:
        result = AgentResult(agent_id="a", task_id="s", trace_id="t", data={"x": 1}, created_at=datetime.now(UTC))
        sent = message(content=json.loads(result.model_dump_json()), message_type=MessageType.RESULT)

        received = AgentMessage.model_validate_json(sent.model_dump_json())

        assert received == sent
        assert AgentResult.model_validate(received.content, strict=False) == result


class TestTable:
    """The table of endpoints."""

    def test_no_two_endpoints_share_a_name_or_a_verb_and_path(self) -> None:
        assert len({each.name for each in endpoints.ALL}) == len(endpoints.ALL)
        assert len({(each.method, each.path) for each in endpoints.ALL}) == len(endpoints.ALL)

    def test_every_constant_stands_in_the_table(self) -> None:
        constants = {each for each in vars(endpoints).values() if isinstance(each, endpoints.Endpoint)}

        assert constants == set(endpoints.ALL)

    @pytest.mark.parametrize("endpoint", endpoints.ALL, ids=lambda each: each.name)
    def test_what_is_asked_is_strict_and_what_is_answered_is_lenient(
        self, endpoint: endpoints.Endpoint[Any, Any]
    ) -> None:
        assert issubclass(endpoint.params, Ask)
        assert endpoint.ask is None or issubclass(endpoint.ask, Ask)
        assert issubclass(endpoint.answer, Answer)
        assert set(endpoint.in_path()) <= set(endpoint.params.model_fields)

    @pytest.mark.parametrize("endpoint", endpoints.ALL, ids=lambda each: each.name)
    def test_only_health_needs_no_token(self, endpoint: endpoints.Endpoint[Any, Any]) -> None:
        assert endpoint.public == endpoint.path.startswith("/v1/health/")

    @given(key=st.text(min_size=1, max_size=50))
    def test_whatever_a_key_holds_the_url_leads_to_it(self, key: str) -> None:
        try:
            params = StateParams(trace_id="t", namespace="市 场", key=key)
        except ValidationError:
            return
        parts = urlsplit(endpoints.GET_STATE.url(params))

        assert unquote(parts.path) == f"/v1/traces/t/state/市 场/{key}"
        assert parts.query == ""

    def test_what_is_not_in_the_path_is_in_the_query(self) -> None:
        params = NamespaceParams(trace_id="t", namespace="n", prefix="a&b", limit=3)

        assert dict(parse_qsl(urlsplit(endpoints.LIST_STATE.url(params)).query)) == {"prefix": "a&b", "limit": "3"}

    @pytest.mark.parametrize("key", [".", "..", "a/../b", "./a"])
    def test_keys_that_an_address_would_swallow_are_refused(self, key: str) -> None:
        with pytest.raises(ValidationError, match="choose another name"):
            StateParams(trace_id="t", namespace="n", key=key)


def _models(kind: type[BaseModel]) -> set[type[BaseModel]]:
    return {kind} | {model for sub in kind.__subclasses__() for model in _models(sub)}


@pytest.mark.parametrize("model", sorted(_models(Ask) | _models(Answer), key=str))
def test_every_body_is_frozen_strict_and_explained(model: type[BaseModel]) -> None:
    assert model.model_config["frozen"]
    assert model.model_config["strict"]
    assert model.__doc__

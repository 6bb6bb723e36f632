"""What the pages say of the metrics is what there is: names, labels, meanings, expressions and alerts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient

from sidecar.app import create_app
from sidecar.edge.metrics import METRICS_PATH
from sidecar.metrics import meters, standing
from sidecar.metrics.catalogue import CATALOGUE, M
from sidecar.settings import Settings
from sidecar.store.connection import Client
from tests.pages import ROOT, cells, code, fenced, page
from tests.sidecar.metrics.reading import Told

SECRET = "token-of-prometheus"
LABELS = {each.name: {*each.labels} for each in CATALOGUE}


def test_every_metric_is_in_the_page_in_order_and_no_other() -> None:
    """What was counted first, then what is read from the store."""
    lines = [line for line in page("metrics.md").splitlines() if line.startswith("| `ensemble_")]

    expected = [
        [f"`{each.name}`", each.kind, " ".join(f"`{label}`" for label in each.labels), each.meaning]
        for each in sorted(CATALOGUE, key=lambda each: each.of_store)
    ]
    assert [cells(line) for line in lines] == expected


def test_names_are_as_prometheus_wants_them() -> None:
    """Counters end in total, times in seconds; every name is used once."""
    assert [each.name for each in CATALOGUE if each.kind == "counter" and not each.name.endswith("_total")] == []
    assert [each.name for each in CATALOGUE if each.kind == "histogram" and not each.name.endswith("_seconds")] == []
    assert sorted(each.name for each in CATALOGUE) == sorted(M)
    assert all(list(each.bounds) == sorted(set(each.bounds)) for each in CATALOGUE)


def test_every_metric_is_on_the_page_prometheus_reads(redis: Client, tenant: str) -> None:
    """Whether it was counted yet or not, with its meaning; and nothing stands there that is not in the catalogue."""
    app: Flask = create_app(Settings.from_environment({"ENSEMBLE_METRICS_TOKEN": SECRET}), redis, {"t" * 16: tenant})
    client: FlaskClient = app.test_client()
    client.get("/v1/health/live")

    text = client.get(METRICS_PATH, headers={"Authorization": f"Bearer {SECRET}"}).text

    for each in CATALOGUE:
        assert f"# HELP {each.name} {each.meaning}\n# TYPE {each.name} {each.kind}\n" in text
    for name, labels in Told(text).samples:
        assert {label for label, _ in labels} <= LABELS[_metric(name)] | {"le"}


def test_the_bounds_told_are_those_of_the_code() -> None:
    text = page("metrics.md").replace("\n", " ")

    assert f"tells {meters.MOST_AGENTS} agents apart, and {meters.MOST_CURRENCIES} currencies" in text
    assert f"the {standing.MOST_AGENTS} agents called last, the breakers of {standing.MOST_BREAKERS} that" in text
    assert f"the {standing.MOST_BUDGETS} budgets defined last, and the {standing.MOST_SCOPES} busiest slots" in text


def test_the_configuration_in_the_page_is_one() -> None:
    """With the path Prometheus asks by itself, the file of rules that is there, and a token from a file."""
    (text,) = fenced(page("metrics.md"), "yml")
    read = yaml.safe_load(text)
    (job,) = read["scrape_configs"]

    assert METRICS_PATH == "/metrics"
    assert {*job} == {"job_name", "scrape_interval", "authorization", "static_configs"}
    assert all((ROOT / "deploy" / name).is_file() for name in read["rule_files"])
    assert f'job="{job["job_name"]}"' in (ROOT / "deploy" / "prometheus-rules.yaml").read_text(encoding="utf-8")


def rules() -> list[dict[str, Any]]:
    """Return the alerts."""
    (group,) = yaml.safe_load((ROOT / "deploy" / "prometheus-rules.yaml").read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


def expressions() -> Iterator[str]:
    """Yield everything the pages would have Prometheus compute."""
    section = page("metrics.md").partition("## To ask Prometheus")[2]
    yield from (code(cells(line)[1])[0] for line in section.splitlines()[4:] if line.startswith("|"))
    yield from (rule["expr"] for rule in rules())


def _metric(name: str) -> M:
    """Return the metric a sample belongs to."""
    return M(re.sub(r"_(bucket|sum|count)$", "", name))


@pytest.mark.parametrize("expression", list(expressions()))
def test_every_expression_names_metrics_and_labels_there_are(expression: str) -> None:
    """And as many brackets open as close."""
    named = re.findall(r"\bensemble_\w+", expression)
    known = set().union(*(LABELS[_metric(name)] for name in named), {"instance", "job", "le"})
    used = {
        label for group in re.findall(r"(?:by|on|group_left) \(([^)]*)\)", expression) for label in group.split(", ")
    }
    used |= set(re.findall(r"[{,](\w+)=~?\"", expression))

    assert named or expression.startswith("up{")
    assert used <= known
    assert [expression.count(one) for one in "([{"] == [expression.count(one) for one in ")]}"]


def test_every_alert_says_what_it_means() -> None:
    """By a name of its own; what it says of labels is what its expression leaves of them."""
    alerts = rules()

    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        assert set(rule) <= {"alert", "expr", "for", "annotations"}
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert re.search(rf"by \([^)]*\b{label}\b", rule["expr"])

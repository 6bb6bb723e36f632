"""The metrics as Prometheus reads them: what all processes have counted, and how things stand in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from sidecar.health import product_version
from sidecar.metrics.board import Series
from sidecar.metrics.catalogue import CATALOGUE, M, Metric
from sidecar.metrics.meters import LE, Meters
from sidecar.metrics.standing import Standing

__all__ = ["CONTENT_TYPE", "metrics_page"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_page(meters: Meters, standing: Standing, *, embedded: bool) -> bytes:
    """Return all there is to tell right now, whether the store answers or not."""
    info = (M.INFO, product_version(), "embedded" if embedded else "external")
    return generate_latest(_Told({info: 1.0, **meters.board.total(), **standing.numbers()}))


class _Told(Collector):
    """Numbers of which prometheus_client makes text."""

    def __init__(self, numbers: Mapping[Series, float]) -> None:
        self._by_name: dict[str, list[tuple[Series, float]]] = {}
        for (name, *labels), value in numbers.items():
            self._by_name.setdefault(name, []).append((tuple(map(_written, labels)), value))

    def collect(self) -> Iterator[Family]:
        """Yield the metrics in the order of the catalogue, those without any number too."""
        for metric in CATALOGUE:
            yield _family(metric, self._by_name.get(metric.name, ()))


def _family(metric: Metric, numbers: Iterable[tuple[Series, float]]) -> Family:
    if metric.kind == "histogram":
        return _histogram(metric, numbers)
    family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(
        metric.name, metric.meaning, labels=metric.labels
    )
    for labels, value in numbers:
        family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, numbers: Iterable[tuple[Series, float]]) -> Family:
    """Return a histogram from what fell into each bucket, and the sum."""
    family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    counts: dict[Series, dict[str, float]] = {}
    sums: dict[Series, float] = {}
    for (*labels, what, bound), value in numbers:
        if what == LE:
            counts.setdefault(tuple(labels), {})[bound] = value
        else:
            sums[tuple(labels)] = value
    for of, found in counts.items():
        buckets, below = [], 0.0
        for bound in (*map(str, metric.bounds), "+Inf"):
            below += found.get(bound, 0.0)
            buckets.append((bound, below))
        family.add_metric(of, buckets, sums.get(of, 0.0))
    return family


def _written(label: str) -> str:
    """Return a label that UTF-8 can hold: half of a surrogate pair would keep all the others back."""
    return label.encode("utf-8", "backslashreplace").decode()

"""Metrics read back as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Told"]


class Told:
    """What a page of metrics says."""

    def __init__(self, page: str) -> None:
        """Read *page*; no sample stands in it twice."""
        families = list(text_string_to_metric_families(page))
        self.kinds = {family.name: family.type for family in families}
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for sample in (sample for family in families for sample in family.samples):
            key = sample.name, frozenset(sample.labels.items())
            assert key not in self.samples, key
            self.samples[key] = sample.value

    def sum(self, name: str, /, **labels: str) -> float:
        """Return the sum of the samples of *name* that have these *labels*."""
        return sum(self.each(name, **labels).values())

    def each(self, name: str, /, **labels: str) -> Mapping[frozenset[tuple[str, str]], float]:
        """Return the samples of *name* that have these *labels*."""
        wanted = set(labels.items())
        return {of: value for (each, of), value in self.samples.items() if each == name and wanted <= of}

    def labels(self, name: str, label: str) -> set[str]:
        """Return the values one label of *name* has."""
        return {dict(of)[label] for of in self.each(name)}

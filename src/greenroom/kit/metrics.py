"""Prometheus metrics of one process. Names are `greenroom_<role>_<subject>[_<unit>][_total]`
(docs/reference/metrics.md).

Labels have few values: fixed values, or names of objects of administrators (zones, workspaces). They never contain a
session, a user or an address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from greenroom.kit.program import version

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
METRICS_PATH: Final = "/metrics"

disable_created_metrics()  # `…_created` would be a second, unused series of each counter


def build_info_name(role: str) -> str:
    """Return the name of the metric with the version of a process."""
    return f"greenroom_{role}_build_info"


ReadValue = Callable[[], float]
ReadValues = Callable[[], Mapping[str, float]]


class RoleMetrics:
    """The registry of one process with the metrics of every role. Each role adds further metrics."""

    def __init__(self, role: str) -> None:
        self._prefix = f"greenroom_{role}_"
        self.registry = CollectorRegistry()
        ProcessCollector(namespace=f"greenroom_{role}", registry=self.registry)
        name = build_info_name(role)
        Gauge(name, "1, with the version of the process", ["version"], registry=self.registry).labels(version()).set(1)

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """Return a counter of this registry; its name gets `_total`."""
        return Counter(self._prefix + name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, labels: Sequence[str] = (), *, buckets: Sequence[float]) -> Histogram:
        """Return a histogram of durations; `name` ends in `_seconds`."""
        return Histogram(self._prefix + name, text, labels, buckets=buckets, registry=self.registry)

    def gauge(self, name: str, text: str, value: ReadValue) -> None:
        Gauge(self._prefix + name, text, registry=self.registry).set_function(value)

    def add_counter(self, name: str, text: str, value: ReadValue) -> None:
        """Add a counter whose value is read with `value`; its name gets `_total`."""
        self.registry.register(_ReadCounter(self._prefix + name, text, None, lambda: {"": value()}))

    def add_labeled_counter(self, name: str, text: str, label: str, values: ReadValues) -> None:
        """Add a counter for each value of `label`; `values` returns label value → count."""
        self.registry.register(_ReadCounter(self._prefix + name, text, label, values))

    def text(self) -> bytes:
        """Return all metrics as text of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)


class _ReadCounter(Collector):
    """A counter whose values are read each time when Prometheus reads the metrics."""

    def __init__(self, name: str, text: str, label: str | None, values: ReadValues) -> None:
        self._name = name
        self._text = text
        self._label = label
        self._values = values

    def describe(self) -> Iterable[Metric]:
        """Return only the name, without reading values."""
        return [CounterMetricFamily(self._name, self._text, labels=[self._label] if self._label else None)]

    def collect(self) -> Iterable[Metric]:
        metric = CounterMetricFamily(self._name, self._text, labels=[self._label] if self._label else [])
        for label, value in self._values().items():
            metric.add_metric([label] if self._label else [], value)
        return [metric]

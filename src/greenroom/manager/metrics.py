"""Prometheus metrics of one Manager."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from greenroom.manager.standing import Standing, Wakers


class Metrics:
    """Counters of this process; `text()` is the body of /metrics."""

    def __init__(self, standing: Standing, wakers: Wakers) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "greenroom_manager_requests", "Requests of Agents", ["path", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "greenroom_manager_request_seconds",
            "Time until the answer, holding included",
            ["path"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self._gauge("greenroom_manager_enabled", "1 while this Manager is enabled", lambda: float(standing.enabled))
        self._gauge(
            "greenroom_manager_healthy", "1 while the guardian does its rounds", lambda: float(standing.healthy)
        )
        self._gauge("greenroom_manager_held_check_ins", "Check-ins that wait for news", lambda: float(wakers.count))

    def show_term(self, term: Callable[[], int]) -> None:
        """Show the term while this Manager is Primary, else 0."""
        self._gauge("greenroom_manager_primary_term", "Term while this Manager is Primary, else 0", term)

    def _gauge(self, name: str, text: str, value: Callable[[], float | int]) -> None:
        Gauge(name, text, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """In the format of Prometheus."""
        return generate_latest(self.registry)

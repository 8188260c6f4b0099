"""Metrics of an Agent, as Prometheus reads them."""

from __future__ import annotations

from collections import Counter as CounterOf
from collections.abc import Callable, Iterable

from prometheus_client import Gauge

from greenroom.core.session.states import ObservedState
from greenroom.kit.metrics import RoleMetrics


class Metrics(RoleMetrics):
    """One registry per Agent, so that several can live in one process (tests)."""

    def __init__(self) -> None:
        super().__init__("agent")
        self._sessions = Gauge(
            "greenroom_agent_sessions", "Sessions this Agent is to run, by state", ["state"], registry=self.registry
        )
        self.actions = self.counter("actions", "Changes of containers", ["kind", "outcome"])
        self.start_seconds = self.histogram(
            "start_seconds",
            "From the order to a usable session",
            buckets=(0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64),
        )
        self.check_ins = self.counter("check_ins", "Messages to Managers", ["outcome"])
        self.registrations = self.counter("registrations", "Times it registered", ["outcome"])
        self.failovers = self.counter("failovers", "Times a Manager was left for the next one", ["reason"])
        self.stream_decisions = self.counter("stream_decisions", "Requests of viewers at the gateway", ["outcome"])

    def show_log(self, dropped: Callable[[], int]) -> None:
        self.counted("log_rows_dropped", "Rows for Diagnostics that were lost", dropped)

    def page(self, states: Iterable[ObservedState]) -> bytes:
        counts = CounterOf(states)
        for state in ObservedState:
            self._sessions.labels(state.value).set(counts[state])
        return self.text()

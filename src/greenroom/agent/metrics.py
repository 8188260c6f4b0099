"""Metrics of an Agent, as Prometheus reads them."""

from __future__ import annotations

from collections import Counter as CounterOf
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from greenroom.core.states import ObservedState


class Metrics:
    """One registry per Agent, so that several can live in one process (tests)."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._sessions = Gauge(
            "greenroom_agent_sessions", "Sessions this Agent is to run, by state", ["state"], registry=self._registry
        )
        self.actions = Counter(
            "greenroom_agent_actions", "Changes of containers", ["kind", "outcome"], registry=self._registry
        )
        self.start_seconds = Histogram(
            "greenroom_agent_start_seconds",
            "From the order to a usable session",
            buckets=(0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64),
            registry=self._registry,
        )
        self.check_ins = Counter(
            "greenroom_agent_check_ins", "Messages to Managers", ["outcome"], registry=self._registry
        )

    def text(self, states: Iterable[ObservedState]) -> bytes:
        """The page `/metrics`; `states` are those of the sessions now."""
        counts = CounterOf(states)
        for state in ObservedState:
            self._sessions.labels(state.value).set(counts[state])
        return generate_latest(self._registry)

"""Prometheus metrics of one Manager."""

from __future__ import annotations

from collections.abc import Callable

from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.diagnostics.requests import RequestLog
from greenroom.db.fleet.leases import Fence
from greenroom.kit.metrics import RoleMetrics
from greenroom.manager.status import ManagerStatus, Wakers


class Metrics(RoleMetrics):
    """Counters of this process; `text()` is the body of /metrics."""

    def __init__(self, status: Callable[[], ManagerStatus], wakers: Wakers) -> None:
        super().__init__("manager")
        self.requests = self.counter("requests", "Requests of Agents", ["path", "status"])
        self.request_seconds = self.histogram(
            "request_seconds",
            "Time until the answer, holding included",
            ["path"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2.5, 5, 10),
        )
        self.commit_seconds = self.histogram(
            "commit_seconds",
            "One commit of what several Agents said",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
        )
        self.check_ins = self.counter("check_ins", "Check-ins that were answered", ["result"])
        self.agents_taken_over = self.counter(
            "agents_taken_over", "Check-ins of Agents that came from another Manager, or with a new term"
        )
        self.instruction_seconds = self.histogram(
            "instruction_seconds",
            "From the commit of an instruction until it is sent to its Agent",
            ["kind"],
            buckets=(0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
        )
        self.elections = self.counter("elections", "Times this Manager became Primary")
        self.gauge("enabled", "1 while this Manager is enabled", lambda: float(bool(status().enabled)))
        self.gauge("healthy", "1 while the guardian does its rounds", lambda: float(status().healthy))
        self.gauge("failing_tasks", "Tasks it cannot do as Primary", lambda: len(status().guardian.failing_tasks))
        self.gauge("round_age_seconds", "Since the guardian's last round", lambda: status().guardian.round_age_s or 0.0)
        self.gauge("held_check_ins", "Check-ins that wait for news", lambda: float(wakers.count))

    def show_registered(self, fence: Callable[[], Fence | None], logs: LogWriter, requests: RequestLog) -> None:
        self.gauge("primary", "1 while this Manager is Primary", lambda: float(fence() is not None))
        self.gauge("primary_term", "Its term then, else 0", lambda: f.term if (f := fence()) else 0)
        self.counted_by("log_rows", "Rows for Diagnostics by level", "level", lambda: logs.counts)
        self.counted("log_rows_dropped", "Rows for Diagnostics that were lost", lambda: logs.dropped)
        self.counted(
            "request_rows_dropped", "Requests of Agents that are missing in Diagnostics", lambda: requests.dropped
        )

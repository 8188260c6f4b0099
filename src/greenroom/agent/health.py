"""Whether the Agent works, as its health check says it (CONTRACT, Health)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

ROUND_MISSED_S: Final = 30.0
"""An Agent whose reconciler finished no round for this long is not healthy; it makes one at least every 5 s."""


@dataclass(slots=True)
class Health:
    """What the loops of the Agent last achieved; times are of `time.monotonic()`."""

    started: float = field(default_factory=time.monotonic)
    last_round: float | None = None
    last_answer: float | None = None
    last_fresh: float | None = None
    """The last answer that was read from the database just before; it would have brought a revocation. At the start
    that of an earlier process of this Agent."""
    runtime_error: str = ""
    manager_error: str = ""

    def note_runtime(self, error: str) -> None:
        """Why the runtime does not answer; empty when it does."""
        self.runtime_error = error

    def report(self, now: float) -> tuple[bool, dict[str, Any]]:
        """Whether the Agent is healthy, and the body of `/__healthcheck`.

        Managers that cannot be reached do not make it unhealthy: a restart would not bring them back, and its
        sessions run on. A reconciler that stands still, or a runtime that does not answer, does.
        """
        silent_s = now - (self.last_round if self.last_round is not None else self.started)
        ok = silent_s <= ROUND_MISSED_S and not self.runtime_error
        body: dict[str, Any] = {
            "ok": ok,
            "last_round_s": round(silent_s, 1),
            "last_answer_s": None if self.last_answer is None else round(now - self.last_answer, 1),
        }
        if self.runtime_error:
            body["runtime_error"] = self.runtime_error
        if self.manager_error:
            body["manager_error"] = self.manager_error
        return ok, body

"""When an Agent asks the registry again for an image that it has.

A tag can move: its registry then has another image under the same name. The pull policy of a workspace says how often
an Agent asks. An administrator can request a refresh at any time. A name with a digest never changes, and an image that
the Agent builds from a recipe comes from no registry; neither is refreshed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from greenroom.core.backoff import Backoff

PullPolicy = Literal["missing", "daily", "always"]
"""missing: an image that is present is never asked for; always: it is asked for every 15 minutes."""

EVERY_S: Final[dict[PullPolicy, float]] = {"daily": 86_400.0, "always": 900.0}
BACKOFF: Final = Backoff(first_s=60.0, max_s=3600.0)
"""Pause after a refresh that failed."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """What an Agent did to refresh one image. Times are seconds of the Agent's monotonic clock."""

    done: float | None = None
    """When the registry was last asked successfully; None = not since the Agent started."""
    request: float = 0.0
    """The newest request that was carried out, in seconds since 1970."""
    failures: int = 0
    failed: float = 0.0
    error: str = ""
    """Why the last attempt failed, as a sentence; empty when it did not."""

    def succeeded(self, now: float, request: float) -> Refresh:
        return Refresh(done=now, request=max(request, self.request))

    def failed_at(self, now: float, error: str) -> Refresh:
        return replace(self, failures=self.failures + 1, failed=now, error=error)

    def due(self, policy: PullPolicy, request: float) -> float | None:
        """When the registry is to be asked; -inf = now, None = not at all."""
        every_s = EVERY_S.get(policy)
        if request > self.request or (every_s is not None and self.done is None):
            due = float("-inf")
        elif every_s is not None and self.done is not None:
            due = self.done + every_s
        else:
            return None
        return max(due, self.failed + BACKOFF.delay_s(self.failures)) if self.failures else due


def can_change(name: str, *, has_recipe: bool) -> bool:
    """Whether a registry can have another image under this name than before."""
    return "@" not in name and not has_recipe

"""Whether a plain launch would be served by one staging config, told from the plan that the launch would follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from greenroom.core.launching import Attempt, Miss


@dataclass(frozen=True, slots=True)
class Outlook:
    """`attempt` would assign a session of the config, unless its `misses` stand in the way.

    `earlier` are the staged attempts that come before it and have nothing in their way: where one of their pools has a
    session, the launch ends there.
    """

    attempt: Attempt
    earlier: tuple[Attempt, ...]

    @property
    def misses(self) -> tuple[Miss, ...]:
        """What is in the way whatever the pool has."""
        return self.attempt.misses


def outlook(attempts: Sequence[Attempt], staging_config_id: str, zone_id: str) -> Outlook:
    """Of a plan (`core.launching.plan_launch`), what concerns one config of the zone `zone_id`.

    A zone that the launch does not search, or that the workspace is barred from, has one attempt without a pool.
    """
    staged = [attempt for attempt in attempts if attempt.staged]
    own = [a for a in staged if a.pool is not None and a.pool.staging_config_id == staging_config_id]
    attempt = (own or [a for a in staged if a.zone.zone_id == zone_id])[0]
    earlier = (a for a in staged if a.order < attempt.order and not a.misses)
    return Outlook(attempt, tuple(earlier))


def first_serving(attempts: Sequence[Attempt], has_session: Callable[[Attempt], bool]) -> Attempt | None:
    """The staged attempt at which a launch ends; None where it comes to a start on demand."""
    return next((a for a in attempts if a.staged and not a.misses and has_session(a)), None)

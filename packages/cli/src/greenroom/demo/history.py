"""The past of the demo: launches of 30 days with their sessions, as typed rows. The functions are pure; a seed and the
present time determine their result.

People work in the rhythm of a week: most launches are in the mornings of working days.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from greenroom.core.launch.plan import Step, TraceStep
from greenroom.demo.plan import CORES, MAIN, MEDICAL, SHORT_OF_IMAGE

DAYS: Final = 30

_BY_HOUR: Final = (1, 1, 1, 1, 1, 2, 8, 30, 78, 92, 80, 64, 46, 68, 76, 58, 42, 30, 22, 18, 14, 10, 6, 3)
"""The relative number of launches in each hour of a working day."""
_BY_WEEKDAY: Final = (1.0, 1.0, 0.95, 0.9, 0.65, 0.12, 0.16)
"""The relative number of launches of each day, from Monday."""
_HEALTHY_S: Final = 26 * 3600
"""The latest time without failed launches, except those of the incident."""
_RECENT: Final = 8
"""Hours for which the rhythm does not apply, so that the demo has recent launches at any time of the day."""


@dataclass(frozen=True, slots=True)
class InventedUser:
    """A user of the demo."""

    user_id: str
    username: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InventedWorkspace:
    """A workspace of the demo; see `plan.DemoWorkspace`. Without `groups`, all users may launch it."""

    key: str
    image_id: str
    name: str
    image: str
    cores: float
    memory: int
    groups: tuple[str, ...]
    weight: int
    cold_s: float


@dataclass(frozen=True, slots=True)
class InventedHost:
    """A host, and the id of its Agent."""

    agent_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoWorld:
    """The objects that history names. `pools` maps (workspace, zone) to the staging config."""

    users: Sequence[InventedUser]
    workspaces: Sequence[InventedWorkspace]
    zone_ids: Mapping[str, str]
    pools: Mapping[tuple[str, str], str]
    hosts: Mapping[str, Sequence[InventedHost]]

    def choices(self, user: InventedUser) -> list[InventedWorkspace]:
        """Return the workspaces that a user may launch."""
        return [each for each in self.workspaces if not each.groups or set(each.groups) & set(user.groups)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLaunch:
    """A launch of the past, with its session, unless it failed. `started_s` and `used_s` are seconds after the launch:
    when the session was usable, and when it ended."""

    launch_id: str
    session_id: str | None
    user: InventedUser
    workspace: InventedWorkspace
    zone: str
    outcome: str
    steps: tuple[TraceStep, ...]
    at: datetime
    duration_ms: float
    agent_id: str | None = None
    staging_config_id: str | None = None
    started_s: float = 0.0
    used_s: float = 0.0


def random_id(chance: random.Random) -> str:
    """Return a UUID from a source of random numbers with a seed."""
    return str(UUID(int=chance.getrandbits(128), version=4))


def launch_times(now: datetime, number: int, chance: random.Random) -> list[datetime]:
    """Return the times of launches in the last `DAYS` days, oldest first."""
    first = (now - timedelta(days=DAYS)).replace(minute=0, second=0, microsecond=0)
    hours = [first + timedelta(hours=hour) for hour in range(DAYS * 24 + 1)]
    weights = [_weight(hour, now) for hour in hours]
    times = (
        hour + timedelta(seconds=chance.uniform(0, 3600)) for hour in chance.choices(hours, weights=weights, k=number)
    )
    return sorted(time if time < now else now - timedelta(minutes=chance.uniform(5, 55)) for time in times)


def _weight(hour: datetime, now: datetime) -> float:
    weight = _BY_HOUR[hour.hour] * _BY_WEEKDAY[hour.weekday()]
    return max(weight, 12.0) if now - hour < timedelta(hours=_RECENT) else weight


def zone_of(user: InventedUser) -> str:
    """Return the zone in which a user launches."""
    return MEDICAL if "medicine" in user.groups else MAIN


def past_launches(
    world: DemoWorld, now: datetime, number: int, chance: random.Random, *, counts_as: datetime | None = None
) -> Iterator[PastLaunch]:
    """Yield launches of the last `DAYS` days, oldest first. `counts_as` is the time of the week for their rhythm;
    None = `now`."""
    rhythm = counts_as or now
    activity = [chance.paretovariate(1.3) for _ in world.users]
    for at in (time + (now - rhythm) for time in launch_times(rhythm, number, chance)):
        user = chance.choices(world.users, weights=activity)[0]
        choices = world.choices(user)
        workspace = chance.choices(choices, weights=[each.weight for each in choices])[0]
        yield _past_launch(world, chance, user, workspace, at, longest_s=(now - at).total_seconds() - 60)


def _past_launch(
    world: DemoWorld,
    chance: random.Random,
    user: InventedUser,
    workspace: InventedWorkspace,
    at: datetime,
    *,
    longest_s: float,
) -> PastLaunch:
    """Return a launch. `longest_s` is the time since it, which its session cannot exceed."""
    zone = zone_of(user)
    pool = world.pools.get((workspace.key, zone))
    failed = PastLaunch(
        launch_id=random_id(chance),
        session_id=None,
        user=user,
        workspace=workspace,
        zone=zone,
        outcome="failed",
        steps=(*_missed(pool, workspace, zone), *_full(world, chance, workspace, zone)),
        at=at,
        duration_ms=round(chance.uniform(4, 40), 1),
    )
    kind = chance.random()
    if kind < 0.03 and longest_s > _HEALTHY_S:
        return failed
    host = chance.choice(world.hosts[zone])
    used_s = min(max(120.0, chance.lognormvariate(8.3, 0.8)), 12 * 3600.0, max(longest_s, 30.0))
    served = replace(
        failed, session_id=random_id(chance), agent_id=host.agent_id, duration_ms=round(chance.uniform(3, 22), 1)
    )
    if pool is not None and kind < 0.88:
        reason = f"A staged session of zone {zone} was assigned."
        return replace(
            served,
            outcome="staged",
            steps=(_step(1, "staged_here", zone, candidate=pool, reason=reason),),
            staging_config_id=pool,
            started_s=round(min(chance.lognormvariate(-0.9, 0.35), 4.0), 3),
            used_s=used_s,
        )
    slow = 4.0 if chance.random() < 0.02 else 1.0
    started_s = round(workspace.cold_s * slow * chance.lognormvariate(0, 0.22), 3)
    reason = f"A new session was placed on {host.name} in zone {zone}."
    step = _step(2, "on_demand_here", zone, candidate=host.name, reason=reason)
    return replace(
        served,
        outcome="on_demand",
        steps=(*_missed(pool, workspace, zone), step),
        started_s=started_s,
        used_s=max(used_s, started_s + 60),
    )


def _step(
    order: int, step: Step, zone: str, *, candidate: str | None, reason: str, code: str | None = None
) -> TraceStep:
    """Return a step of a trace. Without a `code`, the launch got its session there."""
    return TraceStep(
        order=order, step=step, zone_name=zone, candidate=candidate, used=code is None, code=code, reason=reason
    )


def _missed(pool: str | None, workspace: InventedWorkspace, zone: str) -> tuple[TraceStep, ...]:
    if pool is None:
        reason = f"No staging config for {workspace.name} in zone {zone}."
    else:
        reason = f"No staged session of {workspace.name} in zone {zone} is free (2 starting)."
    return (_step(1, "staged_here", zone, candidate=pool, reason=reason, code="pool_empty"),)


def _full(world: DemoWorld, chance: random.Random, workspace: InventedWorkspace, zone: str) -> tuple[TraceStep, ...]:
    """Return the steps of a launch for which all hosts of the zone had too few free cores."""
    return tuple(
        _step(
            2,
            "on_demand_here",
            zone,
            candidate=host.name,
            reason=f"{host.name} has {round(chance.uniform(0, workspace.cores * 0.9), 1):g} of {CORES} cores free,"
            f" {workspace.cores:g} are needed.",
            code="no_capacity",
        )
        for host in world.hosts[zone]
    )


def failed_pulls(world: DemoWorld, now: datetime, chance: random.Random) -> Iterator[PastLaunch]:
    """Yield the failed launches of the incident: no host can get the image of the workspace."""
    workspace = next(each for each in world.workspaces if each.key == SHORT_OF_IMAGE.workspace)
    zone = SHORT_OF_IMAGE.zone
    pool = world.pools.get((workspace.key, zone))
    users = chance.sample([user for user in world.users if "students" in user.groups], 6)
    for number in range(11):
        at = now - timedelta(minutes=52 - 4.5 * number + chance.uniform(0, 3))
        pulls = tuple(
            _step(
                2,
                "on_demand_here",
                zone,
                candidate=host.name,
                reason=f"{host.name} cannot get image {workspace.image}: it does not exist.",
                code="image_unavailable",
            )
            for host in world.hosts[zone]
        )
        yield PastLaunch(
            launch_id=random_id(chance),
            session_id=None,
            user=users[number % len(users)],
            workspace=workspace,
            zone=zone,
            outcome="failed",
            steps=(*_missed(pool, workspace, zone), *pulls),
            at=at,
            duration_ms=round(chance.uniform(5, 30), 1),
        )

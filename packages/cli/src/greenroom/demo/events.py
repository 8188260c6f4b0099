"""The log rows and audit events of the demo's past. The functions are pure, like those of `history`."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from greenroom.core.audit import AuditEvent
from greenroom.core.launch.plan import outcome_reason
from greenroom.core.log_codes import Level, LogCode
from greenroom.db.diagnostics.logs import LogRow
from greenroom.demo.history import DAYS, DemoWorld, InventedUser, PastLaunch
from greenroom.demo.plan import ZONES

_LAUNCH_LOGS: Final = 0.5
"""The fraction of `DemoSize.log_rows` for the rows of launches and log-ins."""


def log_rows_of_launch(launch: PastLaunch) -> Iterator[LogRow]:
    """Yield the log rows of a launch and its session."""
    name, zone = launch.user.username, launch.zone
    reason = outcome_reason(launch.steps)
    if launch.session_id is None:
        yield _row(
            LogCode.LAUNCH_FAILED,
            "api",
            f"{name} could not launch {launch.workspace.name}: {reason}",
            launch.at,
            zone_name=zone,
            user=launch.user,
        )
        return
    yield _row(
        LogCode.SESSION_LAUNCHED,
        "api",
        f"{name} launched {launch.workspace.name}: {reason}",
        launch.at,
        zone_name=zone,
        user=launch.user,
        session_id=launch.session_id,
    )
    yield _row(
        LogCode.SESSION_DELETED,
        "manager",
        f"session {launch.session_id} is deleted: the user ended it",
        launch.at + timedelta(seconds=launch.used_s),
        zone_name=zone,
        user=launch.user,
        session_id=launch.session_id,
    )


def past_log_rows(
    world: DemoWorld, launches: Sequence[PastLaunch], now: datetime, number: int, chance: random.Random
) -> list[LogRow]:
    """Return about `number` log rows of the last days, oldest first: launches, log-ins, refusals, elections."""
    rows: list[LogRow] = []
    for launch in launches[-max(1, int(number * _LAUNCH_LOGS / 3)) :]:
        rows += log_rows_of_launch(launch)
        rows.append(_login(launch.user, launch.at - timedelta(seconds=chance.uniform(5, 90)), chance))
    others = max(8, number - len(rows))
    rows += [_other_row(world, now, chance) for _ in range(others)]
    return sorted((row for row in rows if row.time < now), key=lambda row: row.time)


def _login(user: InventedUser, at: datetime, chance: random.Random) -> LogRow:
    return _row(LogCode.LOGIN, "api", f"{user.username} logged in from {_address(chance)}", at, user=user)


_OTHERS: Final = (
    (50, LogCode.LOGIN, "api", "{user} logged in from {address}"),
    (20, LogCode.STAGED_SESSION_CREATED, "manager", "Staging {workspace} in zone {zone}: the pool had 3 of 4 sessions"),
    (8, LogCode.LOGIN_FAILED, "api", "A log-in as {user} from {address} failed"),
    (
        6,
        LogCode.PERMISSION_DENIED,
        "api",
        "{user} from {address} may not GET /api/v1/users: This needs the permission users_view.",
    ),
    (4, LogCode.STAGING_SHORTFALL, "manager", "{workspace} in zone {zone}: {host} starts 2 sessions at a time"),
    (
        3,
        LogCode.PRIMARY_ELECTED,
        "manager",
        "manager-{zone}-1 became Primary of zone {zone} with term {number} because the zone had no Primary before",
    ),
    (3, LogCode.AGENT_RUNNING, "manager", "Agent {host} is running: it checked in again after {number} s"),
)
"""Relative number, code, component and text of further rows."""


def _other_row(world: DemoWorld, now: datetime, chance: random.Random) -> LogRow:
    _, code, component, text = chance.choices(_OTHERS, weights=[each[0] for each in _OTHERS])[0]
    at = now - timedelta(days=chance.uniform(0.02, DAYS - 0.5))
    user, zone = chance.choice(world.users), chance.choice(ZONES)
    message = text.format(
        user=user.username,
        zone=zone,
        address=_address(chance),
        workspace=chance.choice(world.workspaces).name,
        host=chance.choice(world.hosts[zone]).name,
        number=chance.randint(12, 40),
    )
    is_of_user = "{user}" in text
    return _row(code, component, message, at, zone_name=None if is_of_user else zone, user=user if is_of_user else None)


def _row(
    code: LogCode,
    component: str,
    message: str,
    time: datetime,
    *,
    zone_name: str | None = None,
    user: InventedUser | None = None,
    session_id: str | None = None,
) -> LogRow:
    level: Level = code.level
    return LogRow(
        level=level,
        component=component,
        code=str(code),
        message=message,
        time=time,
        zone_name=zone_name,
        session_id=session_id,
        user_id=user.user_id if user else None,
        username=user.username if user else None,
    )


def _address(chance: random.Random) -> str:
    return f"10.{chance.randint(20, 40)}.{chance.randint(0, 255)}.{chance.randint(2, 250)}"


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event of the audit, and its time."""

    time: datetime
    event: AuditEvent


_CHANGES: Final = (
    (LogCode.USER_CHANGED, "user", "changed user {user}: organization Chemistry → Physics"),
    (LogCode.USER_CREATED, "user", "created user {user}"),
    (LogCode.GROUP_CHANGED, "group", "changed group Students: session_time_limit 14400 → 28800"),
    (LogCode.WORKSPACE_CHANGED, "workspace", "changed workspace {workspace}: cores 2 → 4"),
    (
        LogCode.STAGING_CONFIG_CHANGED,
        "staging-config",
        "changed staging config {workspace} in zone {zone} (config 5d1f0c2a): num_sessions 4 → 6",
    ),
    (
        LogCode.SESSION_ENTERED,
        "session",
        "takes screenshots of session 7c0e2b9a-4d51-4f0b-9a55-0d9a6f2be1c4 of {user}",
    ),
    (LogCode.SETTING_CHANGED, "setting", "changed setting of the installation: log_retention_days 30 → 90"),
    (LogCode.AUDIT_VIEWED, "audit", "reads the audit"),
)
"""The codes and objects of changes, with what follows the name of the administrator in their sentences."""


_BACKUP: Final = AuditEvent(
    code="backup",
    message="root on the host backs up the installation to /var/backups/greenroom",
    operation="greenroom backup",
    interface="cli",
    actor_kind="host",
    actor_name="root",
)


def past_audit_events(
    world: DemoWorld, launches: Sequence[PastLaunch], now: datetime, number: int, chance: random.Random
) -> list[TimedEvent]:
    """Return about `number` events of the audit: log-ins, launches, and changes by administrators."""
    administrators = [user for user in world.users if "administrators" in user.groups]
    events = [_launch_event(launch, chance) for launch in launches[-number // 2 :] if launch.session_id]
    for _ in range(number // 2):
        at = now - timedelta(days=chance.uniform(0.02, DAYS - 0.5))
        code, kind, text = chance.choice(_CHANGES)
        user, workspace = chance.choice(world.users), chance.choice(world.workspaces).name
        administrator = chance.choice(administrators)
        values = text.format(user=user.username, workspace=workspace, zone=ZONES[0])
        message = f"{administrator.username} {values}"
        event = _event(code, administrator, message, chance, kind=kind, name=user.username)
        events.append(TimedEvent(at, event))
    events += [TimedEvent(now - timedelta(days=day, hours=8), _BACKUP) for day in range(DAYS - 1)]
    return sorted(events, key=lambda each: each.time)


def _launch_event(launch: PastLaunch, chance: random.Random) -> TimedEvent:
    message = f"{launch.user.username} launched {launch.workspace.name}: {outcome_reason(launch.steps)}"
    event = _event(LogCode.SESSION_LAUNCHED, launch.user, message, chance, kind="session", object_id=launch.session_id)
    return TimedEvent(launch.at, event)


def _event(
    code: LogCode,
    actor: InventedUser,
    message: str,
    chance: random.Random,
    *,
    kind: str,
    name: str | None = None,
    object_id: str | None = None,
) -> AuditEvent:
    return AuditEvent(
        code=str(code),
        message=message,
        interface="console",
        actor_kind="user",
        actor_id=actor.user_id,
        actor_name=actor.username,
        address=_address(chance),
        object_kind=kind,
        object_name=name,
        object_id=object_id,
    )

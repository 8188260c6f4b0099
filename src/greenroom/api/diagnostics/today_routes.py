"""The page Today: what needs attention, and the facts of the last hours.

The state is read once for callers that ask at the same time; `Watched.seen_by` then removes what a caller may not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Request
from pydantic import Field

from greenroom.api.bodies import View
from greenroom.api.deps import Db, WatchedReads
from greenroom.api.problems import api_router
from greenroom.api.scopes import LISTED
from greenroom.api.security import Caller, requires_one_of
from greenroom.core.access.permissions import VIEW_CODES
from greenroom.core.diagnostics.attention import Attention, needs_attention
from greenroom.core.diagnostics.first_steps import FirstStep, first_steps
from greenroom.core.diagnostics.sentences import ObjectKind, Operation
from greenroom.core.diagnostics.watched import CODES, CredentialKind, FleetCapacity, Sight, Watched, capacity_of
from greenroom.db.database import Database
from greenroom.db.diagnostics import today
from greenroom.db.diagnostics.changes import RecentChange, read_changes
from greenroom.db.session.views import SessionScope

router = api_router("diagnostics")


class ObjectRefView(View):
    """An object with a page in the console; `id` is empty for a list."""

    kind: ObjectKind
    id: str


class PartView(View):
    """A part of a sentence; `object` is the object that it names."""

    text: str
    object: ObjectRefView | None


class HelpView(View):
    """The action that helps: `open` the page of the object, `enable` it, `pull` its image again, `deliver` its messages
    again, or open the form to `edit` it or to `create` one."""

    title: str
    operation: Operation
    object: ObjectRefView


class AttentionView(View, row=Attention):
    """Something that an administrator should do now."""

    sentence: str
    parts: Annotated[list[PartView], Field(description="the sentence in parts, with the objects that it names")]
    names: Annotated[list[PartView], Field(description="further names in the sentence, with their objects")]
    people: Annotated[int, Field(description="number of users who are affected now")]
    launch_id: Annotated[UUID | None, Field(description="a failed launch whose decision explains the entry")]
    help: HelpView


class PrimaryView(View):
    """A zone and its Primary Manager; null = none."""

    zone_id: UUID
    zone_name: str
    manager_id: UUID | None
    instance_id: str | None


class PoolsView(View):
    """The pools that are not paused: ready and desired sessions, and pools that are short and need an action."""

    pools: int
    current: int
    desired: int
    short: int


class CapacityView(View, row=FleetCapacity):
    """The capacity of the Agents that accept new sessions, memory in bytes."""


class SessionFactView(View, row=today.SessionFact):
    """A session of a user, and the time at which it began or expires."""

    session_id: UUID
    user_id: UUID


class SessionFactsView(View, row=today.UserSessionFacts):
    """The sessions of users."""

    oldest: SessionFactView | None
    next_expiry: SessionFactView | None


class SlowestLaunchView(View, row=today.SlowestLaunch):
    """The launch of the last 24 hours after which its user waited longest."""

    launch_id: UUID
    session_id: UUID | None
    user_id: UUID | None
    image_id: UUID | None


class RefusedUserView(View, row=today.RefusedUser, without={"steps", "number"}):
    """A user whose launch failed in the last 24 hours."""

    launch_id: UUID
    user_id: UUID
    image_id: UUID
    reason: str


class LaunchFactsView(View):
    """The launches of the last 24 hours; `refused_users` has the newest of the refused users."""

    slowest: SlowestLaunchView | None
    refused: Annotated[int, Field(description="number of users whose launches failed")]
    refused_users: list[RefusedUserView]


class ChangeView(View, row=RecentChange, without={"number", "code", "actor_user_id", "actor_key_id", "object_name"}):
    """A change of the installation."""

    key_name: Annotated[str | None, Field(description="present name of the API key, if an API key is the actor")]
    on_behalf_of_name: Annotated[str | None, Field(description="name of the owner of the API key")]
    names: Annotated[list[PartView], Field(description="names in the message, with their objects")]


class ChangesView(View):
    """The changes of the last hour; `newest` has the newest of them."""

    number: int
    newest: list[ChangeView]


class CredentialView(View):
    """The credential that expires next."""

    kind: CredentialKind
    object_id: str
    name: str
    expires: datetime


class TodayView(View):
    """The problems that need attention, and facts. A fact is null if the caller may not see it."""

    at: datetime
    attention: list[AttentionView]
    first_steps: Annotated[list[FirstStep], Field(description="what a new installation still needs")]
    primaries: list[PrimaryView] | None
    pools: PoolsView | None
    capacity: CapacityView | None
    sessions: SessionFactsView | None
    launches: LaunchFactsView | None
    changes: ChangesView | None
    next_credential: CredentialView | None


Viewer = Annotated[Caller, requires_one_of(*VIEW_CODES, scope=LISTED)]


@router.get("/today")
async def get_today(request: Request, db: Db, watched_reads: WatchedReads, caller: Viewer) -> TodayView:
    """Return what needs attention now, ordered by severity and number of affected users, and facts of the last hours.

    The answer has only what the caller may see.
    """
    sight = sight_of(caller)
    seen = (await watched_reads.get()).seen_by(sight)
    if caller.may("audit_view"):
        request.app.state.audit_read_log.log_access(caller)
    return TodayView(
        at=seen.now,
        attention=[AttentionView.model_validate(entry) for entry in needs_attention(seen)],
        first_steps=first_steps(await today.read_beginning(db, caller.user_id), caller.may),
        primaries=_primaries(seen, sight) if "managers_view" in sight.zones else None,
        pools=_pools(seen) if "staging_view" in sight.zones else None,
        capacity=CapacityView.model_validate(capacity_of(seen.agents)) if "agents_view" in sight.zones else None,
        sessions=await _session_facts(db, caller),
        launches=await _launch_facts(db) if sight.everywhere("sessions_view") else None,
        changes=_changes(await read_changes(db)) if caller.may("audit_view") else None,
        next_credential=next((CredentialView.model_validate(each) for each in seen.credentials), None),
    )


_SCOPED: Final = tuple(code for code in CODES if code != "sessions_view")
"""The permissions whose objects belong to a zone, if a role limits them."""


def sight_of(caller: Caller) -> Sight:
    """Return the zones that the caller may see, by permission."""
    zones = {code: caller.ids_in_scope(code, "zone") for code in _SCOPED}
    zones["sessions_view"] = None if caller.may("sessions_view") else []
    return Sight({code: ids for code, ids in zones.items() if ids != []})


def session_scope_of(caller: Caller) -> SessionScope | None:
    """Return the scope of the sessions that the caller may see; None = all sessions."""
    zones, groups = (caller.ids_in_scope("sessions_view", kind) for kind in ("zone", "group"))
    return None if zones is None else SessionScope(zones=zones, groups=groups or [], user_id=None)


def _primaries(seen: Watched, sight: Sight) -> list[PrimaryView]:
    """Return the Primary of each zone whose Managers the caller may see."""
    primary = {manager.zone_id: manager for manager in seen.managers if manager.is_primary}
    names = {manager.zone_id: manager.zone_name for manager in seen.managers}
    names |= {zone.zone_id: zone.zone_name for zone in seen.zones if sight.sees("managers_view", zone.zone_id)}
    return [
        PrimaryView(
            zone_id=UUID(zone_id),
            zone_name=name,
            manager_id=UUID(primary[zone_id].manager_id) if zone_id in primary else None,
            instance_id=primary[zone_id].instance_id if zone_id in primary else None,
        )
        for zone_id, name in sorted(names.items(), key=lambda item: item[1])
    ]


def _pools(seen: Watched) -> PoolsView:
    return PoolsView(
        pools=len(seen.pools),
        current=sum(min(pool.current, pool.desired) for pool in seen.pools),
        desired=sum(pool.desired for pool in seen.pools),
        short=sum(pool.shortfall is not None and pool.shortfall.needs_action for pool in seen.pools),
    )


async def _session_facts(db: Database, caller: Caller) -> SessionFactsView | None:
    scope = session_scope_of(caller)
    if scope is not None and scope.is_empty:
        return None
    return SessionFactsView.model_validate(await today.read_session_facts(db, scope))


async def _launch_facts(db: Database) -> LaunchFactsView:
    refused = await today.read_refused_users(db)
    slowest = await today.read_slowest_launch(db)
    return LaunchFactsView(
        slowest=SlowestLaunchView.model_validate(slowest) if slowest else None,
        refused=refused[0].number if refused else 0,
        refused_users=[RefusedUserView.model_validate(user) for user in refused],
    )


def _changes(changes: Sequence[RecentChange]) -> ChangesView:
    return ChangesView(
        number=changes[0].number if changes else 0, newest=[ChangeView.model_validate(change) for change in changes]
    )

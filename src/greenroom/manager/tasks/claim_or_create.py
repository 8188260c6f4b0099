"""Put another session in the place of one that failed, in one transaction under the lease of the failed one's zone.

There are two ways: a staged session is claimed, or a new one is made, both in any zone the launch may use. A Primary
that inserts into another zone does what the api does for every launch: reservation and row in one statement (ADR 24).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
from psycopg import Rollback
from psycopg.rows import DictRow

from greenroom.core.errors import Invalid, SetupError
from greenroom.core.launch.eviction import Room, Unready, room_reason, rooms
from greenroom.core.launch.placement import AgentView, Placement, PlacementRequest, place, session_of
from greenroom.core.launch.plan import Attempt, Miss, TraceStep, failed_steps, placement_misses, pool_miss, success_step
from greenroom.core.launch.replacement import Failed, continued, failure_line, no_agent_misses, others_first, without
from greenroom.core.session.expiry import Clocks, stored_clocks
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.core.workspace.spec_builder import (
    ImageFacts,
    LaunchExtras,
    config_hash_of,
    in_zone,
    on_demand_spec,
    reissued,
)
from greenroom.db import row_mapping
from greenroom.db.database import Connection
from greenroom.db.fleet.leases import guarded
from greenroom.db.launch import replacement
from greenroom.db.launch.claims import read_contents
from greenroom.db.launch.eviction import read_unready
from greenroom.db.launch.ledger import read_agents
from greenroom.db.launch.on_demand import insert_in_room
from greenroom.db.session.sessions import NewSession, lock_sessions, lock_sessions_capacity
from greenroom.kit.secrets import new_secret
from greenroom.manager.checkin.answers import spec_with_secrets
from greenroom.manager.tasks.context import PrimaryContext

NO_LIMIT: Final = 1_000_000
"""The limit of the user was checked at the launch; a session that waits for its successor counts, so it is no more."""


class NoLongerWaitingError(Exception):
    """The failed session was deleted, or replaced by another Primary, or its Agent came back to it, meanwhile."""


@dataclass(frozen=True, slots=True)
class PlacedSession:
    """The session a user gets in the place of the one that failed; `yielding` are staged ones that made room for it."""

    session_id: str
    agent_id: str
    attempt: Attempt
    yielding: tuple[Unready, ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: `row` is of `db.launch.replacement.read_waiting`, `last` the last line of the launch's
    trace."""

    row: DictRow
    failed: Failed
    image: ImageFacts
    last: TraceStep

    @property
    def clocks(self) -> Clocks:
        """Those of the session that failed; of its successor they begin anew."""
        return stored_clocks(self.row["expiry"], self.row["keepalive_s"])

    def steps(self, trace: Sequence[TraceStep]) -> list[dict[str, Any]]:
        """The further lines of the launch's trace: that the last one came to nothing, and what was tried then."""
        line = failure_line(self.failed, self.row["session_id"], self.last)
        return [asdict(step) for step in (line, *continued(trace, self.last))]


async def claim_another(
    ctx: PrimaryContext, search: Search, attempt: Attempt, trace: Sequence[TraceStep]
) -> PlacedSession | list[Miss]:
    """Assign a staged session of the attempt's pool, or say why there is none; `trace` is that of the search so far.

    Raises:
        LeaseLost: the term is over; nothing was written.
        NoLongerWaitingError: there is nothing to replace any more.
    """
    pool, zone, row = attempt.pool, attempt.zone, search.row
    if pool is None:
        raise AssertionError("a staged attempt without misses has a pool")
    config_hash = config_hash_of(search.image, zone.facts, pool.permissions)
    reason = f"A staged session of zone {zone.zone_name} was assigned in its place."
    async with guarded(ctx.db, ctx.fence) as connection:
        await replacement.lock_user(connection, row["user_id"])
        async with connection.transaction() as undone:
            old = await _detach_user(connection, search)
            claimed = await replacement.claim_next(
                connection,
                old,
                staging_config_id=pool.staging_config_id,
                clocks=search.clocks,
                config_hash=config_hash,
                assignment_id=str(uuid.uuid4()),
            )
            if claimed is None:
                raise Rollback(undone)
            await replacement.supersede(
                connection,
                old,
                claimed["session_id"],
                outcome="staged",
                zone_id=zone.zone_id,
                steps=search.steps([*trace, success_step(attempt, pool.staging_config_id, reason)]),
            )
            return PlacedSession(claimed["session_id"], claimed["agent_id"], attempt)
    contents = await read_contents(
        ctx.db, user_id=row["user_id"], staging_config_id=pool.staging_config_id, config_hash=config_hash
    )
    return [pool_miss(contents, search.image, zone)]


async def make_another(
    ctx: PrimaryContext, search: Search, attempt: Attempt, trace: Sequence[TraceStep]
) -> PlacedSession | list[Miss]:
    """Create a session in the attempt's zone, or say why no Agent takes it; `trace` is that of the search so far.

    Raises:
        LeaseLost: the term is over; nothing was written.
        NoLongerWaitingError: there is nothing to replace any more.
        Invalid: the specification of the one that failed cannot be read by this version.
        ProfileInUse: the user has their profile of this workspace open in another session by now.
    """
    row, zone = search.row, attempt.zone
    if zone.facts.needs_request_host() and zone.zone_id != row["zone_id"] and not row["request_host"]:
        return [Miss("no_request_host", f"Zone {zone.zone_name} asks for the host of the launch, which is not known.")]
    wanted = _wanted(search)
    agents = [row_mapping.agent_view(agent) for agent in await read_agents(ctx.db, zone.zone_id, wanted.image)]
    placement = _on_others(search, place(agents, wanted, zone.load_balancing_strategy))
    unready = [] if placement.candidates else await read_unready(ctx.db, zone.zone_id)
    before = [*trace, *failed_steps(attempt, placement_misses(zone, placement))]
    async with guarded(ctx.db, ctx.fence) as connection:
        await replacement.lock_user(connection, row["user_id"])
        for room in rooms(placement, wanted, unready):
            agent, yielding = room.agent, [session.session_id for session in room.yielding]
            reason = room_reason(room, zone.zone_name, " in its place")
            async with connection.transaction() as undone:
                await _lock(connection, search, room)
                new = _new_session(ctx, search, attempt, wanted, agent)
                if not await insert_in_room(connection, new, max_sessions=NO_LIMIT, yielding=yielding):
                    raise Rollback(undone)
                await replacement.supersede(
                    connection,
                    await _detach_user(connection, search),
                    new.session_id,
                    outcome="on_demand",
                    zone_id=zone.zone_id,
                    steps=search.steps([*before, success_step(attempt, agent.hostname, reason)]),
                )
                return PlacedSession(new.session_id, agent.agent_id, attempt, room.yielding)
    slow = search.failed.slow and not search.failed.handover
    return no_agent_misses(placement, zone.zone_name, " on another machine" if slow else "")


async def _lock(connection: Connection, search: Search, room: Room) -> None:
    """Where others yield, hold their rows and that of the failed session by id, after those of their capacity."""
    if room.yielding:
        ids = [search.row["session_id"], *(session.session_id for session in room.yielding)]
        await lock_sessions_capacity(connection, ids)
        await lock_sessions(connection, ids)


async def _detach_user(connection: Connection, search: Search) -> DictRow:
    """The failed session without its user: kept for inspection after a hand-over, destroyed after a start."""
    session_id, failed = search.row["session_id"], search.failed
    if failed.handover:
        old = await replacement.quarantine(connection, session_id)
    else:
        reason = f"It could not start ({failed.cause.rstrip('.')}); another session takes its place."
        old = await replacement.discard_failed_start(connection, session_id, failed.cause, reason)
    if old is None:
        raise NoLongerWaitingError
    return old


def _wanted(search: Search) -> PlacementRequest:
    if search.failed.handover:
        return session_of(search.image)
    row = search.row
    return PlacementRequest(
        image=row["spec"]["image"],
        cores=row["cores"],
        memory=row["memory"],
        cpu_mode="Quotas" if row["cpu_quota"] else "Shares",
        only_agent_id=search.image.only_agent_id,
        runtime_class=row["spec"].get("run_config", {}).get("runtime", ""),
    )


def _on_others(search: Search, placement: Placement) -> Placement:
    if search.failed.handover:
        return others_first(placement, search.row["agent_id"])
    return without(placement, frozenset(search.row["started_on"]))


def _new_session(
    ctx: PrimaryContext, search: Search, attempt: Attempt, wanted: PlacementRequest, agent: AgentView
) -> NewSession:
    row, clocks = search.row, search.clocks
    session_id, credential = str(uuid.uuid4()), new_secret()
    spec_of = _of_launch if search.failed.handover else _of_start
    spec = spec_of(ctx, search, attempt, session_id, credential)
    return NewSession(
        session_id=session_id,
        zone_id=attempt.zone.zone_id,
        image_id=row["image_id"],
        agent_id=agent.agent_id,
        spec=spec.stored(),
        files_encrypted=row["files_encrypted"],
        credential_encrypted=ctx.secrets.encrypt(credential),
        spec_hash=spec.hash(),
        cores=wanted.cores,
        memory=wanted.memory,
        ttl_s=clocks.first_s,
        clocks=clocks,
        permissions=row["permissions"],
        allow_origin=",".join(spec.allow_origin),
        upstream_auth=spec.upstream_auth,
        term=ctx.fence.term if attempt.zone.zone_id == ctx.zone_id else None,
        user_id=row["user_id"],
        launch_id=row["launch_id"],
        kasm_url=row["kasm_url"],
        client_settings=row["client_settings"],
    )


def _of_launch(ctx: PrimaryContext, search: Search, attempt: Attempt, session_id: str, credential: str) -> SessionSpec:
    """As the launch would have made it: a user with a staged session has no settings but these."""
    del ctx
    row = search.row
    extras = LaunchExtras(
        request_host=row["request_host"],
        username=row["username"],
        user_id=row["user_id"],
        kasm_url=row["kasm_url"],
        language=row["preferred_language"] or None,
        timezone=row["preferred_timezone"] or None,
    )
    return on_demand_spec(
        search.image, attempt.zone.facts, row["permissions"], extras, session_id=session_id, credential=credential
    )


def _of_start(ctx: PrimaryContext, search: Search, attempt: Attempt, session_id: str, credential: str) -> SessionSpec:
    """As the one that failed, with an id and a credential of its own, in its new zone."""
    row, zone = search.row, attempt.zone
    try:
        stored = row["spec"], row["credential_encrypted"], row["files_encrypted"]
        old = msgspec.convert(spec_with_secrets(*stored, ctx.secrets), SessionSpec)
    except msgspec.ValidationError as error:
        raise Invalid(f"its specification cannot be read by this version: {error}") from error
    except SetupError as error:
        raise Invalid(f"its specification cannot be read: {error.message}") from error
    spec = reissued(old, old_id=row["session_id"], session_id=session_id, credential=credential)
    return spec if zone.zone_id == row["zone_id"] else in_zone(spec, zone.facts, row["request_host"])

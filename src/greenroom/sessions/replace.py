"""The replacement of a failed session, in one transaction that the leadership of its zone guards.

A staged session is claimed, or a new session is created, in any zone that the launch may use. A Primary that inserts a
session into another zone reserves capacity and inserts the row in one statement, as the api does for a launch (ADR 21).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec
from psycopg import Rollback

from greenroom.core.errors import Invalid, SetupError
from greenroom.core.launch.eviction import AgentWithRoom
from greenroom.core.launch.placement import PlacementRequest, placement_request_of
from greenroom.core.launch.plan import LaunchZone, PoolContents, TraceStep
from greenroom.core.launch.request import UNLIMITED
from greenroom.core.launch.wanted import (
    FailedSession,
    RequestedSession,
    SpecMaker,
    failure_step,
    renumbered_after,
    silent_agent_reason,
)
from greenroom.core.session.states import SessionStatus
from greenroom.core.workspace.homes import home_of
from greenroom.core.workspace.session_spec import Exec, SessionSpec
from greenroom.core.workspace.spec_builder import (
    ImageFacts,
    LaunchExtras,
    on_demand_spec,
    spec_for_replacement,
    spec_for_zone,
)
from greenroom.db.database import Connection, Database
from greenroom.db.fleet.leadership import Fence, guarded
from greenroom.db.launch import replacement
from greenroom.db.launch.claims import ClaimedSession, PoolClaim, claim_replacement, read_contents
from greenroom.db.launch.on_demand import insert_with_evictions
from greenroom.db.launch.replacement import SessionToReplace
from greenroom.db.session.sessions import NewSession, lock_capacity_of_sessions, lock_sessions, lock_user
from greenroom.kit.secrets import Secrets
from greenroom.wire.messages import Assignment


class NoLongerWaitingError(Exception):
    """Raised if the failed session was deleted, or replaced by another Primary, or if its Agent checks in again."""


def failed_session_of(old: SessionToReplace) -> FailedSession:
    """Return the fields of the session row that `core.launch.wanted` needs."""
    default_cause = "no reason was given" if old.status is SessionStatus.FAILED else silent_agent_reason(old.silent_s)
    return FailedSession(
        at_handover=old.set_aside_reason is not None,
        agent_name=old.agent_name,
        cause=old.set_aside_reason or old.error or default_cause,
        sessions_tried=old.sessions_tried,
        starts=old.starts,
        causes=old.causes,
        slow=old.slow,
        permissions=old.permissions,
    )


def further_steps(old: SessionToReplace, failed: FailedSession, trace: Sequence[TraceStep]) -> list[TraceStep]:
    """Return the steps to append to the trace of the launch: the failure of its last step, and the steps of the
    search."""
    last = old.last_step or _substitute_step(old)
    return [failure_step(failed, old.session_id, last), *renumbered_after(trace, last)]


def _substitute_step(old: SessionToReplace) -> TraceStep:
    """Return a substitute for the last step of the trace of the launch, if the ledger no longer has it."""
    staged = old.staging_config_id is not None
    return TraceStep(
        order=old.sessions_tried,
        step="staged_here" if staged else "on_demand_here",
        zone_name=old.zone_name,
        candidate=old.staging_config_id if staged else old.agent_name,
        used=True,
        code=None,
        reason="",
    )


def replacement_session(
    old: SessionToReplace, failed: FailedSession, image: ImageFacts, secrets: Secrets
) -> RequestedSession:
    """Return the session to search for the user of a failed session.

    After a failed hand-over, the user gets another staged session, or the session that the launch would have created
    without a pool. Settings that exclude staged sessions are not checked, because the user had one already. After a
    failed start, the user gets the same session on another Agent.
    """
    common = RequestedSession(
        user=old.user,
        image=image,
        permissions=old.permissions,
        assign=_handover_command(old),
        request=placement_request_of(image),
        spec_maker_for=partial(_spec_maker_of_launch, old, image),
        least_preferred_agent_id=old.agent_id,
        agent_noun="other Agent",
        origin_suffix=" in its place",  # "A staged session of zone eu was assigned in its place."
    )
    if failed.at_handover:
        return common
    return replace(
        common,
        request=PlacementRequest(
            image=old.spec["image"],
            cores=old.cores,
            memory=old.memory,
            cpu_mode=old.cpu_mode,
            only_agent_id=_agent_with_home(old) or image.only_agent_id,
            runtime_class=old.spec.get("run_config", {}).get("runtime", ""),
            with_secrets=old.with_secrets,
        ),
        spec_maker_for=partial(_spec_maker_of_failed_start, old, secrets),
        least_preferred_agent_id=None,
        excluded_agent_ids=old.failed_agent_ids,
        agent_noun="other Agent on another machine" if failed.slow else "other Agent",
    )


def _agent_with_home(old: SessionToReplace) -> str | None:
    """Return the Agent of a session with a home, because the home is on this Agent only; None if it has no home."""
    mounts: list[dict[str, Any]] = old.spec.get("mounts", [])
    return old.agent_id if any(home_of(str(mount.get("source", ""))) for mount in mounts) else None


def _handover_command(old: SessionToReplace) -> Exec:
    """Return the command of the hand-over of the failed session. Its environment variables stay encrypted."""
    stored = msgspec.convert({"assignment_id": "", **(old.assignment or {})}, Assignment)
    return Exec(argv=tuple(stored.argv), user=stored.user, environment=stored.env, workdir=stored.workdir)


def _spec_maker_of_launch(old: SessionToReplace, image: ImageFacts, zone: LaunchZone) -> SpecMaker:
    extras = LaunchExtras(
        request_host=old.request_host,
        username=old.username,
        username_reused=old.username_reused,
        user_id=old.user_id,
        kasm_url=old.kasm_url,
        language=old.preferred_language or None,
        timezone=old.preferred_timezone or None,
    )
    return partial(on_demand_spec, image, zone.facts, old.permissions, extras)


def _spec_maker_of_failed_start(old: SessionToReplace, secrets: Secrets, zone: LaunchZone) -> SpecMaker:
    """Return the function that builds the specification of the failed session for its new zone. Its environment
    variables stay encrypted. Raises Invalid: the specification cannot be read by this version, or with this key."""
    try:
        decrypted: dict[str, Any] = {
            "credential": secrets.decrypt(old.credential_encrypted),
            "files": json.loads(secrets.decrypt(old.files_encrypted)) if old.files_encrypted else [],
        }
        spec = msgspec.convert(old.spec | decrypted, SessionSpec)
    except msgspec.ValidationError as error:
        raise Invalid(f"its specification cannot be read by this version: {error}") from error
    except SetupError as error:
        raise Invalid(f"its specification cannot be read: {error.message}") from error
    if zone.zone_id != old.zone_id:
        spec = spec_for_zone(spec, zone.facts, old.request_host)
    return partial(spec_for_replacement, spec, old_id=old.session_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacementWriter:
    """A `Writer` that replaces the session `old`, which loses its user. Its methods raise LeaseLost (the term has ended
    and nothing was written) and NoLongerWaitingError (there is no session to replace any more)."""

    db: Database
    fence: Fence
    old: SessionToReplace
    failed: FailedSession

    async def claim(self, claim: PoolClaim, steps: Sequence[TraceStep]) -> ClaimedSession | PoolContents:
        """Claim a staged session as the replacement. The claim cannot cause a deadlock with the lock on the failed
        session, because it skips locked rows."""
        async with guarded(self.db, self.fence) as connection:
            await lock_user(connection, self.old.user_id)
            async with connection.transaction() as savepoint:
                old = await self._detach_user(connection)
                claimed = await claim_replacement(connection, claim, old.agent_id)
                if claimed is None:
                    raise Rollback(savepoint)
                trace = further_steps(old, self.failed, steps)
                await replacement.supersede(connection, old, claimed.session_id, outcome="staged", steps=trace)
                return claimed
        return await read_contents(
            self.db,
            user_id=self.old.user_id,
            staging_config_id=claim.staging_config_id,
            config_hash=claim.config_hash,
        )

    async def insert(self, new: NewSession, room: AgentWithRoom, steps: Sequence[TraceStep]) -> bool:
        """Insert a new session on the Agent of `room`, after the eviction of its staged sessions `room.evicted`. Return
        False if the Agent has no capacity any more. The capacity is reserved before the old row changes. Raises
        ProfileInUse: another session uses the profile of the user."""
        if new.zone_id == self.old.zone_id:
            new = replace(new, term=self.fence.term)
        evicted = [session.session_id for session in room.evicted]
        async with guarded(self.db, self.fence) as connection:
            await lock_user(connection, self.old.user_id)
            if evicted:
                await self._lock(connection, evicted)
            # The limit was checked at the launch. The failed session counts until it loses its user below, so the
            # number of sessions of the user does not increase.
            if not await insert_with_evictions(connection, new, max_sessions=UNLIMITED, evicted=evicted):
                return False
            old = await self._detach_user(connection)
            trace = further_steps(old, self.failed, steps)
            await replacement.supersede(connection, old, new.session_id, outcome="on_demand", steps=trace)
            return True

    async def _lock(self, connection: Connection, evicted: Sequence[str]) -> None:
        """Lock the rows of the evicted sessions and of the failed session in the order of their ids. Before that, lock
        the rows with the allocated capacity of their Agents."""
        ids = [self.old.session_id, *evicted]
        await lock_capacity_of_sessions(connection, ids)
        await lock_sessions(connection, ids)

    async def _detach_user(self, connection: Connection) -> SessionToReplace:
        """Remove the user from the failed session: quarantine it after a hand-over, destroy it after a start. Raises
        NoLongerWaitingError: there is no session to replace any more."""
        session_id, failed = self.old.session_id, self.failed
        if failed.at_handover:
            old = await replacement.quarantine(connection, session_id)
        else:
            reason = f"It could not start ({failed.cause.rstrip('.')}); another session replaces it."
            old = await replacement.discard_failed_start(connection, session_id, failed.cause, reason)
        if old is None:
            raise NoLongerWaitingError
        return old

"""The attempts of a launch: the claim of a staged session of a pool, or a new session, made for its user in a zone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from greenroom.api.launch.plan import Launch, PlacedSession, assignment_of, extras_of, ledger
from greenroom.core.access.group_settings import permissions_of
from greenroom.core.launch.eviction import Room, lacks_only_room, room_reason, rooms
from greenroom.core.launch.placement import Placement, PlacementRequest, place, session_of
from greenroom.core.launch.plan import (
    Attempt,
    LaunchZone,
    Miss,
    TraceStep,
    failed_steps,
    placement_misses,
    pool_miss,
    room_taken,
    success_step,
)
from greenroom.core.workspace.session_spec import File
from greenroom.core.workspace.spec_builder import LaunchExtras, config_hash_of, on_demand_spec, ssh_files
from greenroom.db import row_mapping
from greenroom.db.database import Database
from greenroom.db.launch.claims import Claim, claim
from greenroom.db.launch.eviction import read_unready, remember_refused
from greenroom.db.launch.ledger import read_agents, read_ssh_keys
from greenroom.db.launch.on_demand import LedgerLine, insert_for_user
from greenroom.db.session.sessions import NewSession
from greenroom.kit.secrets import Secrets, new_secret
from greenroom.kit.stops import hold, stop


async def claim_staged(
    db: Database, launch: Launch, attempt: Attempt, trace: Sequence[TraceStep]
) -> tuple[PlacedSession | None, list[Miss]]:
    """Assign a staged session of the attempt's pool to the user; `trace` is that of the launch so far.

    Returns:
        The session and nothing, or None and why there was none.

    Raises:
        SessionLimit: `max_kasms_per_user` is reached.
        RepeatedRequest: the idempotency key was used by another request meanwhile.
        IdempotencyMismatch: it was used for a different request.
    """
    pool, request, zone = attempt.pool, launch.request, attempt.zone
    if pool is None:
        raise AssertionError("a staged attempt without misses has a pool")
    assignment_id = str(uuid.uuid4())
    reason = launch.told(f"A staged session of zone {zone.zone_name} was assigned.")
    row, contents = await claim(
        db,
        Claim(
            user_id=request.user_id,
            staging_config_id=pool.staging_config_id,
            config_hash=config_hash_of(launch.image, zone.facts, pool.permissions),
            launch_id=launch.launch_id,
            assignment_id=assignment_id,
            assignment=assignment_of(launch, assignment_id),
            max_sessions=launch.max_sessions,
            clocks=launch.clocks,
            kasm_url=request.kasm_url,
            idempotency_key=request.idempotency_key,
            idempotency_body=request.body() if request.idempotency_key else None,
            client_settings=launch.client_settings(),
            steps=ledger(trace, success_step(attempt, pool.staging_config_id, reason)),
            duration_ms=launch.elapsed_ms(),
            current_zone_id=launch.current_zone_id,
            request_host=request.request_host,
        ),
        after_user_lock=hold("claim.after_user_lock"),
    )
    if row is None:
        return None, [pool_miss(contents, launch.image, zone)]
    await stop("claim.after_commit")
    return PlacedSession(str(row["session_id"]), str(row["agent_id"]), row["auth_epoch"], reason), []


PLACEMENT_ROUNDS: Final = 3
"""How often the Agents are looked at anew when others take the room in between."""


@dataclass(frozen=True, slots=True)
class OnDemand:
    """Creates sessions for launches."""

    db: Database
    secrets: Secrets

    async def create(
        self, launch: Launch, attempt: Attempt, trace: Sequence[TraceStep]
    ) -> tuple[PlacedSession | None, list[Miss]]:
        """Place a new session in the attempt's zone; `trace` is that of the launch so far.

        Returns:
            The session and nothing, or None and why each Agent did not take it.

        Raises:
            SessionLimit: `max_kasms_per_user` is reached.
            ProfileInUse: another session has the user's profile of this workspace as its home.
            RepeatedRequest: the idempotency key was used by another request meanwhile.
            IdempotencyMismatch: it was used for a different request.
        """
        image, zone = launch.image, attempt.zone
        wanted = session_of(image)
        extras = replace(extras_of(launch), files=await self._files_of(launch))
        taken: list[str] = []
        for _ in range(PLACEMENT_ROUNDS):
            agents = [row_mapping.agent_view(row) for row in await read_agents(self.db, zone.zone_id, image.name)]
            placement = place(agents, wanted, zone.load_balancing_strategy)
            unready = [] if placement.candidates else await read_unready(self.db, zone.zone_id)
            found = rooms(placement, wanted, unready)
            if not found:
                await self._remember_waiting(launch, zone, placement, wanted)
                return None, placement_misses(zone, placement)
            taken = [room.agent.hostname for room in found]
            before = [*trace, *failed_steps(attempt, placement_misses(zone, placement))]
            for room in found:
                got = await self._insert(launch, attempt, room, extras, before)
                if got is not None:
                    return got, []
        return None, [room_taken(taken)]

    async def _remember_waiting(
        self, launch: Launch, zone: LaunchZone, placement: Placement, wanted: PlacementRequest
    ) -> None:
        """Keep the zone's pools from taking the room that comes free, if there can be enough for this launch."""
        if lacks_only_room(placement.rejected, wanted):
            user_id, image_id = launch.request.user_id, launch.image.image_id
            await remember_refused(self.db, zone_id=zone.zone_id, user_id=user_id, image_id=image_id)

    async def _insert(
        self, launch: Launch, attempt: Attempt, room: Room, extras: LaunchExtras, trace: Sequence[TraceStep]
    ) -> PlacedSession | None:
        request, image, zone, agent = launch.request, launch.image, attempt.zone, room.agent
        reason = launch.told(room_reason(room, zone.zone_name))
        permissions = permissions_of(launch.facts.settings)
        session_id, credential = str(uuid.uuid4()), new_secret()
        spec = on_demand_spec(image, zone.facts, permissions, extras, session_id=session_id, credential=credential)
        await stop("launch.before_insert")
        placed = await insert_for_user(
            self.db,
            NewSession(
                session_id=session_id,
                zone_id=zone.zone_id,
                image_id=image.image_id,
                agent_id=agent.agent_id,
                spec=spec.stored(),
                files_encrypted=self._encrypted(spec.files),
                credential_encrypted=self.secrets.encrypt(credential),
                spec_hash=spec.hash(),
                cores=image.cores,
                memory=image.memory,
                ttl_s=launch.clocks.first_s,
                clocks=launch.clocks,
                permissions=permissions,
                allow_origin=",".join(spec.allow_origin),
                upstream_auth=spec.upstream_auth,
                user_id=request.user_id,
                launch_id=launch.launch_id,
                idempotency_key=request.idempotency_key,
                idempotency_body=request.body() if request.idempotency_key else None,
                kasm_url=request.kasm_url,
                client_settings=launch.client_settings(),
            ),
            max_sessions=launch.max_sessions,
            ledger=LedgerLine(
                steps=ledger(trace, success_step(attempt, agent.hostname, reason)),
                duration_ms=launch.elapsed_ms(),
                current_zone_id=launch.current_zone_id,
                request_host=request.request_host,
            ),
            yielding=[session.session_id for session in room.yielding],
        )
        if not placed:
            return None
        await stop("launch.after_insert")
        return PlacedSession(session_id, agent.agent_id, 1, reason, room.yielding)

    async def _files_of(self, launch: Launch) -> tuple[File, ...]:
        """What is put into the user's container before it starts: their SSH keys, where their groups say so."""
        if not launch.facts.value("inject_ssh_keys"):
            return ()
        public_key, private_key_encrypted = await read_ssh_keys(self.db, launch.request.user_id)
        return ssh_files(public_key, self.secrets.decrypt(private_key_encrypted) if private_key_encrypted else None)

    def _encrypted(self, files: Sequence[File]) -> bytes | None:
        return self.secrets.encrypt(json.dumps([asdict(file) for file in files])) if files else None

"""One attempt of a launch on the Agents of a zone: a new session, made for its user."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from greenroom.api.launch_plan import Got, Launch, extras_of, ledger
from greenroom.core.launching import Attempt, LaunchZone, Miss, TraceStep, missed, placement_misses, room_taken, used
from greenroom.core.making_room import Room, lacks_only_room, room_reason, rooms
from greenroom.core.placement import Placement, PlacementRequest, place, session_of
from greenroom.core.sessions import File
from greenroom.core.settings import permissions_of
from greenroom.core.specs import LaunchExtras, on_demand_spec
from greenroom.core.ssh_keys import ssh_files
from greenroom.db import facts as rows
from greenroom.db.database import Database
from greenroom.db.launches import read_agents, read_ssh_keys
from greenroom.db.making_room import read_unready, remember_refused
from greenroom.db.on_demand import LedgerLine, insert_for_user
from greenroom.db.sessions import NewSession
from greenroom.kit.secrets import Secrets, new_secret
from greenroom.kit.stops import stop

PLACEMENT_ROUNDS: Final = 3
"""How often the Agents are looked at anew when others take the room in between."""


@dataclass(frozen=True, slots=True)
class OnDemand:
    """Creates sessions for launches."""

    db: Database
    secrets: Secrets

    async def create(
        self, launch: Launch, attempt: Attempt, trace: Sequence[TraceStep]
    ) -> tuple[Got | None, list[Miss]]:
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
            agents = [rows.agent_view(row) for row in await read_agents(self.db, zone.zone_id, image.name)]
            placement = place(agents, wanted, zone.load_balancing_strategy)
            unready = [] if placement.candidates else await read_unready(self.db, zone.zone_id)
            found = rooms(placement, wanted, unready)
            if not found:
                await self._remember_waiting(launch, zone, placement, wanted)
                return None, placement_misses(zone, placement)
            taken = [room.agent.hostname for room in found]
            before = [*trace, *missed(attempt, placement_misses(zone, placement))]
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
    ) -> Got | None:
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
                steps=ledger(trace, used(attempt, agent.hostname, reason)),
                duration_ms=launch.elapsed_ms(),
                current_zone_id=launch.current_zone_id,
                request_host=request.request_host,
            ),
            yielding=[session.session_id for session in room.yielding],
        )
        if not placed:
            return None
        await stop("launch.after_insert")
        return Got(session_id, agent.agent_id, 1, reason, room.yielding)

    async def _files_of(self, launch: Launch) -> tuple[File, ...]:
        """What is put into the user's container before it starts: his SSH keys, where his groups say so."""
        if not launch.facts.value("inject_ssh_keys"):
            return ()
        public_key, private_key_encrypted = await read_ssh_keys(self.db, launch.request.user_id)
        return ssh_files(public_key, self.secrets.decrypt(private_key_encrypted) if private_key_encrypted else None)

    def _encrypted(self, files: Sequence[File]) -> bytes | None:
        return self.secrets.encrypt(json.dumps([asdict(file) for file in files])) if files else None

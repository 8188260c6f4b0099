"""The session that is sought for a user, what is written with it, and the result.

A launch (`sessions.launch`) and a replacement (`sessions.replace`) search in the same way; they differ only in these
values and in the `Writer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from greenroom.core.events import Event, session_events
from greenroom.core.launch.eviction import Room, Unready
from greenroom.core.launch.placement import PlacementRequest
from greenroom.core.launch.plan import Attempt, LaunchZone, Miss, PoolContents, TraceStep
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db.launch.claims import Claim, ClaimedSession
from greenroom.db.session.sessions import NewSession, SessionUser
from greenroom.sessions.new_session import SpecMaker
from greenroom.wire.messages import Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSession:
    """The session that a user is to get, staged or new."""

    user: SessionUser
    image: ImageFacts
    permissions: Mapping[str, bool]
    assignment: Assignment
    """Of a staged one; its id is made with the claim."""
    request: PlacementRequest
    """What a new one needs of an Agent."""
    spec_in: Callable[[LaunchZone], SpecMaker]
    """The specification of a new one in a zone."""
    last_agent_id: str | None = None
    never_on: frozenset[str] = frozenset()
    another_agent: str = "Agent"
    """What a zone without a possible Agent lacks."""
    instead: str = ""
    """Inserted into the sentence that says where the session is from, as is `remark` after it."""
    remark: str = ""
    keeps_room: bool = False
    """Without room, pools leave free room alone for a while: the user waits, and asks again."""

    def reason_of(self, reason: str) -> str:
        """How the user came to the session, as a sentence for trace and log."""
        return f"{reason} {self.remark}".rstrip()


class Writer(Protocol):
    """Writes a session of a user with everything that belongs to it, in one transaction."""

    async def claim(self, claim: Claim, zone_id: str, steps: Sequence[TraceStep]) -> ClaimedSession | PoolContents:
        """Give the user a staged session; `steps` is the whole trace. Otherwise what is in the pool."""
        ...

    async def insert(self, new: NewSession, room: Room, steps: Sequence[TraceStep]) -> bool:
        """Insert the user's session; False where the room is taken by now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedSession:
    """A session that a user got, committed. `reason` is the sentence for trace and log, `steps` the whole trace,
    `yielding` are staged sessions that made room. `edge_url` is of its Agent's edge gateway; empty without one.
    """

    session_id: str
    agent_id: str
    edge_url: str
    attempt: Attempt
    reason: str
    steps: tuple[TraceStep, ...]
    auth_epoch: int = 1
    yielding: tuple[Unready, ...] = ()

    @property
    def events(self) -> set[Event]:
        pool = self.attempt.pool
        events = session_events(
            self.session_id,
            agent_id=self.agent_id,
            staging_config_id=pool.staging_config_id if pool else None,
        )
        for gone in self.yielding:
            events |= session_events(gone.session_id, staging_config_id=gone.staging_config_id)
        return events


Misses = Sequence[Miss]
"""Why an attempt gave no session."""

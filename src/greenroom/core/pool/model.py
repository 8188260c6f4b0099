"""The input of the plan of a pool of staged sessions, and the actions of a plan. `core.pool.plan` computes the plan.

A session *counts* if it is or will be claimable: it has the current config hash, is not expired, and its Agent is
running and accepts new sessions.
*Retire* removes a claimable session from the pool and ends it, unless it was claimed meanwhile. *Destroy* ends a
session that is not claimable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final, Literal

from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.core.launch.placement import PlacementAgent, Strategy, serves
from greenroom.core.session.states import SessionStatus
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts

START_STATUSES: Final = frozenset({SessionStatus.REQUESTED, SessionStatus.STARTING})
"""The statuses of a session that is not claimable yet and will be."""

RECYCLED: Final = "the workspace was changed or the pool recycled after it was created"
IMAGE_CHANGED: Final = "its host got another image under the same name after it was created"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenSession:
    """A session that stopped working while it was staged. `broke` is the time of the failure."""

    created: datetime
    broke: datetime
    error: str
    config_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFields:
    """The fields of a staging config that can be changed; its zone and image are fixed. `expiration` is in hours."""

    num_sessions: int
    expiration: float
    paused: bool
    allow_kasm_audio: bool
    allow_kasm_uploads: bool
    allow_kasm_downloads: bool
    allow_kasm_clipboard_down: bool
    allow_kasm_clipboard_up: bool
    allow_kasm_microphone: bool
    allow_kasm_gamepad: bool
    allow_kasm_webcam: bool

    @property
    def permissions(self) -> dict[str, bool]:
        """The permissions of the sessions. Only a user with exactly these permissions can get one of them."""
        return {name: getattr(self, name) for name in STAGED_PERMISSIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig(ConfigFields):
    """A staging config with its recent failures."""

    staging_config_id: str
    deleted: bool = False
    config_hash: str = ""
    failures: int = 0
    last_error: str | None = None
    next_try: datetime | None = None
    last_success: datetime | None = None
    """The creation time of the newest session that became usable."""
    recycled: datetime | None = None
    """Sessions that were created before this time are replaced one by one."""
    broken: tuple[BrokenSession, ...] = ()
    """Sessions of the current version of workspace, config and zone that broke recently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledSession:
    """A session of the config that has no user and is not ending."""

    session_id: str
    agent_id: str
    status: SessionStatus
    claimable: bool
    created: datetime
    expires: datetime
    started: datetime | None = None
    """The time at which it became usable; None = not yet."""
    replaces: str | None = None
    """The id of the session that it replaces."""
    config_hash: str = ""
    error: str | None = None
    was_usable: bool = False
    """True if it was claimable before; a failure is then not a failure of its start."""
    cores: float = 0.0
    memory: int = 0
    """The reserved memory in bytes. `cores` and `memory` are the values of the workspace at the creation of the
    session.
    """


@dataclass(frozen=True, kw_only=True)
class PoolSnapshot:
    """The input of a plan. `agents` are the Agents of the zone, with the state of the image of the config."""

    now: datetime
    config: PoolConfig
    image: ImageFacts
    zone: ZoneFacts
    strategy: Strategy
    sessions: tuple[PooledSession, ...]
    agents: tuple[PlacementAgent, ...]
    ending: int = 0
    """The number of sessions of the config without a user that are ending and still use resources."""
    failed_agent_ids: frozenset[str] = frozenset()
    """The ids of Agents on which a start of this workspace, config and zone failed recently. They are tried last."""
    waiting_users_text: str | None = None
    """The beginning of a sentence, such as "2 people wait for room in zone eu"; no session is created then. None = no
    user waits.
    """

    @cached_property
    def _serves(self) -> dict[str, bool]:
        """Agent id → True if the Agent is running and accepts new sessions."""
        return {agent.agent_id: serves(agent) for agent in self.agents}

    def serves(self, session: PooledSession) -> bool:
        return self._serves.get(session.agent_id, False)

    def is_in_zone(self, session: PooledSession) -> bool:
        """True if the Agent of the session, running or not, is in the zone. It may have been moved to another zone."""
        return session.agent_id in self._serves

    def expired(self, session: PooledSession) -> bool:
        return session.expires <= self.now

    @cached_property
    def _image_changed(self) -> dict[str, datetime]:
        """Agent id → the time at which it got another image with the same name."""
        return {agent.agent_id: agent.image_changed for agent in self.agents if agent.image_changed is not None}

    def outdated(self, session: PooledSession) -> str | None:
        """Return the reason why this session is outdated, as a clause; None if a new session would be the same."""
        if self.config.recycled is not None and session.created < self.config.recycled:
            return RECYCLED
        changed = self._image_changed.get(session.agent_id)
        return IMAGE_CHANGED if changed is not None and session.created < changed else None

    def counts(self, session: PooledSession) -> bool:
        """True if the session counts: it is or will be claimable."""
        return (
            (session.claimable or session.status in START_STATUSES)
            and session.config_hash == self.config.config_hash
            and not self.expired(session)
            and self.serves(session)
        )


@dataclass(frozen=True, slots=True)
class Create:
    """Insert a session on this Agent. `replaces` is the id of the session that ends when this one is claimable."""

    agent_id: str
    reason: str
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class Retire:
    """Remove a claimable session from the pool and end it, unless it was claimed meanwhile."""

    session_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Destroy:
    """End a session that is not claimable."""

    session_id: str
    reason: str


Action = Create | Retire | Destroy


ShortfallCode = Literal[
    "starting",
    "no-capacity",
    "no-agent",
    "image-disabled",
    "image-unavailable",
    "image-pulling",
    "start-failing",
    "zone-request-host",
    "no-running-manager",
    "paused",
]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """The reason why a pool has fewer sessions than desired."""

    code: ShortfallCode
    reason: str

    @property
    def needs_action(self) -> bool:
        """False if it ends by itself, or is the intention of an administrator."""
        return self.code not in ("starting", "image-pulling", "paused")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """The actions in the order in which they must be applied, the shortfall, and the failures to store.
    `refill_problem` is the reason why the next session of a full pool cannot start."""

    actions: tuple[Action, ...]
    shortfall: Shortfall | None
    refill_problem: Shortfall | None = None
    failures: int
    last_error: str | None
    next_try: datetime | None

    @property
    def creates(self) -> tuple[Create, ...]:
        return tuple(action for action in self.actions if isinstance(action, Create))


def config_title(friendly_name: str, zone_name: str, staging_config_id: str) -> str:
    """Return the name of a config for the log. It contains the id, because a zone may have several configs for a
    workspace.
    """
    return f"{friendly_name} in zone {zone_name} (config {staging_config_id[:8]})"

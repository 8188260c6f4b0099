"""A pool of staged sessions as its plan sees it, and the actions of a plan; `core.pool.plan` makes the plan.

A session *counts* when it is or will be claimable: current, not expired, on an enabled Agent that is running. *Retire*
takes a claimable session out of the pool, unless it was claimed meanwhile; *destroy* ends one that was not claimable.
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

COMING: Final = frozenset({SessionStatus.REQUESTED, SessionStatus.STARTING})
"""Statuses of a session that is on its way to be claimable."""

RECYCLED: Final = "the workspace was changed or the pool recycled after it was created"
IMAGE_CHANGED: Final = "its host got another image under the same name after it was created"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A session that stopped working while it was staged: when it was created, when it broke, and how."""

    created: datetime
    broke: datetime
    error: str
    config_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFields:
    """The fields of a config that can be changed; zone and image are fixed. `expiration` is hours."""

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
        """The permissions a user must have exactly to get one of its sessions."""
        return {name: getattr(self, name) for name in STAGED_PERMISSIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig(ConfigFields):
    """A staging config with what it remembers of failures."""

    staging_config_id: str
    deleted: bool = False
    config_hash: str = ""
    failures: int = 0
    last_error: str | None = None
    next_try: datetime | None = None
    last_success: datetime | None = None
    """Creation of the newest session that ever became usable."""
    recycled: datetime | None = None
    """Sessions created before this are replaced one by one."""
    broken: tuple[Broken, ...] = ()
    """Sessions of the present workspace, config and zone that broke lately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledSession:
    """A session of the config without a user, and not yet on its way out."""

    session_id: str
    agent_id: str
    status: SessionStatus
    claimable: bool
    created: datetime
    expires: datetime
    started: datetime | None = None
    """When it became usable; None = not yet."""
    replaces: str | None = None
    """The session that it was started to replace."""
    config_hash: str = ""
    error: str | None = None
    was_usable: bool = False
    """It was claimable once; if it is `failed`, its start did not fail."""
    cores: float = 0.0
    memory: int = 0
    """Its reservation in bytes: that of its workspace when it was created."""


@dataclass(frozen=True, kw_only=True)
class PoolSnapshot:
    """Everything a plan depends on; `agents` are those of the zone with the state of the config's image."""

    now: datetime
    config: PoolConfig
    image: ImageFacts
    zone: ZoneFacts
    strategy: Strategy
    sessions: tuple[PooledSession, ...]
    agents: tuple[PlacementAgent, ...]
    leaving: int = 0
    """Sessions of the config without a user that are on their way out, and still use resources."""
    failed_on: frozenset[str] = frozenset()
    """Agents on which a start of this workspace, config and zone failed lately: they are tried last."""
    people_waiting: str | None = None
    """"2 people wait for room in zone eu"; nothing is created meanwhile."""

    @cached_property
    def _serves(self) -> dict[str, bool]:
        """Agent → whether it serves."""
        return {agent.agent_id: serves(agent) for agent in self.agents}

    def serves(self, session: PooledSession) -> bool:
        return self._serves.get(session.agent_id, False)

    def is_in_zone(self, session: PooledSession) -> bool:
        """Whether its Agent is one of the zone, running or not; an Agent may be moved to another zone."""
        return session.agent_id in self._serves

    def expired(self, session: PooledSession) -> bool:
        return session.expires <= self.now

    @cached_property
    def _image_changed(self) -> dict[str, datetime]:
        """Agent → when it got another image under the same name."""
        return {agent.agent_id: agent.image_changed for agent in self.agents if agent.image_changed is not None}

    def outdated(self, session: PooledSession) -> str | None:
        """Why a new session would differ from this one, as a clause; None = it would not."""
        if self.config.recycled is not None and session.created < self.config.recycled:
            return RECYCLED
        changed = self._image_changed.get(session.agent_id)
        return IMAGE_CHANGED if changed is not None and session.created < changed else None

    def counts(self, session: PooledSession) -> bool:
        return (
            (session.claimable or session.status in COMING)
            and session.config_hash == self.config.config_hash
            and not self.expired(session)
            and self.serves(session)
        )


@dataclass(frozen=True, slots=True)
class Create:
    """Insert a session on this Agent; `replaces` names the session that it replaces once it is claimable."""

    agent_id: str
    reason: str
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class Retire:
    """Take a claimable session out of the pool and end it, unless it was claimed meanwhile."""

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
    """Why the pool is below Desired."""

    code: ShortfallCode
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """The actions in the order in which they are to be applied, and what the config remembers afterwards."""

    actions: tuple[Action, ...]
    shortfall: Shortfall | None
    failures: int
    last_error: str | None
    next_try: datetime | None

    @property
    def creates(self) -> tuple[Create, ...]:
        return tuple(action for action in self.actions if isinstance(action, Create))


def config_title(friendly_name: str, zone_name: str, staging_config_id: str) -> str:
    """The name of a config in the log; workspace and zone alone may name several, with different permissions."""
    return f"{friendly_name} in zone {zone_name} (config {staging_config_id[:8]})"

"""The state of an installation from which the page Today is made, and the part of it that a caller may see.

The state is read once for all callers. `Watched.seen_by` removes everything that the permissions of the caller do not
include, so no later code must check a permission again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from greenroom.core.fleet.disk import FreeDisk
from greenroom.core.fleet.liveness import AgentStatus, Closed, EffectiveStatus, closed, effective_status
from greenroom.core.launch.plan import TraceStep
from greenroom.core.pool.model import Shortfall
from greenroom.core.webhooks import DeliveryAttempt

CredentialKind = Literal["api_key", "service_account", "scim_client"]
CREDENTIAL_CODES: Final[Mapping[CredentialKind, str]] = {
    "api_key": "devapi_view",
    "service_account": "devapi_view",
    "scim_client": "settings_view",
}
"""Kind of a credential → the permission to see it."""
CODES: Final = (
    "zones_view",
    "managers_view",
    "agents_view",
    "staging_view",
    "sessions_view",
    "webhooks_view",
    "audit_view",
    "system_view",
    "devapi_view",
    "settings_view",
)
"""The permissions on which the content of the page Today depends."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The zones that a caller may see, by permission code; None = all zones. The caller lacks a missing code."""

    zones: Mapping[str, Collection[str] | None] = field(default_factory=dict[str, Collection[str] | None])

    def everywhere(self, code: str) -> bool:
        """True if the caller has the code for the whole installation."""
        return code in self.zones and self.zones[code] is None

    def sees(self, code: str, zone_id: str) -> bool:
        """True if the caller has the code in this zone."""
        zones = self.zones.get(code, ())
        return zones is None or zone_id in zones


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedZone:
    """A zone, and the numbers of its Managers and Agents."""

    zone_id: str
    zone_name: str
    num_managers: int
    num_running_managers: int
    num_agents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedManager:
    """A Manager. `reason` is its problem as a sentence, if it has one. `disabled_since` is None if it is unknown."""

    manager_id: str
    instance_id: str
    zone_id: str
    zone_name: str
    enabled: bool
    running: bool
    is_primary: bool
    last_reported: datetime
    reason: str | None = None
    disabled_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedAgent:
    """An Agent with its capacity, its disk, and the number of users with a session on it; memory in bytes."""

    agent_id: str
    hostname: str
    zone_id: str
    zone_name: str
    stored_status: AgentStatus
    enabled: bool
    draining: bool
    registered: datetime
    last_reported: datetime | None
    silent_s: float | None
    has_manager: bool
    runtime_error: str
    crash_loop: str
    check_in_refused: str
    edge_url_requested: str | None
    cores: float
    cores_allocated: float
    memory: int
    memory_allocated: int
    users: int
    disk: FreeDisk

    @property
    def effective(self) -> EffectiveStatus:
        """The status as administrators see it, with the problem of the Agent."""
        return effective_status(
            self.stored_status,
            self.zone_name,
            silent_s=self.silent_s,
            has_manager=self.has_manager,
            runtime_error=self.runtime_error,
            crash_loop=self.crash_loop,
            check_in_refused=self.check_in_refused,
            edge_requested=self.edge_url_requested,
        )

    @property
    def status(self) -> AgentStatus:
        return self.effective.status

    @property
    def closed(self) -> Closed | None:
        """The reason why the Agent takes no new sessions; None if it takes them."""
        return closed(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFailure:
    """A running Agent that cannot get the image of a workspace; `name` is the reference to the image."""

    image_id: str
    name: str
    friendly_name: str
    agent_id: str
    hostname: str
    zone_id: str
    error: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedPool:
    """A staging config, the number of its claimable sessions, and the desired number, which is 0 while it is paused.
    `refill_problem` is the reason why the next session of a full pool cannot start, if it needs attention. `since` is
    the time at which the log last reported the shortfall or this reason."""

    staging_config_id: str
    zone_id: str
    zone_name: str
    image_id: str
    friendly_name: str
    current: int = 0
    desired: int = 0
    paused: bool = False
    shortfall: Shortfall | None = None
    refill_problem: Shortfall | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedLaunches:
    """Failed launches of a workspace with one cause, after which no launch of the workspace succeeded. `steps` is the
    trace of the newest one, `launch_id`. Deleted users are not in `user_ids`."""

    launch_id: str
    image_id: str
    friendly_name: str
    user_ids: frozenset[str]
    number: int
    since: datetime
    steps: tuple[TraceStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingWebhook:
    """A webhook that sends, with messages that were attempted and not delivered. `oldest` is the time of the first of
    them."""

    webhook_id: str
    name: str
    waiting: int
    oldest: datetime
    last_attempt: DeliveryAttempt


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiringCredential:
    """A valid credential that expires. `object_id` is the object whose page can renew it."""

    kind: CredentialKind
    object_id: str
    name: str
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingSignOn:
    """An enabled sign-on provider or directory through which the last log-in or test failed; `problem` is the reason as
    a sentence."""

    kind: Literal["sign_on_provider", "directory"]
    source_id: str
    title: str
    problem: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditBacklog:
    """The events of the audit that a syslog server has not received; `oldest` is the time of the first of them. None:
    it has received all events."""

    target: str
    number: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsynchronizedDirectory:
    """A directory whose last synchronization stopped for `problem`, a sentence; empty = it is overdue. `since` is the
    end of the last complete one, or the time at which the directory was created."""

    directory_id: str
    title: str
    problem: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrecordedSessions:
    """The running sessions that must be recorded, and of whose videos nothing was stored recently; `since` is the time
    of the last stored picture of the first of them."""

    number: int
    people: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedErrors:
    """The rows of the last hour with one code of the log, with the message of the newest one."""

    code: str
    number: int
    newest: datetime
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateWarning:
    """The last warning of a gateway about one of its certificates, as a sentence."""

    sentence: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupState:
    """The last backups. `succeeded` is the end of the last successful one. `failed` is the end of a later one that
    failed, and `failure` its sentence. A backup is too old after `warning_days` days; 0 = never."""

    succeeded: datetime | None
    failed: datetime | None
    failure: str
    warning_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingFilter:
    """A web filter of an Agent whose last log rows are recent, with the message of the newest one. `fails` is False if
    the filter ended and was started again. `people` is the number of users with a filtered session on the Agent."""

    agent_id: str
    hostname: str
    zone_id: str
    message: str
    fails: bool
    newest: datetime
    people: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The state of an installation at `now`."""

    now: datetime
    zones: tuple[WatchedZone, ...] = ()
    managers: tuple[WatchedManager, ...] = ()
    agents: tuple[WatchedAgent, ...] = ()
    images: tuple[ImageFailure, ...] = ()
    pools: tuple[WatchedPool, ...] = ()
    launches: tuple[FailedLaunches, ...] = ()
    webhooks: tuple[FailingWebhook, ...] = ()
    credentials: tuple[ExpiringCredential, ...] = ()
    sign_on: tuple[FailingSignOn, ...] = ()
    backlog: AuditBacklog | None = None
    directories: tuple[UnsynchronizedDirectory, ...] = ()
    unrecorded: UnrecordedSessions | None = None
    errors: tuple[LoggedErrors, ...] = ()
    failing: tuple[LoggedErrors, ...] = ()
    """The newest row of each process, and of each clean-up, about work that fails again and again."""
    certificates: tuple[CertificateWarning, ...] = ()
    filters: tuple[FailingFilter, ...] = ()
    backups: BackupState | None = None
    """None: there was no backup."""

    def seen_by(self, sight: Sight) -> Watched:
        """Return the part that a caller may see."""
        may = sight.everywhere
        return replace(
            self,
            zones=tuple(zone for zone in self.zones if sight.sees("zones_view", zone.zone_id)),
            managers=tuple(manager for manager in self.managers if sight.sees("managers_view", manager.zone_id)),
            agents=tuple(agent for agent in self.agents if sight.sees("agents_view", agent.zone_id)),
            images=tuple(image for image in self.images if sight.sees("agents_view", image.zone_id)),
            pools=tuple(pool for pool in self.pools if sight.sees("staging_view", pool.zone_id)),
            launches=self.launches if may("sessions_view") else (),
            webhooks=self.webhooks if may("webhooks_view") else (),
            credentials=tuple(each for each in self.credentials if may(CREDENTIAL_CODES[each.kind])),
            sign_on=self.sign_on if may("settings_view") else (),
            backlog=self.backlog if may("audit_view") else None,
            directories=self.directories if may("settings_view") else (),
            unrecorded=self.unrecorded if may("sessions_view") else None,
            errors=self.errors if may("system_view") else (),
            failing=self.failing if may("system_view") else (),
            certificates=self.certificates if may("system_view") else (),
            filters=tuple(each for each in self.filters if sight.sees("agents_view", each.zone_id)),
            backups=self.backups if may("system_view") else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCapacity:
    """The capacity of the Agents that take new sessions, and the part of it that no session has reserved; memory in
    bytes. `running` of `agents` run."""

    agents: int
    running: int
    cores: float
    cores_free: float
    memory: int
    memory_free: int


def capacity_of(agents: Collection[WatchedAgent]) -> FleetCapacity:
    """Return the capacity of these Agents."""
    usable = [agent for agent in agents if agent.closed is None]
    return FleetCapacity(
        agents=len(agents),
        running=sum(agent.effective.status == "running" for agent in agents),
        cores=sum(agent.cores for agent in usable),
        cores_free=sum(max(0.0, agent.cores - agent.cores_allocated) for agent in usable),
        memory=sum(agent.memory for agent in usable),
        memory_free=sum(max(0, agent.memory - agent.memory_allocated) for agent in usable),
    )

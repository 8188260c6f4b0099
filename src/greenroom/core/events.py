"""Events: each reports that an object changed. The event does not contain the new state, so the receiver reads it.

An event is sent in a PostgreSQL notification as the text `topic:id`, or as `agent:id:session_id`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final
from uuid import UUID

from greenroom.core.access.permissions import USER


class Topic(StrEnum):
    """The kind of object that changed. The id of an event is the id of the object; for ZONE and PRIMARY, it is the
    `zone_key` of the zone; for STAGING, it is the id of the staging config. Events of plural topics have no id."""

    SESSION = "session"
    AGENT = "agent"
    STAGING = "staging"
    ZONE = "zone"
    PRIMARY = "primary"
    LEASE = "lease"
    MANAGERS = "managers"
    AGENTS = "agents"
    ZONES = "zones"
    SETTINGS = "settings"
    IMAGES = "images"
    FILTER_POLICIES = "filter_policies"
    USERS = "users"
    MACHINES = "machines"
    WEBHOOKS = "webhooks"
    LOGS = "logs"


MAX_RECENT: Final = 256
"""The number of events that each api remembers."""


class ManagerPart(Enum):
    """A part of a Manager that waits for events."""

    AGENT = auto()
    """The waiting check-in of the Agent that the event names. It reads the session in the event, or all sessions."""
    AGENTS = auto()
    """The waiting check-ins of all Agents."""
    POOL = auto()
    """The plan of the pool that the event names."""
    POOLS = auto()
    """The plans of all pools, in the next round."""
    ROUND = auto()
    """The next round of the tasks of the Primary."""
    LEADERSHIP = auto()
    """The loop that reads and renews the leadership of the zone."""
    MACHINES = auto()
    """The plan of the zone's ordered machines."""


@dataclass(frozen=True, slots=True)
class TopicRule:
    """The receivers of the events of a topic."""

    permission: str
    """The permission to read these events from `/events`. The user of a session also receives its events and those of
    its lease.
    """
    wakes: frozenset[ManagerPart] = frozenset()
    """The parts that the events wake: in the Managers of the zone if the event has a `zone_key`, else in all Managers.
    """


TOPICS: Final = {
    Topic.SESSION: TopicRule("sessions_view"),
    Topic.AGENT: TopicRule("agents_view", frozenset({ManagerPart.AGENT})),
    Topic.STAGING: TopicRule("staging_view", frozenset({ManagerPart.POOL})),
    Topic.ZONE: TopicRule("managers_view", frozenset({ManagerPart.ROUND})),
    Topic.PRIMARY: TopicRule(
        "managers_view", frozenset({ManagerPart.AGENTS, ManagerPart.ROUND, ManagerPart.LEADERSHIP})
    ),
    Topic.LEASE: TopicRule("sessions_view"),
    Topic.MANAGERS: TopicRule(
        "managers_view", frozenset({ManagerPart.AGENTS, ManagerPart.ROUND, ManagerPart.LEADERSHIP})
    ),
    Topic.AGENTS: TopicRule("agents_view", frozenset({ManagerPart.POOLS})),
    Topic.ZONES: TopicRule("zones_view", frozenset({ManagerPart.POOLS, ManagerPart.ROUND})),
    Topic.SETTINGS: TopicRule(USER, frozenset({ManagerPart.POOLS, ManagerPart.ROUND})),
    Topic.IMAGES: TopicRule(USER, frozenset({ManagerPart.AGENTS, ManagerPart.POOLS, ManagerPart.ROUND})),
    Topic.FILTER_POLICIES: TopicRule("webfilters_view", frozenset({ManagerPart.AGENTS})),
    Topic.USERS: TopicRule("users_view"),
    Topic.MACHINES: TopicRule("machines_view", frozenset({ManagerPart.MACHINES})),
    Topic.WEBHOOKS: TopicRule("webhooks_view"),
    Topic.LOGS: TopicRule("system_view"),
}


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """The change of an object; `id` is empty for a topic without ids."""

    topic: Topic
    id: str = ""
    session_id: str = ""
    """For the topic AGENT: the only session of the Agent that changed; empty = any of its sessions may have changed."""

    def __str__(self) -> str:
        return f"{self.topic}:{self.id}" + (f":{self.session_id}" if self.session_id else "")

    @classmethod
    def parse(cls, text: str) -> ChangeEvent | None:
        """Return the event of this text; None if the topic is unknown, because another version sent the event."""
        topic, _, subject = text.partition(":")
        subject, _, session_id = subject.partition(":")
        try:
            return cls(Topic(topic), subject, session_id)
        except ValueError:
            return None

    @classmethod
    def session(cls, session_id: str | UUID) -> ChangeEvent:
        return cls(Topic.SESSION, str(session_id))

    @classmethod
    def agent(cls, agent_id: str | UUID, session_id: str | UUID = "") -> ChangeEvent:
        return cls(Topic.AGENT, str(agent_id), str(session_id))

    @classmethod
    def staging(cls, staging_config_id: str | UUID) -> ChangeEvent:
        """A staging config or its pool changed."""
        return cls(Topic.STAGING, str(staging_config_id))

    @classmethod
    def zone(cls, zone_key: int) -> ChangeEvent:
        """The Primary of a zone has work to do."""
        return cls(Topic.ZONE, str(zone_key))

    @classmethod
    def primary(cls, zone_key: int) -> ChangeEvent:
        """Another Manager became Primary of a zone, or the zone has no Primary."""
        return cls(Topic.PRIMARY, str(zone_key))

    @classmethod
    def lease(cls, lease_id: str | UUID) -> ChangeEvent:
        """The lease began or ended, or its session, its deadline or the holder of control changed."""
        return cls(Topic.LEASE, str(lease_id))


def session_events(
    session_id: str | UUID,
    *,
    agent_id: str | UUID | None = None,
    staging_config_id: str | UUID | None = None,
    zone_key: int | None = None,
) -> set[ChangeEvent]:
    """Return the events of a changed session: its own, and those of its Agent, pool and zone if they are passed."""
    events = {ChangeEvent.session(session_id)}
    if agent_id is not None:
        events.add(ChangeEvent.agent(agent_id, session_id))
    if staging_config_id is not None:
        events.add(ChangeEvent.staging(staging_config_id))
    if zone_key is not None:
        events.add(ChangeEvent.zone(zone_key))
    return events

"""The object that `greenroom up --json` and `greenroom status --json` print."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AdminLogin:
    """`password` is None once it was changed."""

    username: str
    password: str | None


@dataclass(frozen=True, slots=True)
class DescribedZone:
    """`zone_id` is None while the database does not have it."""

    zone_id: str | None
    zone_name: str
    gateway_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedManager:
    """`manager_id` is None before it registered, `pid` while it does not run."""

    manager_id: str | None
    instance_id: str
    zone_name: str
    port: int
    gateway_url: str
    pid: int | None
    sentinel_file: str


@dataclass(frozen=True, slots=True)
class DescribedAgent:
    """An Agent of this host."""

    agent_id: str
    zone_name: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Addresses, credentials, ids and, by role, pids."""

    url: str
    stream_url: str
    ca_file: str
    admin: AdminLogin
    api_key: str | None
    api_key_secret: str | None
    zones: list[DescribedZone]
    managers: list[DescribedManager]
    agents: list[DescribedAgent]
    pids: dict[str, list[int]]
    data: str
    public_url: str
    database_url: str

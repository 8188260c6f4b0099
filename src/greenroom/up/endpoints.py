"""Where each part of an instance is reached: ids, ports, addresses and files, decided before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from greenroom.up.layout import Layout
from greenroom.up.options import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerEndpoint:
    """One Manager."""

    name: str
    zone: str
    instance_id: str
    port: int
    gateway_port: int
    sentinel_file: Path

    @property
    def gateway_url(self) -> str:
        """Its own listener of the gateway, on which its sentinel is checked."""
        return f"https://127.0.0.1:{self.gateway_port}"

    @property
    def health_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/__healthcheck"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEndpoint:
    """One Agent."""

    name: str
    zone: str
    agent_id: str
    port: int

    @property
    def route(self) -> str:
        return self.agent_id.replace("-", "")[:8]

    @property
    def health_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/__healthcheck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """All of an instance."""

    url: str
    stream_url: str
    main_port: int
    stream_port: int
    api_port: int
    gateway_metrics_port: int | None
    """None in an instance last started by a version without gateway metrics."""
    managers: tuple[ManagerEndpoint, ...]
    agents: tuple[AgentEndpoint, ...]

    @property
    def agent_ids(self) -> list[str]:
        return [agent.agent_id for agent in self.agents]

    @property
    def api_health_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}/api/__healthcheck"

    def managers_of(self, zone: str) -> list[ManagerEndpoint]:
        return [manager for manager in self.managers if manager.zone == zone]


def endpoints(layout: Layout, settings: Settings, ports: dict[str, int]) -> Endpoints:
    """The endpoints of an instance whose Manager and Agent folders have their ids."""
    return Endpoints(
        url=f"https://{settings.host}:{settings.port}",
        stream_url=f"https://{settings.host}:{ports['stream']}",
        main_port=settings.port,
        stream_port=ports["stream"],
        api_port=ports["api"],
        gateway_metrics_port=ports.get("gateway-metrics"),
        managers=tuple(_manager(layout, name, zone, ports) for name, zone in settings.manager_names),
        agents=tuple(
            AgentEndpoint(name=name, zone=zone, agent_id=_read(layout.agent(name) / "agent_id"), port=ports[name])
            for name, zone in settings.agent_names
        ),
    )


def _manager(layout: Layout, name: str, zone: str, ports: dict[str, int]) -> ManagerEndpoint:
    instance_id = _read(layout.manager(name) / "instance_id")
    return ManagerEndpoint(
        name=name,
        zone=zone,
        instance_id=instance_id,
        port=ports[name],
        gateway_port=ports[f"{name}-gateway"],
        sentinel_file=layout.sentinel(instance_id),
    )


def _read(path: Path) -> str:
    return path.read_text().strip()

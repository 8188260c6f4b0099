"""Builds the GatewayPlan of a gateway without a plan file, from its settings and facts. This module reads no files.

An edge gateway whose address is unknown or not usable is omitted from the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from greenroom.core.errors import Invalid, SetupError
from greenroom.core.fleet.addresses import edge_address, edge_name, origin_host
from greenroom.core.session.streams import ProxyFacts, direct_origins
from greenroom.gateway.agents import ServingAgent
from greenroom.gateway.plan import AgentUpstream, Edge, GatewayPlan, ManagerListener, NamedCertificate
from greenroom.kit.config import GatewayConfig, GatewayManager
from greenroom.wire.fleet import EdgeGateway, Fleet

SECRETS_FILE: Final = "stream-secrets.conf"
"""The file in the gateway's folder with the secrets that nginx presents to Agents on other hosts."""
AUTHORITY_FILE: Final = "fleet-authority.pem"
"""The file in the gateway's folder with the authority that signs the certificates of edge gateways."""
EDGE_FILES: Final = ("agent_id", "edge.pem", "edge.key")
"""The files that the Agent writes into `edge_dir` for its edge gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFacts:
    """The facts for a plan: the last `fleet` from the api, the `texts` of the existing files of `id_files`, and the IP
    `addresses` of resolved host names. `has_edge_certificate`: the Agent has written it into `edge_dir`."""

    fleet: Fleet = field(default_factory=Fleet)
    texts: Mapping[Path, str] = field(default_factory=dict[Path, str])
    addresses: Mapping[str, str] = field(default_factory=dict[str, str])
    has_edge_certificate: bool = False
    serving: tuple[ServingAgent, ...] = ()
    """Agents on other hosts whose sessions this gateway reaches."""
    gateway_id: str = ""


def build_plan(config: GatewayConfig, facts: SiteFacts, folder: Path) -> GatewayPlan:
    """Return the plan of the gateway, for settings that `check_settings` accepted. `folder` is absolute. Raises
    SetupError: the Agent of an edge gateway has no certificate yet, or the file `agent_id` contains no valid id."""
    local = _local_edge(config, facts)
    return (
        _edge_plan(config, facts, folder, local)
        if config.gateway_profile == "edge"
        else _web_plan(config, facts, folder, local)
    )


def check_settings(config: GatewayConfig) -> None:
    """Check that all required settings are set. Raises SetupError: settings are missing; the message names them."""
    edge = config.gateway_profile == "edge"
    missing = [
        (not config.public_url, "GREENROOM_PUBLIC_URL (the origin of the console)"),
        (edge and config.edge_dir is None, "GREENROOM_EDGE_DIR (the certificate folder of the Agent)"),
        (not edge and config.tls_certificate is None, "GREENROOM_TLS_CERTIFICATE"),
        (not edge and config.tls_key is None, "GREENROOM_TLS_KEY"),
        (not edge and config.gateway_credential_file is None, "GREENROOM_GATEWAY_CREDENTIAL_FILE"),
        (
            bool(config.stream_agents) and config.stream_secret_file is None,
            "GREENROOM_STREAM_SECRET_FILE (the secret for the Agents of GREENROOM_STREAM_AGENTS)",
        ),
    ]
    if names := [name for is_missing, name in missing if is_missing]:
        raise SetupError(
            f"A gateway of profile {config.gateway_profile} without GREENROOM_GATEWAY_FILE requires {', '.join(names)}."
        )


def id_files(config: GatewayConfig) -> list[Path]:
    """Return the files with ids that are part of the plan."""
    named = [manager.instance_id_file for manager in config.gateway_managers if manager.instance_id_file is not None]
    return [*named, *([config.edge_dir / "agent_id"] if config.edge_dir is not None else [])]


def host_names(config: GatewayConfig, fleet: Fleet) -> list[str]:
    """Return the host names of all upstreams, including IP addresses."""
    parts = (*config.gateway_managers, *config.gateway_agents)
    configured = [config.api_upstream, config.agent_upstream, *(part.upstream for part in parts)]
    reported = [upstream for edge in fleet.edges if (upstream := _upstream(edge)) is not None]
    return sorted({upstream.rpartition(":")[0] for upstream in (*configured, *reported)})


@dataclass(frozen=True, slots=True)
class _LocalEdge:
    """The Agent on this host, and the certificate of its edge gateway for web gateways on other hosts."""

    agent: AgentUpstream
    certificate: NamedCertificate | None


def _local_edge(config: GatewayConfig, facts: SiteFacts) -> _LocalEdge | None:
    """Return the edge gateway of this host; None without `edge_dir`, or until its Agent has an id. Raises SetupError:
    the id is not valid."""
    folder = config.edge_dir
    agent_id = facts.texts.get(folder / "agent_id") if folder is not None else None
    if folder is None or agent_id is None:
        return None
    route = _route(agent_id)
    try:
        name = edge_name(route)
    except ValueError as error:
        raise SetupError(f"{folder / 'agent_id'} does not contain the id of an Agent.") from error
    certificate = NamedCertificate(host=name, certificate=str(folder / "edge.pem"), key=str(folder / "edge.key"))
    return _LocalEdge(
        AgentUpstream(route=route, upstream=_with_resolved_host(config.agent_upstream, facts)),
        certificate if facts.has_edge_certificate else None,
    )


def _web_plan(config: GatewayConfig, facts: SiteFacts, folder: Path, local: _LocalEdge | None) -> GatewayPlan:
    agents = [
        AgentUpstream(route=_route(agent.agent_id), upstream=_with_resolved_host(agent.upstream, facts))
        for agent in config.gateway_agents
    ] + ([local.agent] if local else [])
    agents += _remote_agents(facts, [agent.route for agent in agents])
    hosts = _served_hosts(config)
    return GatewayPlan(
        profile="web",
        tls_certificate=str(config.tls_certificate),
        tls_key=str(config.tls_key),
        named_certificates=_named_certificates(config) + ([local.certificate] if local and local.certificate else []),
        main_listen=config.main_listen,
        stream_listen=config.stream_listen,
        served_hosts=hosts,
        public_url=config.public_url,
        stream_url=config.stream_url,
        api=_with_resolved_host(config.api_upstream, facts),
        console_dir=str(config.console_dir),
        managers=[_manager_listener(manager, facts) for manager in config.gateway_managers],
        agents=agents,
        edges=_edges(facts, {agent.route for agent in agents}, folder),
        direct_origins=_direct_origins(facts.fleet, hosts),
        credential_file=str(config.gateway_credential_file),
        stream_secrets_file=str(folder / SECRETS_FILE) if facts.serving else "",
        gateway_id=facts.gateway_id if facts.serving else "",
    )


def _edge_plan(config: GatewayConfig, facts: SiteFacts, folder: Path, local: _LocalEdge | None) -> GatewayPlan:
    """Return the plan of an edge gateway. Browsers get the administrator's certificate, if there is one; web gateways
    get that of the fleet's authority.
    """
    if local is None or local.certificate is None:
        raise SetupError(f"There is no certificate in {config.edge_dir} yet; the Agent receives one when it registers.")
    return GatewayPlan(
        profile="edge",
        tls_certificate=local.certificate.certificate,
        tls_key=local.certificate.key,
        named_certificates=_named_certificates(config),
        stream_listen=config.stream_listen,
        served_hosts=_served_hosts(config),
        public_url=config.public_url,
        stream_url=config.stream_url,
        agents=[agent for agent in _remote_agents(facts, ()) if agent.route == local.agent.route] or [local.agent],
        stream_secrets_file=str(folder / SECRETS_FILE) if facts.serving else "",
        gateway_id=facts.gateway_id if facts.serving else "",
    )


def _remote_agents(facts: SiteFacts, used_routes: Iterable[str]) -> list[AgentUpstream]:
    """Return the Agents on other hosts whose sessions this gateway reaches, the first of each route that is not in
    `used_routes`.
    """
    found = {_route(agent.agent_id): agent.addresses for agent in reversed(facts.serving)}
    return [
        AgentUpstream(route=route, upstream=addresses[0], others=list(addresses[1:]))
        for route, addresses in sorted(found.items())
        if route not in set(used_routes)
    ]


def secret_lines(facts: SiteFacts, secret: str) -> str:
    """Return the secret that nginx presents to each Agent on another host, by route."""
    return "".join(f'{agent.route} "{secret}";\n' for agent in _remote_agents(facts, ()))


def _named_certificates(config: GatewayConfig) -> list[NamedCertificate]:
    setting = config.named_certificate
    if setting is None:
        return []
    return [NamedCertificate(host=setting.host, certificate=str(setting.certificate), key=str(setting.key))]


def _served_hosts(config: GatewayConfig) -> list[str]:
    hosts = [host.strip() for host in config.served_hosts.split(",") if host.strip()]
    public = origin_host(config.public_url)
    return list(dict.fromkeys([*hosts, *([public] if public else [])]))


def _manager_listener(manager: GatewayManager, facts: SiteFacts) -> ManagerListener:
    instance_id = facts.texts.get(manager.instance_id_file, "").strip() if manager.instance_id_file else ""
    return ManagerListener(
        name=instance_id or manager.name,
        zone=manager.zone,
        listen=manager.listen,
        upstream=_with_resolved_host(manager.upstream, facts),
        sentinel_file=str(manager.sentinel_file),
    )


def _edges(facts: SiteFacts, used_routes: Iterable[str], folder: Path) -> list[Edge]:
    """Return the usable edge gateways, the first of each route that is not in `used_routes`; none without an
    authority."""
    found: dict[str, Edge] = {}
    for edge in facts.fleet.edges if facts.fleet.authority else ():
        upstream = _upstream(edge)
        if upstream is not None and upstream.rpartition(":")[0] in facts.addresses:
            found.setdefault(
                edge.route,
                Edge(
                    route=edge.route,
                    upstream=_with_resolved_host(upstream, facts),
                    name=edge_name(edge.route),
                    ca_file=str(folder / AUTHORITY_FILE),
                ),
            )
    return [edge for route, edge in sorted(found.items()) if route not in set(used_routes)]


def _direct_origins(fleet: Fleet, hosts: list[str]) -> list[str]:
    zones = [
        ProxyFacts(proxy_connections=False, proxy_hostname=zone.hostname, proxy_port=zone.port) for zone in fleet.direct
    ]
    edges = [edge_address(edge.url).origin for edge in fleet.edges if edge.direct and _upstream(edge) is not None]
    return sorted({*direct_origins(zones, hosts), *edges})


def _upstream(edge: EdgeGateway) -> str | None:
    """Return host:port of an edge gateway; None if its Agent reported an unusable address."""
    try:
        edge_name(edge.route)
        return edge_address(edge.url).upstream
    except (Invalid, ValueError):
        return None


def _with_resolved_host(upstream: str, facts: SiteFacts) -> str:
    host, _, port = upstream.rpartition(":")
    return f"{facts.addresses.get(host, host)}:{port}"


def _route(agent_id: str) -> str:
    return agent_id.strip().replace("-", "")[:8]

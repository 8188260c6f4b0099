"""The plan of a gateway: a JSON file that `gateway.plan_writer`, or another program (`GREENROOM_GATEWAY_FILE`), writes.
The gateway process converts it into the configuration of nginx.

All values come from the administrator. Each value is still checked, because it becomes part of the configuration of
nginx, in which quotes and semicolons have a meaning.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from greenroom.core.errors import SetupError
from greenroom.core.fleet.addresses import HTTPS_PORT, origin_host

_PATH_PATTERN: Final = re.compile(r"/[^\"$\\]*")
_HOST_PATTERN: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
_ROUTE_PATTERN: Final = re.compile(r"[0-9a-f]{8}")
_NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_ORIGIN_PATTERN: Final = re.compile(r"https://([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?")


class _PlanPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base class of all parts of a plan. An unknown field is an error with the name of the field."""


class ManagerListener(_PlanPart, frozen=True, kw_only=True):
    """A Manager with a separate listener. The first Manager of a plan is also served on the main port.

    `listen`: empty for a first Manager that only the main port serves. `sentinel_file` (absolute path): while this file
    exists, `/health` and `/manager_api/` of this Manager return 503. `zone`: the name of the Manager's zone; requests
    to `/api/` through this listener count as requests to this zone.
    """

    name: str
    listen: str = ""
    upstream: str
    sentinel_file: str
    zone: str = ""


class AgentUpstream(_PlanPart, frozen=True, kw_only=True):
    """An Agent whose containers this gateway reaches. For each request to a stream of `route`, nginx asks `upstream`
    whether the request is allowed, and then forwards it to the container. `others` are the other replicas of the Agent;
    they get the requests if `upstream` does not answer."""

    route: str
    upstream: str
    others: list[str] = []


class Edge(_PlanPart, frozen=True, kw_only=True):
    """The edge gateway of an Agent on another host, which gets the streams of `route` if Proxy Connections is on.
    `upstream` is the host:port of its stream listener; its certificate is verified for `name` against `ca_file`."""

    route: str
    upstream: str
    name: str
    ca_file: str


class NamedCertificate(_PlanPart, frozen=True, kw_only=True):
    """A certificate for one host name, presented to clients that request this name: the certificate of the
    administrator, for browsers; or that of the Agent on this host, for web gateways of other hosts."""

    host: str
    certificate: str
    key: str


class GatewayPlan(_PlanPart, frozen=True, kw_only=True):
    """All that a gateway serves. Addresses are host:port, paths are absolute. A listener is an address with a literal
    IP address, or several such addresses with the same port, separated by commas.

    `profile`: `web` = console, `/api/`, Managers and streams; `edge` = streams only (no `main_listen`, `api`, …).
    `served_hosts`: the served host names (without port); requests for any other host get 421.
    `public_url`, `stream_url`: the origins of the console and of the streams in browsers, if they are not https:// with
    a served host and the port of the listener.
    `direct_origins`: the origins of the streams of zones without Proxy Connections. The console may frame them and
    measure the latency to them, and the stream listener serves their host names.
    `help_dir`: the documentation site, which `script/docs` builds; the folder may be missing.
    `stream_secrets_file`: the secrets with which this gateway, `gateway_id`, authenticates at Agents on other hosts, as
    lines for nginx: `route "secret";`.
    `credential_file`: the gateway's credential at the api (kit.secrets `gateway_credential`); without it,
    requests of Agents that nginx refused are counted, but not reported to the api.
    """

    profile: Literal["web", "edge"] = "web"
    tls_certificate: str
    tls_key: str
    named_certificates: list[NamedCertificate] = []
    stream_listen: str
    served_hosts: list[str]
    main_listen: str = ""
    api: str = ""
    console_dir: str = ""
    help_dir: str = str(Path(__file__).with_name("help"))
    managers: list[ManagerListener] = []
    agents: list[AgentUpstream] = []
    edges: list[Edge] = []
    public_url: str = ""
    stream_url: str = ""
    direct_origins: list[str] = []
    credential_file: str = ""
    stream_secrets_file: str = ""
    gateway_id: str = ""

    @property
    def listeners(self) -> list[str]:
        """Every address on which nginx listens, main first."""
        managers = (address for manager in self.managers for address in addresses(manager.listen))
        return [*self.browser_listeners, *managers]

    @property
    def browser_listeners(self) -> list[str]:
        """The addresses that serve the console and streams, with HTTP/2."""
        return [*addresses(self.main_listen), *addresses(self.stream_listen)]

    @property
    def stream_origins(self) -> list[str]:
        own = self._origins(self.stream_url, self.stream_listen)
        return list(dict.fromkeys([*own, *self.direct_origins]))

    @property
    def stream_hosts(self) -> list[str]:
        """The host names of the stream listener: the served ones, those of `stream_url` and of `direct_origins`."""
        urls = [*([self.stream_url] if self.stream_url else []), *self.direct_origins]
        own = [origin_host(url) for url in urls]
        return list(dict.fromkeys([*self.served_hosts, *own]))

    @property
    def files(self) -> list[Path]:
        """The files that nginx reads only at its start. A changed file requires a new nginx."""
        named = [path for certificate in self.named_certificates for path in (certificate.certificate, certificate.key)]
        paths = [self.tls_certificate, self.tls_key, *named, *(edge.ca_file for edge in self.edges)]
        paths += [self.stream_secrets_file] if self.stream_secrets_file else []
        return [Path(path) for path in dict.fromkeys(paths)]

    @property
    def origin(self) -> str:
        """The origin that is named in the error for requests with another host name."""
        return (self.main_origins or [*self.stream_origins, ""])[0]

    @property
    def main_origins(self) -> list[str]:
        return self._origins(self.public_url, self.main_listen)

    def _origins(self, url: str, listen: str) -> list[str]:
        own = [f"https://{host}:{port_of(listen)}" for host in self.served_hosts] if listen else []
        return list(dict.fromkeys([*([url] if url else []), *own]))


def allowed_in_policies(origins: Iterable[str]) -> list[str]:
    """Return the origins that can be part of a Content Security Policy, which has no syntax for IPv6 addresses."""
    return [origin for origin in origins if not _is_ipv6(origin)]


def ipv6_ports_in_policies(origins: Iterable[str]) -> list[str]:
    """Return sources of a Content Security Policy that permit the origins with an IPv6 address: each of their ports,
    with any host. Only pages at an IPv6 address get them."""
    ports = [urlsplit(origin).port or HTTPS_PORT for origin in origins if _is_ipv6(origin)]
    return [f"https://*:{port}" for port in dict.fromkeys(ports)]


def _is_ipv6(origin: str) -> bool:
    return origin.startswith("https://[")


def addresses(listener: str) -> list[str]:
    """Return the addresses of a listener; none for an empty listener."""
    return [address.strip() for address in listener.split(",")] if listener else []


def port_of(listener: str) -> int:
    """Return the port of host:port, or of all addresses of a listener."""
    return int(listener.rpartition(":")[2])


def read_plan(path: Path) -> GatewayPlan:
    """Return the plan in a file. Raises SetupError, with all problems: the file cannot be read or is no plan."""
    try:
        return parse_plan(path.read_bytes())
    except OSError as error:
        raise SetupError(f"The gateway's plan {path} cannot be read: {error.strerror}.") from error
    except SetupError as error:
        raise SetupError(f"The gateway's plan {path} cannot be used: {error.message}") from error


def parse_plan(text: bytes) -> GatewayPlan:
    """Return the plan in JSON. Raises SetupError: the text is no plan; the message names every problem."""
    try:
        plan = msgspec.json.decode(text, type=GatewayPlan)
    except msgspec.DecodeError as error:
        raise SetupError(f"{error}.") from error
    if problems := [*_problems(plan)]:
        raise SetupError("; ".join(problems) + ".")
    return plan


def _problems(plan: GatewayPlan) -> Iterator[str]:
    yield from _path_problems(plan)
    yield from _address_problems(plan)
    yield from _name_problems(plan)
    if not plan.served_hosts:
        yield "served_hosts is empty"
    if plan.profile == "edge" and (plan.main_listen or plan.api or plan.managers or plan.edges):
        yield "an edge gateway serves streams only: main_listen, api, managers and edges must be absent"
    if plan.profile == "edge" and not plan.public_url:
        yield "an edge gateway requires public_url, the origin of the console that may frame its streams"


def _path_problems(plan: GatewayPlan) -> Iterator[str]:
    paths = {"tls_certificate": plan.tls_certificate, "tls_key": plan.tls_key}
    if plan.console_dir or plan.profile == "web":
        paths |= {"console_dir": plan.console_dir, "help_dir": plan.help_dir}
    for certificate in plan.named_certificates:
        name = f"named_certificates[{certificate.host}]"
        paths |= {f"{name}.certificate": certificate.certificate, f"{name}.key": certificate.key}
    if plan.credential_file:
        paths["credential_file"] = plan.credential_file
    if plan.stream_secrets_file:
        paths["stream_secrets_file"] = plan.stream_secrets_file
    paths |= {f"managers[{manager.name}].sentinel_file": manager.sentinel_file for manager in plan.managers}
    paths |= {f"edges[{edge.route}].ca_file": edge.ca_file for edge in plan.edges}
    if set(plan.stream_secrets_file) & set("*?["):  # nginx includes it, so it must be no pattern
        yield f"stream_secrets_file must be a path without * ? and [ (it is {plan.stream_secrets_file!r})"
    for name, path in paths.items():
        if not (_PATH_PATTERN.fullmatch(path) and path.isprintable()):
            yield f"{name} must be an absolute path without quotes, dollar signs and backslashes (it is {path!r})"


def _address_problems(plan: GatewayPlan) -> Iterator[str]:
    main = [plan.main_listen] if plan.profile == "web" else []
    for listener in [*main, plan.stream_listen, *(manager.listen for manager in plan.managers if manager.listen)]:
        if invalid := [address for address in addresses(listener) or [""] if not _is_listener(address)]:
            yield f"{invalid[0]!r} is not a listener; use IP address and port, e.g. 127.0.0.1:8443 or [::1]:8443"
        elif len({port_of(address) for address in addresses(listener)}) > 1:
            yield f"the addresses of a listener must have the same port (they are {listener!r})"
    if len(set(plan.listeners)) < len(plan.listeners):
        yield f"two listeners have the same address ({', '.join(plan.listeners)})"
    upstreams = [*plan.managers, *plan.agents, *plan.edges]
    others = [address for agent in plan.agents for address in agent.others]
    for address in [*([plan.api] if plan.profile == "web" else []), *(part.upstream for part in upstreams), *others]:
        host, _, port = address.rpartition(":")
        if not (_is_host(host) and _is_port(port)):
            yield f"{address!r} is not host:port"
    direct = [("direct_origins", url) for url in plan.direct_origins]
    for name, url in [("public_url", plan.public_url), ("stream_url", plan.stream_url), *direct]:
        if url and not _ORIGIN_PATTERN.fullmatch(url):
            yield f"{name} must be an origin, https://host[:port] (it is {url!r})"


def _name_problems(plan: GatewayPlan) -> Iterator[str]:
    hosts = [("served_hosts", host) for host in plan.served_hosts]
    hosts += [("named_certificates", certificate.host) for certificate in plan.named_certificates]
    hosts += [(f"edges[{edge.route}].name", edge.name) for edge in plan.edges]
    for name, host in hosts:
        if not _is_host(host):
            yield f"{name}: {host!r} is not a host name"
    if plan.gateway_id and not _NAME_PATTERN.fullmatch(plan.gateway_id):
        yield f"gateway_id {plan.gateway_id!r} has characters other than letters, digits and _.-"
    routes = [part.route for part in [*plan.agents, *plan.edges]]
    for route in routes:
        if not _ROUTE_PATTERN.fullmatch(route):
            yield f"route {route!r} must be the first 8 hex digits of an agent id"
    if len(set(routes)) < len(routes):
        yield "two agents have the same route"
    yield from _manager_problems(plan)


def _manager_problems(plan: GatewayPlan) -> Iterator[str]:
    for manager in plan.managers:
        if not _NAME_PATTERN.fullmatch(manager.name) or (manager.zone and not _NAME_PATTERN.fullmatch(manager.zone)):
            yield f"manager {manager.name!r} of zone {manager.zone!r} has characters other than letters, digits and _.-"
    if any(not manager.listen for manager in plan.managers[1:]):
        yield "each Manager except the first requires a separate listener (listen)"


def _is_listener(address: str) -> bool:
    host, _, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        version = ipaddress.ip_address(bare).version
    except ValueError:
        return False
    return _is_port(port) and host == (f"[{bare}]" if version == 6 else bare) and "%" not in bare


def _is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        return _is_listener(f"{host}:1")
    return bool(_HOST_PATTERN.fullmatch(host))


def _is_port(port: str) -> bool:
    return port.isascii() and port.isdigit() and 0 < int(port) < 65536

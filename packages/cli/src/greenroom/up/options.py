"""The settings of an instance: the options of the command line, completed by the settings of its last start.

Each port is the default port if that is free, else the next free port. Ports do not change at restarts.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from greenroom.core.errors import SetupError
from greenroom.core.fleet.addresses import LOCAL_HOSTS, host_problem, origin_host
from greenroom.core.versions import Version, refuse_downgrade
from greenroom.up.layout import FORMAT, Layout, read_json, write_json

KEYS_FOLDER: Final = Path("/etc/greenroom")
"""The default folder of the keys and settings of services on several machines."""

DEFAULT_PORTS: Final[dict[str, int]] = {"stream": 8445, "api": 8080, "gateway-metrics": 8088}
DEFAULT_MANAGER_PORT: Final = 8181
DEFAULT_MANAGER_GATEWAY_PORT: Final = 8446
DEFAULT_AGENT_PORT: Final = 4444
DEFAULT_MAIN_PORT: Final = 8443


def preferred_ports(managers: Iterable[str], agents: Iterable[str]) -> dict[str, int]:
    """Return the preferred port of each listener, by name, without the main listener."""
    ports = dict(DEFAULT_PORTS)
    for number, name in enumerate(managers):
        ports[name] = DEFAULT_MANAGER_PORT + number
        ports[f"{name}-gateway"] = DEFAULT_MANAGER_GATEWAY_PORT + number
    for number, name in enumerate(agents):
        ports[name] = DEFAULT_AGENT_PORT + number
    return ports


def choose_ports(
    preferred: Mapping[str, int], stored: Mapping[str, int], main: int, is_free: Callable[[int], bool]
) -> dict[str, int]:
    """Return a port for each name: the `stored` port if it is free, else the `preferred` port, else the next higher
    free port, but never `main`, the port of the console. Unknown names in `stored` are ignored.

    Raises:
        SetupError: there is no free port above the preferred port.
    """
    chosen: dict[str, int] = {}

    def is_usable(port: int) -> bool:
        return port != main and port not in chosen.values() and is_free(port)

    for name in preferred:
        if name in stored and is_usable(stored[name]):
            chosen[name] = stored[name]
    for name in (name for name in preferred if name not in chosen):
        port = next((port for port in range(preferred[name], 65536) if is_usable(port)), None)
        if port is None:
            raise SetupError(
                f"No free port is left for {name} from {preferred[name]} upwards; stop a program that uses one of them."
            )
        chosen[name] = port
    return chosen


class PortReservations:
    """The ports that this process has reserved, so that two instances that start at the same time do not choose the
    same port. A reservation is an abstract unix socket: only one process can bind its name, until the process ends.
    """

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}

    def take(self, port: int) -> bool:
        """Reserve a TCP port. Return False if another process uses the port or has reserved it."""
        if port in self._sockets:
            return True
        if find_listen_error(port):
            return False
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            reservation.bind(f"\0greenroom/port/{port}")
        except OSError:
            reservation.close()
            return False
        self._sockets[port] = reservation
        return True

    def detach(self) -> tuple[int, ...]:
        """Return the descriptors of the reservations. A reservation lasts until its descriptor is closed."""
        return tuple(reservation.detach() for reservation in self._sockets.values())


def find_listen_error(port: int) -> OSError | None:
    """Return the reason why this process cannot listen on this port of all addresses; None if it can."""
    try:
        _listen("0.0.0.0", port)
        if has_ipv6():
            _listen("::", port)
    except OSError as error:
        return error
    return None


def has_ipv6() -> bool:
    """True if this machine has IPv6: a process can listen on its loopback address."""
    try:
        _listen("::1", 0)
    except OSError:
        return False
    return True


def _listen(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((host, port))
        probe.listen(1)


_ZONE_NAME: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
_HOST_NAME: Final = re.compile(r"^(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*$")
_ORIGIN: Final = re.compile(r"^https://([a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?$")
MAX_MANAGERS: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command line; None = not set."""

    port: int | None = None
    managers: int | None = None
    zones: tuple[str, ...] | None = None
    database_url: str | None = None
    hostname: str | None = None
    public_url: str | None = None
    served_hosts: tuple[str, ...] | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


def default_runtime() -> str:
    """Return the runtime of the sessions, which `up` passes to the Agents."""
    return os.environ.get("GREENROOM_RUNTIME", "docker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of an instance. They are stored in instance.json, so that a later `up` needs no options."""

    port: int = DEFAULT_MAIN_PORT
    managers: int = 1
    zones: tuple[str, ...] = ("default",)
    """The main port serves the first zone."""
    database_url: str | None = None
    """None = the embedded PostgreSQL."""
    hostname: str | None = None
    public_url: str | None = None
    """The origin of the console behind a reverse proxy; None = `url`."""
    further_hosts: tuple[str, ...] = ()
    """Served host names in addition to those of `url` and `public_url`."""
    tls_cert: str | None = None
    tls_key: str | None = None
    runtime: str = field(default_factory=default_runtime)
    """The runtime of the sessions, for commands that inspect the instance."""

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    @property
    def host(self) -> str:
        return self.hostname or "127.0.0.1"

    def listener(self, port: int, *, ipv6: bool) -> str:
        """Return the addresses of a listener for users, separated by commas: all addresses of the machine if there is a
        host name, else only those of the loopback interface.
        """
        hosts = ("0.0.0.0", "[::]") if self.hostname else ("127.0.0.1", "[::1]")
        return ",".join(f"{host}:{port}" for host in (hosts if ipv6 else hosts[:1]))

    @property
    def console_url(self) -> str:
        """The address at which users open the console."""
        return self.public_url or self.url

    @property
    def console_host(self) -> str:
        """The host of the address, with the brackets of an IPv6 address."""
        return origin_host(self.console_url)

    @property
    def named_hosts(self) -> list[str]:
        """The host names in the options."""
        return list(dict.fromkeys([self.host, self.console_host, *self.further_hosts]))

    @property
    def served_hosts(self) -> list[str]:
        return list(dict.fromkeys([*self.named_hosts, *LOCAL_HOSTS]))

    @property
    def manager_names(self) -> list[tuple[str, str]]:
        """(process name, zone) of each Manager."""
        return [(f"manager-{zone}-{n}", zone) for zone in self.zones for n in range(1, self.managers + 1)]

    @property
    def agent_names(self) -> list[tuple[str, str]]:
        """(process name, zone) of each Agent."""
        return [(f"agent-{zone}", zone) for zone in self.zones]

    def stored(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": version("greenroom"), **asdict(self)}


def merge_settings(options: Options, stored: dict[str, Any]) -> Settings:
    """Return the settings. Each value is the option of the command line, else the value of the last start (`stored`,
    empty for a new instance), else the default.

    Raises:
        SetupError: a value cannot be used.
    """
    names = {field.name for field in fields(Settings)}
    values = {name: value for name, value in stored.items() if name in names}
    values |= {name: value for name, value in _passed_values(options).items() if value is not None}
    for name in ("zones", "further_hosts"):
        if name in values:
            values[name] = tuple(values[name])  # JSON has lists
    settings = Settings(**values)
    if problem := _problem(settings):
        raise SetupError(problem)
    return settings


def stored_settings(layout: Layout) -> Settings:
    """Return the settings of an instance that was started before."""
    return merge_settings(Options(), read_json(layout.instance))


def settings_before_start(settings: Settings, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings to store before a start. They keep the version in `stored`, so that the earlier version can
    start again if this version does not become ready.
    """
    return {**settings.stored(), **{name: value for name, value in stored.items() if name == "version"}}


def store_ready_version(layout: Layout, settings: Settings) -> None:
    """Store that this version became ready. From then on, an older version is refused (`check_last_version`)."""
    if read_json(layout.instance).get("version") != version("greenroom"):
        write_json(layout.instance, settings.stored(), 0o600)


def check_last_version(stored: Mapping[str, Any]) -> None:
    """Check the version in the stored settings. Raises SetupError: a newer version has used the instance."""
    if "version" in stored:
        refuse_downgrade(Version.parse(stored["version"]), Version.parse(version("greenroom")))


def _passed_values(options: Options) -> dict[str, Any]:
    values = asdict(options)
    values["further_hosts"] = values.pop("served_hosts")
    for name in ("tls_cert", "tls_key"):
        if values[name] is not None:
            values[name] = str(Path(values[name]).absolute())
    return values


def _problem(settings: Settings) -> str | None:
    """Return the problem of the first value that cannot be used, as a sentence; None if all values can be used."""
    bad_zones = ", ".join(repr(name) for name in settings.zones if not _ZONE_NAME.match(name))
    bad_hosts = ", ".join(repr(name) for name in settings.further_hosts if not _is_host(name))
    hostname = settings.hostname or "localhost"
    problems = {
        f"--port {settings.port} is not a port; specify a number from 1 to 65535.": not 1 <= settings.port <= 65535,
        f"--managers {settings.managers} is out of range; specify a number from 1 to {MAX_MANAGERS}.": not (
            1 <= settings.managers <= MAX_MANAGERS
        ),
        "--zones needs one or more different names, separated by commas.": (
            not all(settings.zones) or len(set(settings.zones)) < max(len(settings.zones), 1)
        ),
        f"--zones: {bad_zones} cannot be the name of a zone; use 1 to 63 letters, digits, '_', '.' and '-'.": bool(
            bad_zones
        ),
        f"--hostname {hostname!r} is not a host name; specify it without https:// and port.": not _HOST_NAME.match(
            hostname
        ),
        f"--public-url {settings.public_url!r} is not an address like https://desk.example.org; the console cannot be"
        " served below a path.": bool(settings.public_url) and not _is_origin(settings.public_url or ""),
        f"--served-hosts: {bad_hosts} cannot be a host name; specify names without https:// and port,"
        " and IPv6 addresses in brackets.": bool(bad_hosts),
        "--tls-cert requires --hostname; specify both.": settings.tls_cert is not None and not settings.hostname,
        "--tls-cert and --tls-key require each other; specify both or neither.": (settings.tls_cert is None)
        != (settings.tls_key is None),
    }
    return next((sentence for sentence, applies in problems.items() if applies), None)


def _is_origin(url: str) -> bool:
    return _ORIGIN.match(url) is not None and host_problem(url.removeprefix("https://")) is None


def _is_host(name: str) -> bool:
    """True if `name` is a host name, an IPv4 address, or an IPv6 address in brackets."""
    if name.startswith("["):
        return host_problem(name, with_port=False) is None and "%" not in name
    return _HOST_NAME.match(name) is not None


def default_data() -> Path:
    """Return the default of --data: $GREENROOM_DATA, else /var/lib/greenroom for root or ~/.local/share/greenroom."""
    if folder := os.environ.get("GREENROOM_DATA"):
        return Path(folder)
    return standard_data()


def standard_data() -> Path:
    """Return the default of --data without $GREENROOM_DATA."""
    return Path("/var/lib/greenroom") if os.getuid() == 0 else Path.home() / ".local/share/greenroom"

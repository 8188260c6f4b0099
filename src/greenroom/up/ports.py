"""Which ports the instance listens on: the usual ones when free, else the next free ones, remembered for restarts."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from greenroom.core.errors import SetupError

USUAL: Final[dict[str, int]] = {"stream": 8445, "api": 8080, "gateway-metrics": 8088}
USUAL_MANAGER: Final = 8181
USUAL_MANAGER_GATEWAY: Final = 8446
USUAL_AGENT: Final = 4444
USUAL_MAIN: Final = 8443


def wanted(managers: Iterable[str], agents: Iterable[str]) -> dict[str, int]:
    """Name of each listener but the main one → the port it has when nothing else uses that."""
    ports = dict(USUAL)
    for number, name in enumerate(managers):
        ports[name] = USUAL_MANAGER + number
        ports[f"{name}-gateway"] = USUAL_MANAGER_GATEWAY + number
    for number, name in enumerate(agents):
        ports[name] = USUAL_AGENT + number
    return ports


def choose(
    wanted: Mapping[str, int], remembered: Mapping[str, int], main: int, is_free: Callable[[int], bool]
) -> dict[str, int]:
    """A port for each name: the remembered one if it is free, else the wanted one, else the next free one above.

    Args:
        wanted: name → the port it would like to have.
        remembered: name → the port it had last time; unknown names are ignored.
        main: the port of the console, which no other listener may have.
        is_free: whether this process could listen on a port now.

    Raises:
        SetupError: no free port is left above the wanted one.
    """
    chosen: dict[str, int] = {}

    def usable(port: int) -> bool:
        return port != main and port not in chosen.values() and is_free(port)

    for name in wanted:
        if name in remembered and usable(remembered[name]):
            chosen[name] = remembered[name]
    for name in (name for name in wanted if name not in chosen):
        port = next((port for port in range(wanted[name], 65536) if usable(port)), None)
        if port is None:
            raise SetupError(f"No free port is left for {name} from {wanted[name]} upwards; stop what uses them.")
        chosen[name] = port
    return chosen


class Reservations:
    """Ports this process has spoken for, so that two instances that start at once do not choose the same.

    A reservation is an abstract unix socket: the kernel gives its name to one process and frees it with the process.
    """

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def take(self, port: int) -> bool:
        """Whether nobody listens on this TCP port or has spoken for it; from now on this process has."""
        if port in self._held:
            return True
        if not is_listenable(port):
            return False
        name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            name.bind(f"\0greenroom/port/{port}")
        except OSError:
            name.close()
            return False
        self._held[port] = name
        return True

    def release(self) -> None:
        """Give all of them back."""
        for name in self._held.values():
            name.close()
        self._held.clear()


def is_listenable(port: int) -> bool:
    """Whether a listener could be opened on this port of all addresses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
            probe.listen(1)
        except OSError:
            return False
    return True

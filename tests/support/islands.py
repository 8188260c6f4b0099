"""Hosts for a test: network namespaces, each connected by one cable to a switch; cables can be unplugged.

    mainland 10.177.0.1 (the switch and the database) ── cable ── one 10.177.0.2
                                                      └─ cable ── two 10.177.0.3

An unplugged cable is silent: no RST, no ICMP; packets are lost, and connections stay open on both sides. This needs
root; nothing outside the namespaces is changed.
"""

from __future__ import annotations

import subprocess
import uuid
from typing import Final

MAINLAND: Final = "10.177.0.1"


class Islands:
    """A switch with hosts connected to it; `close` removes all of them."""

    def __init__(self) -> None:
        self._id = f"gr{uuid.uuid4().hex[:6]}"
        self._names: list[str] = []
        self._make(self._id)
        self._switch("link", "add", "br0", "type", "bridge")
        self._switch("addr", "add", f"{MAINLAND}/24", "dev", "br0")
        self._switch("link", "set", "br0", "up")

    def add(self, name: str) -> str:
        self._names.append(name)
        space, cable, address = f"{self._id}-{name}", f"p{len(self._names)}", self.address(name)
        self._make(space)
        self._switch("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        self._switch("link", "set", cable, "master", "br0")
        self._switch("link", "set", cable, "up")
        # A later IPv6 address would be a changed network for Chromium, which then drops all its connections.
        _ip("-n", space, "link", "set", "eth0", "addrgenmode", "none")
        _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        return address

    def address(self, name: str) -> str:
        return f"10.177.0.{self._names.index(name) + 2}"

    def inside(self, name: str | None = None) -> tuple[str, ...]:
        """The command prefix that runs a program on this host, or on the mainland; the program keeps the process id."""
        return ("nsenter", f"--net=/run/netns/{self._id}" + (f"-{name}" if name else ""))

    def pull(self, name: str) -> None:
        self._switch("link", "set", f"p{self._names.index(name) + 1}", "down")

    def plug(self, name: str) -> None:
        self._switch("link", "set", f"p{self._names.index(name) + 1}", "up")

    def close(self) -> None:
        """Remove all namespaces; their processes must have ended."""
        for space in [*(f"{self._id}-{name}" for name in self._names), self._id]:
            _ip("netns", "delete", space)

    def _make(self, space: str) -> None:
        _ip("netns", "add", space)
        _ip("-n", space, "link", "set", "lo", "up")

    def _switch(self, *arguments: str) -> None:
        _ip("-n", self._id, *arguments)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)

"""The kernel namespaces of a test cluster: a network that connects the nodes, and for each node a network, mounts
and processes. They end with their first process, together with everything in them: no cleanup is needed."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.kubernetes.layout import Layout, NodeLayout

_INIT = "sleep infinity & wait"
"""The first process in a node's namespace. As a shell it also reaps processes whose parents have ended."""


class Namespace:
    """Namespaces that exist as long as this object's process; it ends with the process that created it."""

    def __init__(self, *kinds: str) -> None:
        own = _link(os.getpid())
        argv = ["setpriv", "--pdeathsig", "KILL", "unshare", "--kill-child", "--fork", "--pid", "--net", *kinds]
        self._outer = subprocess.Popen([*argv, "bash", "-c", _INIT], stdin=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while (pid := child_of(self._outer.pid)) is None or _link(pid) in {None, own} or not _runs(pid, "bash"):
            if self._outer.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the namespaces could not be created; run as root with CAP_SYS_ADMIN")
            time.sleep(0.01)
        self.pid = pid

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` in the namespaces, including mounts and processes if they are separate."""
        return ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", *argv]

    def run(self, *argv: str) -> None:
        """Run a command in the network, with the mounts of the machine."""
        subprocess.run(["nsenter", f"--target={self.pid}", "--net", *argv], check=True, capture_output=True)

    def end(self) -> None:
        self._outer.kill()
        self._outer.wait()


def child_of(pid: int) -> int | None:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return None
    return int(children[0]) if children else None


def _link(pid: int) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return None


def _runs(pid: int, program: str) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == program
    except OSError:
        return False


def make_hub(cluster: Layout) -> Namespace:
    """The network between machine and nodes. Its bridge is in a namespace to which no firewall of the machine
    applies."""
    hub = Namespace()
    link = cluster.name
    _ip("link", "add", link, "type", "veth", "peer", "name", "machine", "netns", str(hub.pid))
    hub.run("ip", "link", "add", "hub", "type", "bridge")
    hub.run("ip", "link", "set", "machine", "master", "hub", "up")
    hub.run("ip", "link", "set", "hub", "up")
    _ip("address", "add", f"{cluster.host}/24", "dev", link)
    _ip("link", "set", link, "up")
    for node in cluster.nodes:
        _ip("route", "add", node.pods, "via", node.address, "dev", link)
    return hub


def make_node(node: NodeLayout, hub: Namespace) -> Namespace:
    """A node on the hub. It has a separate /var/log, because the kubelet always writes there; its mounts are
    private."""
    cluster = node.cluster
    namespace = Namespace("--mount", "--mount-proc", "--propagation", "private")
    link = f"node-{node.letter}"
    hub.run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(namespace.pid))
    hub.run("ip", "link", "set", link, "master", "hub", "up")
    inside = (
        "mount -t tmpfs tmpfs /var/log",
        "mount --make-rshared /",
        # The kubelet reads the kernel's messages; a machine that is itself a container has none.
        "[ -e /dev/kmsg ] || ln -s /dev/null /dev/kmsg",
        "ip link set lo up",
        f"ip address add {node.address}/24 dev eth0",
        "ip link set eth0 up",
        f"ip route add default via {cluster.host}",
        *(f"ip route add {other.pods} via {other.address}" for other in cluster.nodes if other != node),
    )
    subprocess.run(namespace.command(["sh", "-ec", "\n".join(inside)]), check=True)
    return namespace


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)

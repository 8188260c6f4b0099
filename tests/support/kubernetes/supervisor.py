"""Run a Kubernetes cluster of two nodes until a signal: `python -m tests.support.kubernetes.supervisor BINARIES`.

When the nodes are ready it writes the number of the cluster to its output. It ends at SIGTERM and SIGINT, and leaves
nothing behind; if it is killed, the kernel ends all of the cluster's processes with it, and the next supervisor removes
its files.
A program that ends is restarted, unless its file in `held/` exists.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.kubernetes import programs
from tests.support.kubernetes.layout import Layout
from tests.support.kubernetes.namespaces import Namespace, child_of, make_hub, make_node
from tests.support.kubernetes.programs import Program

_CLUSTERS: Final = 16
"""The maximum number of clusters on a machine."""
_READY_WITHIN_S: Final = 180.0
_STARTS_A_MINUTE: Final = 20


class EndAsked(Exception):  # noqa: N818 -- it is no error
    """A signal requested the end."""


class Supervisor:
    """The processes of a cluster."""

    def __init__(self, cluster: Layout) -> None:
        self.cluster = cluster
        self._nodes: dict[str, Namespace] = {}
        self._hub: Namespace | None = None
        self._wanted: dict[str, Program] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, list[float]] = {}
        self.end_asked = False
        """Set by a signal. Its handler must not raise: within `Popen.poll` that leaves a lock acquired, and the
        `wait` at the end would never return."""

    def start(self, binaries: Path) -> None:
        """Return when both nodes are ready.

        Raises:
            EndAsked: the end was requested.
            RuntimeError: a part did not start; the text names it, with the end of its log.
        """
        cluster = self.cluster
        for folder in ("running", "held", "log", *(f"{node.letter}/run" for node in cluster.nodes)):
            (cluster.folder / folder).mkdir(parents=True)
        (cluster.folder / "resolv.conf").write_text(f"nameserver {cluster.host}\n")
        programs.write_files(cluster, binaries)
        self._hub = make_hub(cluster)
        (cluster.folder / "hub").write_text(str(self._hub.pid))
        etcd, address = programs.etcd(cluster)
        self._run(etcd)
        for node in cluster.nodes:
            self._nodes[node.letter] = make_node(node, self._hub)
            self._run(programs.dockerd(node))
        self._run(programs.names(cluster))
        self._run(programs.api_server(cluster, address))
        self._until("the API server is ready", lambda: self._kubectl("get", "--raw=/readyz") is not None)
        self._run(programs.scheduler(cluster))
        self._run(programs.controller_manager(cluster))
        for node in cluster.nodes:
            self._until(f"the dockerd of node {node.letter} answers", lambda at=node: at.docker.exists())
            self._load_pause(node.docker)
            # Traffic from other nodes and from the machine reaches the Pods of this node.
            self._in_node(node.letter, "iptables", "-P", "FORWARD", "ACCEPT")
            # Pods see each other's addresses; hosts outside of the cluster see the node's.
            outside = ("-s", node.pods, "!", "-d", cluster.pods)
            self._in_node(node.letter, "iptables", "-t", "nat", "-A", "POSTROUTING", *outside, "-j", "MASQUERADE")
            self._run(programs.kubelet(node))
            self._run(programs.proxy(node))
            self._run(programs.network_policies(node))
        self._until("both nodes are ready", self._nodes_ready)
        self._until("policies are carried out", lambda: all(node.policies.exists() for node in cluster.nodes))

    def tend(self) -> None:
        """Start ended programs and kill held ones, until `EndAsked`."""
        while True:
            self._look()
            time.sleep(0.05)

    def end(self) -> None:
        """Kill every process and remove the remaining files; no process needs a graceful end."""
        for namespace in self._nodes.values():
            namespace.end()
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait()
        if self._hub is not None:
            self._hub.end()
        clear(self.cluster)

    def _run(self, program: Program) -> None:
        self._wanted[program.name] = program
        self._start(program)

    def _start(self, program: Program) -> None:
        argv = ["setpriv", "--pdeathsig", "KILL", *program.argv]
        if program.node is not None:
            argv = self._nodes[program.node.letter].command(program.argv)
        now = time.monotonic()
        recent = self._started[program.name] = [at for at in self._started.get(program.name, []) if at > now - 60]
        recent.append(now)
        if len(recent) > _STARTS_A_MINUTE:
            raise RuntimeError(f"{program.name} does not stay up; its log ends with:\n{self._log(program.name)}")
        with (self.cluster.folder / "log" / program.name).open("ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._running[program.name] = process
        self.cluster.running(program.name).write_text(str(process.pid))

    def _look(self) -> None:
        if self.end_asked:
            raise EndAsked
        for name, program in self._wanted.items():
            process, is_held = self._running[name], self.cluster.held(name).exists()
            if process.poll() is not None:
                self.cluster.running(name).unlink(missing_ok=True)
                if not is_held:
                    self._start(program)
            elif is_held:
                _kill(process.pid if program.node is None else child_of(process.pid))

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + _READY_WITHIN_S
        while not condition():
            self._look()
            if time.monotonic() > end:
                logs = "".join(f"--- {name}\n{self._log(name)}" for name in self._wanted)
                raise RuntimeError(f"after {_READY_WITHIN_S:.0f} s it is not so that {what}:\n{logs}")
            time.sleep(0.1)

    def _log(self, name: str) -> str:
        text = (self.cluster.folder / "log" / name).read_text(errors="replace")
        lines = text.partition("\ngoroutine ")[0].splitlines(keepends=True)  # without the stacks of a Go program
        return "".join(lines[-8:])

    def _kubectl(self, *arguments: str) -> str | None:
        argv = [f"{self.cluster.folder}/binaries/kubectl", f"--kubeconfig={self.cluster.kubeconfig}", *arguments]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else None

    def _nodes_ready(self) -> bool:
        answer = self._kubectl("get", "nodes", "--output=json")
        nodes = json.loads(answer)["items"] if answer else []
        ready = [
            node
            for node in nodes
            if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
        ]
        return len(ready) == len(self.cluster.nodes)

    def _load_pause(self, docker: Path) -> None:
        folder = self.cluster.folder
        argv = f"tar --create --dereference --directory={folder}/binaries pause | docker --host=unix://{docker} "
        argv += "import --change 'ENTRYPOINT [\"/pause\"]' - greenroom/pause:1"
        subprocess.run(["sh", "-ec", argv], check=True, capture_output=True)

    def _in_node(self, letter: str, *argv: str) -> None:
        subprocess.run(self._nodes[letter].command(argv), check=True, capture_output=True)


def _kill(pid: int | None) -> None:
    if pid is not None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def clear(cluster: Layout) -> None:
    """Remove the files and control groups of a cluster whose processes have ended."""
    end = time.monotonic() + 20
    for node in cluster.nodes:
        groups = list(Path("/sys/fs/cgroup").glob(f"*/{node.name}"))
        while any(not _remove_group(group) for group in groups) and time.monotonic() < end:
            time.sleep(0.05)  # the last processes in them are ending
    while cluster.folder.exists():
        try:
            shutil.rmtree(cluster.folder)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _remove_group(group: Path) -> bool:
    """True if the group is removed, with those below it."""
    try:
        for below, _, _ in os.walk(group, topdown=False):
            Path(below).rmdir()
    except OSError:
        return False
    return True


def take_number() -> tuple[int, socket.socket]:
    """The first number without a running cluster. It is taken as long as the socket is open, even if no one closes
    it."""
    for number in range(_CLUSTERS):
        taken = socket.socket(socket.AF_UNIX)
        try:
            taken.bind(f"\0greenroom-kubernetes-{number}")
        except OSError:
            taken.close()
            continue
        return number, taken
    raise RuntimeError(f"{_CLUSTERS} test clusters run on this machine already; end some: script/kubernetes down")


def main() -> None:
    """Run until a signal."""

    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # do not keep a lock of the parent program
    number, taken = take_number()
    cluster = Layout(number)
    supervisor = Supervisor(cluster)

    def ended(*_: object) -> None:
        supervisor.end_asked = True

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    clear(cluster)
    cluster.folder.mkdir(mode=0o755)
    (cluster.folder / "pid").write_text(str(os.getpid()))
    try:
        supervisor.start(Path(sys.argv[1]))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        supervisor.tend()
    except EndAsked:
        pass
    finally:
        supervisor.end()
        taken.close()


if __name__ == "__main__":
    main()

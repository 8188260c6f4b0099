"""Machines for tests: hosts on a separate switch without external connections (tests.support.islands).

They share the disk and the clock of the machine on which the tests run. Each may have a separate Docker daemon.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.acceptance.instance import wait_for
from tests.support.islands import Islands
from tests.support.scratch import new_folder

CLONE_NEWNET: Final = 0x40000000
CGROUPS: Final = Path("/sys/fs/cgroup")


class Network:
    """A switch; `close` ends every machine on it and removes all that was created."""

    def __init__(self) -> None:
        self.islands = Islands()
        self.folder = new_folder("gr-acc-")
        self.machines: list[Machine] = []

    def machine(self, name: str) -> Machine:
        """A new machine with one network card, plugged in."""
        machine = Machine(self.islands, name, self.folder / name)
        self.machines.append(machine)
        return machine

    def close(self) -> None:
        """Remove everything."""
        for machine in self.machines:
            machine.lose_power()
        for mount in reversed(mounts_below(self.folder)):
            subprocess.run(["umount", "--lazy", mount], check=True)
        for machine in self.machines:
            machine.remove_cgroups()
        self.islands.close()
        shutil.rmtree(self.folder)


class Machine:
    """A machine; its processes are those in its namespace and those in its cgroup, which contains its containers."""

    def __init__(self, islands: Islands, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.folder.mkdir(mode=0o755)
        self.address = islands.add(name)
        self._islands = islands
        self._namespace = Path(self.inside[1].removeprefix("--net="))
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def inside(self) -> tuple[str, ...]:
        """The command prefix that runs a program on this machine; the program keeps the process id."""
        return self._islands.inside(self.name)

    # Running --------------------------------------------------------------------------------------------------------

    def start(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], account: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process on this machine; its output is in `<name>.log` in the machine's folder."""
        with (self.folder / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                [*self.inside, *([] if account is None else setpriv(account)), *argv],
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._started.append(process)
        return process

    def log(self, name: str, lines: int = 25) -> str:
        """The end of a process's output."""
        return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Enter this machine: sockets and processes that this thread opens in the block are there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/proc/thread-self/ns/net").open() as before, self._namespace.open() as inside:
            try:
                _set_namespace(libc, inside.fileno())
                yield
            finally:
                _set_namespace(libc, before.fileno())

    # Docker ---------------------------------------------------------------------------------------------------------

    @property
    def docker_url(self) -> str:
        """The address of its daemon."""
        return f"unix://{self.folder}/docker.sock"

    def start_docker(self, *options: str) -> None:
        """Start a Docker daemon and wait until it answers."""
        argv = ["dockerd", "--data-root", f"{self.folder}/docker", "--exec-root", f"{self.folder}/run"]
        argv += ["--pidfile", f"{self.folder}/docker.pid", "--host", self.docker_url, "--log-level", "warn"]
        self._dockerd = self.start("dockerd", [*argv, "--cgroup-parent", f"/{self._namespace.name}", *options], {})
        wait_for(lambda: self.docker("info", check=False).returncode == 0, "the machine's Docker daemon answers")

    def end_docker(self, how: signal.Signals) -> None:
        """Send its Docker daemon a signal that ends it, and wait until it has ended."""
        self._dockerd.send_signal(how)
        self._dockerd.wait(60)

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `docker …` at its daemon."""
        command = ["docker", "--host", self.docker_url, *arguments]
        return subprocess.run(command, check=check, capture_output=True, text=True)

    def containers(self) -> list[str]:
        """The session of each container that runs there, according to its label."""
        listing = self.docker("ps", "--filter", "label=greenroom.session", "--format", '{{.Label "greenroom.session"}}')
        return sorted(listing.stdout.split())

    # Hurting --------------------------------------------------------------------------------------------------------

    def pull_cable(self) -> None:
        """Disconnect it: packets in either direction are lost silently."""
        self._islands.pull(self.name)

    def put_cable(self) -> None:
        """Connect it again."""
        self._islands.plug(self.name)

    def drop(self, chain: str, other: Machine) -> None:
        """Drop packets to (chain OUTPUT) or from (INPUT) another machine."""
        self._iptables("--append", chain, other)

    def pass_again(self, chain: str, other: Machine) -> None:
        """Undo `drop`."""
        self._iptables("--delete", chain, other)

    def _iptables(self, what: str, chain: str, other: Machine) -> None:
        side = "--destination" if chain == "OUTPUT" else "--source"
        rule = ["iptables", "--wait", what, chain, side, other.address, "--jump", "DROP"]
        subprocess.run([*self.inside, *rule], check=True)

    def lose_power(self) -> None:
        """kill -9 of everything on it, containers too."""
        end = time.monotonic() + 30
        while pids := self.pids():
            assert time.monotonic() < end, f"processes of {self.name} do not end: {pids}"
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self._started:
                process.poll()
            time.sleep(0.1)

    def pids(self) -> list[int]:
        """Every process of this machine."""
        name = self._namespace.name
        listed = subprocess.run(["ip", "netns", "pids", name], check=True, capture_output=True, text=True)
        return sorted({*map(int, listed.stdout.split()), *in_cgroup(name)} - ended())

    def remove_cgroups(self) -> None:
        """Remove the cgroups of its containers, whose processes have ended; some are reaped a moment later."""
        name = self._namespace.name
        for top in (CGROUPS / name, *(controller / name for controller in CGROUPS.iterdir())):
            for folder, _, _ in os.walk(top, topdown=False):
                wait_for(lambda folder=folder: removed(Path(folder)), f"the cgroup {folder} is empty")


def removed(cgroup: Path) -> bool:
    """Remove a cgroup; False while processes are in it."""
    try:
        cgroup.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def setpriv(account: int) -> list[str]:
    """The command prefix that runs a program as an account."""
    return ["setpriv", f"--reuid={account}", f"--regid={account}", "--clear-groups"]


def in_cgroup(name: str) -> set[int]:
    """Processes whose cgroup is below one of this name."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if f"/{name}/".encode() in (entry / "cgroup").read_bytes():
                    found.add(int(entry.name))
    return found


def ended() -> set[int]:
    """Processes that have ended and were not reaped yet."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z":
                    found.add(int(entry.name))
    return found


def mounts_below(folder: Path) -> list[str]:
    """Everything mounted below a folder, outer ones first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [point for point in points if Path(point).is_relative_to(folder)]


def _set_namespace(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")

"""The state of a bare machine, for comparisons before and after a removal: files, accounts, processes, network
interfaces, firewall rules, and the objects of Docker.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from tests.support.bare_machines import Machine

NOT_COMPARED: Final = re.compile(
    r"(proc|sys|dev|tmp|run/containerd|run/docker|var/lib/docker|var/cache|var/lib/apt|var/lib/dpkg|var/log"
    r"|etc/ld\.so\.cache|etc/(passwd|shadow|group|gshadow)-)(/|$)"
)
"""File systems of the kernel, the data of Docker, files that apt and dpkg write for each package, and backups of the
lists of accounts."""
DOCKER: Final = ("network ls", "ps --all", "volume ls", "image ls --all")


@dataclass(frozen=True, slots=True)
class State:
    """The objects of a machine. Each set contains one text for each object."""

    files: frozenset[str]
    processes: frozenset[str]
    interfaces: frozenset[str]
    firewall: frozenset[str]
    docker: frozenset[str]

    def changes_to(self, later: State) -> dict[str, set[str]]:
        """The added objects of the later state, with `+`, and the missing ones, with `-`; only kinds with a change."""
        found: dict[str, set[str]] = {}
        for field in fields(self):
            before, after = getattr(self, field.name), getattr(later, field.name)
            if before != after:
                found[field.name] = {f"+ {text}" for text in after - before} | {f"- {text}" for text in before - after}
        return found


def read_state(machine: Machine) -> State:
    """Read the state of a machine."""
    root = Path(f"/proc/{machine.pid}/root")
    command = "if command -v docker >/dev/null; then " + "; ".join(
        f"docker {kind} --format '{kind}: {{{{.ID}}}}{{{{.Name}}}}' 2>/dev/null || true" for kind in DOCKER
    )
    return State(
        files=frozenset(_files(root)),
        processes=frozenset(_processes(machine)),
        interfaces=frozenset(line.split(":")[0].strip() for line in _interfaces(machine)),
        firewall=frozenset(_firewall(machine)),
        docker=frozenset(machine.run(f"{command}; fi").splitlines()),
    )


def _files(root: Path) -> Iterator[str]:
    for folder, names, files in os.walk(root):
        below = os.path.relpath(folder, root)
        names[:] = [name for name in names if not NOT_COMPARED.match(os.path.normpath(f"{below}/{name}"))]
        for name in (*names, *files):
            path = os.path.normpath(f"{below}/{name}")
            if not NOT_COMPARED.match(path):
                yield _describe(root / path, path)


def _describe(file: Path, path: str) -> str:
    """The path of a file, and what a removal must restore: its type, permissions, owner and content."""
    about = file.lstat()
    content = ""
    if stat.S_ISLNK(about.st_mode):
        content = str(file.readlink())
    elif stat.S_ISREG(about.st_mode):
        content = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    return f"/{path} {stat.filemode(about.st_mode)} {about.st_uid}:{about.st_gid} {content}".strip()


def _processes(machine: Machine) -> Iterator[str]:
    names = Counter(machine.run("cat /proc/[0-9]*/comm 2>/dev/null || true").splitlines())
    own = Counter({"bash": 2, "sleep": 1, "cat": 1})
    return (f"{count} {name}" for name, count in (names - own).items() if not name.startswith(("kworker", "nsenter")))


def _interfaces(machine: Machine) -> list[str]:
    return machine.run("cat /proc/net/dev").splitlines()[2:]


def _firewall(machine: Machine) -> Iterator[str]:
    """The rules, read with the programs of this host, because the machine may have none."""
    for program in ("iptables-nft-save", "ip6tables-nft-save"):
        command = machine.command(program, spaces=("net",))
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        lines = (re.sub(r"\[\d+:\d+\]", "", line).strip() for line in done.stdout.splitlines())
        yield from (f"{program}: {line}" for line in lines if line and not line.startswith("#"))

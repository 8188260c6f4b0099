"""The setup of this host: the packages, services and kernel limits that `greenroom up` requires.

`read_host` reads the state of the host, `plan` returns the required steps, and `Setup.apply` executes them and records
the changes. `plan_undo` returns the steps that revert the recorded changes.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, Literal

import msgspec

from greenroom.core.errors import SetupError
from greenroom.kit import host_limits
from greenroom.up.host_limits import limits_to_raise, raise_limits, restore_limits
from greenroom.up.host_programs import (
    SYSTEMD,
    DockerState,
    docker_state,
    has_program,
    run,
    start_docker,
    stop_docker,
    try_output,
)
from greenroom.up.layout import read_json, write_json

SUPPORTED_RELEASES: Final[Mapping[str, Sequence[str]]] = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
"""ID of a distribution (os-release) → its supported releases."""
MACHINES: Final = ("x86_64", "aarch64")
RECORD: Final = Path("/var/lib/greenroom-host/setup.json")
POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""The program that the scripts of Debian packages ask before they start a service."""
NO_SERVICES_POLICY: Final = "#!/bin/sh\n# Written by `greenroom host setup`.\nexit 101\n"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A Debian package and its use. The package is not installed if the host has `program` from another source.
    `service` is the service of the package that must not run: Greenroom starts its own process of the program.
    """

    package: str
    use: str
    program: str
    service: str = ""


REQUIREMENTS: Final = (
    Requirement("docker.io", "Docker runs the sessions", "dockerd"),
    Requirement("docker-cli", "the command docker controls the Docker daemon", "docker"),
    Requirement("nginx-light", "nginx is the gateway", "nginx", "nginx"),
    Requirement("squid-openssl", "Squid filters the web access of sessions", "squid", "squid"),
    Requirement("iptables", "the firewall separates sessions", "iptables"),
    Requirement("iproute2", "ss closes the connections of revoked viewers", "ss"),
    Requirement("util-linux", "setpriv runs services without root", "setpriv"),
    Requirement("mmdebstrap", "the desktop image is built from Debian packages", "mmdebstrap"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The state of the host. `programs` contains the required programs on the search path. `is_interrupted` is True
    after an interrupted installation of packages. `docker` is the state of the Docker daemon."""

    system: str
    release: str
    machine: str
    is_root: bool
    has_systemd: bool
    has_apt: bool
    is_interrupted: bool
    installed: frozenset[str]
    programs: frozenset[str]
    docker: DockerState
    containers: int
    limits: Mapping[str, int]


Action = Literal["repair", "install", "disable", "start-docker", "raise", "purge", "stop-docker", "restore"]


@dataclass(frozen=True, slots=True)
class SetupStep:
    """One change of the host, with its subjects (packages, services or kernel settings) and its reason."""

    action: Action
    subjects: tuple[str, ...]
    reason: str

    @property
    def sentence(self) -> str:
        """The step as a line of the output."""
        return f"{_STEP_TEXTS[self.action].format(', '.join(self.subjects))}: {self.reason}."


_STEP_TEXTS: Final[Mapping[Action, str]] = {
    "repair": "Complete the interrupted installation of packages",
    "install": "Install {}",
    "disable": "Disable the service {}",
    "start-docker": "Start the Docker daemon",
    "raise": "Raise {}",
    "purge": "Remove {}",
    "stop-docker": "Stop the Docker daemon",
    "restore": "Restore {}",
}


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The changes of all setups of this host: installed packages, kernel settings with their former values, and whether
    a setup started the Docker daemon."""

    packages: tuple[str, ...] = ()
    limits: dict[str, int] = {}
    docker_started: bool = False


def plan(host: Host) -> list[SetupStep]:
    """Return the steps that this host needs, in order; an empty list if the host is ready. Raises SetupError: the host
    is not supported, or packages are missing that cannot be installed."""
    if host.machine not in MACHINES:
        raise SetupError(
            f"Greenroom does not support the architecture {host.machine}; use a machine with {' or '.join(MACHINES)}."
        )
    if host.docker == "unreachable":
        raise SetupError(
            "No Docker daemon responds at the address in DOCKER_HOST; start it, or unset DOCKER_HOST to use the daemon"
            " of this host."
        )
    missing = [requirement for requirement in REQUIREMENTS if _is_missing(requirement, host)]
    names = tuple(requirement.package for requirement in missing)
    if missing and not host.has_apt:
        raise SetupError(f"Install {', '.join(names)}: packages are installed automatically only on Debian and Ubuntu.")
    steps = list[SetupStep]()
    if missing and host.is_interrupted:
        steps.append(SetupStep("repair", (), "dpkg reports packages that are not configured"))
    steps += [SetupStep("install", (requirement.package,), requirement.use) for requirement in missing]
    steps += [
        SetupStep("disable", (requirement.service,), "Greenroom runs its own process of this program")
        for requirement in missing
        if requirement.service and host.has_systemd
    ]
    if host.docker == "stopped":
        steps.append(SetupStep("start-docker", (), "no Docker daemon responds"))
    steps += [
        SetupStep("raise", (f"{name} from {host.limits[name]} to {target}",), "a thousand sessions need it")
        for name, target in limits_to_raise(host.limits).items()
    ]
    return steps


def _is_missing(requirement: Requirement, host: Host) -> bool:
    if requirement.package in host.installed or requirement.program in host.programs:
        return False
    if requirement.package == "docker.io":
        return host.docker != "remote"
    # In older releases, docker.io contains the program `docker`; `Setup` checks this after it installed docker.io.
    return requirement.package != "docker-cli" or "docker.io" in host.installed or "dockerd" in host.programs


def plan_undo(record: Record, host: Host) -> list[SetupStep]:
    """Return the steps that revert the recorded changes. Raises SetupError: the steps would stop or remove a Docker
    daemon that runs containers or whose containers cannot be counted."""
    packages = tuple(package for package in record.packages if package in host.installed)
    removes_docker = record.docker_started or "docker.io" in packages
    if removes_docker and host.docker in {"remote", "unreachable"}:
        raise SetupError(
            "Unset DOCKER_HOST: while it is set, the containers of this host's own daemon cannot be counted."
        )
    if removes_docker and host.containers:
        raise SetupError(
            f"Docker runs {host.containers} containers; end the instance with `greenroom down` and stop all other"
            " containers before you undo the setup of this host."
        )
    steps = list[SetupStep]()
    if removes_docker and host.docker == "running":
        steps.append(SetupStep("stop-docker", (), "the setup of this host started it"))
    if packages:
        steps.append(SetupStep("purge", packages, "the setup of this host installed them"))
    if record.limits:
        values = tuple(f"{name} to {before}" for name, before in record.limits.items())
        steps.append(SetupStep("restore", values, "the setup of this host raised them"))
    return steps


def support_warning(host: Host) -> str:
    """Return a warning if Greenroom is not tested on this distribution; empty if it is supported."""
    if host.release in SUPPORTED_RELEASES.get(host.system, ()):
        return ""
    supported = "; ".join(
        f"{system.capitalize()} {', '.join(releases)}" for system, releases in SUPPORTED_RELEASES.items()
    )
    return f"Greenroom is not tested on {host.system or 'this system'} {host.release}; supported: {supported}."


def read_host() -> Host:
    """Return the state of this host."""
    system = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    has_apt = has_program("apt-get")
    containers = try_output("docker", "ps", "--quiet")
    return Host(
        system=system.get("ID", ""),
        release=system.get("VERSION_ID", ""),
        machine=platform.machine(),
        is_root=os.geteuid() == 0,
        has_systemd=SYSTEMD.is_dir(),
        has_apt=has_apt,
        is_interrupted=has_apt and bool(try_output("dpkg", "--audit")),
        installed=_installed() if has_apt else frozenset(),
        programs=frozenset(requirement.program for requirement in REQUIREMENTS if has_program(requirement.program)),
        docker=docker_state(responds=containers is not None),
        containers=len((containers or "").split()),
        limits=host_limits.read_limits(),
    )


def read_record(file: Path = RECORD) -> Record:
    """Return the record of earlier setups; an empty record if there was no setup. Raises SetupError: the record cannot
    be read."""
    try:
        return msgspec.convert(read_json(file), Record)
    except msgspec.ValidationError as error:
        raise SetupError(
            f"{file} is no record of a setup ({error}); restore it from a backup, or delete it."
        ) from error


def delete_record(file: Path = RECORD) -> None:
    """Delete the record with its folder, after all changes were reverted."""
    file.unlink(missing_ok=True)
    if file.parent.is_dir() and not any(file.parent.iterdir()):
        file.parent.rmdir()


@dataclass
class Setup:
    """Executes steps on this host, and records the changes in `file`."""

    print_line: Callable[[str], None]
    record: Record
    file: Path = RECORD

    def apply(self, steps: Iterable[SetupStep]) -> None:
        """Execute the steps. Changes before an error are recorded, too. Raises SetupError: a step failed; the message
        contains the reason."""
        actions: Mapping[Action, Callable[[list[str]], object]] = {
            "repair": lambda _: self._repair(),
            "install": self._install,
            "disable": lambda services: run("systemctl", "--quiet", "disable", "--now", *services),
            "start-docker": lambda _: self._start_docker(),
            "raise": lambda _: self._raise_limits(),
            "stop-docker": lambda _: stop_docker(),
            "purge": lambda packages: _apt("purge", *packages),
            "restore": lambda _: restore_limits(self.record.limits),
        }
        for _, group in groupby(steps, key=lambda step: step.action):
            same = list(group)
            for step in same:
                self.print_line(step.sentence)
            actions[same[0].action]([subject for step in same for subject in step.subjects])

    def _repair(self) -> None:
        _apt("update")
        with _no_services():
            # This fails if a package lacks another package, which apt then installs.
            try_output("dpkg", "--configure", "-a")
            self._install_packages(("--fix-broken",))

    def _install(self, packages: Sequence[str]) -> None:
        _apt("update")
        with _no_services():
            self._install_packages(packages)
            if "docker.io" in packages and not has_program("docker"):
                self._install_packages(("docker-cli",))

    def _install_packages(self, packages: Sequence[str]) -> None:
        # apt lists an installed package with its version in brackets. With --no-remove, it removes no other package.
        lines = [line.split() for line in _apt("install", "--simulate", "--no-remove", *packages).splitlines()]
        new = {fields[1] for fields in lines if fields[0] == "Inst" and not fields[2].startswith("[")}
        self._store_record(msgspec.structs.replace(self.record, packages=tuple(sorted({*self.record.packages, *new}))))
        _apt("install", "--no-remove", *packages)

    def _start_docker(self) -> None:
        self._store_record(msgspec.structs.replace(self.record, docker_started=True))
        start_docker()

    def _raise_limits(self) -> None:
        recorded_limits, limits = self.record.limits, host_limits.read_limits()
        # Record the values before the change, because `raise_limits` can fail after it has raised limits.
        self._store_limits({name: limits[name] for name in limits_to_raise(limits)} | recorded_limits)
        changes = raise_limits()
        self._store_limits({change.name: change.before for change in changes if not change.problem} | recorded_limits)
        for change in changes:
            if change.problem:
                self.print_line(change.sentence)

    def _store_limits(self, limits: dict[str, int]) -> None:
        self._store_record(msgspec.structs.replace(self.record, limits=limits))

    def _store_record(self, record: Record) -> None:
        self.record = record
        self.file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_json(self.file, msgspec.to_builtins(record), 0o644)


@contextmanager
def _no_services() -> Generator[None]:
    """Keep the scripts of packages from starting services during the block. An existing policy of the host stays."""
    if POLICY.exists() and POLICY.read_text() != NO_SERVICES_POLICY:
        yield
        return
    POLICY.write_text(NO_SERVICES_POLICY)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def _installed() -> frozenset[str]:
    """Return the names of the installed Debian packages."""
    lines = run("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n").splitlines()
    return frozenset(name for status, name in map(str.split, lines) if status == "installed")


def _apt(action: str, *arguments: str) -> str:
    """Run apt-get without questions, and return its output. Changed configuration files stay."""
    options = ("DPkg::Lock::Timeout=60", "Dpkg::Options::=--force-confdef", "Dpkg::Options::=--force-confold")
    return run(
        *("apt-get", "--quiet=2", "--yes", "--no-install-recommends", *(f"--option={option}" for option in options)),
        *(action, *arguments),
    )

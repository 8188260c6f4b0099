"""The setup of this host: the packages, services and kernel limits that `greenroom up` requires.

`read_host` takes a snapshot, `plan` decides and `apply` executes the steps. A record of the changes makes `plan_undo`
possible.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final, Literal

import msgspec

from greenroom.core.errors import SetupError
from greenroom.core.fleet.host_limits import to_raise
from greenroom.kit import host_limits

SUPPORTED: Final[Mapping[str, Sequence[str]]] = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
"""ID of a distribution (os-release) → its supported releases."""
MACHINES: Final = ("x86_64", "aarch64")
RECORD: Final = Path("/var/lib/greenroom-host/setup.json")
POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""The program that the scripts of Debian packages ask before they start a service."""
NO_SERVICES: Final = "#!/bin/sh\n# Written by `greenroom host setup`.\nexit 101\n"
DOCKERD_LOG: Final = Path("/var/log/greenroom-dockerd.log")
DOCKERD_PID: Final = Path("/run/greenroom-dockerd.pid")
"""The process id of the Docker daemon, if the setup started it on a host without systemd."""
DOCKER_STARTS_S: Final = 60.0
SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A Debian package and its use. It is not installed if the host has `program` from another source. `service` is
    the service of the package that must not run: Greenroom starts its own process of the program."""

    package: str
    use: str
    program: str = ""
    service: str = ""


REQUIREMENTS: Final = (
    Requirement("docker.io", "Docker runs the sessions", "dockerd"),
    Requirement("docker-cli", "the command docker builds images", "docker"),
    Requirement("nginx-light", "nginx is the gateway", "nginx", "nginx"),
    Requirement("squid-openssl", "Squid filters the web access of sessions", "", "squid"),
    Requirement("iptables", "the firewall separates sessions", "iptables"),
    Requirement("iproute2", "the network of the sessions is configured with ip", "ip"),
    Requirement("procps", "kernel limits are set with sysctl", "sysctl"),
    Requirement("util-linux", "setpriv runs services without root", "setpriv"),
    Requirement("mmdebstrap", "the desktop image is built from Debian packages", "mmdebstrap"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A snapshot of the host. `offered` are the required packages that apt offers; `programs` those on the search
    path; `is_interrupted` is True after an interrupted installation of packages; `docker` is the state of the daemon:
    `remote` if DOCKER_HOST names another one."""

    system: str
    release: str
    machine: str
    is_root: bool
    has_systemd: bool
    has_apt: bool
    is_interrupted: bool
    installed: frozenset[str]
    offered: frozenset[str]
    programs: frozenset[str]
    docker: Literal["running", "stopped", "remote"]
    containers: int
    limits: Mapping[str, int]


Action = Literal["repair", "install", "disable", "start-docker", "raise", "purge", "stop-docker", "restore"]


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the host, with its subjects (packages, services or kernel settings) and its reason."""

    action: Action
    subjects: tuple[str, ...]
    reason: str

    @property
    def sentence(self) -> str:
        """The step as a line for people."""
        return f"{_WORDS[self.action].format(', '.join(self.subjects))}: {self.reason}."


_WORDS: Final[Mapping[Action, str]] = {
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
    """The changes of all setups of this host: installed packages, and kernel settings with their former values."""

    packages: tuple[str, ...] = ()
    limits: dict[str, int] = {}
    docker_started: bool = False


def plan(host: Host) -> list[Step]:
    """Return the steps that this host needs, in their order; an empty list if it is ready.

    Raises:
        SetupError: the host is not supported, or packages are missing that cannot be installed.
    """
    if host.machine not in MACHINES:
        raise SetupError(
            f"Greenroom does not support the architecture {host.machine}; use a machine with {' or '.join(MACHINES)}."
        )
    missing = [needed for needed in REQUIREMENTS if _is_missing(needed, host)]
    names = tuple(needed.package for needed in missing)
    if missing and not host.has_apt:
        raise SetupError(f"Install {', '.join(names)}: packages are installed automatically only on Debian and Ubuntu.")
    steps = list[Step]()
    if host.is_interrupted:
        steps.append(Step("repair", (), "dpkg reports packages that are not configured"))
    steps += [Step("install", (needed.package,), needed.use) for needed in missing]
    steps += [
        Step("disable", (needed.service,), "Greenroom runs its own process of this program")
        for needed in missing
        if needed.service and host.has_systemd
    ]
    if host.docker == "stopped":
        steps.append(Step("start-docker", (), "no Docker daemon responds"))
    steps += [
        Step("raise", (f"{name} from {host.limits[name]} to {wanted}",), "a thousand sessions need it")
        for name, wanted in to_raise(host.limits).items()
    ]
    return steps


def _is_missing(needed: Requirement, host: Host) -> bool:
    if needed.package in host.installed or (needed.program and needed.program in host.programs):
        return False
    if host.docker == "remote" and needed.package == "docker.io":
        return False
    # A release without this package has the program in another package of the list.
    return needed.package in host.offered or not host.has_apt or needed.package != "docker-cli"


def plan_undo(record: Record, host: Host) -> list[Step]:
    """Return the steps that revert the recorded changes.

    Raises:
        SetupError: containers run in a Docker daemon that the steps would remove.
    """
    packages = tuple(package for package in record.packages if package in host.installed)
    removes_docker = record.docker_started or "docker.io" in packages
    if removes_docker and host.containers:
        raise SetupError(
            f"Docker runs {host.containers} containers; end the instance with `greenroom down` and stop all other"
            " containers before you undo the setup of this host."
        )
    steps = list[Step]()
    if removes_docker and host.docker == "running":
        steps.append(Step("stop-docker", (), "the setup of this host started it"))
    if packages:
        steps.append(Step("purge", packages, "the setup of this host installed them"))
    if record.limits:
        values = tuple(f"{name} to {before}" for name, before in record.limits.items())
        steps.append(Step("restore", values, "the setup of this host raised them"))
    return steps


def unsupported(host: Host) -> str:
    """Return a warning if Greenroom is not tested on this distribution; empty if it is supported."""
    if host.release in SUPPORTED.get(host.system, ()):
        return ""
    known = "; ".join(f"{system.capitalize()} {', '.join(releases)}" for system, releases in SUPPORTED.items())
    return f"Greenroom is not tested on {host.system or 'this system'} {host.release}; supported: {known}."


def read_host() -> Host:
    """Take a snapshot of this host."""
    system = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    has_apt = shutil.which("apt-get", path=SEARCH_PATH) is not None
    wanted = [needed.package for needed in REQUIREMENTS]
    responds = _output("docker", "ps", "--quiet")
    remote = bool(os.environ.get("DOCKER_HOST"))
    return Host(
        system=system.get("ID", ""),
        release=system.get("VERSION_ID", ""),
        machine=platform.machine(),
        is_root=os.geteuid() == 0,
        has_systemd=Path("/run/systemd/system").is_dir(),
        has_apt=has_apt,
        is_interrupted=has_apt and bool(_output("dpkg", "--audit")),
        installed=_installed() if has_apt else frozenset(),
        offered=frozenset(package for package in wanted if has_apt and _output("apt-cache", "show", package)),
        programs=frozenset(
            needed.program for needed in REQUIREMENTS if shutil.which(needed.program, path=SEARCH_PATH) is not None
        ),
        docker="remote" if remote else "stopped" if responds is None else "running",
        containers=len((responds or "").split()),
        limits=host_limits.read(),
    )


def read_record(file: Path = RECORD) -> Record:
    """Return the record of earlier setups; an empty one if there is none."""
    return msgspec.json.decode(file.read_bytes(), type=Record) if file.exists() else Record()


@dataclass
class Setup:
    """Executes steps on this host and records its changes. `say` prints a line."""

    say: Callable[[str], None]
    record: Record = field(default_factory=read_record)
    file: Path = RECORD

    def apply(self, steps: Iterable[Step]) -> None:
        """Execute the steps; changes that were made before an error are recorded.

        Raises:
            SetupError: a step failed, with the end of its output.
        """
        actions: Mapping[Action, Callable[[list[str]], None]] = {
            "repair": lambda _: self._repair(),
            "install": self._install,
            "disable": lambda services: _run("systemctl", "--quiet", "disable", "--now", *services),
            "start-docker": lambda _: self._start_docker(),
            "raise": lambda _: self._raise_limits(),
            "stop-docker": lambda _: _stop_docker(),
            "purge": lambda packages: _apt("purge", *packages),
            "restore": lambda _: self._restore_limits(),
        }
        for action, group in groupby(steps, key=lambda step: step.action):
            same = list(group)
            for step in same:
                self.say(step.sentence)
            actions[action]([subject for step in same for subject in step.subjects])

    def forget(self) -> None:
        """Delete the record, after all of its changes were reverted."""
        self.file.unlink(missing_ok=True)

    def _repair(self) -> None:
        with _no_services():
            _run("dpkg", "--configure", "-a")

    def _install(self, packages: Sequence[str]) -> None:
        before = _installed()
        try:
            _apt("update")
            with _no_services():
                _apt("install", *packages)
        finally:
            added = sorted(_installed() - before)
            self._keep(msgspec.structs.replace(self.record, packages=(*self.record.packages, *added)))

    def _start_docker(self) -> None:
        self._keep(msgspec.structs.replace(self.record, docker_started=True))
        if Path("/run/systemd/system").is_dir():
            _run("systemctl", "start", "docker")
        else:
            with DOCKERD_LOG.open("ab") as log:
                started = subprocess.Popen(
                    ["dockerd"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=_environment(),
                )
            DOCKERD_PID.write_text(f"{started.pid}\n")
        until = time.monotonic() + DOCKER_STARTS_S
        while _output("docker", "version") is None:
            if time.monotonic() > until:
                raise SetupError(f"The Docker daemon did not respond within {DOCKER_STARTS_S:.0f} s; read its log.")
            time.sleep(0.5)

    def _raise_limits(self) -> None:
        raised = host_limits.raise_limits()
        done = {one.name: one.before for one in raised if not one.problem}
        self._keep(msgspec.structs.replace(self.record, limits=done | self.record.limits))
        for one in raised:
            if one.problem:
                self.say(one.sentence)

    def _restore_limits(self) -> None:
        for name, before in self.record.limits.items():
            _run("sysctl", "--quiet", "--write", f"{name}={before}")
        host_limits.SYSCTL_FILE.unlink(missing_ok=True)

    def _keep(self, record: Record) -> None:
        self.record = record
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(msgspec.json.format(msgspec.json.encode(record)))


def _stop_docker() -> None:
    """Stop the daemon, which runs no containers, and wait for its end."""
    if Path("/run/systemd/system").is_dir():
        _run("systemctl", "stop", "docker.service", "docker.socket")
        return
    if not DOCKERD_PID.exists():
        return
    pid = int(DOCKERD_PID.read_text())
    if Path(f"/proc/{pid}/comm").exists() and Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd":
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + DOCKER_STARTS_S
        while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
            time.sleep(0.2)
    DOCKERD_PID.unlink()


@contextmanager
def _no_services() -> Generator[None]:
    """Keep the scripts of packages from starting services during the block. A policy of the host's own stays."""
    if POLICY.exists() and POLICY.read_text() != NO_SERVICES:
        yield
        return
    POLICY.write_text(NO_SERVICES)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _installed() -> frozenset[str]:
    """Return the names of the installed Debian packages."""
    lines = (_output("dpkg-query", "--show", "--showformat", "${db:Status-Abbrev} ${Package}\n") or "").splitlines()
    return frozenset(line.split()[1] for line in lines if line.startswith("ii"))


def _apt(action: str, *packages: str) -> None:
    options = ("-o", "DPkg::Lock::Timeout=60", "--quiet=2", "--yes", "--no-install-recommends")
    _run("apt-get", *options, action, *packages)


def _run(*command: str) -> None:
    """Run a command.

    Raises:
        SetupError: it failed, with the end of its output.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise SetupError(
            f"`{' '.join(command)}` failed with exit code {done.returncode}. Repair the cause and run"
            f" `greenroom host setup` again:\n{end}"
        )


def _output(*command: str) -> str | None:
    """Return the output of a command; None if it is missing or fails."""
    if shutil.which(command[0], path=SEARCH_PATH) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    return done.stdout if done.returncode == 0 else None


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": SEARCH_PATH, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}

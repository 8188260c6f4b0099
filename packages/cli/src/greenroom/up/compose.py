"""A deployment with Docker Compose on this host (docs/howto/containers.md): its containers, and the compose files of a
version."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode

import yaml

from greenroom.core.errors import SetupError
from greenroom.core.text import one_line
from greenroom.core.versions import Version
from greenroom.up.deployment import FOLDER, Deployment

DATABASE: Final = "kasm_db"
SERVICE_ROLES: Final[Mapping[str, str]] = {
    DATABASE: "database",
    "kasm_manager": "manager",
    "kasm_manager_2": "manager",
    "kasm_api": "api",
    "kasm_proxy": "gateway",
    "kasm_agent": "agent",
}
"""Name of a service and its container → its role."""
MAX_RESTARTS: Final = 3
"""A new container that Docker restarts so often does not work."""
PROGRAM_TIMEOUT_S: Final = 300.0
HEALTH_TIMEOUT_S: Final = 10.0
READY_WITHIN_S: Final = 60.0
"""The time limit until a started container works."""
POLL_S: Final = 0.5
_PRINT_VERSION: Final = ("python3", "-c", "from importlib.metadata import version; print(version('greenroom'))")
"""The version of Greenroom in an image; `greenroom --version` takes longer."""
_MESSAGE: Final = "greenroom: "
"""The beginning of the message with which `greenroom` in a container fails."""
_FOLDER_LABEL: Final = "com.docker.compose.project.working_dir"


def run_program(*command: str, folder: Path | None = None, timeout_s: float | None = PROGRAM_TIMEOUT_S) -> str:
    """Run a program in a folder, and return its output.

    Raises:
        SetupError: the program is missing, failed, or did not end within `timeout_s`; None = no limit.
    """
    name = " ".join([Path(command[0]).name, *command[1:2]])
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=timeout_s,
        )
    except FileNotFoundError as error:
        raise SetupError(f"The program {command[0]} is missing; install Docker with Docker Compose.") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{name} did not end within {timeout_s:g} s.") from error
    if result.returncode != 0:
        lines = (result.stderr.strip() or result.stdout.strip() or "(no output)").splitlines()
        messages = [line for line in lines if line.startswith(_MESSAGE)] or lines  # docker-compose adds the exit code
        raise SetupError(f"{name} failed: {one_line(messages[-1]).removeprefix(_MESSAGE)}")
    return result.stdout


@cache
def _compose_program() -> tuple[str, ...]:
    """Return the command of Docker Compose: the plug-in of Docker, else `docker-compose`."""
    try:
        run_program("docker", "compose", "version")
    except SetupError:
        if shutil.which("docker-compose") is None:
            raise
        return ("docker-compose",)
    return "docker", "compose"


def compose_command() -> str:
    """Return the command of Docker Compose on this host as text."""
    return " ".join(_compose_program())


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleContainer:
    """A container of a role. `image` is the name of its image, and `folder` the folder of its compose files."""

    name: str
    image: str
    status: str
    """The state for Docker, such as running, restarting or exited."""
    restarts: int
    exit_code: int
    folder: Path
    health_command: Sequence[str]
    """The health check that the compose file defines; empty if there is none."""
    addresses: Mapping[str, Any]
    """Port in the container → the addresses of the host at which Docker publishes it."""

    @classmethod
    def find(cls, name: str) -> Self | None:
        """Return the container of this name; None if there is none."""
        filters = ("--all", "--filter", f"name=^/{name}$", "--format", "{{.ID}}")
        if not (container_id := run_program("docker", "ps", *filters).strip()):
            return None
        found: dict[str, Any] = json.loads(run_program("docker", "inspect", container_id))[0]
        health_check: dict[str, Any] = found["Config"].get("Healthcheck") or {}
        test: list[str] = health_check.get("Test") or ["NONE"]
        commands = {"CMD": test[1:], "CMD-SHELL": ["sh", "-c", *test[1:]]}
        return cls(
            name=name,
            image=found["Config"]["Image"],
            status=found["State"]["Status"],
            restarts=found["RestartCount"],
            exit_code=found["State"]["ExitCode"],
            folder=Path(found["Config"]["Labels"].get(_FOLDER_LABEL, "/")),
            health_command=commands.get(test[0], []),
            addresses=found["NetworkSettings"]["Ports"] or {},
        )

    @property
    def is_crashing(self) -> bool:
        return self.restarts >= MAX_RESTARTS

    def problem(self) -> str:
        """Return the reason why the container does not work; empty if it works."""
        if self.status != "running":
            return f"its container is {self.status}, and its process ended with exit code {self.exit_code}"
        if self.health_command:
            try:
                run_program("docker", "exec", self.name, *self.health_command, timeout_s=HEALTH_TIMEOUT_S)
            except SetupError as error:
                return f"its health check fails ({error.message.rstrip('.')})"
        return ""

    def version(self) -> str | None:
        """Return the version of Greenroom in the container; None if the container does not answer."""
        try:
            return run_program("docker", "exec", self.name, *_PRINT_VERSION).strip()
        except SetupError:
            return None


def role_containers() -> dict[str, RoleContainer]:
    """Return the containers of all roles of this host by their names, whether they run or not."""
    found = (RoleContainer.find(name) for name in SERVICE_ROLES)
    return {container.name: container for container in found if container is not None}


def last_log_line(container: str) -> str:
    """Return the last line of the log of a container."""
    command = ["docker", "logs", "--tail", "5", container]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    return ((result.stdout + result.stderr).strip().splitlines() or ["(empty)"])[-1]


def wait_until_ready(name: str) -> None:
    """Wait until a container works.

    Raises:
        SetupError: the container does not work after `READY_WITHIN_S`, or its process ends repeatedly.
    """
    end_s = time.monotonic() + READY_WITHIN_S
    while problem := _problem(name):
        container = RoleContainer.find(name)
        if time.monotonic() > end_s or (container is not None and container.is_crashing):
            raise SetupError(f"{name} is not ready: {problem}. Its log ends with: {last_log_line(name)}")
        time.sleep(POLL_S)


def _problem(name: str) -> str:
    container = RoleContainer.find(name)
    if container is None:
        return "its container is missing"
    if container.is_crashing:
        return f"its process ended {container.restarts} times"
    return container.problem()


def check_account() -> None:
    """Raise SetupError if this process is not root, which alone can read the files of a deployment."""
    if os.geteuid() != 0:
        raise SetupError(f"Only root can read {FOLDER}; run the command with sudo.")


def database_dsn(deployment: Deployment) -> str:
    """Return the address of the database of this host for its owner. The password is in a file.

    Raises:
        SetupError: the container of the database does not run on this host.
    """
    container = RoleContainer.find(DATABASE)
    if container is None or container.status != "running":
        raise SetupError(
            f"The container {DATABASE} does not run on this host; run the command on the host with the database, and"
            f" start it with: {compose_command()} up -d {DATABASE}"
        )
    published: list[dict[str, str]] = container.addresses.get("5432/tcp") or []
    if not published:
        raise SetupError(f"The container {DATABASE} publishes no port; use the compose files of Greenroom.")
    address = published[0]["HostIp"]
    options = {
        "hostaddr": "127.0.0.1" if address in ("", "0.0.0.0") else address,
        "sslmode": "verify-full",
        "sslrootcert": str(deployment.folder / "ca.pem"),
        "passfile": str(deployment.secrets_folder("setup") / "pgpass"),
    }
    return f"postgresql://greenroom@{DATABASE}:{published[0]['HostPort']}/greenroom?{urlencode(options)}"


@dataclass(frozen=True, slots=True)
class ComposeFiles:
    """The compose files of a version, in a folder with its `.env`."""

    folder: Path

    def compose(self, *arguments: str, timeout_s: float | None = PROGRAM_TIMEOUT_S) -> str:
        """Run Docker Compose with these files, and return its output. Raises SetupError: see `run_program`."""
        return run_program(*_compose_program(), *arguments, folder=self.folder, timeout_s=timeout_s)

    def run_once(self, service: str, *command: str) -> str:
        """Run a service in a new container until it ends, without a time limit, because a migration may take long."""
        return self.compose("run", "--rm", "-T", "--no-deps", service, *command, timeout_s=None)

    def start(self, service: str) -> None:
        """Start a service. Replace its container if it has other settings or another image."""
        self.compose("up", "-d", "--no-deps", service)

    def images(self) -> dict[str, str]:
        """Return service → image of the roles that these files define."""
        services = yaml.safe_load(self.compose("config"))["services"]
        return {name: services[name]["image"] for name in SERVICE_ROLES if name in services}


def image_version(image: str) -> Version:
    """Return the version of Greenroom in an image of a role. Raises SetupError: the image cannot be run."""
    return Version.parse(_run_in_image(image, *_PRINT_VERSION).strip())


def postgres_of_image(image: str) -> str:
    """Return the major version of PostgreSQL in the image of the database."""
    return _run_in_image(image, "ls", "/usr/lib/postgresql").strip()


def _run_in_image(image: str, *command: str) -> str:
    try:
        run_program("docker", "image", "inspect", image)
    except SetupError as error:
        raise SetupError(
            f"The image {image} is missing; load the images of the release with docker load, or build them."
        ) from error
    return run_program("docker", "run", "--rm", "--network", "none", image, *command)

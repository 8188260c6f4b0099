"""Hosts of the deployment in containers: each a machine with a separate Docker daemon and /opt/kasm.

In its mount namespace everything is at its documented path: the socket, /var/lib/docker and /opt/kasm. It has a
separate checkout, with the parts that `docker-compose` needs, and the settings in deploy/compose/.env.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import ssl
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from tests.acceptance.instance import wait_for
from tests.acceptance.machines import Machine, Network
from tests.support.scratch import passing_folder

ROOT = Path(__file__).parent.parent.parent
COMPOSE = ROOT / "deploy/compose"

DAEMON = """set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=755 opt /opt
mkdir /opt/kasm
mount --bind "$0/kasm" /opt/kasm
mount -t tmpfs docker /var/lib/docker   # gone with the daemon: removing images from a disk takes minutes
exec dockerd --cgroup-parent "/$1" --log-level warn
"""


@contextmanager
def saved(*images: str) -> Generator[Path]:
    """Save these images to a file."""
    with passing_folder("gr-images-") as folder:
        file = folder / "images.tar"
        subprocess.run(["docker", "save", "--output", file, *images], check=True)
        yield file


class ComposeHost:
    """A host.

    Args:
        machine: a machine without a Docker daemon.
        settings: the content of its .env.
    """

    def __init__(self, machine: Machine, **settings: str) -> None:
        self.machine = machine
        self.checkout = machine.folder / "checkout"
        self.folder = self.checkout / "deploy/compose"
        self._settings = {
            "GREENROOM_HOSTNAME": machine.address,
            "GREENROOM_LISTEN": "0.0.0.0",
            "GREENROOM_EDGE_URL": f"https://{machine.address}:8445",
            **settings,
        }
        self._daemon_pid = 0
        self.current = machine.folder / "kasm/current"
        """Its /opt/kasm/current, as seen from the test's machine."""

    def start(self) -> None:
        """Create its checkout, and start its Docker daemon."""
        shutil.copytree(COMPOSE, self.folder)
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in self._settings.items()))
        self.current.mkdir(parents=True)
        argv = ["unshare", "--mount", "sh", "-c", DAEMON, str(self.machine.folder), self.machine._namespace.name]
        self._daemon_pid = self.machine.start("dockerd", argv, {}).pid
        # before that it is not yet in its mount namespace, and the socket would belong to another daemon
        program = Path(f"/proc/{self._daemon_pid}/comm")
        wait_for(lambda: program.read_text() == "dockerd\n", "the host's Docker daemon is started")
        wait_for(lambda: self.run("docker", "info", check=False).returncode == 0, "the host's Docker daemon answers")

    def run(self, *argv: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on the host, in its deploy/compose."""
        done = subprocess.run(
            [*self._enter(self.folder), *argv], capture_output=True, text=True, check=False, **options
        )
        assert done.returncode == 0 or not check, f"{argv}: {done.stdout}{done.stderr}"
        return done

    def on_terminal(self, commands: str, folder: Path | None = None) -> str:
        """Run command lines on a terminal of the host, in its deploy/compose; each must succeed. Returns their
        output."""
        ours, theirs = pty.openpty()
        argv = [*self._enter(folder or self.folder), "bash", "-euo", "pipefail", "-c", commands]
        process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # the end of the terminal
            while chunk := os.read(ours, 4096):
                said += chunk
        os.close(ours)
        assert process.wait() == 0, f"{commands}\n{said.decode()}"
        return said.decode().replace("\r", "")

    def _enter(self, folder: Path) -> list[str]:
        if not Path(f"/proc/{self._daemon_pid}").exists():
            raise AssertionError(f"the Docker daemon ended: {self.machine.log('dockerd')}")
        namespaces = [
            f"--{kind}=/proc/{self._daemon_pid}/ns/{name}" for kind, name in (("mount", "mnt"), ("net", "net"))
        ]
        return ["nsenter", *namespaces, "env", f"--chdir={folder}"]

    def load(self, images: Path) -> None:
        """Load images that were saved elsewhere into its daemon."""
        with images.open("rb") as file:
            self.run("docker", "load", "--quiet", stdin=file)

    def wait_until_it_works(self) -> None:
        """Wait until its gateway answers, and its Managers and the only Agent of the installation run."""
        for name in ("kasm_api", "kasm_proxy"):
            wait_for(lambda name=name: self.health(name) == "healthy", f"{name} is healthy", 120)
        managers = sum(name.startswith("kasm_manager") for name in self.names())
        wait_for(lambda: self.statuses("managers") == managers * ["running"], "its Managers run", 120)
        wait_for(lambda: self.statuses("agents") == ["running"], "the Agent runs", 120)

    def statuses(self, noun: str) -> list[str]:
        """The statuses of the Managers or Agents of the installation."""
        return [one["status"] for one in self.call("GET", f"/{noun}")]

    def compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `docker-compose …`."""
        return self.run("docker-compose", *arguments)

    def names(self) -> list[str]:
        """The names of its containers, without those that end by themselves."""
        listed = self.run("docker", "ps", "--all", "--format", "{{.Names}}").stdout.split()
        return sorted(name for name in listed if name.startswith("kasm_"))

    # Looking --------------------------------------------------------------------------------------------------------

    def inspect(self, container: str, template: str) -> str:
        """Run `docker inspect --format=…`."""
        return self.run("docker", "inspect", f"--format={template}", container).stdout.strip()

    def health(self, container: str) -> str:
        """healthy, unhealthy or starting."""
        return self.inspect(container, "{{.State.Health.Status}}")

    def restarts(self, container: str) -> int:
        """The number of times Docker has restarted the container."""
        return int(self.inspect(container, "{{.RestartCount}}"))

    def logs(self, container: str) -> str:
        """The last log lines of a container, for the message of a failed test."""
        done = self.run("docker", "logs", "--tail", "30", container, check=False)
        return f"\n== {container}\n{done.stdout}{done.stderr}"

    @property
    def url(self) -> str:
        """The URL of the console."""
        return f"https://{self.machine.address}:8443"

    def ca(self) -> ssl.SSLContext:
        """A TLS context that trusts only the installation's authority."""
        return ssl.create_default_context(cafile=self.current / "ca.pem")

    @contextmanager
    def http(self) -> Iterator[httpx2.Client]:
        """A client of its gateway, with the first key of the installation if this host has it."""
        file = self.current / "installation/credentials.json"
        stored = json.loads(file.read_text()) if file.exists() else {}
        auth = (stored["api_key"], stored["api_key_secret"]) if stored else None
        options = {"base_url": self.url, "auth": auth, "timeout": 15, "trust_env": False}
        with self.machine.entered(), httpx2.Client(verify=self.ca(), **options) as client:
            yield client

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request to /api/v1 that must succeed; returns its JSON, None without content."""
        with self.http() as client:
            answer = client.request(method, f"/api/v1{path}", **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def session_of(self, username: str) -> dict[str, Any]:
        """A running desktop of a new user."""
        user = self.call("POST", "/users", json={"username": username})["user_id"]
        image = next(one["image_id"] for one in self.call("GET", "/images") if one["friendly_name"] == "Desktop")
        launched = self.call("POST", "/sessions", json={"image_id": image, "user_id": user})["session_id"]

        def running() -> dict[str, Any] | None:
            found = self.call("GET", f"/sessions/{launched}")
            assert found["status"] not in {"failed", "deleted"}, found
            return found if found["status"] == "running" else None

        return wait_for(running, "the desktop runs", 60)


Host = TypeVar("Host", bound=ComposeHost)


@contextmanager
def working_host(create: Callable[[Machine], Host], *images: str) -> Generator[Host]:
    """Create a host on a machine of its own network, and wait until it works with these images."""
    network = Network()
    try:
        host = create(network.machine("first"))
        host.start()
        with saved(*images) as file:
            host.load(file)
        host.compose("up", "-d")
        try:
            host.wait_until_it_works()
        except AssertionError:
            pytest.fail("it does not work" + "".join(host.logs(name) for name in host.names()))
        yield host
    finally:
        network.close()

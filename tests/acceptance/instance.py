"""`greenroom up` as processes, for acceptance and browser tests: start, inspect, damage, stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psycopg
import pytest
from psycopg.rows import dict_row
from tests.support.processes import free_port
from tests.support.scratch import keep_in_memory, remove_from_memory

from greenroom.db.database import Database
from greenroom.gateway.nginx import nginx_processes
from greenroom.kit.processes import children
from greenroom.up import health
from greenroom.up.doctor import check_invariants
from greenroom.up.instance import database_of
from greenroom.up.layout import Layout, running_pid
from greenroom.up.progress import LineProgress
from greenroom.up.site import site_of
from greenroom.up.status import find_nginx_pids, is_nginx_master

T = TypeVar("T")

GREENROOM = (sys.executable, "-m", "greenroom")
RUN_S = 150.0
"""The time limit of a command."""
CRASH_LOOPS = {"I27", "I29"}
"""Codes of the invariants that no role is crash-looping."""
UNHEALTHY_S = 120.0
"""The time until a Manager that hangs or has no database answers 500: 10 s, ten times as long on a busy machine, and a
margin."""
LONGER_LIMITS = {"GREENROOM_HANDOVER_RECEIVED_S": "6", "GREENROOM_HANDOVER_ASSIGNED_S": "12"}
"""A staged session is replaced if its Agent does not acknowledge it in time, or does not report its `assign`; a
machine that is busy with tests may stall for longer than the default limits of 2 s, and of 1 s beyond `assign`."""


def run(*arguments: str, program: Sequence[str] = GREENROOM, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `greenroom …` of this checkout, or of another `program`, to its end and capture its output."""
    return subprocess.run(
        [*program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_S,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


def wait_for(condition: Callable[[], T | None], what: str, within_s: float = 60.0) -> T:
    """Return the first true value of `condition`; fails with `what` if there is none in time."""
    end = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(0.1)


def add_logs(report: pytest.TestReport, item: pytest.Item) -> None:
    """Add the logs of the test's instances to the report of a failed test."""
    fixtures: dict[str, object] = getattr(item, "funcargs", {})
    for name, fixture in fixtures.items() if report.failed else ():
        if isinstance(fixture, Instance):
            report.sections.append((f"logs of {name}", fixture.logs()))


class Instance:
    """An instance with separate DATA and port. `program` is the command that starts and ends it."""

    program: Sequence[str] = GREENROOM

    def __init__(self, *options: str, **environment: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gr-acc-", dir="/tmp"))
        keep_in_memory(self.folder)
        self.data = self.folder / "data"
        self.stops = self.folder / "stops"
        self.stops.mkdir()
        self.stops.chmod(0o777)
        self.port = free_port()
        self.options = options
        own = {"GREENROOM_STOP_DIR": str(self.stops), "GREENROOM_VOLUME_FOLDERS": str(self.folder)}
        self.environment = {**own, **LONGER_LIMITS, **environment}
        self.found: dict[str, Any] = {}

    # Life -----------------------------------------------------------------------------------------------------------

    def up(self, *options: str) -> dict[str, Any]:
        """Run `greenroom up --detach --json`; returns the printed object."""
        where = ("--data", str(self.data), "--port", str(self.port))
        words = ("up", *where, "--detach", "--json", *self.options, *options)
        done = run(*words, program=self.program, **self.environment)
        assert done.returncode == 0, done.stderr + self.logs()
        self.found = json.loads(done.stdout.splitlines()[-1])
        return self.found

    def down(self) -> subprocess.CompletedProcess[str]:
        """Run `greenroom down`."""
        return run("down", "--data", str(self.data), program=self.program, **self.environment)

    def remove(self) -> None:
        """End the instance in any state, and remove its folder."""
        layout = Layout(self.data)
        if running_pid(layout) is not None or layout.state.exists():
            done = self.down()
            assert done.returncode == 0, done.stderr
        wait_for(lambda: not processes_of(self.data), "a start that was interrupted ends by itself", within_s=60)
        remove_from_memory(self.folder)

    # Looking --------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Run `greenroom status --json`, also when a part does not work."""
        done = run("status", "--json", "--data", str(self.data), program=self.program, **self.environment)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def pids(self, role: str) -> list[int]:
        """The pids of the running processes of this role."""
        state = json.loads((self.data / "run/state.json").read_text())
        if role == "up":
            return [state["up"]]
        if role == "nginx":
            master = next(iter(find_nginx_pids(self.pids("gateway"))), None)
            if master is None or not is_nginx_master(master):
                return []  # after a kill, until the gateway has started a new one
            return [master, *(worker.pid for worker in children(master))]
        return [part["pid"] for part in state["parts"] if part["role"] == role and part["pid"] is not None]

    def healthy(self) -> bool:
        """True if every part works, by the checks of `greenroom status`, without the second that it takes to start.

        No answering nginx may be about to end: an nginx that must still be replaced drops connections at that moment.
        """
        return self.has_one_nginx() and asyncio.run(self._healthy())

    def has_one_nginx(self) -> bool:
        """True if only one nginx accepts connections; workers of earlier ones may still finish their connections."""
        serving = self.pids("nginx")
        others = {process.pid for process in nginx_processes(Layout(self.data).gateway)} - set(serving)
        return bool(serving) and not any(map(takes_connections, others))

    async def _healthy(self) -> bool:
        site = site_of(Layout(self.data))
        db = Database(site.dsn, application_name="acceptance", max_size=2)
        await db.open()
        try:
            async with health.client(site.layout.ca_file) as http:
                return all(part.ok for part in await health.check_all(http, db, site))
        finally:
            await db.close()

    def broken(self) -> list[str]:
        """The findings of `greenroom doctor`, except crash-looping roles: tests kill them again and again."""
        return asyncio.run(self._broken())

    async def _broken(self) -> list[str]:
        layout = Layout(self.data)
        async with database_of(layout, LineProgress(sys.stderr)) as (db, site):
            found = [finding for finding in await check_invariants(db, site) if finding.code not in CRASH_LOOPS]
            return [what for finding in found for what in finding.broken]

    def logs(self, lines: int = 30) -> str:
        """The end of each log, for the message of a failed test."""
        files = sorted((self.data / "logs").glob("*.log")) if (self.data / "logs").exists() else []
        ends = ("\n".join(file.read_text(errors="replace").splitlines()[-lines:]) for file in files)
        return "".join(f"\n== {file.name}\n{end}" for file, end in zip(files, ends, strict=True))

    @property
    def url(self) -> str:
        """The URL of the console."""
        return self.found["url"]

    @contextmanager
    def http(self) -> Iterator[httpx2.Client]:
        """A client of /api/v1 with the instance's key, through the gateway."""
        auth = (self.found["api_key"], self.found["api_key_secret"])
        with httpx2.Client(base_url=self.url, verify=self.ca(), auth=auth, timeout=15, trust_env=False) as client:
            yield client

    def ca(self) -> Any:
        """A TLS context that trusts only the instance's authority."""
        return ssl.create_default_context(cafile=self.found["ca_file"])

    def sql(self, query: str, *params: Any) -> list[dict[str, Any]]:
        """The rows of a statement in the instance's database."""
        with psycopg.connect(self.found["database_url"], autocommit=True) as connection:
            cursor = connection.cursor(row_factory=dict_row).execute(query.encode(), params)
            return cursor.fetchall() if cursor.description else []

    def containers(self) -> list[str]:
        """Ids of all containers of this installation."""
        return containers(self.label())

    def containers_of(self, session_id: str) -> list[str]:
        """Ids of the containers of one session."""
        return containers(f"greenroom.session={session_id}")

    def sessions_of_containers(self) -> list[str]:
        """The session ids on the labels of this installation's containers."""
        listing = ["docker", "ps", "--all", "--filter", f"label={self.label()}"]
        listing += ["--format", '{{.Label "greenroom.session"}}']
        return subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()

    def label(self) -> str:
        """The label of all Docker objects of this installation."""
        installation = self.sql("SELECT installation_id FROM installation")[0]["installation_id"]
        return f"greenroom.installation={installation}"

    # Using ----------------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request to /api/v1 that must succeed; returns its JSON, None without content."""
        with self.http() as client:
            try:
                answer = client.request(method, f"/api/v1{path}", **options)
            except httpx2.TransportError as error:
                raise AssertionError(f"{method} {path}: {error!r}{self.logs()}") from error
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def new_user(self) -> str:
        """The id of a new user."""
        return self.call("POST", "/users", json={"username": f"u-{uuid.uuid4().hex[:10]}@example.org"})["user_id"]

    def desktop(self) -> str:
        """The id of the workspace `Desktop`."""
        return next(i["image_id"] for i in self.call("GET", "/images") if i["friendly_name"] == "Desktop")

    def launch(self, user_id: str, key: str | None = None) -> dict[str, Any]:
        """Launch `Desktop` for a user; a repeated key returns the session of the first call."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.call("POST", "/sessions", json={"image_id": self.desktop(), "user_id": user_id}, headers=headers)

    def session(self, session_id: str) -> dict[str, Any]:
        """A session as in /api/v1."""
        return self.call("GET", f"/sessions/{session_id}")

    def has_status(self, session_id: str, status: str) -> bool:
        """True if the session's row has this status, read from the database, which is available when other roles are
        not."""
        rows = self.sql("SELECT status FROM sessions WHERE session_id = %s", session_id)
        return bool(rows) and rows[0]["status"] == status

    def stage(self, number: int) -> str:
        """Create a staging config for `Desktop` in the first zone; returns its id."""
        body = {"zone_id": self.found["zones"][0]["zone_id"], "image_id": self.desktop()}
        return self.call("POST", "/staging-configs", json={**body, "num_sessions": number, "expiration": 8})[
            "staging_config_id"
        ]

    def resize(self, config_id: str, number: int) -> None:
        """Change Desired."""
        self.call("PATCH", f"/staging-configs/{config_id}", json={"num_sessions": number})

    def unstage(self, config_id: str) -> None:
        """Delete a staging config and wait until its unassigned sessions are gone."""
        self.call("DELETE", f"/staging-configs/{config_id}")
        query = "SELECT 1 FROM sessions WHERE staging_config_id = %s AND user_id IS NULL AND status <> 'deleted'"
        wait_for(lambda: not self.sql(query, config_id), "the pool is empty")

    def staged(self, config_id: str) -> int:
        """The number of claimable sessions of a config."""
        query = "SELECT count(*) FROM sessions WHERE staging_config_id = %s AND claimable"
        return self.sql(query, config_id)[0]["count"]

    def sessions_of_user(self, user_id: str) -> list[str]:
        """The ids of a user's sessions; a superseded session no longer belongs to the user."""
        query = "SELECT session_id::text FROM sessions WHERE user_id = %s AND status <> 'deleted'"
        return [row["session_id"] for row in self.sql(query, user_id)]

    def made_for(self, config_id: str) -> int:
        """The number of sessions that were ever created for a config's pool, without those that a user claimed from
        it."""
        query = "SELECT count(*) FROM sessions WHERE staging_config_id = %s AND assignment_id IS NULL"
        return self.sql(query, config_id)[0]["count"]

    # Hurting --------------------------------------------------------------------------------------------------------

    def kill(self, role: str, number: int = 0) -> int:
        """Send kill -9 to the first (or another) process of a role; returns its pid."""
        pid = self.pids(role)[number]
        os.kill(pid, signal.SIGKILL)
        return pid

    def arm(self, process: str, stop: str) -> None:
        """Hold `process` (e.g. manager-default-1) when it reaches this stop (greenroom.kit.stops)."""
        assert self._converse(process, f"arm {stop}") == "ok"

    def wait_at(self, process: str, stop: str, within_s: float = 60) -> None:
        """Return when it is held there."""
        assert self._converse(process, f"wait {stop}", within_s) == "reached"

    def release(self, process: str, stop: str) -> None:
        """Release it."""
        assert self._converse(process, f"release {stop}") == "ok"

    def _converse(self, process: str, line: str, within_s: float = 15) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(within_s)
            connection.connect(str(self.stops / f"{process}.sock"))
            connection.sendall(line.encode() + b"\n")
            return connection.makefile().readline().strip()


@contextmanager
def running_instance(*options: str, **environment: str) -> Generator[Instance]:
    """A started instance; it is ended and removed in any case."""
    instance = Instance(*options, **environment)
    try:
        instance.up()
        yield instance
    finally:
        instance.remove()


def containers(label: str) -> list[str]:
    """Ids of all containers with this label."""
    listing = ["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}"]
    return subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()


def networks(label: str) -> list[str]:
    """Ids of all Docker networks with this label."""
    listing = ["docker", "network", "ls", "--quiet", "--filter", f"label={label}"]
    return subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()


KEPT_BY_DOCKER = "Docker cannot remove an unused network"


def networks_left(instance: Instance, label: str, said: str) -> list[str]:
    """The ids of the networks that the instance left behind after `down` with the output `said`. Docker 20.10
    sometimes loses count of the endpoints of a network, and keeps it (`runtimes/docker/networks.py`): a network
    without endpoints, according to Docker, that the product reported as not removable, does not count as left
    behind."""
    files = (instance.data / "logs").glob("*.log")
    lines = [*said.splitlines(), *(line for file in files for line in file.read_text(errors="replace").splitlines())]
    kept = [line for line in lines if KEPT_BY_DOCKER in line]
    return [network for network in networks(label) if not _is_kept(network, kept)]


def _is_kept(network: str, kept: list[str]) -> bool:
    shown = subprocess.run(["docker", "network", "inspect", network], check=True, capture_output=True, text=True)
    (facts,) = json.loads(shown.stdout)
    return not facts["Containers"] and any(facts["Id"] in line or facts["Name"] in line for line in kept)


def takes_connections(nginx: int) -> bool:
    """True if this process of nginx is a worker without a signal to end, according to its title."""
    try:
        title = Path(f"/proc/{nginx}/cmdline").read_bytes()
    except OSError:
        return False
    return title.startswith(b"nginx: worker process") and b"shutting down" not in title


def processes_of(data: Path) -> list[str]:
    """The command lines of all processes that work in DATA or name it."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            folder = (entry / "cwd").readlink()
        except OSError:
            continue
        if folder.is_relative_to(data) or f"{data}" in line:
            found.append(f"{entry.name} {line}")
    return found

"""Starts and ends the demo: an instance with its own data folder and ports, on the simulated runtime.

The demo never changes another installation: it refuses a data folder that contains an instance without demo data.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from greenroom.core.errors import SetupError
from greenroom.demo import hosts
from greenroom.demo.hosts import Hosts
from greenroom.demo.people import DOMAIN, LOG_INS
from greenroom.demo.plan import FULL, SMALL, ZONES, Language
from greenroom.demo.seed import DemoOptions, Seeding, manager_urls, name_hosts, run_in_database
from greenroom.up import commands
from greenroom.up.layout import DataLock, Layout, check_folder, running_pid, write_json
from greenroom.up.options import Options, default_data, find_listen_error
from greenroom.up.processes import end_all, find_instance_processes, read_command_line
from greenroom.up.progress import InstanceDescription, command_name, stderr_progress
from greenroom.up.site import LEFTOVERS_TIMEOUT_S, remove_data, site_of
from greenroom.up.status import read_status

DEFAULT_PORT: Final = 9443
_ENVIRONMENT: Final = {"GREENROOM_RUNTIME": "simulated", "GREENROOM_ENDED_KEEP_DAYS": "31"}
"""The settings of the roles of the demo: simulated sessions, and ended sessions of the whole history."""


def default_folder() -> Path:
    """Return the default data folder, next to the default data folder of `greenroom up`."""
    standard = default_data()
    return standard.with_name(f"{standard.name}-demo")


class StoredDemo(msgspec.Struct, frozen=True, kw_only=True):
    """The file demo.json of a complete demo. `seeded` is when its data were complete, as an ISO time in UTC."""

    password: str
    language: str
    incident: bool
    seed: int
    seeded: str

    @classmethod
    def read(cls, layout: Layout) -> Self | None:
        """Return the content of the file; None = there is no complete demo."""
        file = _file(layout)
        return msgspec.json.decode(file.read_bytes(), type=cls) if file.exists() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningDemo:
    """A running demo. `usernames` can log in at `url` with the password; the first is an administrator."""

    url: str
    usernames: tuple[str, ...]
    data: str
    ca_file: str
    api_key: str | None
    api_key_secret: str | None
    stored: StoredDemo


def free_port() -> int:
    """Return the first free port from `DEFAULT_PORT` on. Raises SetupError: there is none."""
    for port in range(DEFAULT_PORT, 65536):
        if find_listen_error(port) is None:
            return port
    raise SetupError(f"No port from {DEFAULT_PORT} on is free; stop a program that uses one of them.")


def start(data: Path, *, port: int | None, language: Language, seed: int, small: bool, incident: bool) -> RunningDemo:
    """Start the demo. A new demo is filled with data; an existing demo keeps its data and its options.

    Raises:
        SetupError: DATA has another instance, or the demo cannot be started. A new demo that cannot be started or
            completed is removed.
    """
    layout = Layout(data)
    stored = StoredDemo.read(layout)
    if layout.instance.exists() and not stored:
        if hosts.demo_folder(layout).exists():
            raise SetupError(
                f"The demo in {data} is being created, or its creation ended early; remove it with:"
                f" {command_name()} demo --end --data {shlex.quote(str(data))}"
            )
        raise SetupError(f"{data} contains an instance that is no demo; specify another --data.")
    os.environ.update(_ENVIRONMENT)
    size = SMALL if small else FULL
    options = Options() if stored else Options(port=port or free_port(), managers=size.managers, zones=ZONES)
    description = _start_instance(layout, options)
    if not stored:
        password = secrets.token_urlsafe(9)
        hosts.demo_folder(layout).mkdir(mode=0o700)
        demo = DemoOptions(language=language, seed=seed, size=size, incident=incident)
        try:
            Seeding(site_of(layout), description, demo, password, stderr_progress()).run()
        except BaseException:
            remove(data)
            raise
        stored = StoredDemo(
            password=password,
            language=language,
            seed=seed,
            incident=incident,
            seeded=datetime.now(UTC).isoformat(),
        )
        write_json(_file(layout), msgspec.to_builtins(stored), 0o600)
    elif not _hosts_run(layout):
        _restart_hosts(layout)
    usernames = tuple(f"{login}@{DOMAIN}" for login in LOG_INS)
    return RunningDemo(
        url=description.url,
        usernames=usernames,
        data=str(data),
        ca_file=description.ca_file,
        api_key=description.api_key,
        api_key_secret=description.api_key_secret,
        stored=stored,
    )


def _file(layout: Layout) -> Path:
    return hosts.demo_folder(layout) / "demo.json"


def _start_instance(layout: Layout, options: Options) -> InstanceDescription:
    if running_pid(layout) is None:
        is_new = not layout.instance.exists()
        try:
            return commands.start_in_background(layout, options)
        except BaseException:
            if is_new and layout.instance.exists() and running_pid(layout) is None:
                _remove_instance(layout)
            raise
    description = asyncio.run(read_status(layout)).description
    if description is None:
        raise SetupError("The database of the demo does not answer; end the demo with: greenroom demo --end")
    return description


def _hosts_run(layout: Layout) -> bool:
    module = "greenroom.demo.hosts"
    return any(module in read_command_line(process.pid) for process in find_instance_processes(layout.data))


def _restart_hosts(layout: Layout) -> None:
    """Start the further hosts again, and name the hosts of the instance's own Managers and Agents."""
    site = site_of(layout)
    run_in_database(site.dsn, lambda db: name_hosts(db, site))
    Hosts.read(layout).at(manager_urls(site)).write(layout)
    hosts.start(layout)


def remove(data: Path) -> None:
    """End the demo, and remove its data folder. Raises SetupError: the folder contains no demo, or cannot be
    removed."""
    layout = Layout(data)
    check_folder(layout)
    if not hosts.demo_folder(layout).exists():
        raise SetupError(f"There is no demo in {data}.")
    _remove_instance(layout)


def _remove_instance(layout: Layout) -> None:
    if running_pid(layout) is not None or layout.state.exists():
        commands.down(layout.data)
    asyncio.run(end_all(lambda: find_instance_processes(layout.data), LEFTOVERS_TIMEOUT_S))
    lock = DataLock.take(layout)
    try:
        remove_data(layout, [layout.data])
    finally:
        lock.release()


def as_json(demo: RunningDemo) -> dict[str, Any]:
    """Return the demo as JSON."""
    fields = asdict(demo)
    return msgspec.to_builtins(fields.pop("stored")) | fields

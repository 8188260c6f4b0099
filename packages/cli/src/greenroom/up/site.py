"""The site of an instance: its folder, settings, accounts and programs, and the id, ports and files of each role.

`greenroom up` writes these data to DATA before it starts a role. Other commands read them.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Final, Self

import structlog

from greenroom.core.errors import SetupError
from greenroom.core.text import summary
from greenroom.kit.secrets import Secrets
from greenroom.up import checks, tls
from greenroom.up.account import Accounts, service_accounts
from greenroom.up.layout import (
    DataLock,
    Layout,
    check_folder,
    check_reachable,
    create_folder,
    read_json,
    write_json,
    write_once,
    write_text,
)
from greenroom.up.options import (
    Options,
    PortReservations,
    Settings,
    check_last_version,
    choose_ports,
    default_runtime,
    merge_settings,
    preferred_ports,
    settings_before_start,
    stored_settings,
)
from greenroom.up.postgres import PostgresCluster
from greenroom.up.processes import end_all, find_instance_processes
from greenroom.up.programs import Programs, prepare_programs, programs_of_run
from greenroom.up.progress import Progress

log = structlog.get_logger(__name__)

LEFTOVERS_TIMEOUT_S: Final = 8.0
"""The time limit for the end of processes that remained from an earlier run of the instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerSite:
    """A Manager. On `gateway_port`, the gateway forwards requests to this Manager only, or answers 503 while
    `sentinel_file` exists.
    """

    name: str
    zone: str
    instance_id: str
    port: int
    gateway_port: int
    sentinel_file: Path

    @property
    def gateway_url(self) -> str:
        return f"https://127.0.0.1:{self.gateway_port}"

    @property
    def health_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/__healthcheck"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSite:
    """An Agent. `folder` contains its identity and journal."""

    name: str
    zone: str
    agent_id: str
    port: int
    folder: Path

    @property
    def health_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/__healthcheck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The data of an instance whose Managers and Agents have ids and ports. `ports` maps each listener to its port."""

    layout: Layout
    settings: Settings
    accounts: Accounts
    programs: Programs
    ports: Mapping[str, int]
    managers: tuple[ManagerSite, ...]
    agents: tuple[AgentSite, ...]

    @classmethod
    def of(cls, layout: Layout, settings: Settings, accounts: Accounts, programs: Programs) -> Self:
        """Return the site with the ids and ports from DATA."""
        ports = read_json(layout.ports)
        ids = {name: _id_of_manager(layout, name) for name, _ in settings.manager_names}
        return cls(
            layout=layout,
            settings=settings,
            accounts=accounts,
            programs=programs,
            ports=ports,
            managers=tuple(
                ManagerSite(
                    name=name,
                    zone=zone,
                    instance_id=ids[name],
                    port=ports[name],
                    gateway_port=ports[f"{name}-gateway"],
                    sentinel_file=layout.sentinel(ids[name]),
                )
                for name, zone in settings.manager_names
            ),
            agents=tuple(
                AgentSite(
                    name=name,
                    zone=zone,
                    agent_id=(layout.agent(name) / "agent_id").read_text().strip(),
                    port=ports[name],
                    folder=layout.agent(name),
                )
                for name, zone in settings.agent_names
            ),
        )

    @property
    def url(self) -> str:
        return self.settings.url

    @property
    def stream_url(self) -> str:
        return f"https://{self.settings.console_host}:{self.ports['stream']}"

    @property
    def api_health_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['api']}/api/__healthcheck"

    @property
    def agent_ids(self) -> list[str]:
        return [agent.agent_id for agent in self.agents]

    @property
    def folders(self) -> dict[str, Path]:
        """Name of the api, a Manager or an Agent → its folder."""
        managers = {manager.name: self.layout.manager(manager.name) for manager in self.managers}
        return {"api": self.layout.api, **managers, **{agent.name: agent.folder for agent in self.agents}}

    def managers_of(self, zone: str) -> list[ManagerSite]:
        return [manager for manager in self.managers if manager.zone == zone]

    @property
    def cluster(self) -> PostgresCluster:
        """The embedded PostgreSQL. It listens only on a unix socket, so its port is only part of a file name."""
        layout, accounts = self.layout, self.accounts
        install = self.programs.postgres
        return PostgresCluster(install, layout.postgres, 5432, accounts.database, layout.sockets, accounts.services)

    @property
    def dsn(self) -> str:
        """The connection string of the database for its owner."""
        return self.settings.database_url or self.cluster.dsn

    @property
    def service_dsn(self) -> str:
        """The connection string of the database for api and Managers."""
        return self.settings.database_url or self.cluster.service_dsn

    @property
    def custom_certificate(self) -> tuple[Path, Path] | None:
        """Copies of the administrator's certificate and key for the host name."""
        return self.layout.custom_certificate if self.settings.tls_cert is not None else None


async def prepare_instance(layout: Layout, options: Options, progress: Progress) -> tuple[Site, tuple[int, ...]]:
    """Check the machine, lock DATA and create all files. Return the site, and the file descriptors of the lock and the
    reserved ports.

    The descriptors must stay open until the end of the process, because `greenroom down` waits for their release.

    Raises:
        SetupError: the instance cannot be started with these options. If DATA contained no instance, DATA is removed.
    """
    checks.check_path(layout.data)
    check_folder(layout)
    with lock_data(layout) as lock:
        reservations = PortReservations()
        stored = read_json(layout.instance)
        check_last_version(stored)
        settings = merge_settings(options, {**stored, "runtime": default_runtime()})
        await end_all(lambda: find_instance_processes(layout.data), LEFTOVERS_TIMEOUT_S)
        with progress.step("Checking this machine"):
            await checks.check_machine(layout, settings)
            if not reservations.take(settings.port):
                raise SetupError(f"Port {settings.port} is reserved by another instance; specify another --port.")
            accounts = service_accounts()
            check_reachable(layout, accounts)
            checks.check_space(layout, settings, accounts)
        await checks.provide_desktop_image(layout, settings, progress)
        try:
            layout.create(accounts)
            write_json(layout.instance, settings_before_start(settings, stored), 0o600)
            with progress.step("Preparing the programs"):
                programs = prepare_programs(layout.runtime, accounts)
            _create_files(layout, settings, accounts, reservations)
        except OSError as error:
            raise SetupError(
                f"The files of the instance cannot be created in {layout.data}: {summary(error)}"
            ) from error
        return Site.of(layout, settings, accounts, programs), (lock.descriptor, *reservations.detach())


@contextmanager
def lock_data(layout: Layout) -> Generator[DataLock]:
    """Lock DATA before any file is created in it. If the block fails and DATA had no instance, remove DATA and the
    parent folders that were created for it.

    Raises:
        SetupError: another process holds the lock.
    """
    created_folders = list(takewhile(lambda folder: not folder.exists(), (layout.data, *layout.data.parents)))
    lock = DataLock.take(layout)
    is_new = not layout.instance.exists()
    try:
        yield lock
    except BaseException:
        if is_new:
            remove_data(layout, created_folders)
        lock.release()
        raise


def remove_data(layout: Layout, folders: Iterable[Path]) -> None:
    """Remove the content of DATA, which must be locked, then `folders` in order up to the first folder that is not
    empty. instance.json and the lock file are removed last, so that an interrupted removal can be repeated.
    """
    for entry in sorted(layout.data.iterdir(), key=lambda entry: entry == layout.instance):
        if entry != layout.lock:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    layout.lock.unlink()
    for folder in folders:
        try:
            folder.rmdir()
        except OSError as error:
            log.info("a folder is not removed", folder=str(folder), reason=error.strerror)
            return


def _create_files(layout: Layout, settings: Settings, accounts: Accounts, reservations: PortReservations) -> None:
    """Create the ids of Managers and Agents, the folders of sentinel files, the key of the installation, the ports and
    the certificates. Existing files are kept.
    """
    account = accounts.services
    for name, _ in settings.manager_names:
        folder = layout.manager(name)
        create_folder(folder, 0o700, account)
        write_once(folder / "instance_id", f"{name}-{uuid.uuid4().hex[:8]}\n", account)
        create_folder(layout.sentinel(_id_of_manager(layout, name)).parent, 0o755, account)
    for name, _ in settings.agent_names:
        create_folder(layout.agent(name), 0o700)
        write_once(layout.agent(name) / "agent_id", f"{uuid.uuid4()}\n")
    if not layout.key_file.exists():
        Secrets.create_file(layout.key_file)
        write_text(layout.key_file, layout.key_file.read_text(), 0o600, account)
    credential = Secrets.from_file(layout.key_file).gateway_credential()
    write_text(layout.gateway_credential, credential, 0o600, accounts.gateway)
    managers, agents = [name for name, _ in settings.manager_names], [name for name, _ in settings.agent_names]
    ports = choose_ports(preferred_ports(managers, agents), read_json(layout.ports), settings.port, reservations.take)
    write_json(layout.ports, {"main": settings.port, **ports}, 0o644)
    tls.ensure_authority(layout)
    tls.ensure_certificates(layout, settings, accounts.gateway, datetime.now(UTC))


def _id_of_manager(layout: Layout, name: str) -> str:
    return (layout.manager(name) / "instance_id").read_text().strip()


@asynccontextmanager
async def stopped_site(layout: Layout) -> AsyncGenerator[Site]:
    """Lock a stopped instance for the duration of the block, end its remaining processes, and yield its site.

    Raises:
        SetupError: the instance is running.
    """
    lock = DataLock.take(layout)
    try:
        await end_all(lambda: find_instance_processes(layout.data), LEFTOVERS_TIMEOUT_S)
        accounts = service_accounts()
        yield Site.of(layout, stored_settings(layout), accounts, prepare_programs(layout.runtime, accounts))
    finally:
        lock.release()


def site_of(layout: Layout) -> Site:
    """Return the site of an instance that was started before, with the programs of that start. Nothing is changed."""
    return Site.of(layout, stored_settings(layout), service_accounts(), programs_of_run(layout.runtime))

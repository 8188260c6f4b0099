"""The one description of an instance: its folder, settings, accounts and programs, and each part with its id, ports and
files. It is laid out on disk before anything starts, and every command reads it."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from greenroom.core.errors import SetupError
from greenroom.core.wording import summary
from greenroom.kit.processes import end_all
from greenroom.kit.secrets import Secrets
from greenroom.up import checks, tls
from greenroom.up.account import Accounts, service_accounts
from greenroom.up.layout import (
    DataLock,
    Layout,
    check_folder,
    check_reachable,
    own,
    read_json,
    write_json,
    write_once,
    write_text,
)
from greenroom.up.options import Options, Reservations, Settings, choose, runtime_name, settle, stored_settings, wanted
from greenroom.up.postgres import Cluster
from greenroom.up.processes import leftovers
from greenroom.up.programs import Programs, current, prepare
from greenroom.up.progress import Progress

LEFTOVERS_WITHIN_S: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerSite:
    """One Manager; `gateway_port` is that of its own listener of the gateway, on which its sentinel is checked."""

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
    """One Agent; `folder` has its identity and journal."""

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
    """An instance whose Managers and Agents have their ids and ports; `ports` is the port of each listener by name."""

    layout: Layout
    settings: Settings
    accounts: Accounts
    programs: Programs
    ports: Mapping[str, int]
    managers: tuple[ManagerSite, ...]
    agents: tuple[AgentSite, ...]

    @classmethod
    def of(cls, layout: Layout, settings: Settings, accounts: Accounts, programs: Programs) -> Self:
        """Read the ids and ports from DATA."""
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

    def managers_of(self, zone: str) -> list[ManagerSite]:
        return [manager for manager in self.managers if manager.zone == zone]

    @property
    def cluster(self) -> Cluster:
        """The embedded PostgreSQL; it listens only on a unix socket, so its port is just part of a file name."""
        layout, accounts = self.layout, self.accounts
        install = self.programs.postgres
        return Cluster(install, layout.postgres, 5432, accounts.database, layout.sockets, accounts.services)

    @property
    def dsn(self) -> str:
        """The database as its owner."""
        return self.settings.database_url or self.cluster.dsn

    @property
    def service_dsn(self) -> str:
        """The database as api and Managers see it."""
        return self.settings.database_url or self.cluster.service_dsn

    @property
    def given_certificate(self) -> tuple[Path, Path] | None:
        """Copies of the certificate and key that the administrator brought for the host name."""
        return self.layout.given_certificate if self.settings.tls_cert is not None else None


async def prepared(layout: Layout, options: Options, progress: Progress) -> tuple[Site, tuple[int, ...]]:
    """Check the machine, lock DATA and lay out all files; the descriptors hold the lock and the reserved ports.

    Only the end of the process releases them: `greenroom down` waits for it.

    Raises:
        SetupError: it cannot be started as asked; a new DATA is left as it was found.
    """
    check_folder(layout)
    lock = DataLock.take(layout) if layout.lock.exists() else None
    reservations = Reservations()
    settings = settle(options, {**read_json(layout.instance), "runtime": runtime_name()})
    await end_all(lambda: leftovers(layout.data), LEFTOVERS_WITHIN_S)
    with progress.step("Checking this machine"):
        await checks.check_machine(layout, settings)
        if not reservations.take(settings.port):
            raise SetupError(f"Port {settings.port} is reserved by another instance; give another --port.")
        accounts = service_accounts()
        check_reachable(layout, accounts)
        checks.check_space(layout, settings, accounts)
    with _removed_if_new(layout):
        layout.create(accounts)
        lock = lock or DataLock.take(layout)
        write_json(layout.instance, settings.stored(), 0o600)
        with progress.step("Preparing the programs"):
            programs = prepare(layout.runtime, accounts)
        _lay_out(layout, settings, accounts, reservations)
    return Site.of(layout, settings, accounts, programs), (lock.descriptor, *reservations.left())


@contextmanager
def _removed_if_new(layout: Layout) -> Generator[None]:
    """Remove a DATA that the block could not finish, with the parents that it made.

    Raises:
        SetupError: the disk refuses a file.
    """
    is_new = not layout.instance.exists()
    was_there = next(folder for folder in (layout.data, *layout.data.parents) if folder.exists())
    try:
        yield
    except BaseException as error:
        if is_new:
            for made in _made_in(was_there, layout.data):
                shutil.rmtree(made) if made.is_dir() else made.unlink()
        if isinstance(error, OSError):
            raise SetupError(f"The instance cannot be laid out in {layout.data}: {summary(error)}") from error
        raise


def _made_in(was_there: Path, data: Path) -> list[Path]:
    if was_there == data:
        return list(data.iterdir())
    return [folder for folder in (data, *data.parents) if folder.parent == was_there and folder.exists()]


def _lay_out(layout: Layout, settings: Settings, accounts: Accounts, reservations: Reservations) -> None:
    """Make ids of Managers and Agents, sentinel folders, the installation's key, ports and certificates; what exists is
    kept."""
    account = accounts.services
    for name, _ in settings.manager_names:
        folder = layout.manager(name)
        own(folder, 0o700, account)
        write_once(folder / "instance_id", f"{name}-{uuid.uuid4().hex[:8]}\n", account)
        own(layout.sentinel(_id_of_manager(layout, name)).parent, 0o755, account)
    for name, _ in settings.agent_names:
        own(layout.agent(name), 0o700)
        write_once(layout.agent(name) / "agent_id", f"{uuid.uuid4()}\n")
    if not layout.key_file.exists():
        Secrets.create_file(layout.key_file)
        write_text(layout.key_file, layout.key_file.read_text(), 0o600, account)
    credential = Secrets.from_file(layout.key_file).gateway_credential()
    write_text(layout.gateway_credential, credential, 0o600, accounts.gateway)
    names = [name for name, _ in settings.manager_names], [name for name, _ in settings.agent_names]
    ports = choose(wanted(*names), read_json(layout.ports), settings.port, reservations.take)
    write_json(layout.ports, {"main": settings.port, **ports}, 0o644)
    tls.ensure_authority(layout)
    tls.ensure_certificates(layout, settings, accounts.gateway, datetime.now(UTC))


def _id_of_manager(layout: Layout, name: str) -> str:
    return (layout.manager(name) / "instance_id").read_text().strip()


@asynccontextmanager
async def stopped(layout: Layout) -> AsyncGenerator[Site]:
    """The site of a stopped instance, locked for the duration of the block; its remains are ended.

    Raises:
        SetupError: it runs.
    """
    lock = DataLock.take(layout)
    try:
        await end_all(lambda: leftovers(layout.data), LEFTOVERS_WITHIN_S)
        accounts = service_accounts()
        yield Site.of(layout, stored_settings(layout), accounts, prepare(layout.runtime, accounts))
    finally:
        lock.release()


def site_of(layout: Layout) -> Site:
    """The site of an instance that was started before; changes nothing."""
    return Site.of(layout, stored_settings(layout), service_accounts(), current(layout.runtime))

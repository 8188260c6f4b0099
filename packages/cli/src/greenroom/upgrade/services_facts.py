"""The facts for the upgrade of the services of this machine, its record and its locks."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2
import msgspec

from greenroom.backup.contents import SERVICES_RECORD_NAME, UPGRADE_LOCK_NAME
from greenroom.core.errors import SetupError
from greenroom.core.versions import Version
from greenroom.db import upgrades
from greenroom.db.database import Database
from greenroom.db.migrate import before_new_code, pending_files
from greenroom.kit.program import version
from greenroom.up.layout import Layout, exclusive_lock, read_json, write_json
from greenroom.upgrade import units
from greenroom.upgrade.plan import RunningRole
from greenroom.upgrade.services_plan import UpgradeDatabase
from greenroom.upgrade.units import UnitService


@dataclass(slots=True, kw_only=True)
class ServicesRecord:
    """The content of `upgrade.json` in the folder with the keys, which exists while services are replaced. `previous`
    is the program before the upgrade. `enable`: the upgrade has disabled the Manager."""

    previous: str
    enable: bool = False

    @classmethod
    def read(cls, folder: Path) -> ServicesRecord | None:
        """Return the record of an upgrade that was interrupted, or None. Raises SetupError: it cannot be read."""
        stored = read_json(folder / SERVICES_RECORD_NAME)
        return msgspec.convert(stored, cls) if stored else None

    def write(self, folder: Path) -> None:
        write_json(folder / SERVICES_RECORD_NAME, asdict(self), 0o600)

    @staticmethod
    def remove(folder: Path) -> None:
        (folder / SERVICES_RECORD_NAME).unlink(missing_ok=True)


def own_environment() -> Path:
    """Return the `bin` folder of the environment of this program."""
    return Path(sys.executable).parent.resolve()


def find_own_ids(services: Mapping[str, UnitService]) -> set[str]:
    """Return the instance id of the Manager and the id of the Agent of this machine.

    Raises:
        SetupError: a file with an id cannot be read.
    """
    files = {
        role: Path(services[role].setting(folder)) / name
        for role, folder, name in (("manager", "manager_dir", "instance_id"), ("agent", "agent_dir", "agent_id"))
        if role in services
    }
    try:
        return {file.read_text().strip() for file in files.values()}
    except OSError as error:
        raise SetupError(f"{error.filename} cannot be read ({error.strerror}); run the command as root.") from error


def link_of(services: Iterable[UnitService]) -> Path:
    """Return the link to the program of all services. Raises SetupError: they have no common link."""
    links = sorted({service.program for service in services})
    if len(links) > 1:
        raise SetupError(
            f"The services run different programs ({links[0]} and {links[1]}); change ExecStart of a unit."
        )
    if not links[0].is_symlink():
        raise SetupError(
            f"{links[0]} is not a symbolic link; move the program away, and create a link to the program of the"
            " environment that runs."
        )
    return links[0]


async def read_database(dsn: str, db: Database, own_ids: set[str]) -> UpgradeDatabase:
    """Return the state of the database. `own_ids` are the ids of the Manager and the Agent of this machine.

    Raises:
        SetupError: this version may not use the database.
    """
    pending = await pending_files(dsn)
    stored = await upgrades.stored_version(db)
    return UpgradeDatabase(
        version=Version.parse(stored),
        pre=before_new_code(pending),
        pending=pending,
        started=await upgrades.started_upgrade(db),
        owns_tables=await upgrades.owns_tables(db),
        others=[other for other in await upgrades.running_processes(db) if other.name not in own_ids],
    )


async def read_role(http: httpx2.AsyncClient, service: UnitService, own: Path) -> RunningRole:
    """Return the version of a service and its problem. A gateway without metrics reports no version."""
    reported = await units.read_version(http, service)
    if reported is None and service.environment == own:
        reported = version()
    problem = await units.find_problem(http, service, service.environment or own, None)
    return RunningRole(name=service.role, role=service.role, version=reported, problem=problem)


def database_of(services: Mapping[str, UnitService], database_url: str | None) -> str:
    """Return the URL of the database: `database_url`, else that of the api or of the Manager. Empty on a machine that
    has neither.

    Raises:
        SetupError: the settings contain no URL, for example because the unit reads it from another file.
    """
    users = [services[role] for role in ("api", "manager") if role in services]
    if not users:
        return ""
    urls = [database_url, *(service.settings.get("database_url") for service in users)]
    if (url := next(filter(None, urls), None)) is None:
        raise SetupError(f"The settings of {users[0].unit} contain no database_url; specify --database-url.")
    return str(url)


def _machine_lock(folder: Path) -> AbstractContextManager[None]:
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    return exclusive_lock(Layout(folder), folder / UPGRADE_LOCK_NAME, "upgrade")


@asynccontextmanager
async def services_lock(folder: Path, database_url: str | None) -> AsyncGenerator[None]:
    """Hold the locks of upgrades on this machine and in the database, if it uses one, for the duration of the block.

    Raises:
        SetupError: another upgrade is running.
    """
    dsn = database_of({service.role: service for service in units.read_services()}, database_url)
    with _machine_lock(folder):
        if not dsn:
            yield
            return
        async with upgrades.upgrade_lock(dsn):
            yield

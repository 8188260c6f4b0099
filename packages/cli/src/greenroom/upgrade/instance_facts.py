"""The facts for the upgrade of an instance: its roles, its lock of upgrades, and the record of an upgrade that has not
ended.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Self

import httpx2
import msgspec

from greenroom.core.errors import SetupError
from greenroom.db.database import Database
from greenroom.db.fleet.managers import list_managers
from greenroom.kit.metrics import METRICS_PATH, build_info_name
from greenroom.up import health
from greenroom.up.health import Health
from greenroom.up.layout import Layout, exclusive_lock, read_json, write_json
from greenroom.up.site import Site
from greenroom.upgrade.plan import RunningRole

_VERSION_LABEL: Final = r'\{version="([^"]*)"\} 1'


async def read_roles(http: httpx2.AsyncClient, db: Database, site: Site) -> list[RunningRole]:
    """Return the roles of the instance. Raises SetupError: the database does not answer."""
    checks = await health.check_all(http, db, site)
    if problems := [check.detail for check in checks if check.role == "postgres" and not check.ok]:
        raise SetupError(problems[0])
    primaries = {manager.instance_id for manager in await list_managers(db) if manager.is_primary}
    primary_names = {manager.name for manager in site.managers if manager.instance_id in primaries}
    ports = {**site.ports, "gateway": site.ports["gateway-metrics"]}
    return await _roles(http, checks, ports, primary_names)


async def _roles(
    http: httpx2.AsyncClient, checks: list[Health], ports: Mapping[str, int], primaries: Collection[str]
) -> list[RunningRole]:
    roles: dict[str, RunningRole] = {}
    for check in checks:
        name = check.name.partition(" ")[0]  # an Agent has a second check, at its Manager
        if check.role == "postgres":
            continue
        if name not in roles:
            version = await role_version(http, ports[name], check.role)
            roles[name] = RunningRole(name=name, role=check.role, version=version, is_primary=name in primaries)
        if not check.ok and not roles[name].problem:
            roles[name] = replace(roles[name], problem=check.detail)
    return list(roles.values())


async def role_version(http: httpx2.AsyncClient, port: int, role: str) -> str | None:
    """Return the version in the metrics of a role; None if the role does not answer."""
    status, text = await health.get_status(http, f"http://127.0.0.1:{port}{METRICS_PATH}", None)
    match = re.search(build_info_name(role) + _VERSION_LABEL, text)
    return match[1] if status is not None and match else None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeRecord:
    """The content of `run/upgrade.json` in DATA, which exists from the first change of an upgrade until its end.
    `python` is the interpreter of the previous version, `backup` the backup before the first change, and
    `passphrase_file` the file with its passphrase ("" = there is none).
    """

    previous: str
    new: str
    python: str
    backup: str
    passphrase_file: str = ""

    @classmethod
    def read(cls, layout: Layout) -> Self | None:
        """Return the record of an upgrade that did not end, or None. Raises SetupError: the file cannot be read."""
        stored = read_json(_record_file(layout))
        return msgspec.convert(stored, cls) if stored else None

    def write(self, layout: Layout) -> None:
        write_json(_record_file(layout), asdict(self), 0o600)

    @contextmanager
    def replaces(self, earlier: Self | None, layout: Layout) -> Generator[None]:
        """Write this record for a block with the first change. If the block fails, the earlier record remains."""
        self.write(layout)
        try:
            yield
        except BaseException:
            if earlier is None:
                self.remove(layout)
            else:
                earlier.write(layout)
            raise

    @staticmethod
    def remove(layout: Layout) -> None:
        _record_file(layout).unlink(missing_ok=True)


def _record_file(layout: Layout) -> Path:
    return layout.state.parent / "upgrade.json"


def instance_upgrade_lock(layout: Layout) -> AbstractContextManager[None]:
    """Hold the lock of upgrades of an instance for a block. Raises SetupError: as for `exclusive_lock`."""
    return exclusive_lock(layout, layout.state.parent / "upgrade.lock", "upgrade")

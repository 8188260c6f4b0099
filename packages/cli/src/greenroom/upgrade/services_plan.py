"""The plan of an upgrade of one of several machines, whose roles are services of systemd."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from greenroom.core.errors import SetupError
from greenroom.core.versions import Version, check_upgrade
from greenroom.db.fleet.managers import ListedManager
from greenroom.db.upgrades import RunningProcess, StartedUpgrade
from greenroom.upgrade.plan import RunningRole, check_roles_work, check_supported


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeDatabase:
    """The state of the database before the upgrade of a machine. `version` is the stored version, and `pre` and
    `pending` contain the names of the migrations to apply before the services are replaced, and of all. `started` is
    the upgrade that has not ended. `owns_tables`: the role of the URL may migrate the database."""

    version: Version
    pre: Sequence[str]
    pending: Sequence[str]
    started: StartedUpgrade | None
    owns_tables: bool
    others: Sequence[RunningProcess]
    """The running Managers and Agents of other machines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesPlan:
    """The changes of an upgrade of the services of one machine to the version `new`. `others` contains the Managers and
    Agents of other machines that have another version."""

    hostname: str
    new: Version
    services: tuple[RunningRole, ...]
    """The services to replace, in order."""
    needs_backup: bool
    pre: tuple[str, ...]
    post: tuple[str, ...]
    migrates: bool
    """True if the database does not have all migrations of the version `new`, or stores an older version."""
    finishes: bool
    """True if `migrates`, or if the database has the record of an upgrade."""
    others: tuple[RunningProcess, ...]
    interrupted: bool
    """True if an earlier upgrade of this machine was interrupted. It may have disabled the Manager."""

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to do on this machine now."""
        has_changes = bool(self.services or self.needs_backup or self.pre or self.interrupted)
        return not has_changes and not (self.finishes and not self.others)

    def as_json(self) -> dict[str, object]:
        """Return the changes as the JSON object of `greenroom upgrade --services --dry-run --json`."""
        return {
            "new": str(self.new),
            "services": [{"name": service.name, "version": service.version} for service in self.services],
            "backup": self.needs_backup,
            "pre_migrations": list(self.pre),
            "post_migrations": list(self.post),
            "others": [
                {"role": other.role, "name": other.name, "hostname": other.hostname, "version": other.version}
                for other in self.others
            ],
        }

    def lines(self) -> list[str]:
        """Return the changes as lines of text."""
        lines = [f"This machine ({self.hostname}) gets Greenroom {self.new}"]
        if self.is_empty:
            lines = [f"This machine ({self.hostname}) runs Greenroom {self.new}; there is nothing to upgrade here."]
        if self.needs_backup:
            lines.append("backup    written and verified before the first change")
        lines += [f"migration {name}, before the services" for name in self.pre]
        lines += [f"replace   {role.name:<15} {role.version or 'unknown'} → {self.new}" for role in self.services]
        lines += [other_line(other) for other in self.others]
        lines += [f"migration {name}, after all machines run {self.new}" for name in self.post]
        return lines


def other_line(process: RunningProcess) -> str:
    """Return a line about a process of another machine."""
    return f"waits for {process.role} {process.name} on {process.hostname} with {process.version or 'unknown'}"


def plan_services(
    hostname: str,
    new: Version,
    services: Iterable[RunningRole],
    database: UpgradeDatabase | None,
    *,
    already_new: Collection[str],
    interrupted: bool,
) -> ServicesPlan:
    """Plan the upgrade of the services of a machine to the version `new`.

    `database` is None on a machine without an api and a Manager. `already_new` contains the names of the services
    that run the program of `new`. `interrupted`: an earlier upgrade was interrupted, so that services may not work.

    Raises:
        SetupError: a service does not work, this machine cannot start the upgrade, or the versions do not permit it.
    """
    services = list(services)
    if not interrupted:
        check_roles_work(services)
    replaced = tuple(
        service
        for service in services
        if service.name not in already_new or service.version not in (str(new), None) or service.problem
    )
    if database is None:
        for service in services:
            if service.version is not None and new > (current := Version.parse(service.version)):
                check_upgrade(current, new)
        return ServicesPlan(
            hostname=hostname,
            new=new,
            services=replaced,
            needs_backup=False,
            pre=(),
            post=(),
            migrates=False,
            finishes=False,
            others=(),
            interrupted=interrupted,
        )
    is_started = (
        database.started is not None
        and database.started.version == str(new)
        and (interrupted or bool(already_new) or any(other.version == str(new) for other in database.others))
    )  # otherwise all machines have returned, and the backup is old
    needs_backup = new > database.version and not is_started
    migrates = bool(database.pending) or new > database.version
    if new > database.version:
        check_supported(database.pre, database.version, new)
    if (needs_backup or database.pre) and not database.owns_tables:
        raise SetupError(
            "This machine starts the upgrade, and the database role of the api may not change the tables; specify"
            " --database-url with the database role that owns them."
        )
    return ServicesPlan(
        hostname=hostname,
        new=new,
        services=replaced,
        needs_backup=needs_backup,
        pre=tuple(database.pre),
        post=tuple(name for name in database.pending if name not in database.pre),
        migrates=migrates,
        finishes=migrates or database.started is not None,
        others=tuple(other for other in database.others if other.version != str(new)),
        interrupted=interrupted,
    )


def has_other_manager(own: ListedManager, managers: Sequence[ListedManager]) -> bool:
    """Return True if another Manager of the zone runs, and False if `own` is the only Manager.

    Raises:
        SetupError: there are other Managers, but none of this zone is enabled and running, so that Agents would have no
            Manager.
    """
    if len(managers) == 1:
        return False
    for manager in managers:
        if manager.zone_id == own.zone_id and manager.manager_id != own.manager_id and manager.status == "running":
            return True
    raise SetupError(
        f"No other Manager of the zone {own.zone_name} is enabled and running; start or enable one, or delete the"
        " records of Managers that do not exist, and run the command again."
    )

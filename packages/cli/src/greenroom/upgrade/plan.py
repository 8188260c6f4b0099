"""The plan of an upgrade: the roles to replace and their order, and the return to the previous version."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from greenroom.core.errors import SetupError
from greenroom.core.versions import Version
from greenroom.db.fleet.managers import ListedManager
from greenroom.db.migrate import is_pre
from greenroom.upgrade.outcome import restore_command

ROLE_ORDER: Final = ("database", "manager", "api", "gateway", "agent")
"""The order in which roles are replaced (docs/howto/rolling-update.md). The Primary is the last Manager. Only a
deployment in containers has the role database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRole:
    """A running role of the instance. `version` is None if the role does not report its version. `problem` is the
    reason why the role does not work; empty if it works."""

    name: str
    role: str
    version: str | None
    is_primary: bool = False
    problem: str = ""

    def problem_with(self, expected: str) -> str:
        """Return the reason why the role does not work with the version `expected`; empty if it works."""
        if self.problem or self.version == expected:
            return self.problem
        return f"it reports the version {self.version or 'unknown'} in place of {expected}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradePlan:
    """The changes of an upgrade from the version of `up`, the supervisor, to `new`. `pre` and `post` contain the names
    of the pending migrations, which are applied before and after the roles are replaced."""

    current: Version
    new: Version
    roles: tuple[RunningRole, ...]
    """The roles to replace, in order."""
    pre: tuple[str, ...]
    post: tuple[str, ...]
    interrupted: bool
    """True if an earlier upgrade was interrupted. Its last steps are repeated, even if all roles have this version."""
    has_supervisor: bool = True
    """False for a deployment in containers, in which Docker starts the roles."""

    @property
    def is_empty(self) -> bool:
        """True if all roles, the supervisor and the database have the new version."""
        return self.current == self.new and not (self.roles or self.pre or self.post or self.interrupted)

    def as_json(self) -> dict[str, object]:
        """Return the changes as the JSON object of `greenroom upgrade --dry-run --json`."""
        return {
            "current": str(self.current),
            "new": str(self.new),
            "roles": [{"name": role.name, "version": role.version} for role in self.roles],
            "pre_migrations": list(self.pre),
            "post_migrations": list(self.post),
        }

    def lines(self) -> list[str]:
        """Return the changes as lines of text."""
        if self.is_empty:
            return [f"The instance runs Greenroom {self.new}; there is nothing to upgrade."]
        if self.current == self.new:
            first = [f"End of an interrupted upgrade: all roles get Greenroom {self.new}"]
        else:
            first = [f"Greenroom {self.current} → {self.new}", "backup    written and verified before the first change"]
        is_kept = self.current == self.new or not self.has_supervisor
        supervisor = [] if is_kept else [f"replace   up              {self.current} → {self.new}"]
        return [
            *first,
            *(f"migration {name}, before the roles" for name in self.pre),
            *(f"replace   {role.name:<15} {role.version or 'unknown'} → {self.new}" for role in self.roles),
            *supervisor,
            *(f"migration {name}, after all roles run {self.new}" for name in self.post),
        ]


def check_environment(running_python: str, python: str, current: Version, new: Version) -> None:
    """Check that the new version has another environment than the current version. `running_python` is the interpreter
    of the current version, `python` that of the new version.

    Raises:
        SetupError: both have the same environment, so no process could return to the current version.
    """
    if Path(running_python).parent == Path(python).parent:
        raise SetupError(
            f"Greenroom {new} was installed into the environment of the running version {current}, which is needed for"
            f" a return; install {current} there again, and {new} into another environment."
        )


def check_plugins(running: Collection[str], installed: Collection[str], new: Version) -> None:
    """Check that the plug-ins of the current version are also installed for the new version. `running` and `installed`
    contain the distributions of the plug-ins of the two versions.

    Raises:
        SetupError: a distribution is missing. Without greenroom-identity, for example, log-ins through providers fail.
    """
    if missing := sorted(set(running) - set(installed)):
        raise SetupError(
            f"The environment of Greenroom {new} has no {', '.join(missing)}, which the instance uses; install it."
        )


def check_managers(managers: Iterable[ListedManager], instance_ids: Collection[str]) -> None:
    """Check that the instance, whose Managers have the `instance_ids`, is the only one that uses its database.

    Raises:
        SetupError: a Manager of another instance is running. A migration that runs after the roles are replaced could
            stop this Manager.
    """
    running = {manager.instance_id: manager.hostname for manager in managers if manager.status == "running"}
    refuse_other_managers(running, instance_ids)


def refuse_other_managers(running: Mapping[str, str], instance_ids: Collection[str]) -> None:
    """Check `running`, which maps the instance id of each running Manager to its host. Raises SetupError: as for
    `check_managers`."""
    for instance_id, hostname in running.items():
        if instance_id not in instance_ids:
            raise SetupError(
                f"The Manager {instance_id} on {hostname} uses the same database; upgrade several machines as in"
                " docs/howto/rolling-update.md."
            )


def check_roles_work(roles: Iterable[RunningRole]) -> None:
    """Check that all roles work. Raises SetupError: one does not."""
    if failing := [f"{role.name}: {role.problem}" for role in roles if role.problem]:
        raise SetupError(f"Only an installation that works can be upgraded; repair it first. {failing[0].rstrip('.')}.")


def check_supported(pre: Sequence[str], current: Version, new: Version) -> None:
    """Check that the current version supports the migrations in `pre`, which are applied before the roles are replaced.

    Raises:
        SetupError: it does not support a migration.
    """
    if unsupported := [name for name in pre if not is_pre(name)]:
        raise SetupError(
            f"The migration {unsupported[0]} must run after all roles have its version, but it precedes"
            f" {pre[-1]}, which the roles of {new} need; upgrade to a version between {current} and {new} first, or"
            " stop the instance with greenroom down, and start the new version with greenroom up."
        )


def plan_upgrade(
    current: Version,
    new: Version,
    roles: Iterable[RunningRole],
    pre: Sequence[str],
    pending: Sequence[str],
    *,
    interrupted: bool = False,
) -> UpgradePlan:
    """Plan the upgrade of a running instance.

    `current` is the version of its supervisor, `new` the version of this program. `pending` contains the names of all
    migrations that are not applied yet, and `pre` those that must be applied before the roles are replaced.
    `interrupted`: an earlier upgrade was interrupted, so that roles may not work.

    Raises:
        SetupError: a role does not work, or the current version does not support a migration in `pre`.
    """
    roles = list(roles)
    if not interrupted:
        check_roles_work(roles)
    if current != new:
        check_supported(pre, current, new)
    replaced = sorted(
        (role for role in roles if role.version != str(new) or role.problem),
        key=lambda role: (ROLE_ORDER.index(role.role), role.is_primary, role.name),
    )
    return UpgradePlan(
        current=current,
        new=new,
        roles=tuple(replaced),
        pre=tuple(pre),
        post=tuple(name for name in pending if name not in pre),
        interrupted=interrupted,
    )


def plan_return(roles: Iterable[RunningRole], previous: str, changed: Sequence[str]) -> list[str]:
    """Return the names of the roles to replace for the return to the `previous` version, the last changed role first.

    `changed` contains the names of the roles that the upgrade replaced, or was replacing, in this order. These roles
    are replaced even if they report the previous version, because the process that reports it may be ending.
    """
    other_roles = [role.name for role in roles if role.version != previous and role.name not in changed]
    return [*reversed(changed), *other_roles]


def return_commands(python: str, data: str, backup: str, passphrase_file: str) -> list[str]:
    """Return the commands that return to the previous version, whose interpreter is `python`, and to the backup, which
    is encrypted with the passphrase in a file, if `passphrase_file` names one."""
    greenroom = f"{shlex.quote(python)} -P -m greenroom"  # without the modules of the current folder
    folder = f"--data {shlex.quote(data)}"
    return [
        f"{greenroom} down {folder}",
        restore_command(greenroom, backup, passphrase_file, folder),
        f"{greenroom} up --detach {folder}",
    ]

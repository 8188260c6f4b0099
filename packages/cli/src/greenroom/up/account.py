"""The system accounts of the services of an instance that root starts. No account can read the files of another one."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from greenroom.kit.accounts import ensure_system_account

SERVICE_ACCOUNT: Final = "greenroom"
"""The account of api and Managers. It reads the installation's key and logs in to the database."""
GATEWAY_ACCOUNT: Final = "greenroom-gateway"
"""The account of the gateway and its nginx, which accept requests from the network. It reads only the certificate and
the credential of the gateway."""
DATABASE_ACCOUNT: Final = "greenroom-database"
"""The account of PostgreSQL. No other account can access the files and access rules of PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a process. `user` is None for the account of the caller."""

    user: str | None

    @property
    def uid(self) -> int:
        return os.getuid() if self.user is None else pwd.getpwnam(self.user).pw_uid

    @property
    def gid(self) -> int:
        return os.getgid() if self.user is None else pwd.getpwnam(self.user).pw_gid

    @property
    def needs_switch(self) -> bool:
        """True if a process must change from root to this account."""
        return os.getuid() == 0 and self.user is not None


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of the services of an instance."""

    services: Account
    gateway: Account
    database: Account

    @property
    def all(self) -> tuple[Account, ...]:
        return self.services, self.gateway, self.database


def service_accounts() -> Accounts:
    """Return the accounts of the services, and create missing accounts. If the caller is not root, each account is that
    of the caller.

    Raises:
        SetupError: an account could not be created.
    """
    return Accounts(*(_account(name) for name in (SERVICE_ACCOUNT, GATEWAY_ACCOUNT, DATABASE_ACCOUNT)))


def service_account() -> Account:
    """Return the account of api and Managers."""
    return _account(SERVICE_ACCOUNT)


def _account(name: str) -> Account:
    if os.getuid() != 0:
        return Account(None)
    ensure_system_account(name)
    return Account(name)


def blocked_folder(account: Account, path: Path) -> Path | None:
    """Return the first folder on `path`, including `path`, whose mode bits block the account; None if there is no such
    folder, or if a folder before it is missing."""
    for folder in [*reversed(path.parents), path]:
        try:
            status = folder.stat()
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(status.st_mode) and not _has_permission(account, status, stat.S_IXOTH):
            return folder
    return None


def can_read(account: Account, path: Path) -> bool:
    """True if the account can reach `path` and read it (a folder: also list and traverse it)."""
    if blocked_folder(account, path) is not None:
        return False
    try:
        return _has_permission(account, path.stat(), stat.S_IROTH)
    except FileNotFoundError:
        return False


def _has_permission(account: Account, status: os.stat_result, other_bit: int) -> bool:
    uid = account.uid
    if uid == 0:
        return True
    if uid == status.st_uid:
        return bool(status.st_mode & (other_bit << 6))
    if account.gid == status.st_gid:
        return bool(status.st_mode & (other_bit << 3))
    return bool(status.st_mode & other_bit)

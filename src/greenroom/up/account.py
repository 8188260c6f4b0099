"""The system account that PostgreSQL, nginx, api, Managers and the gateway run as when `up` was started by root."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from greenroom.kit.accounts import system_account

SERVICE_ACCOUNT: Final = "greenroom"


@dataclass(frozen=True, slots=True)
class Account:
    """A system account that processes run as; None as `user` means the caller's own."""

    user: str | None

    @property
    def uid(self) -> int:
        """Numeric user id."""
        return os.getuid() if self.user is None else pwd.getpwnam(self.user).pw_uid

    @property
    def gid(self) -> int:
        """Numeric group id."""
        return os.getgid() if self.user is None else pwd.getpwnam(self.user).pw_gid

    @property
    def switches(self) -> bool:
        """Whether a process that is to run as this account has to change from root to it."""
        return os.getuid() == 0 and self.user is not None


def service_account() -> Account:
    """The account of the services, made when it does not exist; the caller's own unless the caller is root.

    Raises:
        SetupError: the account could not be made.
    """
    if os.getuid() != 0:
        return Account(None)
    system_account(SERVICE_ACCOUNT)
    return Account(SERVICE_ACCOUNT)


def blocked_folder(account: Account, path: Path) -> Path | None:
    """The first folder on the way to `path` (itself included if it is one) that the account cannot traverse.

    Decided from the mode bits; what does not exist yet blocks nobody.
    """
    for folder in [*reversed(path.parents), path]:
        try:
            status = folder.stat()
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(status.st_mode) and not _may(account, status, stat.S_IXOTH):
            return folder
    return None


def can_read(account: Account, path: Path) -> bool:
    """Whether the account can reach `path` and read it (a folder: also list and traverse it)."""
    if blocked_folder(account, path) is not None:
        return False
    try:
        return _may(account, path.stat(), stat.S_IROTH)
    except FileNotFoundError:
        return False


def _may(account: Account, status: os.stat_result, bit_for_others: int) -> bool:
    uid = account.uid
    if uid == 0:
        return True
    if uid == status.st_uid:
        return bool(status.st_mode & (bit_for_others << 6))
    if account.gid == status.st_gid:
        return bool(status.st_mode & (bit_for_others << 3))
    return bool(status.st_mode & bit_for_others)

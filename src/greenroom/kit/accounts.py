"""The system accounts of the processes of this machine."""

from __future__ import annotations

import contextlib
import fcntl
import pwd
import subprocess
from pathlib import Path
from typing import Final

from greenroom.core.errors import SetupError

LOCK: Final = Path("/run/greenroom-accounts.lock")


def ensure_system_account(name: str) -> pwd.struct_passwd:
    """Return the account `name`. If it does not exist, create it without a home, a shell and a password. Raises
    SetupError: it could not be created."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name)
    # Two simultaneous useradd calls for one name may both succeed; the second then changes the number of the account.
    with LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return pwd.getpwnam(name)
        except KeyError:
            _create(name)
    return pwd.getpwnam(name)


def _create(name: str) -> None:
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command = ["useradd", *options, "--shell", "/usr/sbin/nologin", name]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SetupError(f"The system account {name} could not be created: useradd cannot be run ({error}).") from error
    if result.returncode not in {0, 9}:  # exit code 9: the account exists
        raise SetupError(f"The system account {name} could not be created: {result.stderr.strip()}")


def remove_account(name: str) -> str:
    """Remove a system account and its group. Return the reason why it remains; empty if it is removed."""
    result = subprocess.run(["userdel", name], capture_output=True, text=True, check=False)
    return result.stderr.strip() if result.returncode else ""

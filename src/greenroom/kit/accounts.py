"""System accounts that processes of Greenroom run as when it was started by root."""

from __future__ import annotations

import pwd
import subprocess

from greenroom.core.errors import SetupError


def system_account(name: str) -> pwd.struct_passwd:
    """The account `name`, created without home, shell and password when it does not exist.

    Raises:
        SetupError: it could not be created.
    """
    try:
        return pwd.getpwnam(name)
    except KeyError:
        _create(name)
    return pwd.getpwnam(name)


def _create(name: str) -> None:
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command = ["useradd", *options, "--shell", "/usr/sbin/nologin", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SetupError(f"The system account {name} could not be made: useradd cannot be run ({error}).") from error
    if done.returncode not in {0, 9}:  # 9: another process made it meanwhile
        raise SetupError(f"The system account {name} could not be made: {done.stderr.strip()}")

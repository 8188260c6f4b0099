"""The location of databases of tests: in memory, if the machine has enough of it.

ext4 examines every inode that was freed in the last seconds before it uses one for a new file. A database has several
hundred files, so tests that create and drop a database each spend most of their time in that search.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 -- every folder below it has a random name
_ENOUGH_BYTES = 6 << 30


def scratch() -> str:
    """The folder in which temporary folders are created; every account can access it."""
    is_enough = os.path.ismount(_MEMORY) and shutil.disk_usage(_MEMORY).free >= _ENOUGH_BYTES
    return str(_MEMORY) if is_enough else "/tmp"  # noqa: S108


def new_folder(prefix: str) -> Path:
    """Create a folder that every account can access; pytest's folders are closed to all but its user."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=scratch()))
    folder.chmod(0o755)
    return folder


@contextmanager
def passing_folder(prefix: str) -> Generator[Path]:
    """Create such a folder and remove it at the end."""
    folder = new_folder(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def keep_in_memory(folder: Path) -> None:
    """Mount memory on an empty folder, if permitted, and open it to every account. It can contain objects that are
    not allowed below /dev, such as the volumes of sessions."""
    if os.getuid() == 0 and scratch() == str(_MEMORY):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    folder.chmod(0o755)


def remove_from_memory(folder: Path) -> None:
    """Remove the folder with its content."""
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", folder], check=True)
    shutil.rmtree(folder)

"""Where tests keep databases: in memory, where the machine has enough of it.

ext4 looks at every inode that was freed in the last seconds before it takes one for a new file. A database is some
hundreds of files, so that tests which make and drop one each spend most of their time in that search.
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
    """The folder that such folders are made in; every account can reach it."""
    is_enough = os.path.ismount(_MEMORY) and shutil.disk_usage(_MEMORY).free >= _ENOUGH_BYTES
    return str(_MEMORY) if is_enough else "/tmp"  # noqa: S108


def new_folder(prefix: str) -> Path:
    """A folder that every account can reach; pytest's own are closed to all but its user."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=scratch()))
    folder.chmod(0o755)
    return folder


@contextmanager
def passing_folder(prefix: str) -> Generator[Path]:
    """The same, gone afterwards."""
    folder = new_folder(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def keep_in_memory(folder: Path) -> None:
    """Mount memory on an empty folder, as far as that may be, and open it to every account. What may not be below /dev,
    such as the volumes of sessions, can be there."""
    if os.getuid() == 0 and scratch() == str(_MEMORY):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    folder.chmod(0o755)


def remove_from_memory(folder: Path) -> None:
    """Remove it with all that is in it."""
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", folder], check=True)
    shutil.rmtree(folder)

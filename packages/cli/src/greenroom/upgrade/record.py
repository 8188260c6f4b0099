"""The files of an upgrade in DATA: its lock, and the record of an upgrade that has not ended."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import msgspec

from greenroom.core.errors import SetupError
from greenroom.up.layout import Layout, read_json, write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeRecord:
    """The file `run/upgrade.json` in DATA, from the first change of an upgrade until its end. `python` is the
    interpreter of the previous version, and `backup` the file that was written before the first change.
    """

    previous: str
    new: str
    python: str
    backup: str

    @classmethod
    def read(cls, layout: Layout) -> Self | None:
        """Return the record of an upgrade that did not end, or None. Raises SetupError: it cannot be read."""
        stored = read_json(_record_file(layout))
        return msgspec.convert(stored, cls) if stored else None

    def write(self, layout: Layout) -> None:
        write_json(_record_file(layout), asdict(self), 0o600)

    @staticmethod
    def remove(layout: Layout) -> None:
        _record_file(layout).unlink(missing_ok=True)


def _record_file(layout: Layout) -> Path:
    return layout.state.parent / "upgrade.json"


@contextmanager
def upgrade_lock(layout: Layout) -> Generator[None]:
    """Hold the lock that only one upgrade of an instance can hold. Raises SetupError: another upgrade is running, or
    this account cannot write to DATA."""
    try:
        descriptor = os.open(layout.state.parent / "upgrade.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError as error:
        raise SetupError(f"This account cannot write to {layout.data}; run the command as its owner.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SetupError(f"Another upgrade of {layout.data} is running; wait until it ends.") from error
        yield
    finally:
        os.close(descriptor)

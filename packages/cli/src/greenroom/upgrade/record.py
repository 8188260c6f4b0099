"""The files of an upgrade in DATA: the lock of upgrades, and the record of an upgrade that has not ended."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import msgspec

from greenroom.up.layout import Layout, exclusive_lock, read_json, write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeRecord:
    """The content of `run/upgrade.json` in DATA, which exists from the first change of an upgrade until its end.
    `python` is the interpreter of the previous version, and `backup` the backup before the first change.
    """

    previous: str
    new: str
    python: str
    backup: str

    @classmethod
    def read(cls, layout: Layout) -> Self | None:
        """Return the record of an upgrade that did not end, or None. Raises SetupError: the file cannot be read."""
        stored = read_json(_record_file(layout))
        return msgspec.convert(stored, cls) if stored else None

    def write(self, layout: Layout) -> None:
        write_json(_record_file(layout), asdict(self), 0o600)

    @staticmethod
    def remove(layout: Layout) -> None:
        _record_file(layout).unlink(missing_ok=True)


def _record_file(layout: Layout) -> Path:
    return layout.state.parent / "upgrade.json"


def upgrade_lock(layout: Layout) -> AbstractContextManager[None]:
    """Hold the lock of upgrades for the duration of the block. Raises SetupError: as for `exclusive_lock`."""
    return exclusive_lock(layout, layout.state.parent / "upgrade.lock", "upgrade")

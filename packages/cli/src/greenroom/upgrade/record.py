"""The files of an upgrade in DATA: the lock of upgrades, and the record of an upgrade that has not ended."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
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

    @contextmanager
    def replaces(self, earlier: Self | None, layout: Layout) -> Generator[None]:
        """Write this record for a block with the first change. If the block fails, the earlier record remains."""
        self.write(layout)
        try:
            yield
        except BaseException:
            if earlier is None:
                self.remove(layout)
            else:
                earlier.write(layout)
            raise

    @staticmethod
    def remove(layout: Layout) -> None:
        _record_file(layout).unlink(missing_ok=True)


def _record_file(layout: Layout) -> Path:
    return layout.state.parent / "upgrade.json"


def upgrade_lock(layout: Layout) -> AbstractContextManager[None]:
    """Hold the lock of upgrades for the duration of the block. Raises SetupError: as for `exclusive_lock`."""
    return exclusive_lock(layout, layout.state.parent / "upgrade.lock", "upgrade")

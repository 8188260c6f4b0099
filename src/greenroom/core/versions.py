"""Versions of Greenroom, `MAJOR.MINOR.PATCH`, and the rules for upgrades, downgrades and backups.

All versions with the same `MAJOR.MINOR` form a series. Roles of a series work together with roles of the previous
series, so an upgrade must not skip a series.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self

from greenroom.core.errors import SetupError

_FORMAT: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")

LAST_MINORS: Final[dict[int, int]] = {}
"""Major version → the minor version of its last series. The newest major version is not listed."""


class Version(NamedTuple):
    """A version. Versions compare in the order of their releases."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the version in a text. Raises SetupError: the text does not have the form `1.2.3`."""
        match = _FORMAT.fullmatch(text)
        if match is None:
            raise SetupError(f"{text!r} is not a version of Greenroom like 1.2.3.")
        return cls(*map(int, match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def series(self) -> tuple[int, int]:
        return self.major, self.minor


def next_series(current: Version) -> tuple[int, int]:
    """Return the series that follows the series of `current`."""
    if LAST_MINORS.get(current.major) == current.minor:
        return current.major + 1, 0
    return current.major, current.minor + 1


def refuse_downgrade(current: Version, new: Version) -> None:
    """Raise SetupError if the version `new` is older than `current`, the last version that used the data."""
    if new < current:
        raise SetupError(
            f"This is Greenroom {new}, and the instance was used by the newer version {current}; use {current}, or"
            f" restore a backup of {new} with: greenroom restore FILE --replace"
        )


def check_backup_version(written_by: Version, own: Version) -> None:
    """Check that the version `own` can use the database in a backup that the version `written_by` created. A version
    supports the *pre* migrations of the next series: an upgrade applies them before it replaces the roles.

    Raises:
        SetupError: `written_by` is more than one series newer than `own`.
    """
    if written_by.series > next_series(own):
        raise SetupError(
            f"Greenroom {written_by} wrote this backup, and {own} is more than one series older; install {written_by},"
            " or a newer version."
        )


def check_upgrade(current: Version, new: Version) -> None:
    """Check that the versions permit an upgrade from `current` to `new`.

    Raises:
        SetupError: `new` is older than `current`, or skips a series.
    """
    refuse_downgrade(current, new)
    newest_permitted = next_series(current)
    if new.series > newest_permitted:
        major, minor = newest_permitted
        raise SetupError(
            f"The upgrade from {current} to {new} would skip the series {major}.{minor}; upgrade to the newest"
            f" version {major}.{minor}.x first."
        )

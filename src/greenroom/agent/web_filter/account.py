"""The account of web filters, and how they fail."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.core.errors import GreenroomError


class FilterError(GreenroomError):
    """The web filter cannot run on this host."""

    code = "web-filter-down"


@dataclass(frozen=True, slots=True)
class Owner:
    """User and group id of the account."""

    uid: int
    gid: int

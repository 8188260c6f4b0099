"""Types of fields that several messages contain: times, and home folders (core.workspace.homes)."""

from __future__ import annotations

from typing import Annotated

import msgspec

Moment = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799)]
"""Seconds since the epoch, before the year 10000. A message with another time is refused, because Python dates cannot
represent it.
"""


class HomeReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A home folder that the Agent keeps, or with a `removal_id` a folder that this removal has moved.

    `size_bytes` None = not measured. `problem` is the reason why it is not measured or not removed yet.
    """

    user_id: str
    image_id: str
    removal_id: str = ""
    size_bytes: int | None = None
    measured: Moment | None = None
    last_used: Moment | None = None
    problem: str = ""


class HomeRemoval(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A home folder that the Agent must remove. It is sent again until the Agent reports that the home is gone."""

    user_id: str
    image_id: str
    removal_id: str

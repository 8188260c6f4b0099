"""Types of fields of messages: ids, times, texts, parts of sessions, and home folders (core.workspace.homes)."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
Uuid = Annotated[str, msgspec.Meta(pattern=rf"\A{UUID.pattern}\Z")]
MAX_TEXT: Final = 64_000
MAX_SHORT_TEXT: Final = 255
MAX_HOME_BYTES: Final = 2**62
MAX_METERED: Final = 500
"""The maximum number of sessions whose use an Agent reports. It limits the size of its check-ins."""

Moment = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799)]
"""Seconds since the epoch, before the year 10000, because Python dates cannot represent later times."""


def clean_texts(message: msgspec.Struct, *fields: str, max_length: int = MAX_TEXT) -> None:
    """Clean texts of a container or a runtime in a message that is being created: remove NUL, which PostgreSQL cannot
    store, and keep only the last `max_length` characters. A longer text must not refuse the message, because the Agent
    would send it again. A field may be None."""
    for field in fields:
        text: str | None = getattr(message, field)
        if text is not None:
            msgspec.structs.force_setattr(message, field, text.replace("\0", "")[-max_length:])


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A completed step of a start, for the connecting screen. `at` is in seconds since the epoch."""

    name: str
    at: Moment


class ScreenshotSize(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The maximum size of a screenshot, in pixels."""

    width: int
    height: int


class SessionUse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The use of a session: the average number of cores between the last two readings, and the memory in bytes."""

    cpu: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 0.0
    memory_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0


class HomeReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A home folder on the host of an Agent. `removal_id` is the id of the removal that has begun; empty = none.

    `size_bytes` None = not measured. `problem` is the reason why the folder is not measured or not removed yet.
    """

    user_id: Uuid
    image_id: Uuid
    removal_id: Annotated[str, msgspec.Meta(pattern=rf"\A({UUID.pattern})?\Z")] = ""
    size_bytes: int | None = None
    measured: Moment | None = None
    last_used: Moment | None = None
    problem: str = ""

    def __post_init__(self) -> None:
        clean_texts(self, "problem")
        if self.size_bytes is not None:
            msgspec.structs.force_setattr(self, "size_bytes", min(max(self.size_bytes, 0), MAX_HOME_BYTES))


class HomeRemoval(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A home folder that the Agent must remove. It is sent again until the Agent reports that the home is gone."""

    user_id: str
    image_id: str
    removal_id: str

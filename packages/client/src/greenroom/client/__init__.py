"""Greenroom for Python programs: lease sessions, and call `/api/v1`.

    with Greenroom("https://greenroom.example", key, secret) as greenroom:
        with greenroom.lease("Chromium", seconds=600) as desk:
            print(desk.urls.page)

`AsyncGreenroom` is the same with `async with` and `await`. Refusals of the server are raised as the errors of their
codes (`NoResources`, `LeaseLimit`, …), all below `GreenroomError`. The library logs to the logger `greenroom.client` of
`logging`, and writes to neither stdout nor stderr.
"""

import logging
from typing import TYPE_CHECKING, Any

from greenroom.client.errors import ActionFailed, Unreachable
from greenroom.client.events import Event
from greenroom.client.models import (
    Acted,
    ActionResult,
    Change,
    Command,
    Element,
    File,
    Folder,
    Lease,
    LeaseUrls,
    Listing,
    Output,
    RecordedRow,
    Recording,
    Secret,
)
from greenroom.client.requests import Retries
from greenroom.client.synchronous import Greenroom
from greenroom.client.synchronous_desk import Desk
from greenroom.shared.errors import (
    Busy,
    Duplicate,
    Forbidden,
    GreenroomError,
    Held,
    HomeInUse,
    IdempotencyMismatch,
    IdentityConflict,
    Interrupted,
    Invalid,
    LastEnabledManager,
    LeaseLimit,
    LeaseLost,
    ManagerRuns,
    MisdirectedHost,
    NoResources,
    NoScreenshot,
    NotFound,
    PasswordChangeRequired,
    ProfileInUse,
    Refused,
    SessionLimit,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    WrongState,
)

if TYPE_CHECKING:
    from greenroom.client.asynchronous import AsyncGreenroom
    from greenroom.client.asynchronous_desk import AsyncDesk

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Return a class for asyncio. A program without asyncio does not import these classes."""
    if name not in {"AsyncDesk", "AsyncGreenroom"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from greenroom.client import asynchronous  # noqa: PLC0415

    return getattr(asynchronous, name)


__all__ = [
    "Acted",
    "ActionFailed",
    "ActionResult",
    "AsyncDesk",
    "AsyncGreenroom",
    "Busy",
    "Change",
    "Command",
    "Desk",
    "Duplicate",
    "Element",
    "Event",
    "File",
    "Folder",
    "Forbidden",
    "Greenroom",
    "GreenroomError",
    "Held",
    "HomeInUse",
    "IdempotencyMismatch",
    "IdentityConflict",
    "Interrupted",
    "Invalid",
    "LastEnabledManager",
    "Lease",
    "LeaseLimit",
    "LeaseLost",
    "LeaseUrls",
    "Listing",
    "ManagerRuns",
    "MisdirectedHost",
    "NoResources",
    "NoScreenshot",
    "NotFound",
    "Output",
    "PasswordChangeRequired",
    "ProfileInUse",
    "RecordedRow",
    "Recording",
    "Refused",
    "Retries",
    "Secret",
    "SessionLimit",
    "TooLarge",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "WrongState",
]

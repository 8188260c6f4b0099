"""Greenroom for Python programs: lease sessions, and call `/api/v1`.

    with Greenroom("https://greenroom.example", key, secret) as greenroom:
        with greenroom.lease("Chromium", seconds=600) as desk:
            print(desk.urls.page)

`AsyncGreenroom` is the same with `async with` and `await`. What the server refuses is raised as the error of its code
(`NoResources`, `SessionLimit`, …), all below `GreenroomError`.
"""

from greenroom.client.asynchronous import AsyncDesk, AsyncGreenroom
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
from greenroom.client.retries import Retries
from greenroom.client.synchronous import Desk, Greenroom
from greenroom.core.errors import (
    Busy,
    Forbidden,
    GreenroomError,
    IdempotencyMismatch,
    Interrupted,
    Invalid,
    NoResources,
    NotFound,
    Refused,
    SessionLimit,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    WrongState,
)

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
    "Element",
    "Event",
    "File",
    "Folder",
    "Forbidden",
    "Greenroom",
    "GreenroomError",
    "IdempotencyMismatch",
    "Interrupted",
    "Invalid",
    "Lease",
    "LeaseUrls",
    "Listing",
    "NoResources",
    "NotFound",
    "Output",
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

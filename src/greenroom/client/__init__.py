"""Greenroom for Python programs: lease sessions, and call `/api/v1`.

    with Greenroom("https://greenroom.example", key, secret) as greenroom:
        with greenroom.lease("Chromium", seconds=600) as desk:
            print(desk.urls.page)

`AsyncGreenroom` is the same with `async with` and `await`. What the server refuses is raised as the error of its code
(`NoResources`, `SessionLimit`, …), all below `GreenroomError`.
"""

from greenroom.client.asynchronous import AsyncDesk, AsyncGreenroom
from greenroom.client.errors import Unreachable
from greenroom.client.models import Lease, LeaseUrls
from greenroom.client.retries import Retries
from greenroom.client.synchronous import Desk, Greenroom
from greenroom.core.errors import (
    Busy,
    Forbidden,
    GreenroomError,
    IdempotencyMismatch,
    Invalid,
    NoResources,
    NotFound,
    Refused,
    SessionLimit,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    WrongState,
)

__all__ = [
    "AsyncDesk",
    "AsyncGreenroom",
    "Busy",
    "Desk",
    "Forbidden",
    "Greenroom",
    "GreenroomError",
    "IdempotencyMismatch",
    "Invalid",
    "Lease",
    "LeaseUrls",
    "NoResources",
    "NotFound",
    "Refused",
    "Retries",
    "SessionLimit",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "WrongState",
]

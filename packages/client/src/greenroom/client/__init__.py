"""Greenroom for Python programs: lease sessions, and call `/api/v1`.

    with Greenroom("https://greenroom.example", key, secret) as greenroom:
        with greenroom.lease("Chromium", seconds=600) as desk:
            print(desk.urls.page)

`AsyncGreenroom` has the same methods, with `async with` and `await`. If the server refuses a request, the call raises
the exception of the error code (`NoResources`, `LeaseLimit`, …), a subclass of `GreenroomError`. The library logs to
the logger `greenroom.client` of `logging`, and writes to neither stdout nor stderr.
"""

import logging
from typing import TYPE_CHECKING, Any

from greenroom.client.desk import Change as Change, Output as Output
from greenroom.client.errors import ActionFailed as ActionFailed, Unreachable as Unreachable
from greenroom.client.events import Event as Event
from greenroom.client.names import *  # noqa: F403 # pyright: ignore[reportWildcardImportFromLibrary] -- a generated list
from greenroom.client.requests import Retries as Retries
from greenroom.client.synchronous_desk import Desk as Desk
from greenroom.client.synchronous_greenroom import Greenroom as Greenroom

if TYPE_CHECKING:
    from greenroom.client.asynchronous_desk import AsyncDesk as AsyncDesk
    from greenroom.client.asynchronous_greenroom import AsyncGreenroom as AsyncGreenroom

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Return a class for asyncio. A program without asyncio does not import these classes."""
    if name not in {"AsyncDesk", "AsyncGreenroom"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from greenroom.client import asynchronous_desk, asynchronous_greenroom  # noqa: PLC0415

    return asynchronous_desk.AsyncDesk if name == "AsyncDesk" else asynchronous_greenroom.AsyncGreenroom

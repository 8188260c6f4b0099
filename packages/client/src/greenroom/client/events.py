"""The live events of a deployment: the decoding of their lines, and reconnects after a lost connection."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final

import msgspec

from greenroom.client.requests import PREFIX, ApiRequest, Retries
from greenroom.shared.errors import Interrupted

log = logging.getLogger(__name__)

RESYNC: Final = "resync"
SILENCE_S: Final = 45.0
"""The time limit for the next line. The server sends a line at least every 15 s."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A change of an object: `topic` is the kind of the object; `id` is its id, empty = any object of this kind.

    The topic `resync` means that events may be missing: read all objects again.
    """

    topic: str
    id: str = ""
    at: datetime | None = None


def events_request(past_events: int, *, is_reconnect: bool) -> ApiRequest:
    """Return the request for events, which begin with the last `past_events` events. After a reconnect
    (`is_reconnect`), events may be missing, so the server sends `resync` instead."""
    headers = {"Last-Event-ID": "0"} if is_reconnect else dict[str, str]()
    query = {"last": past_events} if past_events and not is_reconnect else dict[str, int]()
    return ApiRequest(
        method="GET", path=f"{PREFIX}/events", query=query, headers=headers, timeout_s=SILENCE_S, is_streamed=True
    )


def parse_event(kind: str, data: str) -> Event:
    """Return an event as the server sends it."""
    return Event(topic=RESYNC) if kind == RESYNC else msgspec.json.decode(data, type=Event)


def reconnect_wait_s(retries: Retries, failures: int, error: Interrupted | None) -> float:
    """Return the time to wait before the next connection, after `failures` lost connections in a row. `error` is the
    error of the last connection. Raises Interrupted: `retries` allows no more connections."""
    reason = error.message if error else "The server ended the connection to the events."
    if failures >= retries.attempts:
        raise Interrupted(f"{reason} Connections lost in a row: {failures}.") from error
    wait_s = retries.first_wait_s * 2 ** (failures - 1)
    log.warning("connecting to the events again in %.1f s: %s", wait_s, reason)
    return wait_s


def connection_lost_error(error: Exception) -> Interrupted:
    """Return the error for a lost connection."""
    return Interrupted(f"The connection to the events was lost: {str(error) or type(error).__name__}.")

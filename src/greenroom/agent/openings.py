"""Who opened which stream, from where: a row for the log, once in a while for each viewer and address."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from greenroom.agent.viewers import Viewer
from greenroom.core.security_events import source_of

REPEAT_S: Final = 600.0
"""A viewer who opens a session again and again, as pages do that reconnect, is one row in this time."""
MOST_REMEMBERED: Final = 10_000

Write = Callable[[str, str, str], None]
"""(sentence, session_id, user_id)."""


class Openings:
    """See the module; `write` is told of each opening that is news, `clock` is time.monotonic."""

    def __init__(self, write: Write, clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._written: dict[tuple[str, str, str], float] = {}

    def opened(self, viewer: Viewer, client: str) -> None:
        """`viewer` opened the stream of the session they are shown; `client` as `client_of` names it."""
        now_s, key = self._clock(), (viewer.shows, viewer.token_hash, source_of(client))
        if now_s - self._written.get(key, float("-inf")) < REPEAT_S:
            return
        self._written = {one: at for one, at in self._written.items() if now_s - at < REPEAT_S}
        if len(self._written) < MOST_REMEMBERED:
            self._written[key] = now_s
        self._write(f"The stream of session {viewer.shows} was opened from {client}", viewer.shows, viewer.user_id)


def client_of(address: str, forwarded_for: str) -> str:
    """Where a viewer is, for people.

    Args:
        address: that connected to the gateway beside this Agent.
        forwarded_for: whom a gateway in front of that one says it asks for; empty = nobody is in front. A viewer who
            may connect to the edge gateway could say anything, so the address that was seen stands beside it.
    """
    try:
        said = str(ip_address(forwarded_for))
    except ValueError:
        return address or "an unknown address"
    return f"{said} (as {address} says)"

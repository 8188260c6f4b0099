"""What the stream authoriser sees of the Agent's table of sessions, and of what is remembered of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from greenroom.core.sessions import SessionSpec
from greenroom.wire.messages import Authorised


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSnapshot:
    """What the stream authoriser needs to know of one session.

    `address` is host:port of the page, None while there is no running container. `handed_over` is false from a claim
    until the hand-over has succeeded: the stream of a session opens only then (PROTOCOLS §3).
    """

    session_id: str
    spec: SessionSpec
    address: str | None
    authorised: Authorised | None
    handed_over: bool


class SessionView(Protocol):
    """What the stream authoriser may ask of the table."""

    def get(self, session_id: str) -> SessionSnapshot | None:
        """The session, or None if this Agent is not to run it."""
        ...

    def on_authorised_changed(self, callback: Callable[[str], None]) -> None:
        """Call `callback(session_id)` whenever who may view that session changed, also when it left the list."""
        ...

"""What is known of single sessions: the last probe and how long it counts, and what stream requests see."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.kit.clock import boottime_s
from greenroom.wire.messages import Authorised


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """The result of a probe. `broken`: not the first in a row that found the session unusable; `error` says why."""

    usable: bool = False
    broken: bool = False
    error: str = ""
    at_s: float = 0.0
    """CLOCK_BOOTTIME, which includes suspend."""


NOT_PROBED: Final = Probed()
ALWAYS_S: Final = math.inf
"""For a probe that counts until the next one."""


class Probes:
    """The last probe of each session. After `valid_s` a session is not known to be usable: an Agent that was frozen
    must not have sessions handed out of which it knows nothing."""

    def __init__(self, valid_s: float = ALWAYS_S) -> None:
        self._valid_s = valid_s
        self._probes: dict[str, Probed] = {}

    def note(self, session_id: str, *, usable: bool, error: str, broken: bool) -> None:
        self._probes[session_id] = Probed(usable=usable, broken=broken, error=error, at_s=boottime_s())

    def forget(self, session_id: str) -> None:
        """Forget the result: the container is another one, does not run, or is gone."""
        self._probes.pop(session_id, None)

    def last(self, session_id: str) -> Probed:
        probed = self._probes.get(session_id, NOT_PROBED)
        return probed if boottime_s() - probed.at_s <= self._valid_s else replace(probed, usable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSnapshot:
    """What the stream authoriser needs of one session.

    `address` is host:port of the page, None without a running container; `services` those of what is beside it.
    `handed_over` is false from a claim until the hand-over has succeeded: only then the session's stream opens
    (docs/explanation/protocols.md §3). `database` is the one that says so.
    """

    session_id: str
    spec: SessionSpec
    address: str | None
    authorised: Authorised | None
    handed_over: bool
    services: Mapping[str, str] = field(default_factory=dict[str, str])
    database: str = ""


class SessionView(Protocol):
    """What the stream authoriser may ask of the table."""

    def get(self, session_id: str) -> SessionSnapshot | None:
        """The session, or None if this Agent is not to run it."""
        ...

"""Leftovers: objects that an installation created and that belong to no row (`greenroom doctor --repair`).

Objects, such as containers and folders, are read before the rows. A row is inserted before objects are created for it,
so an object without a row is a leftover. `observations.verdicts` decides about sessions here, as it does about the
unknown containers that Agents report. This module is for objects that no Agent reports: their Agent was deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from greenroom.core.session.observations import verdicts
from greenroom.core.workspace.homes import HomeId

GRACE_S: Final = 60.0
"""The minimum age of an object that is removed. The owner of a younger object may still be starting."""
MAX_AT_ONCE: Final = 1000
"""The maximum number of objects in one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeObject:
    """An object with the labels of this installation, such as a container or a folder. `kind` is its kind in one or two
    words. `ref` is the id by which it is removed; no later object gets the same id.
    """

    kind: str
    name: str
    ref: str
    age_s: float
    agent_id: str = ""
    session_id: str = ""
    """The session for which the object was created; empty = it belongs to no session."""
    home: HomeId | None = None
    """The home whose files the object contains; None = it contains no home."""

    @property
    def title(self) -> str:
        """The kind and the name, for sentences."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRows:
    """The rows to which objects may belong, read after the objects."""

    sessions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Session id → id of its Agent, for all sessions that are not deleted."""
    agents: frozenset[str] = frozenset()
    homes: frozenset[HomeId] = frozenset()
    """The homes that Agents keep."""
    users: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """An object that belongs to no row. `reason` is the reason why it is `removed`, or why it is not `removed`."""

    item: RuntimeObject
    removed: bool
    reason: str


def plan(objects: Iterable[RuntimeObject], known: KnownRows) -> list[Leftover]:
    """Return the objects that belong to no row, in the order in which they can be removed."""
    return in_removal_order(leftover for item in objects if (leftover := _leftover_of(item, known)) is not None)


def in_removal_order(leftovers: Iterable[Leftover]) -> list[Leftover]:
    """Return the leftovers in the order in which they can be removed; objects that are not removed come last."""
    return sorted(leftovers, key=lambda each: (not each.removed, not each.item.session_id, each.item.name))


def _leftover_of(item: RuntimeObject, known: KnownRows) -> Leftover | None:
    if item.home is not None:
        reason = _reason_without_user(item.home, known)
    elif not item.agent_id:
        return Leftover(item=item, removed=False, reason="its label with the id of an Agent is missing")
    elif item.session_id:
        reason = _reason_without_session(item, known)
    elif item.agent_id in known.agents:
        reason = ""
    else:
        reason = f"its Agent {item.agent_id} was deleted"
    if not reason:
        return None
    if item.age_s < GRACE_S:
        return Leftover(item=item, removed=False, reason=f"{reason}; it is younger than {GRACE_S:g} s")
    return Leftover(item=item, removed=True, reason=reason)


def _reason_without_session(item: RuntimeObject, known: KnownRows) -> str:
    agent_id = known.sessions.get(item.session_id)
    existing = frozenset({item.session_id}) if agent_id == item.agent_id else frozenset[str]()
    verdict = verdicts((item.session_id,), existing, {item.session_id: item.age_s}, 0.0)
    if verdict.get(item.session_id) == "keep":
        return ""
    if agent_id is not None:
        return f"session {item.session_id} is on another Agent, {agent_id}"
    return f"session {item.session_id} has ended or never existed"


def _reason_without_user(home: HomeId, known: KnownRows) -> str:
    if home in known.homes or home.user_id in known.users:
        return ""
    return f"its user {home.user_id} was deleted, and no Agent keeps it"

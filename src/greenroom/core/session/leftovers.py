"""What an installation made and no longer needs: things that no row accounts for (`greenroom doctor --repair`).

Things are read before the rows: a row is written before anything is made for it, so that what has no row then has none
any more. A session's container belongs to it by the very rule by which a Manager judges what its Agents do not know
(`observations.verdicts`); this is for what no Agent asks about, because its own is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from greenroom.core.session.observations import verdicts
from greenroom.core.workspace.homes import HomeId

GRACE_S: Final = 60.0
"""What is younger is left alone: its owner may be at work on it."""
MAX_AT_ONCE: Final = 1000
"""Things that one request may ask about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Something with the labels of this installation. `kind` is its kind in one or two words, `ref` the id by which it
    is removed, which no later thing gets."""

    kind: str
    name: str
    ref: str
    age_s: float
    agent_id: str = ""
    session_id: str = ""
    """Of what is made for one session."""
    home: HomeId | None = None
    """Of what keeps the files of a user."""

    @property
    def named(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRows:
    """The rows that things may belong to, read after the things."""

    sessions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Session → its Agent, of all that are not deleted."""
    agents: frozenset[str] = frozenset()
    homes: frozenset[HomeId] = frozenset()
    """Those that an Agent keeps."""
    users: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A thing without an owner, and why it is one; if `removed` is false, why it stays all the same."""

    thing: Thing
    removed: bool
    reason: str


def plan(things: Iterable[Thing], known: KnownRows) -> list[Leftover]:
    """The things without an owner, in the order in which they can be removed. What has an owner is not among them."""
    return in_order(leftover for thing in things if (leftover := _judged(thing, known)) is not None)


def in_order(found: Iterable[Leftover]) -> list[Leftover]:
    """As they can be removed; those that stay come last."""
    return sorted(found, key=lambda one: (not one.removed, _turn(one.thing), one.thing.name))


def _turn(thing: Thing) -> int:
    """Sessions first: they are on networks, and have claims."""
    return 0 if thing.session_id else 1


def _judged(thing: Thing, known: KnownRows) -> Leftover | None:
    if thing.home is not None:
        reason = _without_user(thing.home, known)
    elif not thing.agent_id:
        return Leftover(thing=thing, removed=False, reason="it does not say which Agent made it")
    elif thing.session_id:
        reason = _without_session(thing, known)
    elif thing.agent_id in known.agents:
        reason = ""
    else:
        reason = f"its Agent {thing.agent_id} was deleted"
    if not reason:
        return None
    if thing.age_s < GRACE_S:
        return Leftover(thing=thing, removed=False, reason=f"{reason}; it is younger than {GRACE_S:g} s")
    return Leftover(thing=thing, removed=True, reason=reason)


def _without_session(thing: Thing, known: KnownRows) -> str:
    agent_id = known.sessions.get(thing.session_id)
    living = frozenset({thing.session_id}) if agent_id == thing.agent_id else frozenset[str]()
    verdict = verdicts((thing.session_id,), living, {thing.session_id: thing.age_s}, 0.0)
    if verdict.get(thing.session_id) == "keep":
        return ""
    if agent_id is not None:
        return f"session {thing.session_id} is on another Agent, {agent_id}"
    return f"session {thing.session_id} is over or was never there"


def _without_user(home: HomeId, known: KnownRows) -> str:
    if home in known.homes or home.user_id in known.users:
        return ""
    return f"its user {home.user_id} was deleted, and no Agent keeps it"

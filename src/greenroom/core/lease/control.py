"""Who controls a leased session: its program, or one person at a time.

Each change of hands is a term, and terms only grow. The session's page lets the input of the present term alone pass,
and obeys no order of an earlier one. A person has control for a time that they renew while they are there; afterwards
it is the program's again, whether someone notices or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from greenroom.core.errors import Held

Holder = Literal["program", "person"]

USER: Final = "user"
"""The `viewer` that the session's own user is; others are called by the id with which they joined."""
PROGRAM: Final = "program"
"""How the gateway calls the program's connections to the session's page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A term: `viewer` names the connections whose input passes, empty = the program's. `name` is the person's."""

    term: int = 0
    viewer: str = ""
    name: str = ""
    until: datetime | None = None

    @property
    def holder(self) -> Holder:
        return "person" if self.viewer else "program"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone who asks for control. `owns`: the session is theirs, so they may take it from another person."""

    viewer: str
    name: str
    owns: bool


def in_force(control: Control, now: datetime) -> Control:
    """What holds now: after its time a person's term is the program's."""
    is_over = control.until is not None and control.until <= now
    return replace(control, viewer="", name="", until=None) if is_over else control


def taken(control: Control, now: datetime, person: Person, away_s: float, term: int | None = None) -> Control:
    """The control after a person took it, or renewed what they have. With `term` they only renew that one.

    Raises:
        Held: another person has it; or it changed hands since that term.
    """
    held = in_force(control, now)
    is_theirs = held.viewer == person.viewer
    if term is not None and (term != control.term or not is_theirs):
        raise Held(CHANGED)
    if held.viewer and not is_theirs and not person.owns:
        raise Held(f"{held.name} has control of this desktop; ask them to hand it back.")
    return Control(
        term=control.term + (not is_theirs),
        viewer=person.viewer,
        name=person.name,
        until=now + timedelta(seconds=away_s),
    )


def handed_back(control: Control, now: datetime, person: Person, term: int | None = None) -> Control:
    """The control after a person gave it to the program, which may have it already.

    Raises:
        Held: another person has it; or it changed hands since `term`.
    """
    held = in_force(control, now)
    if not held.viewer:
        return control
    if term is not None and term != control.term:
        raise Held(CHANGED)
    if held.viewer != person.viewer and not person.owns:
        raise Held(f"{held.name} has control of this desktop; only they or its user give it back.")
    return Control(term=control.term + 1)


def expired(control: Control, now: datetime) -> Control:
    """The control after it is written down that a person's time is over; the same while it is not."""
    return Control(term=control.term + 1) if in_force(control, now) != control else control


def withdrawn(control: Control, term: int) -> Control:
    """The control after it is written down that a person may not control the session any more; the same where it has
    changed hands since that term.
    """
    return Control(term=term + 1) if control.term == term and control.viewer else control


CHANGED: Final = "Control of this desktop has changed hands since; take over again."


def held_from(name: str) -> str:
    """What a program reads while a person has control."""
    return f"{name} has control of this desktop: wait until they hand it back, and look at the screen again then."

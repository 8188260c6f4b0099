"""Leases: how long one may last, who controls its session, and how many desktops and leases there may be at a time.

Each change of hands is a term, and terms only grow. The session's page lets the input of the present term alone pass,
and obeys no order of an earlier one. A person has control for a time that they renew while they are there; afterwards
it is the program's again, whether someone notices or not.

A desktop that a person opens counts towards `max_kasms_per_user` of its user. A lease counts towards
`max_leases_per_user` of its user and, where an API key made it, also towards `max_leases` of that key. Neither kind
counts towards the limit of the other, and a key only narrows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from greenroom.core.access.group_settings import Resolved
from greenroom.core.errors import Held, Invalid, LeaseLimit, SessionLimit
from greenroom.core.events import Topic
from greenroom.core.recording.described import Mode

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


Tags = list[str] | dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLease:
    """Who is to hold a session, for how long, and what is recorded of it.

    `lease_id` is a new uuid, `holder` the caller as log rows name them, `key_id` their API key, whose `max_lease_s` and
    end (`not_after`) the lease keeps; `reservation_id` is what the lease counted as until now (`db.lease.leases`).
    """

    lease_id: str
    seconds: float
    holder: str
    key_id: str | None = None
    max_lease_s: int | None = None
    not_after: datetime | None = None
    tags: Tags = field(default_factory=list[str])
    record: Mode = "none"
    record_text: bool = False
    record_required: bool = False
    """A group of the user requires the pictures."""
    must_record: bool = False
    """A group of the user requires a recording."""
    reservation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLimits:
    """How long a lease may last: `max_lease_s` from now, until `not_after`, and `max_days` from `created`."""

    created: datetime
    max_days: int
    max_lease_s: int | None = None
    not_after: datetime | None = None

    def require(self, seconds: float, now: datetime) -> None:
        """Raises Invalid: the lease may not last so many seconds more; the sentence names the limit."""
        if self.max_lease_s is not None and seconds > self.max_lease_s:
            raise Invalid(f"Leases of this API key may last {self.max_lease_s} s (max_lease_s), not {seconds:g} s.")
        ends = now + timedelta(seconds=seconds)
        if self.not_after is not None and ends > self.not_after:
            left_s = max(0, int((self.not_after - now).total_seconds()))
            raise Invalid(f"The API key ends in {left_s} s, and its leases with it; {seconds:g} s are too long.")
        if ends > (last := self.created + timedelta(days=self.max_days)):
            left_s = max(0, int((last - now).total_seconds()))
            raise Invalid(
                f"A lease lasts at most {self.max_days} days in all (max_lease_days);"
                f" this one may last {left_s} s more, not {seconds:g} s."
            )


FREED_BY: Final = frozenset({Topic.LEASE, Topic.SETTINGS, Topic.USERS})
"""Topics of the events that can end the refusal of a lease: a lease ends, a limit or the groups of the user change."""


def most_of_user(settings: Mapping[str, Resolved], *, leased: bool) -> int:
    """How many leases, or desktops, a user may have at a time."""
    return int(settings["max_leases_per_user" if leased else "max_kasms_per_user"].value)


def user_limit_reached(most: int, *, leased: bool) -> SessionLimit | LeaseLimit:
    """The refusal for a user who has `most` leases, or desktops."""
    if leased:
        verb = "lease is" if most == 1 else "leases are"
        return LeaseLimit(f"{most} {verb} allowed for this user (max_leases_per_user); release one first.")
    verb = "session is" if most == 1 else "sessions are"
    return SessionLimit(f"{most} {verb} allowed for this user (max_kasms_per_user); delete a session first.")


def key_limit_reached(max_leases: int) -> LeaseLimit:
    """The refusal for an API key that holds `max_leases`."""
    noun = "lease" if max_leases == 1 else "leases"
    return LeaseLimit(f"This API key may hold {max_leases} {noun} at a time (max_leases); release one first.")


def refusal(
    settings: Mapping[str, Resolved],
    *,
    leased: bool,
    of_user: int,
    of_key: int = 0,
    max_leases: int | None = None,
) -> SessionLimit | LeaseLimit | None:
    """Why the user gets no further lease, or desktop; None = they may have one.

    `of_user` is how many of this kind the user has, `of_key` how many leases the API key of the request holds, and
    `max_leases` that key's limit (None = without one, or no key).
    """
    if of_user >= (most := most_of_user(settings, leased=leased)):
        return user_limit_reached(most, leased=leased)
    if leased and max_leases is not None and of_key >= max_leases:
        return key_limit_reached(max_leases)
    return None

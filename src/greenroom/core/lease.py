"""Leases: their duration, the control of their sessions, and the limits for the numbers of desktops and leases.

Either the program or a person has control of a leased session. Each change of control increases the term of control
(`Control.term`). The page of the session accepts only input and commands of the current term. A person has control
until `Control.until`, and extends this time while they are present. After this time, the program has control, even
before the change is stored.

A desktop (a session without a lease) counts toward `max_kasms_per_user` of its user. A lease counts toward
`max_leases_per_user` of its user and, if it was created with an API key, also toward `max_leases` of that key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from greenroom.core.access.group_settings import EffectiveSetting
from greenroom.core.errors import Held, Invalid, LeaseLimit, SessionLimit
from greenroom.core.events import Topic
from greenroom.core.recording.descriptions import RecordingMode

ControlHolder = Literal["program", "person"]

USER: Final = "user"
"""The value of `Control.viewer` and `Person.viewer` for the user of the session. For other persons, the value is their
viewer id.
"""
PROGRAM: Final = "program"
"""The name of the program's connections on the page of the session. The gateway sends it to the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The control of a leased session. `viewer` identifies the person who has control, `USER` or a viewer id; empty =
    the program has control. `name` is the name of the person, and `until` the end of their control."""

    term: int = 0
    viewer: str = ""
    name: str = ""
    until: datetime | None = None

    @property
    def holder(self) -> ControlHolder:
        return "person" if self.viewer else "program"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person who requests control. `owns` is True for the user of the session, who may take it from other persons."""

    viewer: str
    name: str
    owns: bool


def current_control(control: Control, now: datetime) -> Control:
    """Return the control that applies now: the program has control after `control.until`."""
    is_over = control.until is not None and control.until <= now
    return replace(control, viewer="", name="", until=None) if is_over else control


def take_control(control: Control, now: datetime, person: Person, away_s: float, term: int | None = None) -> Control:
    """Return the control after a person took or extended it. It lasts `away_s` without a further extension. With
    `term`, the person can only extend their control of that term. Raises Held: another person has control, or control
    has changed since that term."""
    current = current_control(control, now)
    has_control = current.viewer == person.viewer
    if term is not None and (term != control.term or not has_control):
        raise Held(CONTROL_CHANGED)
    if current.viewer and not has_control and not person.owns:
        raise Held(f"{current.name} has control of this desktop; ask them to hand it back.")
    return Control(
        term=control.term + (not has_control),
        viewer=person.viewer,
        name=person.name,
        until=now + timedelta(seconds=away_s),
    )


def return_control(control: Control, now: datetime, person: Person, term: int | None = None) -> Control:
    """Return the control after a person returned it to the program; unchanged if the program already has it. Raises
    Held: another person has control, or control has changed since `term`."""
    current = current_control(control, now)
    if not current.viewer:
        return control
    if term is not None and term != control.term:
        raise Held(CONTROL_CHANGED)
    if current.viewer != person.viewer and not person.owns:
        raise Held(
            f"{current.name} has control of this desktop; only this person or the user of the session can return it."
        )
    return Control(term=control.term + 1)


def expire_control(control: Control, now: datetime) -> Control:
    """Return the control to store: the program has control if `control.until` has passed; otherwise unchanged."""
    return Control(term=control.term + 1) if current_control(control, now) != control else control


def withdraw_control(control: Control, term: int) -> Control:
    """Return the control after the person with control in `term` lost the permission: the program has control;
    unchanged if control has changed since that term."""
    return Control(term=term + 1) if control.term == term and control.viewer else control


CONTROL_CHANGED: Final = "Control of this desktop changed in the meantime. Take over again."


def person_has_control_text(name: str) -> str:
    """Return the sentence for a program while the person `name` has control."""
    return f"{name} has control of this desktop: wait until they hand it back, and look at the screen again then."


Tags = list[str] | dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLease:
    """A lease to create: its holder, its duration, and its recording.

    `lease_id` is a new UUID. `holder` is the name of the caller in log rows. `key_id` is the API key of the caller.
    `taken_by` is the id of a logged-in caller who leases for another user.
    `max_lease_s` and `not_after` are the maximum duration and the latest end that the key permits, also for extensions.
    `reservation_id` is the row that counts toward the limits until the session of the lease exists (`db.lease.leases`);
    None = there is none.
    """

    lease_id: str
    seconds: float
    holder: str
    key_id: str | None = None
    taken_by: str | None = None
    max_lease_s: int | None = None
    not_after: datetime | None = None
    tags: Tags = field(default_factory=list[str])
    record: RecordingMode = "none"
    record_text: bool = False
    record_required: bool = False
    """True if a group of the user requires a recording with pictures."""
    must_record: bool = False
    """True if a group of the user requires a recording, with or without pictures."""
    reservation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLimits:
    """The limits for the end of a lease: `max_lease_s` after now, `not_after`, and `max_days` after `created`."""

    created: datetime
    max_days: int
    max_lease_s: int | None = None
    not_after: datetime | None = None

    def require(self, seconds: float, now: datetime) -> None:
        """Check the limits. Raises Invalid: the lease may not last this number of seconds."""
        if self.max_lease_s is not None and seconds > self.max_lease_s:
            raise Invalid(f"Leases of this API key may last {self.max_lease_s} s (max_lease_s), not {seconds:g} s.")
        end = now + timedelta(seconds=seconds)
        if self.not_after is not None and end > self.not_after:
            remaining_s = max(0, int((self.not_after - now).total_seconds()))
            raise Invalid(
                f"The API key expires in {remaining_s} s, and its leases end then; {seconds:g} s are too long."
            )
        if end > (latest_end := self.created + timedelta(days=self.max_days)):
            remaining_s = max(0, int((latest_end - now).total_seconds()))
            raise Invalid(
                f"A lease lasts at most {self.max_days} days in all (max_lease_days);"
                f" this one may last {remaining_s} s more, not {seconds:g} s."
            )


LIMIT_TOPICS: Final = frozenset({Topic.LEASE, Topic.SETTINGS, Topic.USERS})
"""The topics of events after which a lease that a limit refused may be permitted: a lease ended, or a limit or the
groups of the user changed.
"""


def max_for_user(settings: Mapping[str, EffectiveSetting], *, leased: bool) -> int:
    """Return the maximum number of leases (`leased`), or of desktops, that a user may have at the same time."""
    return int(settings["max_leases_per_user" if leased else "max_kasms_per_user"].value)


def user_limit_reached(maximum: int, *, leased: bool) -> SessionLimit | LeaseLimit:
    """Return the error for a user who has `maximum` leases (`leased`), or desktops."""
    if leased:
        verb = "lease is" if maximum == 1 else "leases are"
        return LeaseLimit(f"{maximum} {verb} allowed for this user (max_leases_per_user); release one first.")
    verb = "session is" if maximum == 1 else "sessions are"
    return SessionLimit(f"{maximum} {verb} allowed for this user (max_kasms_per_user); delete a session first.")


def key_limit_reached(max_leases: int) -> LeaseLimit:
    """Return the error for an API key that has `max_leases` leases."""
    noun = "lease" if max_leases == 1 else "leases"
    return LeaseLimit(f"This API key may hold {max_leases} {noun} at a time (max_leases); release one first.")


def limit_refusal(
    settings: Mapping[str, EffectiveSetting],
    *,
    leased: bool,
    user_sessions: int,
    key_leases: int = 0,
    max_leases: int | None = None,
) -> SessionLimit | LeaseLimit | None:
    """Return the error for one more lease (`leased`), or desktop, of a user; None if it is permitted.

    `user_sessions` is the number of leases, or of desktops, of the user. `key_leases` is the number of leases of the
    API key of the request, and `max_leases` the limit of that key; None = it has no limit, or there is no key.
    """
    if user_sessions >= (maximum := max_for_user(settings, leased=leased)):
        return user_limit_reached(maximum, leased=leased)
    if leased and max_leases is not None and key_leases >= max_leases:
        return key_limit_reached(max_leases)
    return None

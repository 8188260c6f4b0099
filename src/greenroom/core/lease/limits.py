"""The limits of desktops and leases at a time.

A desktop that a person opens counts towards `max_kasms_per_user` of its user. A lease counts towards
`max_leases_per_user` of its user and, where an API key made it, also towards `max_leases` of that key. Neither kind
counts towards the limit of the other, and a key only narrows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from greenroom.core.access.group_settings import Resolved
from greenroom.core.errors import LeaseLimit, SessionLimit
from greenroom.core.events import Topic

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

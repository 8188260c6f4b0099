"""The table of causes and effects for a loss of access: each cause ends certain rights of a user.

A cause is a difference between what a user may do before and after a change. The change can be of any kind: a request
of an administrator, a rule of a sign-on provider, a log-out at a provider. The api finds the causes and applies the
effects (`api.access.lifecycle`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Final

from greenroom.core.access.permissions import GLOBAL_ADMIN, USER, implied_codes

LAUNCH_FOR_OTHERS: Final = ("users_auth_session", "leases_create_for_others")
"""One of these permissions is needed for leases of sessions of other users."""


class Cause(StrEnum):
    """Why a user may do less than before; the value ends a sentence that begins with the name of the user."""

    DELETED = "was deleted"
    BARRED = "was disabled or locked"
    PASSWORD = "has a new password"  # noqa: S105 -- no password
    LOGGED_OUT = "was logged out"
    LOST_USER = "lost the permission `user`"
    LOST_OTHERS = "may no longer lease sessions for other users"


class Effect(Enum):
    """A right or an object that ends."""

    LOGINS = auto()
    """All log-ins and log-in links."""
    STREAMS = auto()
    """The open streams, also of sessions that others share with the user, and the control of leased sessions. The
    tokens of earlier addresses are invalid."""
    LAUNCHES = auto()
    """The sessions that are not usable yet, and the wait for free capacity."""
    SHARES = auto()
    """The shares of the sessions of the user."""
    SHARES_WITH = auto()
    """The shares that name the user."""
    OWN_LEASES = auto()
    """The leases of the sessions of the user that the user or an API key of the user holds."""
    ALL_LEASES = auto()
    """All leases of the sessions of the user."""
    LEASES_FOR_OTHERS = auto()
    """The leases of sessions of other users that the user took, or that an API key of the user holds."""
    TOKENS_FOR_OTHERS = auto()
    """The tokens of the leases that the user took for other users with a log-in. The leases stay."""
    SESSIONS = auto()
    """All sessions."""


_OF_BARRED: Final = frozenset(Effect) - {Effect.SESSIONS}
EFFECTS: Final[Mapping[Cause, frozenset[Effect]]] = {
    Cause.DELETED: frozenset(Effect),
    Cause.BARRED: _OF_BARRED,
    Cause.PASSWORD: frozenset({Effect.LOGINS, Effect.STREAMS, Effect.TOKENS_FOR_OTHERS}),
    Cause.LOGGED_OUT: frozenset({Effect.STREAMS, Effect.TOKENS_FOR_OTHERS}),
    Cause.LOST_USER: frozenset({Effect.STREAMS, Effect.LAUNCHES, Effect.SHARES, Effect.OWN_LEASES}),
    Cause.LOST_OTHERS: frozenset({Effect.LEASES_FOR_OTHERS}),
}
"""Cause → effects. API keys and webhooks have no effect here: each use of a key, and each message of a webhook, depends
on what its owner may do at that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAccess:
    """The permissions and the state of a user at one time."""

    user_id: str
    username: str
    may_log_in: bool
    """The user is neither disabled nor locked."""
    password_hash: str | None = field(repr=False)
    permissions: list[str]

    @property
    def is_administrator(self) -> bool:
        return self.may_log_in and GLOBAL_ADMIN in implied_codes(self.permissions)


def causes(before: UserAccess, after: UserAccess) -> frozenset[Cause]:
    """Return why the user may do less after a change than before."""
    found = set[Cause]()
    if before.may_log_in and not after.may_log_in:
        found.add(Cause.BARRED)
    if before.password_hash != after.password_hash:
        found.add(Cause.PASSWORD)
    if _lost((USER,), before, after):
        found.add(Cause.LOST_USER)
    if _lost(LAUNCH_FOR_OTHERS, before, after):
        found.add(Cause.LOST_OTHERS)
    return frozenset(found)


def effects(found: Iterable[Cause]) -> frozenset[Effect]:
    """Return the effects of all causes."""
    return frozenset(effect for cause in found for effect in EFFECTS[cause])


def _lost(codes: tuple[str, ...], before: UserAccess, after: UserAccess) -> bool:
    """True if the user had one of these permissions before, and has none of them after."""
    held, still_held = implied_codes(before.permissions), implied_codes(after.permissions)
    return not held.isdisjoint(codes) and still_held.isdisjoint(codes)

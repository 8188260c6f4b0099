"""The leadership of a zone (docs/explanation/protocols.md §1).

Times are seconds of CLOCK_BOOTTIME, which also runs while the machine sleeps. Each takeover raises the term.

The clock of the database decides which Manager is Primary. A Manager acts as Primary in the window after each renewal
(`ActingWindow`). A Manager with a wrong window wastes work, but does no harm, because the database refuses writes with
an old term. Invariant: a window ends before the leadership in the database, because it begins when the renewal was
*sent*, and is `Timings.margin_s` shorter than the leadership.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EXPIRY_JITTER_S: Final = 0.05
"""The maximum delay between the end of a leadership and the next read of it by a Manager. The delay is random, so that
Managers do not read at the same time.
"""

RECHECK_S: Final = 2.0
"""The maximum time between two reads of the leadership by a process, because a NOTIFY may be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """The timings of a leadership. It ends `ttl_s` after its last renewal; a window ends `margin_s` earlier. `renew_s`
    is the interval of renewals, and `statement_timeout_s` the maximum duration of a statement in the database."""

    ttl_s: float
    renew_s: float
    margin_s: float
    statement_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ActingWindow:
    """The time in which this process may act with this term after a renewal. It ends at `trusted_until_s`."""

    term: int
    trusted_until_s: float


def timings_problem(timings: Timings) -> str | None:
    """Return the reason why these timings cannot work, as a sentence; None if they can.

    Two renewals must fit into a window, even if the second one takes as long as the statement timeout.
    """
    window_s = timings.ttl_s - timings.margin_s
    needed_s = 2 * timings.renew_s + timings.statement_timeout_s
    if needed_s < window_s:
        return None
    return (
        f"2 * GREENROOM_LEASE_RENEW_S + statement timeout = {needed_s:g} s must be less than "
        f"GREENROOM_LEASE_TTL_S - GREENROOM_LEASE_MARGIN_S = {window_s:g} s; raise GREENROOM_LEASE_TTL_S "
        "or lower GREENROOM_LEASE_RENEW_S."
    )


def window_after_renewal(term: int, sent_at_s: float, timings: Timings) -> ActingWindow:
    """Return the window after a successful renewal. It begins at the time at which the renewal was sent."""
    return ActingWindow(term=term, trusted_until_s=sent_at_s + timings.ttl_s - timings.margin_s)


def may_act(window: ActingWindow | None, now_s: float) -> bool:
    """True if this process may act now: as Primary, or as the active replica of an Agent (`agent.standby`)."""
    return window is not None and now_s < window.trusted_until_s


def next_renewal_in_s(sent_at_s: float, now_s: float, timings: Timings) -> float:
    """Return the seconds until the next renewal. The interval counts from the time at which the last one was sent."""
    return max(0.0, sent_at_s + timings.renew_s - now_s)


def next_read_in_s(remaining_s: float, jitter: float) -> float:
    """Return the seconds until the next read of the leadership.

    `remaining_s` is the time until the end of the leadership by the clock of the database: 0 or less if it has ended,
    or infinite. `jitter` is a random number, 0 to 1.
    """
    if remaining_s <= 0:
        return EXPIRY_JITTER_S
    return min(RECHECK_S, remaining_s + jitter * EXPIRY_JITTER_S)


def is_quiet(
    *, since_takeover_s: float, since_reconnect_s: float, since_server_start_s: float, missing_s: float
) -> bool:
    """True during the quiet period: less than `missing_s` seconds have passed since the takeover, since the connection
    to the database was restored, or since the start of the database server. After `missing_s` without a report, an
    Agent is missing."""
    return min(since_takeover_s, since_reconnect_s, since_server_start_s) < missing_s


def raised_term(term: int, seen_term: int) -> int | None:
    """Return the term that a Primary must use because an Agent has seen the higher term `seen_term`, after the database
    was restored from a backup; None = it keeps `term`."""
    return seen_term + 1 if seen_term > term else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """The previous Primary and the end of its leadership."""

    instance_id: str | None
    """None = its record was removed."""
    enabled: bool
    is_same_manager: bool
    """True if the same Manager is the new Primary."""
    resigned: bool
    """True if it resigned, or its leadership was ended when it was disabled."""
    expired: bool
    """True if its leadership expired without a renewal; False if its connection to the database ended before."""


def election_reason(previous: Predecessor | None) -> str:
    """Return the reason why a Manager became Primary, as a clause after "because"."""
    if previous is None:
        return "the zone had no Primary before"
    if previous.is_same_manager:
        return "it was the Primary before and returned first"
    if previous.instance_id is None:
        return "the Manager that was the Primary was deleted"
    return _end_reason(previous).format(previous.instance_id)


def _end_reason(previous: Predecessor) -> str:
    if not previous.enabled:
        return "{} was disabled"
    if previous.resigned:
        return "{} resigned"
    if previous.expired:
        return "{} stopped responding"
    return "the process of {}, or its connection to the database, ended"


def loss_reason(window: ActingWindow, now_s: float, failure: str) -> str:
    """Return the reason why a Primary that did not resign is no longer Primary, as a clause after "because".

    `window` is its last window, and `now_s` the time at which it detected the loss. `failure` is the error of the
    connection with which it renews the leadership, as a sentence without a full stop.
    """
    if may_act(window, now_s):
        return failure
    return "it did not renew its leadership in time"

"""Plans and evaluates a rehearsal, the load test `greenroom rehearse`: the launch time of each user, the outcomes of
the launches, and a sentence for each shortage."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from random import Random
from typing import Final, Literal

from greenroom.core.text import size


def arrivals(users: int, within_s: float, seed: int) -> list[float]:
    """Return the launch time of each user, in seconds since the beginning and in ascending order. Most launches are in
    the middle of `within_s`."""
    generator = Random(seed)  # noqa: S311 -- repeatable, not secret
    return sorted(generator.triangular(0, within_s, within_s / 2) for _ in range(users))


def staged_needed(launches_s: Sequence[float], refill_s: float) -> int:
    """Return the size of the smallest pool with which every launch is staged, if each place is filled again `refill_s`
    after its claim.

    This size is the largest number of launches within any `refill_s`.
    """
    times = sorted(launches_s)
    return max((bisect_left(times, time + refill_s) - index for index, time in enumerate(times)), default=0)


def peak_per_s(times_s: Sequence[float], window_s: float) -> float:
    """Return the highest number of events per second in any window of `window_s` seconds."""
    times = sorted(times_s)
    most_in_window = max((bisect_right(times, time + window_s) - index for index, time in enumerate(times)), default=0)
    return most_in_window / window_s


def percentile(values: Sequence[float], rank: float) -> float | None:
    """Return the smallest value that at least `rank` % of the values do not exceed; None without values."""
    if not values:
        return None
    return sorted(values)[max(0, ceil(len(values) * rank / 100) - 1)]


REPLY_WITHIN_S: Final = 1.0
"""A user who waits longer than this for the first reply clicks again."""
PEAK_PARTS: Final = 20
"""The peak rate is measured in a window of the launch period divided by this number, but at least 1 s."""

Outcome = Literal["staged", "on_demand", "refused", "late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalPlan:
    """The parameters of a rehearsal. `usable_within_s` is the longest wait of a user for a usable session. If
    `zone_id` is None, the deployment chooses the zone of each launch."""

    users: int
    within_s: float
    usable_within_s: float
    seed: int
    image_id: str
    workspace: str
    zone_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyAtStart:
    """The capacity of Agents and pools before the first launch; memory in bytes."""

    desired: int
    """The number of sessions that the staging configs of the workspace keep."""
    staged: int
    """The number of these sessions that are claimable or starting."""
    cores: float
    cores_free: float
    memory: int
    memory_free: int
    session_cores: float
    session_memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsedVisit:
    """A visit: the launch of one user and its outcome. `launched_s` is in seconds since the beginning of the rehearsal.
    `reply_s` and `usable_s` are the seconds from the launch to the reply and to a usable session.
    """

    launched_s: float
    reply_s: float
    outcome: Outcome
    usable_s: float | None = None
    session_id: str | None = None
    code: str = ""
    sentence: str = ""
    """The reason of a refusal, as the api returned it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A reason of several launches with their number. `sentence` is the reason of the first of these launches."""

    code: str
    sentence: str
    launches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalResult(RehearsalPlan):
    """The result of a rehearsal, with its parameters. A time is None if no launch has this time."""

    staged: int
    on_demand: int
    refused: int
    late: int
    staged_share: float
    usable_p50_s: float | None
    usable_p99_s: float | None
    usable_max_s: float | None
    reply_p99_s: float | None
    peak_offered_per_s: float
    peak_served_per_s: float
    refill_s: float | None
    staged_desired: int
    staged_needed: int | None
    refusals: list[Reason]
    not_staged: list[Reason]
    short: list[str]

    @property
    def passed(self) -> bool:
        """True if every user had a usable session in time."""
        return self.staged + self.on_demand == self.users


def summarize(
    plan: RehearsalPlan,
    supply: SupplyAtStart,
    visits: Sequence[RehearsedVisit],
    *,
    not_staged: list[Reason],
    refill_s: float | None,
) -> RehearsalResult:
    """Return the result. `not_staged` contains the reasons why launches on demand got no staged session. `refill_s` is
    the duration of the longest start of a session.
    """
    outcomes = Counter(visit.outcome for visit in visits)
    served = [(visit.launched_s, visit.usable_s) for visit in visits if visit.usable_s is not None]
    usable_s = [usable for _, usable in served]
    window_s = max(1.0, plan.within_s / PEAK_PARTS)
    launches_s = [visit.launched_s for visit in visits]
    needed = None if refill_s is None else staged_needed(launches_s, refill_s)
    reply_p99_s = percentile([visit.reply_s for visit in visits], 99)
    refusals = count_reasons([visit for visit in visits if visit.outcome == "refused"])
    return RehearsalResult(
        **asdict(plan),
        staged=outcomes["staged"],
        on_demand=outcomes["on_demand"],
        refused=outcomes["refused"],
        late=outcomes["late"],
        staged_share=outcomes["staged"] / plan.users,
        usable_p50_s=percentile(usable_s, 50),
        usable_p99_s=percentile(usable_s, 99),
        usable_max_s=max(usable_s, default=None),
        reply_p99_s=reply_p99_s,
        peak_offered_per_s=peak_per_s(launches_s, window_s),
        peak_served_per_s=peak_per_s([launched + usable for launched, usable in served], window_s),
        refill_s=refill_s,
        staged_desired=supply.desired,
        staged_needed=needed,
        refusals=refusals,
        not_staged=not_staged,
        short=[
            *_pool_shortages(plan, supply, needed, refill_s, not_staged),
            *_capacity_shortages(plan, supply, needed),
            *(_refusal(reason) for reason in refusals),
            *_wait_shortages(plan, outcomes["late"], reply_p99_s),
        ],
    )


def count_reasons(visits: Sequence[RehearsedVisit]) -> list[Reason]:
    """Return the reasons of the visits by code, the most frequent first, each with its first sentence."""
    by_code: dict[str, list[RehearsedVisit]] = {}
    for visit in visits:
        by_code.setdefault(visit.code, []).append(visit)
    reasons = [Reason(code=code, sentence=group[0].sentence, launches=len(group)) for code, group in by_code.items()]
    return sorted(reasons, key=lambda reason: -reason.launches)


def _pool_shortages(
    plan: RehearsalPlan, supply: SupplyAtStart, needed: int | None, refill_s: float | None, not_staged: list[Reason]
) -> Iterator[str]:
    for reason in not_staged:
        launches = _launches(reason.launches)
        was_empty = f"The pool of {plan.workspace} was empty for {launches}"
        if reason.code != "pool_empty":
            yield f"{launches} got no staged session: {reason.sentence}"
        elif needed is not None and refill_s is not None and needed > supply.desired:
            yield (
                f"{was_empty}. It has {supply.desired} places; with {needed} every launch would have been staged,"
                f" because a place is filled again within {refill_s:.1f} s."
            )
        else:
            enough = f"although {supply.desired} staged sessions are enough"
            yield f"{was_empty}, {enough}; run greenroom staging list for the reason."


def _capacity_shortages(plan: RehearsalPlan, supply: SupplyAtStart, needed: int | None) -> Iterator[str]:
    """Yield the shortages of cores and memory, if all users have a session at the same time and the pool is full."""
    pool = max(needed or 0, supply.desired)
    sessions = plan.users + pool - supply.staged
    load = f"{plan.users} users and {pool} staged sessions"
    cores, memory = sessions * supply.session_cores, sessions * supply.session_memory
    if cores > supply.cores_free:
        free = f"{supply.cores_free:g} of {supply.cores:g} are free"
        yield f"Cores: {load} need {cores:g} more than is reserved now; {free}."
    if memory > supply.memory_free:
        free = f"{size(supply.memory_free)} of {size(supply.memory)} are free"
        yield f"Memory: {load} need {size(memory)} more than is reserved now; {free}."


def _wait_shortages(plan: RehearsalPlan, late: int, reply_p99_s: float | None) -> Iterator[str]:
    if late:
        yield f"{late} of {plan.users} users had no usable session within {plan.usable_within_s:g} s."
    if reply_p99_s is not None and reply_p99_s > REPLY_WITHIN_S:
        waited = f"1 of {min(plan.users, 100)} launches waited {reply_p99_s:.1f} s or longer for the reply"
        yield f"The api: {waited}; the limit is {REPLY_WITHIN_S:g} s."


def _refusal(reason: Reason) -> str:
    return f"{_launches(reason.launches)} {'was' if reason.launches == 1 else 'were'} refused: {reason.sentence}"


def _launches(count: int) -> str:
    return f"{count} launch" if count == 1 else f"{count} launches"

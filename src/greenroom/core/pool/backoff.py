"""What a pool does after failures: they are counted, the pauses after them grow, and they are forgotten.

Failed starts are forgotten after a successful one. Sessions that start well and stop working soon afterwards are
counted separately, and forgotten after a quiet time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from greenroom.core.backoff import Backoff
from greenroom.core.launch.placement import AgentView
from greenroom.core.pool.model import Broken, PoolConfig, PooledSession

BACKOFF: Final = Backoff(first_s=2.0, max_s=300.0)
BREAKS_COUNT_S: Final = 600.0
"""Older breaks are forgotten; longer than the longest pause, or a pool could escape its back-off."""
AVOIDED_S: Final = 600.0
"""After a failed start other Agents are preferred for this long."""


@dataclass(frozen=True, slots=True)
class Failures:
    """What a config remembers of failures: the number in a row, the last error, when to try again. `breaks`: they are
    of sessions that were usable, not of starts.
    """

    number: int
    last_error: str | None
    next_try: datetime | None
    breaks: bool = False

    def waits(self, now: datetime) -> bool:
        return self.next_try is not None and now < self.next_try


@dataclass(frozen=True, slots=True)
class Choice:
    """The Agent a pool tries next, and, as the end of a sentence, the Agent it replaces."""

    agent: AgentView
    instead: str = ""


def chosen(candidates: Sequence[AgentView], failed_on: frozenset[str]) -> Choice:
    """The first candidate without a recent failure; the first of all if every one has some. An image may fail on one
    Agent only; that Agent then has the least load and would be chosen again and again.
    """
    first = next((agent for agent in candidates if agent.agent_id not in failed_on), candidates[0])
    if first is candidates[0]:
        return Choice(first)
    return Choice(first, f" and not on {candidates[0].hostname}, where a start failed lately")


def after(config: PoolConfig, failed: Sequence[PooledSession], now: datetime) -> Failures:
    """What the config remembers after these failed sessions, or a later successful one. Sessions created together fail
    together: that is one failure. A later one counts if it was a new attempt.
    """
    if any(config.next_try is None or session.created >= config.next_try for session in failed):
        number = config.failures + 1
        newest = max(failed, key=lambda session: (session.created, session.session_id))
        error = newest.error or "no reason was given"
        return Failures(number, error, now + timedelta(seconds=BACKOFF.delay_s(number)))
    if config.next_try is not None and config.last_success is not None and config.last_success >= config.next_try:
        return Failures(0, None, None)
    return Failures(config.failures, config.last_error, config.next_try)


def after_breaks(broken: Sequence[Broken], now: datetime) -> Failures:
    """How often sessions broke that were created because one had broken before.

    The first break has no consequence: the session is replaced at once. The same applies to all that were created
    before it and break later or together with it, e.g. after a restart of their host. From the second one on there is a
    pause.
    """
    number, last = 0, None
    for session in sorted(broken, key=lambda session: session.broke):
        is_lately = now - session.broke < timedelta(seconds=BREAKS_COUNT_S)
        if is_lately and (last is None or session.created >= last.broke):
            number, last = number + 1, session
    if last is None or number < 2:
        return Failures(0, None, None, breaks=True)
    return Failures(number, last.error, last.broke + timedelta(seconds=BACKOFF.delay_s(number - 1)), breaks=True)


def longer_backoff(starts: Failures, breaks: Failures) -> Failures:
    """The one that makes the pool wait longer."""
    if not (starts.number and breaks.number):
        return starts if starts.number else breaks
    return max(starts, breaks, key=lambda failures: (failures.next_try is not None, failures.next_try))

"""A simulation of a pool: plans are made each second and after every change, and starts and removals take time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tests.unit.pools import BIG, CONFIG, NOW, session, snapshot

from greenroom.core.pool.model import Create, PooledSession, PoolPlan, PoolSnapshot
from greenroom.core.pool.plan import plan
from greenroom.core.session.states import SessionStatus

ROUND_S = 1.0
REMOVAL_S = 0.3


@dataclass
class Simulation:
    """A pool on an Agent with capacity for `room` sessions, each of which takes `start_s()` to start (None: the
    start fails). `watch` is called with the number of claimable and of all sessions after every change."""

    num_sessions: int
    lifetime_s: float
    room: int
    start_s: Callable[[], float | None]
    watch: Callable[[int, int], object] = max
    planner: Callable[[PoolSnapshot], PoolPlan] = plan
    now: datetime = NOW
    sessions: dict[str, PooledSession] = field(default_factory=dict[str, PooledSession])
    due: dict[str, tuple[datetime, bool]] = field(default_factory=dict[str, tuple[datetime, bool]])
    leaving: dict[str, datetime] = field(default_factory=dict[str, datetime])
    plans: list[PoolPlan] = field(default_factory=list[PoolPlan])
    recycled: datetime | None = None
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def run(self, seconds: float) -> None:
        """Let this time pass."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self._plan()
            self.now = min(end, self._next_event())
            self._happen()

    @property
    def current(self) -> int:
        """The number of claimable sessions."""
        return sum(s.claimable and s.expires > self.now for s in self.sessions.values())

    def _next_event(self) -> datetime:
        events = [when for when, _ in self.due.values()] + list(self.leaving.values())
        return min([*events, self.now + timedelta(seconds=ROUND_S)])

    def _happen(self) -> None:
        for session_id, (when, fails) in list(self.due.items()):
            if when <= self.now:
                del self.due[session_id]
                status = SessionStatus.FAILED if fails else SessionStatus.RUNNING
                self.sessions[session_id] = replace(
                    self.sessions[session_id],
                    status=status,
                    claimable=not fails,
                    started=None if fails else self.now,
                    error="it did not start" if fails else None,
                )
        self.leaving = {session_id: when for session_id, when in self.leaving.items() if when > self.now}

    def _plan(self) -> None:
        made = self.planner(self.shot())
        self.plans.append(made)
        for action in made.actions:
            if isinstance(action, Create):
                self._create(action)
            else:
                del self.sessions[action.session_id]
                self.due.pop(action.session_id, None)
                self.leaving[action.session_id] = self.now + timedelta(seconds=REMOVAL_S)
        self.watch(self.current, len(self.sessions))

    def _create(self, action: Create) -> None:
        number = next(self._numbers)
        made = session(
            number,
            "starting",
            created=self.now,
            expires=self.now + timedelta(seconds=self.lifetime_s),
            replaces=action.replaces,
        )
        takes_s = self.start_s()
        self.due[made.session_id] = (self.now + timedelta(seconds=takes_s or 1.0), takes_s is None)
        self.sessions[made.session_id] = made

    def shot(self) -> PoolSnapshot:
        """The snapshot for a plan at the current time."""
        last = self.plans[-1] if self.plans else None
        config = replace(
            CONFIG,
            num_sessions=self.num_sessions,
            recycled=self.recycled,
            failures=last.failures if last else 0,
            last_error=last.last_error if last else None,
            next_try=last.next_try if last else None,
            last_success=max((s.created for s in self.sessions.values() if s.started), default=None),
        )
        agent = replace(BIG, cores=float(self.room), cores_allocated=float(len(self.sessions) + len(self.leaving)))
        shot = snapshot(*self.sessions.values(), config=config, agents=(agent,), ending=len(self.leaving))
        return replace(shot, now=self.now)

"""A pool receives events in any order, and kills in the middle of them: no session is ever given to two users.

A state machine drives the product's functions on a real PostgreSQL; the doctor's queries run after each step.
STAGING_MACHINE_EXAMPLES=500 searches longer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.support import rows
from tests.support.system import SECRETS, WITHOUT_MANAGERS, primary_of

from greenroom.api.launch.service import Launcher, LaunchRequest
from greenroom.core.errors import NoResources, Refused, SessionLimit
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.pool import configs
from greenroom.db.session.sessions import request_delete
from greenroom.manager.checkin.commit import apply_messages
from greenroom.manager.tasks.rounds import PrimaryRounds
from greenroom.up.invariants import INVARIANTS, find_violations
from greenroom.wire.messages import AssignmentReport, CheckIn, Observed, ReportedCapacity

USERS, LIMIT, CORES_OF_AGENT = 4, 1, 5
AFTER_A_PLAN = ("I8",)
"""An administrator may shrink a pool at any time; the next plan must follow."""
BACK_OFF_PASSES = "UPDATE staging_configs SET next_try = clock_timestamp() - interval '1 s' WHERE next_try IS NOT NULL"
EXAMPLES = int(os.environ.get("STAGING_MACHINE_EXAMPLES", "6"))
STEPS = 40


class World:
    """A zone with two small Agents, one pool, a few users, an api and a Primary, all in this process."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db, self._folder = db, folder
        self.owner: dict[str, str] = {}
        """Session → the user it was assigned to."""

    async def begin(self) -> None:
        """Recreate everything."""
        self.owner = {}
        await self.db.write("TRUNCATE zones, groups, users, images, launches, logs CASCADE")
        zone_id = await rows.zone(self.db)
        self.agents = [
            await rows.agent(self.db, zone_id, cores=CORES_OF_AGENT, hostname=f"agent-{n}") for n in range(2)
        ]
        self.image_id = await rows.image(self.db)
        group_id = await rows.group(self.db, self.image_id, max_kasms_per_user=LIMIT)
        self.users = [await rows.user(self.db, f"user-{n}", group_id) for n in range(USERS)]
        self.config_id = await rows.staging_config(self.db, zone_id, self.image_id, num_sessions=2)
        self.ctx = await primary_of(self.db, zone_id)
        self.rounds = PrimaryRounds()
        self.launcher = Launcher(self.db, SECRETS, LogWriter(self.db, "api"))
        await self.round()
        await self.report()

    async def round(self) -> None:
        """Run a round of the Primary, and check the invariants that hold after each plan."""
        await self.plan()
        await self.check(AFTER_A_PLAN)

    async def plan(self) -> None:
        self.ctx.agenda.mark_all_changed()  # instead of notifications, which no Manager receives here
        await self.rounds.run(self.ctx)

    async def launch(self, user: int, key: str) -> None:
        """A user launches, or repeats an earlier launch with its key."""
        user_id = self.users[user]
        request = LaunchRequest(
            user_id=user_id, image_id=self.image_id, request_host="desk.example", idempotency_key=f"{user}-{key}"
        )
        try:
            result = await self.launcher.launch(request)
        except (SessionLimit, NoResources, Refused):
            return
        assert self.owner.setdefault(result.session_id, user_id) == user_id, "it was given to another user before"

    async def report(self, outcome: str = "well") -> None:
        """Apply the effects of the Agents that are not silent on their desired lists; one session meets `outcome`."""
        await self.db.write("UPDATE agents SET last_reported = clock_timestamp() WHERE usage = '{}'")
        await self.db.write("UPDATE agents SET status = 'running' WHERE usage = '{}' AND status = 'missing'")
        found = await self.db.fetch(
            "SELECT s.session_id::text, s.agent_id::text, generation, want, assignment_id::text FROM sessions s"
            " JOIN agents a USING (agent_id) WHERE s.status <> 'deleted' AND a.usage = '{}'"
            " ORDER BY coalesce(s.assigned, s.created)"
        )
        for agent_id in sorted({row["agent_id"] for row in found}):
            of_agent = [row for row in found if row["agent_id"] == agent_id]
            # The newest session on each Agent meets the outcome.
            seen = [_seen(row, outcome if row is of_agent[-1] else "well") for row in of_agent]
            async with self.db.transaction() as connection:
                await apply_messages(connection, [_message(agent_id, seen)], self.ctx.config)

    async def silence(self, agent: int) -> None:
        """An Agent stops reporting until it is missing."""
        await self.db.write(
            "UPDATE agents SET usage = '{\"silent\": true}', last_reported = clock_timestamp() - interval '1 min'"
            " WHERE agent_id = %s",
            (self.agents[agent],),
        )

    async def return_of(self, agent: int) -> None:
        """It reports again."""
        await self.db.write("UPDATE agents SET usage = '{}' WHERE agent_id = %s", (self.agents[agent],))
        await self.report()

    async def destroy(self, user: int) -> None:
        """A user ends all their sessions."""
        query = "SELECT session_id::text FROM sessions WHERE user_id = %s AND status <> 'deleted'"
        for row in await self.db.fetch(query, (self.users[user],)):
            async with self.db.transaction() as connection:
                await request_delete(connection, row["session_id"], "deleted by its user")

    async def recycle(self) -> None:
        """An administrator recycles the pool."""
        async with self.db.transaction() as connection:
            await configs.lock_config(connection, self.config_id)
            await configs.recycle_config(connection, self.config_id)

    async def check(self, codes: tuple[str, ...] | None = None) -> None:
        """No invariant is violated: those of `codes`, or by default all that hold at any instant."""
        for one in INVARIANTS:
            if one.code in codes if codes else one.code not in (*WITHOUT_MANAGERS, *AFTER_A_PLAN):
                assert await find_violations(self.db, one) == [], f"{one.code}: {one.holds}"

    async def limits(self) -> None:
        """No user exceeds their limit, and a session that was assigned to a user is never assigned to another one."""
        over = await self.db.fetch(
            "SELECT user_id, count(*) FROM sessions WHERE user_id IS NOT NULL"
            " AND (status NOT IN ('deleted', 'deleting', 'failed') OR awaits_successor)"
            " GROUP BY user_id HAVING count(*) > %s",
            (LIMIT,),
        )
        assert over == []
        found = await self.db.fetch(
            "SELECT session_id::text, coalesce(user_id, set_aside_for)::text AS owner FROM sessions"
            " WHERE session_id = ANY(%s::uuid[])",
            (list(self.owner),),
        )
        assert {row["session_id"]: row["owner"] for row in found} == self.owner

    async def killed(self, act: Callable[[], Coroutine[Any, Any, None]], after: int) -> None:
        """The process ends somewhere in the middle of this, together with its connections."""
        task = asyncio.create_task(act())
        for _ in range(after):
            await asyncio.sleep(0)  # one step of the loop
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def comes_to_rest(self) -> None:
        """Without faults the pool reaches its desired state, and every user has a session or a reason."""
        await self.db.write(
            "UPDATE staging_configs SET paused = false, num_sessions = 1, failures = 0, next_try = NULL, deleted = NULL"
        )
        await self.db.write("UPDATE sessions SET broke = NULL")
        await self.db.write(
            "UPDATE sessions SET expires = clock_timestamp() WHERE claimable"
            " AND expires < clock_timestamp() + interval '1 min'"
        )
        await self.db.write("TRUNCATE launches_waiting")
        await self.db.write("UPDATE images SET enabled = true")
        await self.db.write("UPDATE agents SET enabled = true, draining = false, usage = '{}'")
        for user in range(USERS):
            await self.destroy(user)
        for _ in range(12):
            await self.report()
            await self.plan()
            await self.db.write(BACK_OFF_PASSES)  # from a start that failed before, and is counted only now
        await self.report()
        await self.check()
        await self.check(AFTER_A_PLAN)
        found = await self.db.fetch(
            "SELECT status, claimable, count(*) FROM sessions WHERE status NOT IN ('deleted', 'failed') GROUP BY 1, 2"
        )
        pooled = [row["count"] for row in found if row["claimable"]]
        assert pooled == [1], found
        assert {row["status"] for row in found} <= {"running"}, found


def _seen(row: dict[str, Any], outcome: str) -> Observed:
    """An Agent's observation of a session that meets this outcome."""
    session_id, generation = row["session_id"], row["generation"]
    if row["want"] == "absent":
        return Observed(session_id=session_id, generation=generation, state="absent")
    if outcome == "failed":
        return Observed(session_id=session_id, generation=generation, state="failed", exit_code=3)
    state = "failed" if outcome == "not handed over" else "assigned"
    error = "assign ended with 1" if state == "failed" else ""
    given = row["assignment_id"]
    return Observed(
        session_id=session_id,
        generation=generation,
        state="running",
        usable=outcome != "broken",
        broken=outcome == "broken",
        assignment=AssignmentReport(assignment_id=given, state=state, error=error) if given else None,
    )


def _message(agent_id: str, seen: list[Observed]) -> CheckIn:
    return CheckIn(
        installation_id="",
        db_epoch="",
        agent_id=agent_id,
        incarnation=1,
        seq=1,
        hold_s=0,
        term_seen=7,
        have_digest="",
        capacity=ReportedCapacity(cores=CORES_OF_AGENT, memory_bytes=1 << 40),
        sessions=seen,
    )


users = st.integers(0, USERS - 1)
keys = st.sampled_from("abcdefgh")
agents = st.integers(0, 1)
bad_outcomes = st.sampled_from(["failed", "not handed over", "broken"])
CHANGES = (
    "UPDATE staging_configs SET num_sessions = 0",
    "UPDATE staging_configs SET num_sessions = 1",
    "UPDATE staging_configs SET num_sessions = 4",
    "UPDATE staging_configs SET paused = NOT paused",
    "UPDATE images SET revision = revision + 1",
    "UPDATE images SET enabled = NOT enabled",
    "UPDATE zones SET upstream_auth_address = 'other:1'",
    "UPDATE agents SET enabled = NOT enabled WHERE hostname = 'agent-0'",
    "UPDATE agents SET draining = NOT draining WHERE hostname = 'agent-1'",
    BACK_OFF_PASSES,
    "UPDATE sessions SET expires = clock_timestamp() WHERE claimable AND session_id::text < '8'",
    "UPDATE sessions SET expires = clock_timestamp() + interval '2 s' WHERE claimable",
)


class Staging(RuleBasedStateMachine):
    """See the module docstring. The test sets `world` and `runner`."""

    world: World
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.runner.run(self.world.begin())

    @rule(user=users, key=keys)
    def launch(self, user: int, key: str) -> None:
        self.runner.run(self.world.launch(user, key))

    @rule(user=users, first=keys, second=keys, outcome=bad_outcomes)
    def launch_that_fails_and_another(self, user: int, first: str, second: str, outcome: str) -> None:
        """The second launch arrives before the Primary has processed the first."""
        self.runner.run(self.world.destroy(user))
        self.runner.run(self.world.launch(user, first))
        self.runner.run(self.world.report(outcome))
        self.runner.run(self.world.launch(user, second))

    @rule(first=users, second=users, key=keys)
    def launches_at_once(self, first: int, second: int, key: str) -> None:
        async def both() -> None:
            await asyncio.gather(self.world.launch(first, key), self.world.launch(second, key), self.world.round())

        self.runner.run(both())

    @rule()
    def round(self) -> None:
        self.runner.run(self.world.round())

    @rule(outcome=st.just("well") | bad_outcomes)
    def report(self, outcome: str) -> None:
        self.runner.run(self.world.report(outcome))

    @rule(agent=agents)
    def silence(self, agent: int) -> None:
        self.runner.run(self.world.silence(agent))

    @rule(agent=agents)
    def agent_returns(self, agent: int) -> None:
        self.runner.run(self.world.return_of(agent))

    @rule(user=users)
    def destroy(self, user: int) -> None:
        self.runner.run(self.world.destroy(user))

    @rule()
    def recycle(self) -> None:
        self.runner.run(self.world.recycle())

    @rule(change=st.sampled_from(CHANGES))
    def change(self, change: Any) -> None:
        self.runner.run(_write(self.world, change))

    @rule(user=users, key=keys, after=st.integers(1, 40))
    def killed_while_launching(self, user: int, key: str, after: int) -> None:
        self.runner.run(self.world.killed(lambda: self.world.launch(user, key), after))

    @rule(after=st.integers(1, 200))
    def killed_in_a_round(self, after: int) -> None:
        self.runner.run(self.world.killed(self.world.round, after))

    @rule(after=st.integers(1, 40))
    def killed_while_reporting(self, after: int) -> None:
        self.runner.run(self.world.killed(self.world.report, after))

    @invariant()
    def nothing_is_broken(self) -> None:
        self.runner.run(self.world.check())
        self.runner.run(self.world.limits())

    def teardown(self) -> None:
        self.runner.run(self.world.comes_to_rest())


async def _write(world: World, change: Any) -> None:
    await world.db.write(change)


@pytest.mark.timeout(400)
def test_staging_as_a_state_machine(dsn: str, tmp_path: Path):
    async def opened() -> Database:
        db = Database(dsn, application_name="greenroom test")
        await db.open()
        return db

    quiet = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with asyncio.Runner() as runner:
        db = runner.run(opened())
        machine = type("Machine", (Staging,), {"world": World(db, tmp_path), "runner": runner})
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=EXAMPLES, stateful_step_count=STEPS, suppress_health_check=[HealthCheck.too_slow]
                ),
            )
        finally:
            structlog.configure(**quiet)
            runner.run(db.close())

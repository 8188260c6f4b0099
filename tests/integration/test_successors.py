"""A hand-over that failed: the user gets the next session, the broken one is kept for inspection (PROTOCOLS §3)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from greenroom.api.launch import Launcher, LaunchRequest, LaunchResult
from greenroom.api.session_actions import destroy
from greenroom.db import session_views
from greenroom.db.database import Database
from greenroom.db.launches import launch_of_session
from greenroom.db.leases import Fence
from greenroom.db.logs import LogWriter
from greenroom.kit.config import ApiConfig, ManagerConfig
from greenroom.kit.secrets import Secrets
from greenroom.manager.context import PrimaryContext
from greenroom.manager.pools import run_pools
from greenroom.manager.successors import run_successors
from greenroom.testing import rows

SECRETS = Secrets(b"k" * 32)


@dataclass(frozen=True)
class Stage:
    db: Database
    ctx: PrimaryContext
    launcher: Launcher
    image_id: str
    user_id: str

    async def fill(self) -> None:
        await run_pools(self.ctx)
        await self.db.write(
            "UPDATE sessions SET status = 'running', started = clock_timestamp() WHERE status = 'requested'"
        )

    async def launch(self) -> LaunchResult:
        result = await self.launcher.launch(
            LaunchRequest(user_id=self.user_id, image_id=self.image_id, request_host="x", idempotency_key="k")
        )
        assert result.staged
        return result

    async def fails(self, session_id: str) -> None:
        await self.db.write(
            "UPDATE sessions SET status = 'failed', error = 'assign ended with 1', set_aside_reason = 'assign ended"
            " with 1' WHERE session_id = %s",
            (session_id,),
        )

    async def row(self, session_id: str) -> dict[str, Any]:
        found = await self.db.fetch_one("SELECT * FROM sessions WHERE session_id = %s", (session_id,))
        assert found is not None
        return found


@pytest.fixture
async def stage(db: Database, tmp_path: Path) -> Stage:
    zone_id = await rows.zone(db)
    await rows.agent(db, zone_id, cores=20.0, hostname="agent-1")
    await rows.agent(db, zone_id, cores=20.0, hostname="agent-2")
    image_id = await rows.image(db)
    user_id = await rows.user(db, "ada", await rows.group(db, image_id))
    await rows.staging_config(db, zone_id, image_id, num_sessions=2)
    holder = str(uuid.uuid4())
    lease = await db.write(
        "UPDATE zone_leases SET holder = %s, term = 7, expires_at = 'infinity' RETURNING zone_key", (holder,)
    )
    logs = LogWriter(db, "manager")
    ctx = PrimaryContext(
        db=db,
        fence=Fence(lease[0]["zone_key"], holder, 7),
        zone_id=zone_id,
        zone_name="eu",
        config=ManagerConfig(database_url=db.dsn, secret_key_file=tmp_path, manager_dir=tmp_path),
        secrets=SECRETS,
        logs=logs,
        quiet=False,
    )
    launcher = Launcher(db, SECRETS, logs, ApiConfig(database_url=db.dsn, secret_key_file=tmp_path))
    made = Stage(db, ctx, launcher, image_id, user_id)
    await made.fill()
    return made


async def test_the_next_staged_session_takes_the_place_on_another_agent(stage: Stage):
    first = (await stage.launch()).session_id
    await stage.fails(first)
    await run_successors(stage.ctx)
    old = await stage.row(first)
    new = await stage.row(str(old["superseded_by"]))
    assert (old["status"], old["user_id"], str(old["set_aside_for"])) == ("failed", None, stage.user_id)
    assert (new["status"], str(new["user_id"])) == ("assigning", stage.user_id)
    assert new["agent_id"] != old["agent_id"]
    assert new["assignment"]["assignment_id"] == str(new["assignment_id"])
    assert (new["idempotency_key"], old["idempotency_key"], new["launch_id"]) == ("k", None, old["launch_id"])
    shown = await session_views.get_session(stage.db, first)
    assert str(shown["session_id"]) == str(new["session_id"])
    listed = await session_views.list_sessions(stage.db, user_id=stage.user_id)
    assert [row["session_id"] for row in listed] == [new["session_id"]]
    assert (await stage.launch()).session_id == str(new["session_id"])
    launch = await launch_of_session(stage.db, str(new["session_id"]))
    assert launch is not None
    assert [(step["order"], step["used"]) for step in launch["steps"]] == [(1, True), (2, True)]


async def test_without_another_staged_session_one_is_made(stage: Stage):
    first = (await stage.launch()).session_id
    await stage.db.write("UPDATE sessions SET status = 'deleting' WHERE user_id IS NULL")
    await stage.fails(first)
    await run_successors(stage.ctx)
    new = await stage.row(str((await stage.row(first))["superseded_by"]))
    assert (new["status"], str(new["user_id"]), new["staging_config_id"]) == ("requested", stage.user_id, None)
    assert (new["idempotency_key"], new["spec"]["environment"]["KASM_ID"]) == ("k", str(new["session_id"]))


async def test_where_nothing_can_take_its_place_the_user_keeps_the_reason(stage: Stage):
    first = (await stage.launch()).session_id
    await stage.db.write("UPDATE sessions SET status = 'deleting' WHERE user_id IS NULL")
    await stage.db.write("UPDATE agents SET enabled = false")
    await stage.fails(first)
    await run_successors(stage.ctx)
    await run_successors(stage.ctx)
    old = await stage.row(first)
    assert (str(old["user_id"]), old["superseded_by"], old["error"]) == (stage.user_id, None, "assign ended with 1")
    found = await stage.db.fetch("SELECT 1 FROM sessions WHERE user_id = %s", (stage.user_id,))
    assert len(found) == 1


async def test_a_launch_is_not_tried_for_ever(stage: Stage):
    session_id = (await stage.launch()).session_id
    for _ in range(6):
        await stage.fails(session_id)
        await run_successors(stage.ctx)
        await stage.fill()
        successor = (await stage.row(session_id))["superseded_by"]
        if successor is None:
            break
        session_id = str(successor)
    last = await stage.row(session_id)
    assert (last["status"], str(last["user_id"])) == ("failed", stage.user_id)
    count = await stage.db.fetch_one("SELECT count(*) AS tried FROM sessions WHERE launch_id IS NOT NULL")
    assert count == {"tried": 4}


async def test_only_the_newest_three_are_kept_for_inspection(stage: Stage):
    for _ in range(5):
        session_id = (await stage.launch()).session_id
        await stage.fails(session_id)
        await run_successors(stage.ctx)
        shown = await session_views.get_session(stage.db, session_id)
        await destroy(stage.db, stage.ctx.logs, shown, "done")
        await stage.db.write("UPDATE sessions SET idempotency_key = NULL")
        await stage.fill()
    found = await stage.db.fetch_one(
        "SELECT count(*) FILTER (WHERE status = 'failed') AS kept, count(*) FILTER (WHERE status = 'deleting') AS gone"
        " FROM sessions WHERE set_aside_for IS NOT NULL"
    )
    assert found == {"kept": 3, "gone": 2}


async def test_a_session_deleted_meanwhile_gets_no_successor(stage: Stage):
    first = (await stage.launch()).session_id
    await stage.fails(first)
    await destroy(stage.db, stage.ctx.logs, await session_views.get_session(stage.db, first), "done")
    await run_successors(stage.ctx)
    assert (await stage.row(first))["superseded_by"] is None

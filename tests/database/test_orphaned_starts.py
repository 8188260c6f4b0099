"""A user waits for a session whose Agent is missing: it is started elsewhere if possible."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import LiteralString

import pytest
from psycopg.types.json import Jsonb
from tests.database.failing_launches import Failing
from tests.support.system import SECRETS

from greenroom.core.masking import unseal_variables
from greenroom.db.database import Connection, Database
from greenroom.db.fleet.checkin import read_desired
from greenroom.db.session import views
from greenroom.db.session.sessions import lock_user
from greenroom.manager.tasks.replacement import run_orphaned_starts, run_replacements
from greenroom.manager.tasks.rounds import PrimaryRounds

SILENCE = r"its Agent has not reported for (1[7-9]|[2-5]\d) s"
"""The time since the last report: the 17 s of `silence`, and the time of the test since then."""


@pytest.fixture
async def stage(db: Database) -> Failing:
    return await Failing.filled(db, "eu")


async def orphan(stage: Failing, status: LiteralString = "requested") -> str:
    """A session for the user, whose Agent no longer reports; returns its id."""
    session_id = await stage.launch_on_demand()
    await stage.db.write("UPDATE sessions SET status = %s WHERE session_id = %s", (status, session_id))
    await silence(stage, session_id)
    return session_id


async def silence(stage: Failing, session_id: str) -> None:
    await stage.db.write(
        "UPDATE agents SET status = 'missing', last_reported = clock_timestamp() - interval '17 seconds'"
        " WHERE agent_id = (SELECT agent_id FROM sessions WHERE session_id = %s)",
        (session_id,),
    )


async def is_where_it_was(stage: Failing, session_id: str) -> bool:
    row = await stage.row(session_id)
    made = await stage.db.fetch("SELECT 1 FROM sessions WHERE launch_id = %s", (row["launch_id"],))
    return row["superseded_by"] is None and str(row["user_id"]) == stage.user_id and len(made) == 1


@pytest.mark.parametrize("status", ["requested", "starting"])
async def test_it_starts_on_another_agent_and_its_own_is_ordered_to_end_it(stage: Failing, status: LiteralString):
    first = await orphan(stage, status)
    before = await stage.hostname_of(first)
    await run_orphaned_starts(stage.ctx)
    old, new = await stage.row(first), await stage.successor_of(first)
    assert {before, await stage.hostname_of(str(new["session_id"]))} == {"agent-1", "agent-2"}
    assert (new["status"], str(new["user_id"]), new["idempotency_key"]) == ("requested", stage.user_id, "k")
    assert (old["status"], old["want"], old["user_id"], old["idempotency_key"]) == ("deleting", "absent", None, None)
    assert re.search(SILENCE, old["ended_reason"])
    (desired,) = [row for row in await read_desired(stage.db, str(old["agent_id"])) if row.session_id == first]
    assert (desired.want, desired.user_id, desired.generation) == ("absent", None, 2)
    assert json.dumps(new["client_settings"]) == json.dumps(old["client_settings"]) != "{}", "an integer stays one"
    assert await read_desired(stage.db, str(new["agent_id"]))
    assert (await views.get_session(stage.db, first)).session_id == str(new["session_id"])
    assert [(step.candidate, step.used, step.code) for step in (await stage.steps(str(new["session_id"])))[-3:]] == [
        (before, True, None),
        (before, False, "start_failed"),
        (await stage.hostname_of(str(new["session_id"])), True, None),
    ]
    assert await stage.broken() == {}
    await run_orphaned_starts(stage.ctx)
    assert (await stage.row(str(new["session_id"])))["superseded_by"] is None


async def test_variables_of_a_launch_stay_encrypted_in_its_successor(stage: Failing):
    await stage.db.write("UPDATE staging_configs SET deleted = clock_timestamp()")
    first = (await stage.launch(environment={"TOKEN": "plain-to-read"})).session_id
    await silence(stage, first)
    await run_orphaned_starts(stage.ctx)
    new = await stage.successor_of(first)
    assert "plain-to-read" not in json.dumps(new["spec"])
    assert unseal_variables(new["spec"], SECRETS.unseal, plain=True)["environment"]["TOKEN"] == "plain-to-read"


async def test_a_round_finds_the_agent_missing_and_starts_elsewhere(stage: Failing):
    first = await orphan(stage)
    await stage.db.write("UPDATE agents SET status = 'running'")
    await PrimaryRounds().run(stage.ctx)
    assert (await stage.successor_of(first))["status"] == "requested"


async def test_a_start_that_no_other_agent_takes_waits_for_its_agent(stage: Failing):
    first = await orphan(stage)
    await stage.db.write("UPDATE agents SET draining = true WHERE status = 'running'")
    await run_orphaned_starts(stage.ctx)
    assert await is_where_it_was(stage, first)
    assert ((await stage.row(first))["status"], (await stage.row(first))["gave_up"]) == ("requested", False)
    await stage.db.write("UPDATE sessions SET status = 'failed', error = 'late' WHERE session_id = %s", (first,))
    await run_replacements(stage.ctx)
    assert (await stage.row(first))["gave_up"]


async def test_the_silence_of_the_first_agent_is_among_the_causes(stage: Failing):
    first = await orphan(stage)
    before = await stage.hostname_of(first)
    await run_orphaned_starts(stage.ctx)
    second = str((await stage.row(first))["superseded_by"])
    await stage.start_fails(second, "No such file.")
    assert re.search(rf"Before that: {before}: {SILENCE}\.", (await stage.row(second))["error"])


AGENT_RETURNS: LiteralString = (
    "UPDATE agents SET status = 'running' WHERE agent_id = (SELECT agent_id FROM sessions WHERE session_id = %s)"
)
PROFILE = Jsonb([{"source": "/profiles/ada", "target": "/home/kasm-user", "profile": "Enabled"}])


@pytest.mark.parametrize(
    ("change", "values"),
    [
        ("UPDATE sessions SET started = clock_timestamp() WHERE session_id = %s", ()),
        ("UPDATE sessions SET status = 'running', started = clock_timestamp() WHERE session_id = %s", ()),
        (AGENT_RETURNS, ()),
        ("UPDATE sessions SET spec = jsonb_set(spec, '{mounts}', %s) WHERE session_id = %s", (PROFILE,)),
    ],
    ids=["it is resumed, its disk is there", "it is used", "its Agent reports", "its profile may be open there"],
)
async def test_it_stays_where_it_is(stage: Failing, change: LiteralString, values: tuple[Jsonb, ...]):
    first = await orphan(stage, "starting")
    await stage.db.write(change, (*values, first))
    await run_orphaned_starts(stage.ctx)
    assert await is_where_it_was(stage, first)


async def test_nothing_is_concluded_while_it_is_quiet(stage: Failing):
    first = await orphan(stage)
    await run_orphaned_starts(replace(stage.ctx, quiet=True))
    assert await is_where_it_was(stage, first)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sessions SET status = 'running', started = clock_timestamp() WHERE session_id = %s",
        "UPDATE sessions SET status = 'deleting', want = 'absent' WHERE session_id = %s",
        AGENT_RETURNS,
    ],
    ids=["it is usable after all", "its user deleted it", "its Agent is back"],
)
async def test_a_start_that_changed_meanwhile_is_not_replaced(
    stage: Failing, change: LiteralString, monkeypatch: pytest.MonkeyPatch
):
    first = await orphan(stage)
    reserved = await stage.reserved()

    async def changes_meanwhile(connection: Connection, user_id: str) -> None:
        await stage.db.write(change, (first,))
        await lock_user(connection, user_id)

    monkeypatch.setattr("greenroom.sessions.replace.lock_user", changes_meanwhile)
    await run_orphaned_starts(stage.ctx)
    assert await is_where_it_was(stage, first)
    assert await stage.reserved() == reserved
    assert stage.ctx.tasks.failures.tasks == []

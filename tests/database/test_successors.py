"""A session fails while its user waits: the user gets another one (docs/explanation/protocols.md §3,
`core.launch.wanted`)."""

from __future__ import annotations

import asyncio

import pytest
from psycopg.types.json import Jsonb
from tests.database.failing_launches import Failing
from tests.database.locks import waiting
from tests.support.managers import notifications
from tests.support.system import SECRETS

from greenroom.api.session.service import destroy, progress_of
from greenroom.core.access.lifecycle import Cause
from greenroom.core.errors import LeaseLost
from greenroom.db.access.lifecycle import end_access
from greenroom.db.database import Database
from greenroom.db.fleet.agents import delete_agent
from greenroom.db.launch import replacement
from greenroom.db.session import views
from greenroom.db.session.deadlines import discard_failed
from greenroom.db.session.sessions import end_sessions
from greenroom.db.session.views import SessionFilter, list_sessions
from greenroom.manager.tasks.replacement import run_replacements


@pytest.fixture
async def stage(db: Database) -> Failing:
    return await Failing.filled(db, "eu")


async def test_the_next_staged_session_takes_the_place_on_another_agent(stage: Failing):
    first = (await stage.launch()).session_id
    await stage.fails(first)
    await run_replacements(stage.ctx)
    old = await stage.row(first)
    new = await stage.row(str(old["superseded_by"]))
    assert (old["status"], old["user_id"], str(old["set_aside_for"])) == ("failed", None, stage.user_id)
    assert (new["status"], str(new["user_id"])) == ("assigning", stage.user_id)
    assert new["agent_id"] != old["agent_id"]
    assert new["assignment"]["assignment_id"] == str(new["assignment_id"])
    assert (new["idempotency_key"], old["idempotency_key"], new["launch_id"]) == ("k", None, old["launch_id"])
    shown = await views.get_session(stage.db, first)
    assert shown.session_id == str(new["session_id"])
    listed = await list_sessions(stage.db, SessionFilter(user_id=stage.user_id).conditions())
    assert [each.session_id for each in listed.rows] == [str(new["session_id"])]
    assert (await stage.launch()).session_id == str(new["session_id"])
    assert [(step.order, step.used, step.code) for step in await stage.steps(str(new["session_id"]))] == [
        (1, True, None),
        (1, False, "hand_over_failed"),
        (2, True, None),
    ]


async def test_the_successors_agent_is_notified_even_if_the_term_ends_then(
    stage: Failing, monkeypatch: pytest.MonkeyPatch
):
    first = (await stage.launch()).session_id
    await stage.fails(first)

    async def term_is_over(*_: object) -> None:
        raise LeaseLost("The term is over.")

    monkeypatch.setattr(replacement, "destroy_oldest_quarantined", term_is_over)

    async def cut_short() -> None:
        with pytest.raises(LeaseLost):
            await run_replacements(stage.ctx)

    sent = await notifications(stage.db, cut_short())
    (claimed,) = await stage.db.fetch("SELECT session_id, agent_id FROM sessions WHERE status = 'assigning'")
    assert {f"session:{claimed['session_id']}", f"agent:{claimed['agent_id']}:{claimed['session_id']}"} <= sent


async def test_without_another_staged_session_one_is_made(stage: Failing):
    first = (await stage.launch()).session_id
    await stage.db.write("UPDATE sessions SET status = 'deleting' WHERE user_id IS NULL")
    await stage.fails(first)
    await run_replacements(stage.ctx)
    new = await stage.successor_of(first)
    assert (new["status"], str(new["user_id"]), new["staging_config_id"]) == ("requested", stage.user_id, None)
    assert (new["idempotency_key"], new["spec"]["environment"]["KASM_ID"]) == ("k", str(new["session_id"]))


async def test_where_nothing_can_take_its_place_the_user_keeps_the_reason(stage: Failing):
    first = (await stage.launch()).session_id
    await stage.db.write("UPDATE sessions SET status = 'deleting' WHERE user_id IS NULL")
    await stage.db.write("UPDATE agents SET enabled = false")
    await stage.fails(first)
    await run_replacements(stage.ctx)
    await run_replacements(stage.ctx)
    old = await stage.row(first)
    assert (str(old["user_id"]), old["superseded_by"], old["error"]) == (stage.user_id, None, "assign ended with 1")
    found = await stage.db.fetch("SELECT 1 FROM sessions WHERE user_id = %s", (stage.user_id,))
    assert len(found) == 1


async def test_after_four_hand_overs_a_session_is_made_for_the_user(stage: Failing):
    session_id = (await stage.launch()).session_id
    for _ in range(4):
        await stage.fill()
        await stage.fails(session_id)
        await run_replacements(stage.ctx)
        session_id = str((await stage.row(session_id))["superseded_by"])
    last = await stage.row(session_id)
    assert (last["status"], str(last["user_id"]), last["staging_config_id"]) == ("requested", stage.user_id, None)


async def test_only_the_newest_three_are_kept_for_inspection(stage: Failing):
    for _ in range(5):
        session_id = (await stage.launch()).session_id
        await stage.fails(session_id)
        await run_replacements(stage.ctx)
        shown = await views.get_session(stage.db, session_id)
        await destroy(stage.db, stage.ctx.logs, shown, "done")
        await stage.db.write("UPDATE sessions SET idempotency_key = NULL")
        await stage.fill()
    found = await stage.db.fetch_one(
        "SELECT count(*) FILTER (WHERE status = 'failed') AS kept, count(*) FILTER (WHERE status = 'deleting') AS gone"
        " FROM sessions WHERE set_aside_for IS NOT NULL"
    )
    assert found == {"kept": 3, "gone": 2}


async def test_a_session_deleted_meanwhile_gets_no_successor(stage: Failing):
    first = (await stage.launch()).session_id
    await stage.fails(first)
    await destroy(stage.db, stage.ctx.logs, await views.get_session(stage.db, first), "done")
    await run_replacements(stage.ctx)
    assert (await stage.row(first))["superseded_by"] is None


# A start that failed ------------------------------------------------------------------------------------------------


async def test_a_session_that_cannot_start_is_retried_on_another_agent(stage: Failing):
    first = await stage.launch_on_demand()
    before = await stage.hostname_of(first)
    await stage.start_fails(first)
    old = await stage.row(first)
    new = await stage.row(str(old["superseded_by"]))
    after = await stage.hostname_of(str(new["session_id"]))
    assert {before, after} == {"agent-1", "agent-2"}
    assert (new["status"], str(new["user_id"]), new["idempotency_key"]) == ("requested", stage.user_id, "k")
    assert (old["status"], old["want"], old["user_id"]) == ("deleting", "absent", None)
    assert "exit code 3" in old["ended_reason"]
    assert new["spec"]["environment"]["KASM_ID"] == str(new["session_id"])
    same = {name: value for name, value in old["spec"].items() if name != "environment"}
    assert {name: new["spec"][name] for name in same} == same
    assert SECRETS.decrypt(new["credential_encrypted"]) != SECRETS.decrypt(old["credential_encrypted"])
    assert new["spec_hash"] != old["spec_hash"]
    assert (new["expires"] - new["keepalive"]).total_seconds() == pytest.approx(3600, abs=1)
    shown = await views.get_session(stage.db, first)
    assert shown.session_id == str(new["session_id"])
    steps = [(step.order, step.candidate, step.used, step.code) for step in await stage.steps(str(new["session_id"]))]
    order = steps[-1][0]
    assert steps[-3:] == [
        (order - 1, before, True, None),
        (order - 1, before, False, "start_failed"),
        (order, after, True, None),
    ]


async def test_a_second_failure_is_final_and_names_both_causes(stage: Failing):
    first = await stage.launch_on_demand()
    before = await stage.hostname_of(first)
    await stage.start_fails(first, "No such file.")
    second = str((await stage.row(first))["superseded_by"])
    after = await stage.hostname_of(second)
    await stage.start_fails(second)
    last = await stage.row(second)
    assert (last["status"], last["superseded_by"], last["log_tail"]) == ("failed", None, "last words")
    assert last["error"] == (
        f"On {after}: The container ended by itself with exit code 3. Before that: {before}: No such file."
    )
    shown = await views.get_session(stage.db, first)
    assert (shown.status, shown.awaits_successor) == ("failed", False)
    assert [(step.candidate, step.used, step.code) for step in (await stage.steps(second))[-2:]] == [
        (after, False, "start_failed"),
        (None, False, "start_failed"),
    ]
    await run_replacements(stage.ctx)
    count = await stage.db.fetch_one("SELECT count(*) AS made FROM sessions WHERE launch_id IS NOT NULL")
    assert count == {"made": 2}


async def test_without_another_agent_the_error_says_why_none_was_tried(stage: Failing):
    first = await stage.launch_on_demand()
    await stage.db.write("UPDATE agents SET enabled = false")
    await stage.start_fails(first)
    failed = await stage.row(first)
    assert failed["status"] == "failed"
    assert failed["error"].startswith("The container ended by itself with exit code 3. It was not tried on another")
    assert failed["error"].endswith("is disabled.")
    assert [(step.used, step.code) for step in (await stage.steps(first))[-2:]] == [
        (False, "start_failed"),
        (False, "agent_disabled"),
    ]


async def test_a_workspace_restricted_to_one_agent_is_not_tried_elsewhere(stage: Failing):
    first = await stage.launch_on_demand()
    await stage.db.write(
        "UPDATE images SET restrict_to_server = true, server_id = (SELECT agent_id FROM sessions"
        " WHERE session_id = %s)",
        (first,),
    )
    await stage.start_fails(first)
    assert "restricted to Agent agent-" in (await stage.row(first))["error"]


async def test_what_was_never_to_be_staged_is_not_staged_after_a_failed_start(stage: Failing):
    first = await stage.launch(network_id="isolated")
    await stage.db.write("UPDATE sessions SET status = 'starting' WHERE session_id = %s", (first.session_id,))
    await stage.start_fails(first.session_id)
    new = await stage.successor_of(first.session_id)
    assert (first.staged, new["staging_config_id"]) == (False, None)
    assert (await stage.launch(network_id="isolated")).session_id == str(new["session_id"])


async def test_while_another_one_is_looked_for_the_user_sees_it_starting(stage: Failing):
    first = await stage.launch_on_demand()
    await stage.db.write("UPDATE sessions SET status = 'failed', error = 'broken' WHERE session_id = %s", (first,))
    shown = await views.get_session(stage.db, first)
    assert (shown.status, shown.awaits_successor) == ("starting", True)
    progress = progress_of(shown, shows_causes=True)
    assert (progress.operational_status, "another session is starting" in progress.message) == ("starting", True)
    for status, number in (("starting", 1), ("failed", 0)):
        assert len((await list_sessions(stage.db, SessionFilter(status=status).conditions())).rows) == number, (
            "it is found as it is shown"
        )


async def test_a_session_that_was_usable_once_is_not_started_elsewhere(stage: Failing):
    first = await stage.launch_on_demand()
    await stage.db.write("UPDATE sessions SET started = clock_timestamp() WHERE session_id = %s", (first,))
    await stage.start_fails(first)
    failed = await stage.row(first)
    assert (failed["status"], failed["superseded_by"]) == ("failed", None)


async def test_a_user_who_deleted_it_meanwhile_gets_no_other(stage: Failing):
    first = await stage.launch_on_demand()
    await stage.db.write("UPDATE sessions SET status = 'failed', error = 'broken' WHERE session_id = %s", (first,))
    await destroy(stage.db, stage.ctx.logs, await views.get_session(stage.db, first), "done")
    await run_replacements(stage.ctx)
    assert (await stage.row(first))["superseded_by"] is None


async def test_only_the_newest_failed_session_stays_and_none_count(stage: Failing):
    ids: list[str] = []
    for _ in range(3):
        ids.append(await stage.launch_on_demand())
        await stage.db.write("UPDATE sessions SET idempotency_key = NULL")
        await stage.db.write("UPDATE agents SET enabled = false")
        await stage.start_fails(ids[-1])
        await stage.db.write("UPDATE agents SET enabled = true")
    async with stage.db.transaction() as connection:
        gone = await discard_failed(connection, stage.zone_id, 3600, 300)
        assert {session.session_id for session in gone} == set(ids[:2])
        await connection.execute("UPDATE sessions SET status_changed = now() - interval '2 hours'")
        gone = await discard_failed(connection, stage.zone_id, 3600, 300)
        assert [session.session_id for session in gone] == ids[2:]
        await end_sessions(connection, ids, "gone")
    (pool,) = await stage.db.fetch("SELECT count(*) AS left FROM sessions WHERE status <> 'deleted'")
    assert sum(cores for cores, _ in (await stage.reserved()).values()) == pool["left"]


async def test_a_session_whose_specification_cannot_be_read_is_given_up(stage: Failing):
    first = await stage.launch_on_demand()
    await stage.db.write('UPDATE sessions SET spec = spec || \'{"cores": "many"}\' WHERE session_id = %s', (first,))
    await stage.start_fails(first)
    assert "its specification cannot be read by this version" in (await stage.row(first))["error"]


async def test_a_session_whose_secrets_cannot_be_read_is_given_up(stage: Failing):
    """Otherwise its user would wait forever for another one."""
    first = await stage.launch_on_demand()
    await stage.db.write("UPDATE sessions SET credential_encrypted = 'x' WHERE session_id = %s", (first,))
    await stage.start_fails(first)
    found = await stage.row(first)
    assert "its specification cannot be read: A stored secret was written with another key" in found["error"]
    assert not found["awaits_successor"]


async def test_a_start_is_given_up_when_the_profile_was_opened_elsewhere(stage: Failing):
    first = await stage.launch_on_demand()
    await stage.db.write("UPDATE sessions SET status = 'failed', error = 'broken', idempotency_key = NULL")
    await stage.launch_on_demand()
    profile = Jsonb([{"source": "/profiles/ada", "target": "/home/kasm-user", "profile": "Enabled"}])
    await stage.db.write(
        "UPDATE sessions SET spec = jsonb_set(spec, '{mounts}', %s) WHERE user_id IS NOT NULL", (profile,)
    )
    await run_replacements(stage.ctx)
    old = await stage.row(first)
    assert (old["status"], old["superseded_by"]) == ("failed", None)
    assert "The home folder is in use by another session" in old["error"]


async def test_deleting_a_session_being_replaced_deletes_its_successor(stage: Failing):
    first = await stage.launch_on_demand()
    await stage.db.write("UPDATE sessions SET status = 'failed', error = 'broken' WHERE session_id = %s", (first,))
    shown = await views.get_session(stage.db, first)
    async with stage.db.transaction() as held:
        await held.execute("SELECT 1 FROM sessions WHERE session_id = %s FOR NO KEY UPDATE", (first,))
        replaced = asyncio.create_task(run_replacements(stage.ctx))
        await waiting(stage.db, 1)
        deleted = asyncio.create_task(destroy(stage.db, stage.ctx.logs, shown, "done"))
        await waiting(stage.db, 2)
    await replaced
    await deleted
    successor = (await stage.row(first))["superseded_by"]
    assert (await stage.row(str(successor)))["status"] == "deleting"


async def test_force_deleting_an_agent_keeps_successors_elsewhere(stage: Failing):
    first = await stage.launch_on_demand()
    agent_id = str((await stage.row(first))["agent_id"])
    await stage.start_fails(first)
    await stage.db.write("UPDATE agents SET status = 'dead' WHERE agent_id = %s", (agent_id,))
    await delete_agent(stage.db, agent_id, force=True)
    old = await stage.row(first)
    new = await stage.row(str(old["superseded_by"]))
    assert (old["status"], new["status"], str(new["user_id"])) == ("deleted", "requested", stage.user_id)


async def test_a_token_that_was_revoked_opens_no_successor(stage: Failing):
    started = await stage.launch_on_demand()
    async with stage.db.transaction() as connection:
        await end_access(connection, {stage.user_id: {Cause.LOGGED_OUT}}, {stage.user_id: "ada"})
    await stage.start_fails(started)
    successor = await stage.successor_of(started)
    assert successor["auth_epoch"] == 2


async def test_a_revoked_token_opens_no_session_made_after_a_hand_over(stage: Failing):
    staged = (await stage.launch()).session_id
    async with stage.db.transaction() as connection:
        await end_access(connection, {stage.user_id: {Cause.LOGGED_OUT}}, {stage.user_id: "ada"})
    await stage.db.write("UPDATE sessions SET status = 'deleting' WHERE user_id IS NULL")
    await stage.fails(staged)
    await run_replacements(stage.ctx)
    successor = await stage.successor_of(staged)
    assert (successor["staging_config_id"], successor["auth_epoch"]) == (None, 2)

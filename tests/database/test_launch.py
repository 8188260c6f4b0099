"""The Launcher on a real database: the session that a user gets, the order of attempts, and the recorded rows."""

from __future__ import annotations

from typing import LiteralString

import pytest
from tests.database.launches import Launches
from tests.support import rows
from tests.support.system import SECRETS

from greenroom.api.launch.service import LaunchResult
from greenroom.core.errors import Invalid, NoResources
from greenroom.core.masking import unseal_variables
from greenroom.db.database import Database
from greenroom.db.diagnostics.views import LOGS
from greenroom.db.listing import Conditions


@pytest.fixture
async def stage(db: Database) -> Launches:
    return await Launches.populate(db, cores=10.0)


async def test_a_launch_takes_a_staged_session(stage: Launches):
    config_id = await stage.pool()
    result = await stage.launch()
    assert (result.status, result.staged, result.username) == ("assigning", True, "ada")
    assert result.token == SECRETS.connect_token(result.session_id, stage.user_id, 1)
    assert await stage.trace(result.session_id) == [(1, "staged_here", "eu", True, None)]
    (row,) = await stage.db.fetch("SELECT * FROM sessions")
    assert (str(row["session_id"]), str(row["staging_config_id"])) == (result.session_id, config_id)
    assert row["assignment"]["argv"] == []


async def test_without_a_pool_a_session_is_made_with_its_specification(stage: Launches):
    await stage.setting(allow_kasm_audio=True, expose_user_environment_vars=True)
    result = await stage.launch(environment={"A": "b"})
    assert (result.status, result.staged) == ("requested", False)
    (row,) = await stage.db.fetch("SELECT * FROM sessions")
    assert row["spec"]["environment"]["KASM_ID"] == result.session_id
    environment = unseal_variables(row["spec"], SECRETS.unseal, plain=True)["environment"]
    assert {environment[k] for k in ("A", "KASM_SVC_AUDIO", "KASM_USER")} == {"b", "1", "ada"}
    assert row["spec"]["environment"]["A"] != "b", "what a user says may be a secret"
    assert "credential" not in row["spec"]
    assert len(SECRETS.decrypt(row["credential_encrypted"])) >= 43
    assert row["permissions"]["allow_kasm_audio"] is True
    assert row["launch_id"] is not None
    assert await stage.trace(result.session_id) == [
        (1, "staged_here", "eu", False, "pool_empty"),
        (2, "on_demand_here", "eu", True, None),
    ]
    steps = await stage.db.fetch("SELECT name FROM session_steps ORDER BY name")
    assert [step["name"] for step in steps] == ["placed", "requested"]


async def test_the_request_host_is_put_in_where_the_zone_asks_for_it(stage: Launches):
    await stage.db.write("UPDATE zones SET allow_origin_domain = '$request_host$', upstream_auth_address = DEFAULT")
    await stage.launch()
    (row,) = await stage.db.fetch("SELECT spec, allow_origin, upstream_auth FROM sessions")
    assert (row["spec"]["allow_origin"], row["spec"]["upstream_auth"]) == (["desk.example"], "desk.example:8443")
    assert (row["allow_origin"], row["upstream_auth"]) == ("desk.example", "desk.example:8443")


async def test_violations_are_logged_and_the_session_is_made_on_demand(stage: Launches):
    config_id = await stage.pool()
    await stage.setting(expose_user_environment_vars=True, run_config={"shm_size": "1g"}, allow_kasm_webcam=True)
    result = await stage.launch()
    assert await stage.trace(result.session_id) == [
        (1, "staged_here", "eu", False, "expose_user_environment_vars"),
        (1, "staged_here", "eu", False, "run_config"),
        (1, "staged_here", "eu", False, "permissions"),
        (2, "on_demand_here", "eu", True, None),
    ]
    logged = await stage.log("staging-violation")
    assert [(r["level"], r["username"], r["setting"], str(r["staging_config_id"])) for r in logged] == [
        ("WARNING", "ada", setting, config_id)
        for setting in ("expose_user_environment_vars", "run_config", "permissions")
    ]
    assert logged[0]["message"] == (
        "ada gets no staged Desktop from zone eu: expose_user_environment_vars (group Students): the user's variables"
        " are set when a container is created, so a staged session cannot have them."
    )
    assert {str(row["session_id"]) for row in logged} == {result.session_id}


async def test_a_user_without_ssh_keys_gets_a_staged_session_although_keys_are_injected(stage: Launches):
    await stage.pool()
    await stage.setting(inject_ssh_keys=True)
    await stage.launch()
    assert await stage.log("staging-violation") == []
    keys = "INSERT INTO user_attributes (user_id, ssh_public_key) VALUES (%s, 'ssh-rsa A')"
    await stage.db.write(keys, (stage.user_id,))
    await stage.launch()
    assert [row["setting"] for row in await stage.log("staging-violation")] == ["inject_ssh_keys"]


async def test_a_violation_names_its_staging_config_even_once_deleted(stage: Launches):
    config_id = await stage.pool()
    await stage.setting(expose_user_environment_vars=True)
    result = await stage.launch()
    await stage.logs.flush()
    await stage.db.write("DELETE FROM sessions WHERE staging_config_id = %s", (config_id,))
    await stage.db.write("DELETE FROM staging_configs")
    found = await LOGS.read(
        stage.db, Conditions(["l.session_id = %(id)s"], values={"id": result.session_id}), limit=100
    )
    titles = {row.code: row.staging_config_title for row in found.rows}
    assert titles == {"staging-violation": "Desktop in zone eu", "session-launched": None}


async def test_repeated_failed_launches_do_not_flood_the_log_or_hide_misses(stage: Launches):
    await stage.pool()
    await stage.setting(expose_user_environment_vars=True, run_config={"shm_size": "1g"})
    await stage.db.write("UPDATE agents SET draining = true")
    for _ in range(5):
        with pytest.raises(NoResources):
            await stage.launch()
    settings = ["expose_user_environment_vars", "run_config"]
    assert [row["setting"] for row in await stage.log("staging-violation")] == settings
    await stage.db.write("UPDATE agents SET draining = false")
    result = await stage.launch()
    assert not result.staged
    (launch,) = await stage.db.fetch("SELECT launch_id::text FROM sessions WHERE session_id = %s", (result.session_id,))
    of_it = (await stage.log("staging-violation"))[2:]
    assert [(row["setting"], row["details"]["launch_id"]) for row in of_it] == [
        (setting, launch["launch_id"]) for setting in settings
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE sessions SET expires = now()", "pool_empty"),
        ("UPDATE sessions SET config_hash = 'old'", "pool_empty"),
        ("UPDATE staging_configs SET paused = true", "pool_empty"),
        ("UPDATE staging_configs SET deleted = now()", "pool_empty"),
        ("UPDATE agents SET status = 'missing'", "agent_missing"),
        ("UPDATE agents SET enabled = false", "agent_disabled"),
        ("UPDATE agents SET draining = true", "agent_disabled"),
    ],
)
async def test_if_a_pool_here_cannot_serve_one_elsewhere_does(stage: Launches, change: LiteralString, code: str):
    await stage.pool()
    await stage.db.write(change)
    us = await rows.zone(stage.db, "us")
    await stage.pool(zone_id=us, agent_id=await rows.agent(stage.db, us, hostname="agent-us"))
    result = await stage.launch()
    assert await stage.trace(result.session_id) == [
        (1, "staged_here", "eu", False, code),
        (2, "staged_elsewhere", "us", True, None),
    ]


async def test_on_demand_elsewhere_is_the_last_step(stage: Launches):
    us = await rows.zone(stage.db, "us")
    await rows.agent(stage.db, us, hostname="agent-us")
    await stage.db.write("UPDATE agents SET status = 'missing' WHERE agent_id = %s", (stage.agent_id,))
    result = await stage.launch()
    assert [step[1:] for step in await stage.trace(result.session_id)] == [
        ("staged_here", "eu", False, "pool_empty"),
        ("staged_elsewhere", "us", False, "pool_empty"),
        ("on_demand_here", "eu", False, "agent_missing"),
        ("on_demand_elsewhere", "us", True, None),
    ]


async def test_a_launch_begins_in_the_gateways_zone_or_an_allowed_choice(stage: Launches):
    us = await rows.zone(stage.db, "us")
    await rows.agent(stage.db, us, hostname="agent-us")

    async def zone_of(result: LaunchResult) -> str:
        (row,) = await stage.db.fetch(
            "SELECT zone_name FROM sessions JOIN zones USING (zone_id) WHERE session_id = %s", (result.session_id,)
        )
        return row["zone_name"]

    assert await zone_of(await stage.launch()) == "eu"
    assert await zone_of(await stage.launch(gateway_zone="us")) == "us"
    assert await zone_of(await stage.launch(zone_id=us)) == "eu"
    await stage.setting(allow_zone_selection=True)
    assert await zone_of(await stage.launch(zone_id=us)) == "us"
    with pytest.raises(Invalid):
        await stage.launch(zone_id=stage.image_id)


async def test_assign_gets_the_users_identity(stage: Launches):
    await stage.db.write(
        "UPDATE images SET exec_config = %s", ('{"assign": {"cmd": "open \'the page\'", "user": "root"}}',)
    )
    await stage.pool()
    result = await stage.launch(kasm_url="https://a.example")
    assert result.staged
    (row,) = await stage.db.fetch("SELECT assignment FROM sessions")
    assert row["assignment"]["argv"] == ["open", "the page"]
    assert row["assignment"]["env"] == {
        "KASM_URL": "https://a.example",
        "KASM_USER": "ada",
        "KASM_USER_ID": stage.user_id,
    }


async def test_a_launch_notifies_after_its_commit_without_a_whole_round(stage: Launches):
    config_id = await stage.pool()
    async with stage.db.connection() as connection:
        await connection.execute("LISTEN greenroom")
        result = await stage.launch()
        received = {n.payload async for n in connection.notifies(timeout=20, stop_after=3)}
        await connection.execute("UNLISTEN *")
    assert received == {
        f"agent:{stage.agent_id}:{result.session_id}",
        f"session:{result.session_id}",
        f"staging:{config_id}",
    }

"""The Launcher on a real database: what a user gets, in which order it was tried, and what was written down."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest

from greenroom.api.launch import Launcher, LaunchRequest, LaunchResult
from greenroom.core.errors import (
    Forbidden,
    GreenroomError,
    IdempotencyMismatch,
    Invalid,
    NoResources,
    NotFound,
    Refused,
    SessionLimit,
)
from greenroom.core.specs import fingerprint
from greenroom.db import facts
from greenroom.db.database import Database
from greenroom.db.launches import launch_of_session
from greenroom.db.logs import LogWriter
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets
from greenroom.testing import rows

SECRETS = Secrets(b"k" * 32)


@dataclass(frozen=True)
class Stage:
    db: Database
    launcher: Launcher
    logs: LogWriter
    zone_id: str
    agent_id: str
    image_id: str
    group_id: str
    user_id: str

    def request(self, **changes: object) -> LaunchRequest:
        made = LaunchRequest(user_id=self.user_id, image_id=self.image_id, request_host="desk.example:8443")
        return replace(made, **changes)  # type: ignore[arg-type]

    async def launch(self, **changes: object) -> LaunchResult:
        return await self.launcher.launch(self.request(**changes))

    async def setting(self, **settings: object) -> None:
        group_id = await rows.group(self.db, name="Students", priority=5, **settings)
        await self.db.write("INSERT INTO user_groups VALUES (%s, %s)", (self.user_id, group_id))

    async def pool(self, number: int = 1, *, zone_id: str | None = None, agent_id: str | None = None) -> str:
        zone_id = zone_id or self.zone_id
        config_id = await rows.staging_config(self.db, zone_id, self.image_id)
        await rows.staged_sessions(
            self.db, config_id, agent_id or self.agent_id, number, config_hash=await self.hash_of(config_id)
        )
        return config_id

    async def hash_of(self, config_id: str) -> str:
        row = await self.db.fetch_one(
            "SELECT to_jsonb(i) AS image, to_jsonb(z) AS zone, to_jsonb(c) AS config FROM staging_configs c"
            " JOIN images i USING (image_id) JOIN zones z ON z.zone_id = c.zone_id WHERE c.staging_config_id = %s",
            (config_id,),
        )
        assert row is not None
        permissions, revision = facts.staged_permissions(row["config"]), row["config"]["revision"]
        return fingerprint(facts.image_facts(row["image"]), facts.zone_facts(row["zone"]), permissions, revision)

    async def steps(self, session_id: str) -> list[tuple[int, str, str, bool, str | None]]:
        launch = await launch_of_session(self.db, session_id)
        assert launch is not None
        return [(s["order"], s["step"], s["zone_name"], s["used"], s["code"]) for s in launch["steps"]]

    async def rows_of_log(self, code: str) -> list[dict[str, Any]]:
        await self.logs.flush()
        return await self.db.fetch("SELECT * FROM logs WHERE code = %s ORDER BY log_id", (code,))


@pytest.fixture
async def stage(db: Database) -> Stage:
    zone_id = await rows.zone(db)
    agent_id = await rows.agent(db, zone_id, cores=10.0, hostname="agent-1")
    image_id = await rows.image(db)
    group_id = await rows.group(db, image_id)
    user_id = await rows.user(db, "ada", group_id)
    logs = LogWriter(db, "api")
    config = ApiConfig(database_url=db.dsn, secret_key_file="/dev/null")  # type: ignore[arg-type]
    return Stage(db, Launcher(db, SECRETS, logs, config), logs, zone_id, agent_id, image_id, group_id, user_id)


async def test_a_launch_takes_a_staged_session(stage: Stage):
    config_id = await stage.pool()
    result = await stage.launch()
    assert (result.status, result.staged, result.username) == ("assigning", True, "ada")
    assert SECRETS.is_connect_token(result.token, result.session_id, stage.user_id, 1)
    assert await stage.steps(result.session_id) == [(1, "staged_here", "eu", True, None)]
    row = await stage.db.fetch_one("SELECT * FROM sessions")
    assert row is not None
    assert (str(row["session_id"]), str(row["staging_config_id"])) == (result.session_id, config_id)
    assert row["assignment"]["argv"] == []


async def test_without_a_pool_a_session_is_made_on_demand_with_its_specification(stage: Stage):
    await stage.setting(allow_kasm_audio=True, expose_user_environment_vars=True)
    result = await stage.launch(environment={"A": "b"})
    assert (result.status, result.staged) == ("requested", False)
    row = await stage.db.fetch_one("SELECT * FROM sessions")
    assert row is not None
    assert row["spec"]["environment"]["KASM_ID"] == result.session_id
    assert {row["spec"]["environment"][k] for k in ("A", "KASM_SVC_AUDIO", "KASM_USER")} == {"b", "1", "ada"}
    assert "credential" not in row["spec"]
    assert len(SECRETS.decrypt(row["credential_encrypted"])) >= 43
    assert row["permissions"]["allow_kasm_audio"] is True
    assert row["launch_id"] is not None
    assert await stage.steps(result.session_id) == [
        (1, "staged_here", "eu", False, "pool_empty"),
        (2, "on_demand_here", "eu", True, None),
    ]
    steps = await stage.db.fetch("SELECT name FROM session_steps ORDER BY name")
    assert [step["name"] for step in steps] == ["placed", "requested"]


async def test_the_request_host_is_put_in_where_the_zone_asks_for_it(stage: Stage):
    await stage.db.write("UPDATE zones SET allow_origin_domain = '$request_host$', upstream_auth_address = DEFAULT")
    await stage.launch()
    row = await stage.db.fetch_one("SELECT spec, allow_origin, upstream_auth FROM sessions")
    assert row is not None
    assert (row["spec"]["allow_origin"], row["spec"]["upstream_auth"]) == (["desk.example"], "desk.example:8443")
    assert (row["allow_origin"], row["upstream_auth"]) == ("desk.example", "desk.example:8443")


async def test_every_violation_is_logged_and_traced_and_the_session_is_made_on_demand(stage: Stage):
    config_id = await stage.pool()
    await stage.setting(inject_ssh_keys=True, run_config={"shm_size": "1g"}, allow_kasm_webcam=True)
    result = await stage.launch()
    assert await stage.steps(result.session_id) == [
        (1, "staged_here", "eu", False, "inject_ssh_keys"),
        (1, "staged_here", "eu", False, "run_config"),
        (1, "staged_here", "eu", False, "permissions"),
        (2, "on_demand_here", "eu", True, None),
    ]
    logged = await stage.rows_of_log("staging-violation")
    assert [(r["level"], r["username"], r["setting"], str(r["staging_config_id"])) for r in logged] == [
        ("WARNING", "ada", setting, config_id) for setting in ("inject_ssh_keys", "run_config", "permissions")
    ]
    assert "of group Students" in logged[0]["message"]


async def test_staged_elsewhere_comes_before_on_demand_here(stage: Stage):
    us = await rows.zone(stage.db, "us")
    there = await rows.agent(stage.db, us, hostname="agent-us")
    await stage.pool(zone_id=us, agent_id=there)
    result = await stage.launch()
    assert await stage.steps(result.session_id) == [
        (1, "staged_here", "eu", False, "pool_empty"),
        (2, "staged_elsewhere", "us", True, None),
    ]


async def test_on_demand_elsewhere_is_the_last_step(stage: Stage):
    us = await rows.zone(stage.db, "us")
    await rows.agent(stage.db, us, hostname="agent-us")
    await stage.db.write("UPDATE agents SET status = 'missing' WHERE agent_id = %s", (stage.agent_id,))
    result = await stage.launch()
    assert [step[1:] for step in await stage.steps(result.session_id)] == [
        ("staged_here", "eu", False, "pool_empty"),
        ("staged_elsewhere", "us", False, "pool_empty"),
        ("on_demand_here", "eu", False, "agent_missing"),
        ("on_demand_elsewhere", "us", True, None),
    ]


async def test_the_zone_of_the_gateway_is_the_current_one_and_a_chosen_one_only_if_allowed(stage: Stage):
    us = await rows.zone(stage.db, "us")
    await rows.agent(stage.db, us, hostname="agent-us")

    async def zone_of(result: LaunchResult) -> str:
        row = await stage.db.fetch_one(
            "SELECT zone_name FROM sessions JOIN zones USING (zone_id) WHERE session_id = %s", (result.session_id,)
        )
        assert row is not None
        return row["zone_name"]

    assert await zone_of(await stage.launch()) == "eu"
    assert await zone_of(await stage.launch(gateway_zone="us")) == "us"
    assert await zone_of(await stage.launch(zone_id=us)) == "eu"
    await stage.setting(allow_zone_selection=True)
    assert await zone_of(await stage.launch(zone_id=us)) == "us"
    with pytest.raises(Invalid):
        await stage.launch(zone_id=stage.image_id)


async def test_sessions_from_before_a_change_are_not_handed_out(stage: Stage):
    await stage.pool()
    await stage.db.write("UPDATE images SET revision = revision + 1")
    result = await stage.launch()
    assert not result.staged
    assert await stage.rows_of_log("staging-miss")


async def test_assign_gets_the_users_identity(stage: Stage):
    await stage.db.write(
        "UPDATE images SET exec_config = %s", ('{"assign": {"cmd": "open \'the page\'", "user": "root"}}',)
    )
    await stage.pool()
    result = await stage.launch(kasm_url="https://a.example")
    assert result.staged
    row = await stage.db.fetch_one("SELECT assignment FROM sessions")
    assert row is not None
    assert row["assignment"]["argv"] == ["open", "the page"]
    assert row["assignment"]["env"] == {
        "KASM_URL": "https://a.example",
        "KASM_USER": "ada",
        "KASM_USER_ID": stage.user_id,
    }


async def test_100_launches_on_room_for_10_tell_the_other_90_why(stage: Stage):
    users = [await rows.user(stage.db, f"user-{number}", stage.group_id) for number in range(100)]
    results = await asyncio.gather(*(stage.launch(user_id=user_id) for user_id in users), return_exceptions=True)
    errors = [result for result in results if isinstance(result, NoResources)]
    assert (len(results) - len(errors), len(errors)) == (10, 90)
    assert all("agent-1" in error.message for error in errors)
    assert any("agent-1 has 0 of 10 cores free, 1 are needed" in error.message for error in errors)
    ledger = await stage.db.fetch("SELECT outcome, count(*) AS number FROM launches GROUP BY outcome ORDER BY outcome")
    assert [(row["outcome"], row["number"]) for row in ledger] == [("failed", 90), ("on_demand", 10)]


async def test_the_limit_comes_first(stage: Stage):
    await stage.setting(max_kasms_per_user=1)
    await stage.pool(2)
    await stage.launch()
    await stage.db.write("UPDATE agents SET status = 'missing'")
    with pytest.raises(SessionLimit):
        await stage.launch()


async def test_an_idempotency_key_gives_the_same_session_and_token(stage: Stage):
    results = await asyncio.gather(*(stage.launch(idempotency_key="k") for _ in range(6)))
    assert len({(result.session_id, result.token) for result in results}) == 1
    assert sum(not result.repeated for result in results) == 1
    with pytest.raises(IdempotencyMismatch):
        await stage.launch(idempotency_key="k", kasm_url="https://other.example")
    assert (await stage.launch()).session_id != results[0].session_id


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("UPDATE users SET disabled = true", Forbidden),
        ("UPDATE users SET locked = true", Forbidden),
        ("DELETE FROM group_images", Forbidden),
        ("UPDATE images SET enabled = false", Refused),
        ("UPDATE agents SET enabled = false", NoResources),
    ],
)
async def test_refusals(stage: Stage, change: str, error: type[GreenroomError]):
    await stage.db.write(change)  # type: ignore[arg-type]
    with pytest.raises(error):
        await stage.launch()
    assert await stage.db.fetch("SELECT 1 FROM sessions") == []


async def test_an_unknown_workspace(stage: Stage):
    with pytest.raises(NotFound):
        await stage.launch(image_id=stage.zone_id)


async def test_everybody_who_waits_is_told_after_the_commit(stage: Stage):
    config_id = await stage.pool()
    async with stage.db.connection() as connection:
        await connection.execute("LISTEN greenroom")
        result = await stage.launch()
        heard = {n.payload async for n in connection.notifies(timeout=2, stop_after=4)}
        await connection.execute("UNLISTEN *")
    zone = await stage.db.fetch_one("SELECT zone_key FROM zones")
    assert zone is not None
    assert heard == {
        f"agent:{stage.agent_id}",
        f"session:{result.session_id}",
        f"zone:{zone['zone_key']}",
        f"staging:{config_id}",
    }

"""Managers, Agents, diagnostics and settings through /api/v1."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from psycopg.types.json import Jsonb
from tests.database.api.agent_rows import new_agent
from tests.database.api.client import Client
from tests.database.api.staging import bare_session

from greenroom.core.installation import INSTALLATION_SETTINGS
from greenroom.db.database import Database
from greenroom.up.invariants import INVARIANTS, find_violations


async def test_the_last_enabled_manager_stays(admin: Client, db: Database):
    (zone,) = await admin.read("/api/v1/zones")
    for name in ("m2", "m1"):
        await db.write(
            "INSERT INTO managers (instance_id, zone_id, last_round) VALUES (%s, %s, now())", (name, zone["zone_id"])
        )
    managers = await admin.read("/api/v1/managers")
    assert [(m["instance_id"], m["status"], m["is_primary"]) for m in managers] == [
        ("m1", "running", False),
        ("m2", "running", False),
    ]
    first = f"/api/v1/managers/{managers[0]['manager_id']}"
    disabled = await admin.patch(first, json={"enabled": False})
    assert (disabled.json()["enabled"], disabled.json()["status"]) == (False, "unknown")
    for refused in (
        await admin.patch("/api/v1/managers/m2", json={"enabled": False}),
        await admin.delete("/api/v1/managers/m2"),
    ):
        assert refused.status_code == 409
        assert refused.json()["code"] == "last-enabled-manager"
        assert f"zone {zone['zone_name']}" in refused.json()["detail"].lower()
        assert "enable another Manager of the zone first" in refused.json()["detail"]
    assert (await admin.delete(first)).status_code == 204
    assert (await admin.patch("/api/v1/managers/m2", json={})).status_code == 422


async def test_the_last_two_managers_cannot_be_disabled_at_once(admin: Client, db: Database):
    await db.write(
        "INSERT INTO managers (instance_id, zone_id) SELECT name, zone_id FROM zones, unnest('{m1,m2}'::text[]) name"
    )
    answers = await asyncio.gather(
        *(admin.patch(f"/api/v1/managers/{name}", json={"enabled": False}) for name in ("m1", "m2"))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len([m for m in await admin.read("/api/v1/managers") if m["enabled"]]) == 1


async def test_an_agent_is_shown_with_the_manager_it_reports_to(admin: Client, db: Database):
    address = f"/api/v1/agents/{await new_agent(db)}"
    assert (await admin.read(address))["manager_instance_id"] is None
    await db.write(
        "WITH m AS (INSERT INTO managers (instance_id, zone_id) SELECT 'm1', zone_id FROM zones RETURNING manager_id)"
        " UPDATE agents SET manager_id = m.manager_id FROM m"
    )
    assert (await admin.read(address))["manager_instance_id"] == "m1"
    assert [agent["manager_instance_id"] for agent in await admin.read("/api/v1/agents")] == ["m1"]


async def test_an_agent_is_changed_drained_and_deleted(admin: Client, db: Database):
    agent_id = await new_agent(db)
    address = f"/api/v1/agents/{agent_id}"
    assert [agent["cores"] for agent in await admin.read("/api/v1/agents")] == [8]
    changed = await admin.change(address, cores_override=4, draining=True)
    assert (changed["cores"], changed["cores_override"], changed["draining"], changed["enabled"]) == (4, 4, True, True)
    assert (await admin.change(address, cores_override=None))["cores_override"] is None
    assert (await admin.delete(address)).status_code == 204
    assert await admin.read("/api/v1/agents") == []


async def test_a_pending_edge_address_is_confirmed_or_declined_by_naming_it(admin: Client, db: Database):
    address = f"/api/v1/agents/{await new_agent(db)}"
    here, there = "https://edge-1.example.org", "https://edge-2.example.org"
    waits = "UPDATE agents SET edge_url = %s, edge_url_requested = %s"
    await db.write(waits, (here, there))
    shown = await admin.read(address)
    assert (shown["edge_url"], shown["edge_url_requested"]) == (here, there)
    assert f"edge gateway is at {there} now" in shown["status_reason"]
    for settled in (there, here):
        await db.write(waits, (here, there))
        answer = await admin.change(address, edge_url=settled)
        assert (answer["edge_url"], answer["edge_url_requested"]) == (settled, None)
    await db.write(waits, (here, there))
    assert "does not report https://edge-3.example.org for its edge gateway" in await admin.refused(
        409, f"PATCH {address}", {"edge_url": "https://edge-3.example.org"}
    )
    assert (await admin.read(address))["edge_url_requested"] == there, "only these two can be chosen"


async def test_no_agent_hides_another_by_calling_its_host_like_that_ones_id(admin: Client, db: Database):
    agent_id, other = await new_agent(db), await new_agent(db)
    for name in (agent_id, agent_id[:8]):
        await db.write("UPDATE agents SET hostname = %s WHERE agent_id = %s", (name, other))
        assert (await admin.read(f"/api/v1/agents/{name}"))["agent_id"] == agent_id
    assert (await admin.delete(f"/api/v1/agents/{agent_id}/credential")).status_code == 204


async def test_a_name_that_several_agents_have_is_answered_with_their_ids(admin: Client, db: Database):
    ids = sorted([await new_agent(db), await new_agent(db)])
    await db.write("UPDATE agents SET hostname = 'twins'")
    several, none = await admin.get("/api/v1/agents/twins"), await admin.get("/api/v1/agents/agent-9")
    assert (several.status_code, none.status_code) == (404, 404)
    named = ", ".join(agent_id[:8] for agent_id in ids)
    assert several.json()["detail"] == f"2 Agents have the name twins; use an id instead: {named}."
    assert none.json()["detail"] == "There is no Agent agent-9; it may have been deleted."


async def test_an_agent_with_sessions_is_deleted_only_when_it_is_gone(admin: Client, db: Database):
    agent_id = await new_agent(db)
    await bare_session(db, agent_id=agent_id)
    address = f"/api/v1/agents/{agent_id}"
    assert (await admin.delete(address)).status_code == 409
    assert (await admin.delete(f"{address}?force=true")).status_code == 409, "it is alive"
    await db.write("UPDATE agents SET status = 'dead'")
    assert (await admin.delete(f"{address}?force=true")).status_code == 204
    assert await db.fetch_one("SELECT status, agent_id FROM sessions") == {"status": "deleted", "agent_id": None}


async def over_reserved(db: Database) -> list[str]:
    (invariant,) = (one for one in INVARIANTS if one.code == "I5")
    return await find_violations(db, invariant)


async def reserve(db: Database, agent_id: str, cores: float) -> None:
    """A session of this Agent, with its reservation, even without free capacity."""
    await bare_session(db, agent_id=agent_id, cores=cores)
    await db.write(
        "UPDATE agent_capacity SET cores_reported = 8, cores_allocated = cores_allocated + %s,"
        " memory_allocated = memory_allocated + 1000 WHERE agent_id = %s",
        (cores, agent_id),
    )


async def test_an_offer_below_what_is_reserved_raises_no_alarm(admin: Client, db: Database):
    agent_id = await new_agent(db)
    await reserve(db, agent_id, 6)
    changed = await admin.change(f"/api/v1/agents/{agent_id}", cores_override=2, memory_override=1)
    assert (changed["cores"], changed["cores_allocated"], changed["memory"]) == (2, 6, 1)
    assert await over_reserved(db) == []
    await reserve(db, agent_id, 1)
    (sentence,) = await over_reserved(db)
    assert "7 cores" in sentence, "what is placed beyond the offer afterwards is an alarm"


@pytest.mark.parametrize("nothing", [0, None])
async def test_an_override_of_nothing_is_none(admin: Client, db: Database, nothing: int | None):
    address = f"/api/v1/agents/{await new_agent(db)}"
    assert (await admin.change(address, cores_override=2, memory_override=5))["memory_override"] == 5
    body = {"cores_override": nothing, "memory_override": nothing}
    changed = await admin.change(address, **body)
    assert (changed["cores_override"], changed["memory_override"]) == (None, None)
    for wrong in ({"cores_override": -1}, {"memory_override": -1}, {"memory_override": 1.5}, {"cores_override": "x"}):
        assert (await admin.patch(address, json=wrong)).status_code == 422


async def test_what_a_host_has_and_uses_is_shown_beside_what_it_offers(admin: Client, db: Database):
    address = f"/api/v1/agents/{await new_agent(db)}"
    assert (await admin.read(address))["cpu_used"] is None
    await db.write('UPDATE agents SET usage = \'{"cpu": 0.25, "memory_bytes": 3000}\'')
    await db.write("UPDATE agent_capacity SET cores_reported = 2, memory_reported = 4000")
    agent = await admin.read(address)
    shown = ("cpu_used", "memory_used", "cores_reported", "memory_reported", "cores")
    assert [agent[name] for name in shown] == [0.25, 3000, 2, 4000, 8]


async def test_an_agent_without_disk_says_that_it_takes_no_sessions(admin: Client, db: Database):
    agent_id = await new_agent(db)
    (agent,) = await admin.read("/api/v1/agents")
    assert (agent["closed"], agent["disk_free"], agent["disk_kept"]) == (None, None, 0)
    usage = {"disk_free_bytes": 3_000_000_000, "disk_kept_bytes": 5_000_000_000, "disk_free_inodes": 0.5}
    await db.write("UPDATE agents SET usage = %s", (Jsonb(usage),))
    agent = await admin.read(f"/api/v1/agents/{agent_id}")
    reason = "host-1 has 3 GB of disk free; 5 GB must stay free"
    assert (agent["status"], agent["closed"]) == ("running", {"code": "disk", "reason": reason})
    assert (agent["disk_free"], agent["disk_kept"], agent["disk_inodes_free"]) == (3_000_000_000, 5_000_000_000, 0.5)


async def test_an_agent_says_whether_its_sessions_have_containers(admin: Client, db: Database):
    address = f"/api/v1/agents/{await new_agent(db)}"
    for usage, simulated in (("{}", None), ('{"cpu": 0.25}', False), ('{"simulated": true}', True)):
        await db.write("UPDATE agents SET usage = %s", (usage,))
        assert (await admin.read(address))["simulated"] is simulated


async def test_an_agent_that_lost_its_credential_is_given_a_token_of_its_own(admin: Client, db: Database):
    agent_id = await new_agent(db)
    (zone,) = await admin.read("/api/v1/zones")
    assert (await admin.delete(f"/api/v1/agents/{agent_id}/credential")).status_code == 204
    assert await db.fetch_one("SELECT credential_hash FROM agents") == {"credential_hash": b""}
    body = {"zone_id": zone["zone_id"], "agent_id": agent_id}
    assert (await admin.post("/api/v1/join-tokens", json=body)).status_code == 201
    row = await db.fetch_one("SELECT agent_id::text FROM join_tokens")
    assert row == {"agent_id": agent_id}
    unknown = {**body, "agent_id": str(uuid.uuid4())}
    assert (await admin.post("/api/v1/join-tokens", json=unknown)).status_code == 404


async def test_settings_of_the_installation(admin: Client):
    listed = {row["name"]: row for row in await admin.read("/api/v1/settings")}
    assert set(listed) == set(INSTALLATION_SETTINGS)
    assert listed["session_lifetime_s"]["value"] == 43200
    changed = await admin.patch("/api/v1/settings", json={"max_login_attempts": 3})
    assert {row["name"]: row["value"] for row in changed.json()}["max_login_attempts"] == 3
    back = await admin.patch("/api/v1/settings", json={"max_login_attempts": None})
    assert {row["name"]: row["value"] for row in back.json()}["max_login_attempts"] == 5
    for wrong in ({"nonsense": 1}, {"max_login_attempts": 0}, {"max_login_attempts": "3"}):
        assert (await admin.patch("/api/v1/settings", json=wrong)).status_code == 422

"""Zones through /api/v1: their life cycle, their names, the reasons against a deletion."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.database.api.agent_rows import new_agent
from tests.database.api.client import Client, MakeClient
from tests.database.locks import waiting

from greenroom.db.database import Database
from greenroom.db.fleet.managers import find_or_insert_manager
from greenroom.db.fleet.zones import lock_zone, update_zone
from greenroom.up.installation import ensure_zones, find_zones


async def test_a_zone_in_use_stays_and_what_is_in_the_way_is_named(admin: Client, db: Database):
    (zone,) = await admin.read("/api/v1/zones")
    (image,) = await admin.read("/api/v1/images")
    await db.write("INSERT INTO managers (instance_id, zone_id) VALUES ('m1', %s)", (zone["zone_id"],))
    await new_agent(db, status="dead")
    await db.write("UPDATE images SET restrict_to_zone = true, zone_id = %s", (zone["zone_id"],))
    await admin.post(
        "/api/v1/staging-configs",
        json={"zone_id": zone["zone_id"], "image_id": image["image_id"], "num_sessions": 0, "expiration": 1},
    )
    answer = await admin.delete(f"/api/v1/zones/{zone['zone_id']}")
    assert answer.status_code == 409
    assert answer.json()["detail"] == (
        "Zone default is in use: Manager m1; Agent host-1; staging config of Desktop;"
        " workspace Desktop, which is restricted to it. Remove or move them first."
    )


async def test_a_zone_whose_only_manager_is_gone_can_be_deleted(admin: Client, db: Database):
    (zone,) = await admin.read("/api/v1/zones")
    address = f"/api/v1/zones/{zone['zone_id']}"
    await db.write(
        "INSERT INTO managers (instance_id, zone_id, last_reported) VALUES ('m1', %s, now() - interval '1 h')",
        (zone["zone_id"],),
    )
    agent_id = await new_agent(db, status="dead")
    assert (await admin.delete("/api/v1/managers/m1")).json()["code"] == "last-enabled-manager"
    assert "Agent host-1" in (await admin.delete(address)).json()["detail"]
    assert (await admin.delete(f"/api/v1/agents/{agent_id}")).status_code == 204
    assert (await admin.delete(address)).status_code == 204
    assert await admin.read("/api/v1/zones") == await admin.read("/api/v1/managers") == []


async def test_a_renamed_zone_keeps_its_old_name_until_another_zone_takes_it(admin: Client, db: Database):
    (zone,) = await admin.read("/api/v1/zones")
    await admin.patch(f"/api/v1/zones/{zone['zone_id']}", json={"zone_name": "eu"})

    async def named(name: str) -> str | None:
        found = await find_zones(db, [name])
        return found[name].zone_name if name in found else None

    assert (await named("default"), await named("eu"), await named("us")) == ("eu", "eu", None)
    await ensure_zones(db, ["default"], "127.0.0.1", "127.0.0.1:8443", 8445)
    assert [z["zone_name"] for z in await admin.read("/api/v1/zones")] == ["eu"]
    assert (await find_or_insert_manager(db, "m1", "default", "host", "1")).zone_name == "eu"
    assert (await admin.post("/api/v1/zones", json={"zone_name": "default"})).status_code == 201
    assert (await named("default"), await named("eu")) == ("default", "eu")


async def test_a_name_that_is_taken_while_it_is_given_up_stands_for_one_zone(admin: Client, db: Database):
    (zone,) = await admin.read("/api/v1/zones")
    async with db.transaction() as connection:
        row = await lock_zone(connection, zone["zone_id"])
        await update_zone(connection, replace(row, zone_name="eu"))
        taken = asyncio.create_task(admin.post("/api/v1/zones", json={"zone_name": zone["zone_name"]}))

        await waiting(db, 1)
    assert (await taken).status_code == 201
    named = await db.fetch("SELECT zone_name FROM zones WHERE %s = ANY(zone_name || former_names)", ("default",))
    assert [row["zone_name"] for row in named] == ["default"]


async def test_up_rewrites_a_zone_only_until_it_is_edited(db: Database):
    async def row() -> tuple[str, str, int]:
        (found,) = await db.fetch("SELECT * FROM zones WHERE zone_name = 'made-by-up'")
        return found["allow_origin_domain"], found["upstream_auth_address"], found["proxy_port"]

    await ensure_zones(db, ["made-by-up"], "127.0.0.1", "127.0.0.1:8443", 8445)
    assert await row() == ("127.0.0.1", "127.0.0.1:8443", 8445)
    await ensure_zones(db, ["made-by-up"], "127.0.0.1", "127.0.0.1:9443", 9445)
    assert await row() == ("127.0.0.1", "127.0.0.1:9443", 9445)
    await db.write("UPDATE zones SET upstream_auth_address = 'a.example' WHERE zone_name = 'made-by-up'")
    await ensure_zones(db, ["made-by-up"], "127.0.0.1", "127.0.0.1:1443", 1445)
    assert await row() == ("127.0.0.1", "a.example", 9445)


@pytest.mark.parametrize(
    "change",
    [
        {"proxy_connections": False, "proxy_hostname": "evil.example", "proxy_port": 443},
        {"upstream_auth_address": "evil.example:443"},
        {"allow_origin_domain": "127.0.0.1,evil.example"},
    ],
)
async def test_a_zone_leads_to_another_host_only_by_a_caller_who_changes_the_installation(
    admin: Client, with_key: MakeClient, db: Database, change: dict[str, object]
):
    (zone,) = await admin.read("/api/v1/zones")
    path = f"/api/v1/zones/{zone['zone_id']}"
    delegated = await with_key("zones_view", "zones_create", "zones_modify")
    assert "leads to evil.example" in await delegated.refused(403, f"PATCH {path}", change)
    await delegated.refused(403, "POST /api/v1/zones", change | {"zone_name": "eu"})
    assert await admin.read("/api/v1/zones") == [zone]
    await admin.change(path, **change)
    (row,) = await db.fetch("SELECT level FROM logs WHERE code = 'zone-addresses-changed'")
    assert row["level"] == "WARNING"


@pytest.mark.parametrize(
    "change",
    [
        {"proxy_hostname": "127.0.0.1", "proxy_port": 4444},
        {"upstream_auth_address": "127.0.0.1:4444"},
        {"allow_origin_domain": "127.0.0.1:9999"},
    ],
)
async def test_a_zone_cannot_name_a_port_that_the_host_does_not_serve(
    admin: Client, with_key: MakeClient, db: Database, change: dict[str, object]
):
    (zone,) = await admin.read("/api/v1/zones")
    path = f"/api/v1/zones/{zone['zone_id']}"
    delegated = await with_key("zones_modify")
    refusal = await delegated.refused(403, f"PATCH {path}", change)
    assert "leads to 127.0.0.1:" in refusal
    await db.write(
        "INSERT INTO managers (instance_id, zone_id, gateway_url) VALUES ('m', %s, 'https://127.0.0.1:4444')",
        (zone["zone_id"],),
    )
    if "allow_origin_domain" not in change:
        await delegated.change(path, **change)
    await delegated.change(path, proxy_hostname="127.0.0.1", proxy_port=8445, allow_origin_domain="127.0.0.1:8443")


async def test_a_zone_leads_to_served_hosts_and_confirmed_edges_with_zones_modify(
    admin: Client, with_key: MakeClient, db: Database
):
    (zone,) = await admin.read("/api/v1/zones")
    path = f"/api/v1/zones/{zone['zone_id']}"
    delegated = await with_key("zones_modify")
    await new_agent(db, status="pending")
    await db.write("UPDATE agents SET edge_url = 'https://edge.example:8443', enabled = false")
    await delegated.refused(403, f"PATCH {path}", {"proxy_hostname": "edge.example"})
    await db.write("UPDATE agents SET enabled = true")
    await delegated.change(path, proxy_hostname="edge.example", upstream_auth_address="localhost:8443")

"""Machine pools over /api/v1: created, changed, disabled, deleted, the preview of their plan, and the refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.database.api.client import Client, MakeClient
from tests.support import rows
from tests.support.packages import PROVIDER, installed

from greenroom.db.database import Database
from greenroom.kit import plugins

GB = 1_000_000_000
POOLS = "/api/v1/machine-pools"


@pytest.fixture
async def body(db: Database) -> dict[str, Any]:
    zone = await db.fetch_one("SELECT zone_id::text FROM zones ORDER BY created LIMIT 1")
    return {
        "name": "cloud",
        "zone_id": zone["zone_id"] if zone else await rows.zone(db, "eu"),
        "provider": "webhook",
        "options": {"url": "https://cloud.example/machines"},
        "secrets": {"token": "very-secret"},
        "cores": 8,
        "memory": 32 * GB,
        "max_machines": 3,
        "join_url": "https://desk.example",
        "schedule": ["mon-fri 08:00-18:00 Europe/Berlin machines=2"],
    }


async def _made(admin: Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = await admin.post(POOLS, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _order(db: Database, pool_id: str) -> None:
    await db.write(
        "INSERT INTO machine_orders (machine_pool_id, pool_name, zone_name, reason, deadline)"
        " VALUES (%s, 'cloud', 'eu', 'A reason.', now() + interval '1 hour')",
        (pool_id,),
    )


async def test_a_pool_is_made_disabled_shown_without_secrets_and_found_by_its_name(
    admin: Client, db: Database, body: dict[str, Any]
):
    made = await _made(admin, body)
    assert (made["enabled"], made["secret_names"]) == (False, ["token"])
    assert made["schedule"] == ["Mon,Tue,Wed,Thu,Fri 08:00-18:00 Europe/Berlin machines=2"]
    assert "very-secret" not in str(made)
    assert "very-secret" not in str(await db.fetch("SELECT * FROM machine_pools"))
    assert (await admin.get(f"{POOLS}/cloud")).json() == made
    assert (await admin.get(POOLS)).json() == [made]
    assert (await admin.post(POOLS, json=body)).json()["code"] == "duplicate"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"join_url": "https://127.0.0.1:8443"}, "Machines cannot join"),
        ({"options": {}}, "needs the option url"),
        ({"edge_url": "https://{address}"}, "cannot be the address of edge gateways"),
        ({"min_machines": 4}, "is more than max_machines 3"),
        ({"schedule": ["daily"]}, "is not a valid line of a schedule"),
        ({"cores": 0}, "cores"),
        ({"name": "A b"}, "small letters"),
        ({"secrets": {"token": "a\u0000b"}}, "NUL"),
        ({"secrets": {"token": "schlüssel"}}, "is sent as a header"),
        ({"secrets": {"token": "a\nb"}}, "is sent as a header"),
        ({"options": {"url": "http://127.0.0.1:9000/"}}, "only hosts of the setting `webhook_hosts` may use http"),
        ({"provider": "lab"}, "There is no machine provider 'lab'; installed: command, libcloud, simulated"),
        ({"provider": "My Cloud"}, "must be the name of an installed provider"),
    ],
)
async def test_a_pool_of_which_no_machine_could_come_is_refused(
    admin: Client, body: dict[str, Any], change: dict[str, Any], words: str
):
    answer = await admin.post(POOLS, json=body | change)
    assert answer.status_code == 422
    assert words in answer.text


async def test_a_provider_of_another_package_is_given_what_its_rules_want(
    admin: Client, db: Database, body: dict[str, Any], tmp_path: Path
):
    with installed(tmp_path, PROVIDER, group=plugins.MACHINE_PROVIDERS):
        answer = await admin.post(POOLS, json=body | {"provider": "lab", "options": {}})
        assert (answer.status_code, "The provider lab needs the option row" in answer.text) == (422, True)
        made = await _made(admin, body | {"provider": "lab", "options": {"row": "r1"}})
        await _order(db, made["machine_pool_id"])
        assert (await admin.patch(f"{POOLS}/cloud", json={"options": {"row": "r1", "size": 2}})).status_code == 200
        moved = await admin.patch(f"{POOLS}/cloud", json={"options": {"row": "r2"}, "secrets": {}})
        assert (moved.status_code, "has 1 machine at its provider" in moved.text) == (409, True)
    assert (await admin.get(f"{POOLS}/cloud")).json()["provider"] == "lab", "it is shown where it is installed no more"


async def test_this_host_is_no_address_for_machines_unless_a_setting_says_so(admin: Client, body: dict[str, Any]):
    local = body | {"join_url": "https://127.0.0.1:8443"}
    await admin.patch("/api/v1/settings", json={"machines_on_this_host": True})
    try:
        await _made(admin, local)
    finally:
        await admin.patch("/api/v1/settings", json={"machines_on_this_host": False})


async def test_an_endpoint_on_this_host_is_one_that_the_setting_for_webhooks_names(admin: Client, body: dict[str, Any]):
    local = body | {"options": {"url": "http://127.0.0.1:9000/"}}
    await admin.change("/api/v1/settings", webhook_hosts="127.0.0.1:9000")
    try:
        await _made(admin, local)
        other = await admin.patch(f"{POOLS}/cloud", json={"options": {"url": "http://127.0.0.1:9001/"}, "secrets": {}})
        assert (other.status_code, "webhook_hosts" in other.text) == (422, True)
    finally:
        await admin.change("/api/v1/settings", webhook_hosts="")
    assert (await admin.patch(f"{POOLS}/cloud", json={"enabled": False})).status_code == 200, "what stays is kept"


async def test_a_provider_is_not_changed_while_it_has_machines(admin: Client, db: Database, body: dict[str, Any]):
    made = await _made(admin, body)
    await _order(db, made["machine_pool_id"])
    elsewhere = {"options": {"url": "https://other.example"}, "secrets": {"token": "new"}}
    answer = await admin.patch(f"{POOLS}/cloud", json=elsewhere)
    assert answer.status_code == 409
    assert "has 1 machine at its provider, which only this provider can end. Disable the pool" in answer.text
    project = {"options": {"url": "https://cloud.example/machines", "project": "another"}}
    answer = await admin.patch(f"{POOLS}/cloud", json=project)
    assert answer.status_code == 409
    assert (
        "with other options the provider webhook may not list them any more, so that they would not be ended"
        in answer.text
    )
    assert (await admin.patch(f"{POOLS}/cloud", json={"max_machines": 5})).json()["max_machines"] == 5


async def test_it_is_remembered_since_when_all_calls_use_new_secrets(admin: Client, db: Database, body: dict[str, Any]):
    await _made(admin, body)

    async def since() -> Any:
        (row,) = await db.fetch("SELECT secrets_since - clock_timestamp() AS away FROM machine_pools")
        return row["away"]

    assert (await admin.patch(f"{POOLS}/cloud", json={"max_machines": 5})).status_code == 200
    assert await since() is None
    assert (await admin.patch(f"{POOLS}/cloud", json={"secrets": {"token": "new"}})).status_code == 200
    assert 50 < (await since()).total_seconds() <= 60


async def test_secrets_do_not_follow_to_another_address(admin: Client, body: dict[str, Any]):
    await _made(admin, body)
    elsewhere = {"options": {"url": "https://other.example"}}
    refused = await admin.patch(f"{POOLS}/cloud", json=elsewhere)
    assert (refused.status_code, "not sent to another address" in refused.text) == (422, True)
    given = await admin.patch(f"{POOLS}/cloud", json=elsewhere | {"secrets": {}})
    assert given.json()["secret_names"] == []
    same = await admin.patch(f"{POOLS}/cloud", json={"options": {"url": "https://other.example", "note": "x"}})
    assert same.status_code == 200


async def test_a_deleted_pool_stays_until_its_machines_are_gone(admin: Client, db: Database, body: dict[str, Any]):
    made = await _made(admin, body)
    await _order(db, made["machine_pool_id"])
    assert (await admin.delete(f"{POOLS}/cloud")).status_code == 204
    (row,) = (await admin.get(POOLS)).json()
    assert row["deleted"] is not None
    answer = await admin.patch(f"{POOLS}/{made['machine_pool_id']}", json={"enabled": True})
    assert answer.status_code == 409


async def test_the_preview_says_what_would_be_ordered_and_why_and_does_nothing(
    admin: Client, db: Database, body: dict[str, Any]
):
    await _made(admin, body | {"min_machines": 1, "schedule": []})
    shown = (await admin.get(f"{POOLS}/cloud/preview")).json()
    assert shown["sentence"] == "No machine. 1 more to be ordered."
    reason = "At least 1 machine must exist at this time."
    assert shown["actions"] == [{"action": "order", "machine": None, "reason": reason}]
    assert (await admin.get("/api/v1/machine-orders")).json() == []


async def test_the_ledger_of_orders_is_read_with_its_reasons(admin: Client, db: Database, body: dict[str, Any]):
    made = await _made(admin, body)
    await _order(db, made["machine_pool_id"])
    (order,) = (await admin.get("/api/v1/machine-orders", params={"open": True})).json()
    assert (order["pool_name"], order["state"], order["reason"]) == ("cloud", "ordered", "A reason.")
    assert (await admin.get("/api/v1/machine-orders", params={"open": False})).json() == []
    assert (await admin.get(f"/api/v1/machine-orders/{order['machine_order_id']}")).json() == order


async def test_a_pool_of_a_user_who_may_not_add_agents_waits_for_an_approval(
    admin: Client, with_key: MakeClient, body: dict[str, Any]
):
    delegated = await with_key("machines_view", "machines_create", "machines_modify")
    assert (await delegated.make(POOLS, **body))["approved_by"] == ""
    assert "agents_create" in await delegated.refused(403, f"PATCH {POOLS}/cloud", {"approved": True})
    assert (await admin.change(f"{POOLS}/cloud", approved=True))["approved_by"] != ""
    assert (await admin.make(POOLS, **body | {"name": "own"}))["approved_by"] != ""


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        ({"provider": "simulated", "secrets": {}}, False),
        ({"options": {"url": "https://cloud.example/machines", "project": "other"}}, False),
        ({"secrets": {"token": "other"}}, False),
        ({"join_url": "https://other.example"}, False),
        ({"edge_url": "https://{address}:9443"}, False),
        ({"approved": False}, False),
        ({"max_machines": 9, "enabled": True, "join_url": "https://desk.example"}, True),
    ],
)
async def test_a_change_of_the_hosts_that_join_withdraws_the_approval(
    admin: Client, with_key: MakeClient, body: dict[str, Any], change: dict[str, Any], is_kept: bool
):
    delegated = await with_key("machines_view", "machines_modify")
    approved_by = (await _made(admin, body))["approved_by"]
    changed = await delegated.change(f"{POOLS}/cloud", **change)
    assert changed["approved_by"] == (approved_by if is_kept else "")


async def test_a_change_by_a_user_who_may_add_agents_keeps_the_approval_as_it_is(
    admin: Client, with_key: MakeClient, body: dict[str, Any]
):
    delegated = await with_key("machines_create")
    approved_by = (await _made(admin, body))["approved_by"]
    await delegated.make(POOLS, **body | {"name": "waiting"})
    elsewhere = {"join_url": "https://other.example"}
    assert (await admin.change(f"{POOLS}/cloud", **elsewhere))["approved_by"] == approved_by
    assert (await admin.change(f"{POOLS}/waiting", **elsewhere))["approved_by"] == ""

"""The egress of a lease's session: a subset of the web filter in force, also when the filter changes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.database.api.client import Client
from tests.database.api.staging import Stage

from greenroom.db.database import Database
from greenroom.db.diagnostics.retention import RetentionLimits, prune

LEASES = "/api/v1/leases"
HOUR = 3600


@pytest.fixture
async def friendly_name(stage: Stage) -> str:
    return (await stage.admin.only("/api/v1/images"))["friendly_name"]


async def leased(client: Client, workspace: str, **body: Any) -> dict[str, Any]:
    return await client.make(LEASES, **{"workspace": workspace, "seconds": HOUR} | body)


async def session_policy(db: Database, lease: dict[str, Any]) -> str | None:
    row = await db.fetch_one(
        "SELECT p.name FROM sessions s LEFT JOIN filter_policies p"
        " ON p.filter_policy_id::text = s.spec ->> 'filter_policy' WHERE session_id = %s",
        (lease["session_id"],),
    )
    assert row
    return row["name"]


async def session_lists(db: Database, lease: dict[str, Any]) -> tuple[list[str], list[str]]:
    (row,) = await db.fetch(
        "SELECT allow, deny FROM filter_policies p JOIN sessions s ON s.spec ->> 'filter_policy'"
        " = p.filter_policy_id::text WHERE session_id = %s",
        (lease["session_id"],),
    )
    return row["allow"], row["deny"]


async def test_a_lease_chooses_what_its_session_reaches(stage: Stage, ada: Client, db: Database, friendly_name: str):
    await stage.staged(await stage.config(), 1)
    closed = await leased(ada, friendly_name, options={"egress": "none"})
    assert closed["outcome"] == "on_demand"
    assert str(await session_policy(db, closed)).startswith("Leases that reach nothing (")
    one, other = [await leased(ada, friendly_name, options={"egress": {"allow": ["Example.com"]}}) for _ in range(2)]
    policy = str(await session_policy(db, one))
    assert policy.startswith("Leases that reach example.com (")
    assert await session_policy(db, other) == policy
    assert await stage.admin.read("/api/v1/filter-policies") == []  # they are created and removed independently
    assert (await leased(ada, friendly_name))["outcome"] == "staged"


async def test_a_lease_cannot_open_what_the_workspace_filters(stage: Stage, ada: Client):
    exam = await stage.admin.make("/api/v1/filter-policies", name="Exam", allow=["example.com"])
    image = await stage.admin.only("/api/v1/images")
    await stage.admin.change(f"/api/v1/images/{image['image_id']}", filter_policy_id=exam["filter_policy_id"])
    await stage.staged(await stage.config(), 1)
    asked = {"workspace": image["friendly_name"], "seconds": HOUR, "options": {"egress": {"allow": ["example.org"]}}}
    wider = await ada.refused(422, f"POST {LEASES}", asked)
    assert wider == "invalid: The web filter Exam denies example.org; a lease cannot allow it."


@pytest.mark.parametrize("secret", [False, True])
async def test_what_a_policy_denies_now_is_denied_to_running_leases(
    stage: Stage, ada: Client, db: Database, *, secret: bool
):
    corp = await stage.admin.make("/api/v1/filter-policies", name="Corp", default_action="allow")
    image = await stage.admin.only("/api/v1/images")
    await stage.admin.change(f"/api/v1/images/{image['image_id']}", filter_policy_id=corp["filter_policy_id"])
    options: dict[str, Any] = {"egress": {"allow": ["bad.example", "example.com"]}}
    if secret:
        await ada.make("/api/v1/secrets", name="s", hosts=["api.example.com"], value="v")
        options["secrets"] = ["s"]
    lease = await leased(ada, image["friendly_name"], options=options)
    policy = f"/api/v1/filter-policies/{corp['filter_policy_id']}"
    await stage.admin.change(policy, deny=["bad.example", "x.example.com"])
    assert await session_lists(db, lease) == (["example.com"], ["bad.example", "x.example.com"])
    await stage.admin.change(policy, deny=[])
    assert await session_lists(db, lease) == (["bad.example", "example.com"], [])


async def test_a_lease_that_asked_for_all_of_its_policy_gains_nothing_when_that_is_widened(
    stage: Stage, ada: Client, db: Database
):
    exam = await stage.admin.make("/api/v1/filter-policies", name="Exam", allow=["example.com"])
    image = await stage.admin.only("/api/v1/images")
    await stage.admin.change(f"/api/v1/images/{image['image_id']}", filter_policy_id=exam["filter_policy_id"])
    lease = await leased(ada, image["friendly_name"], options={"egress": {"allow": ["example.com"]}})
    await stage.admin.change(
        f"/api/v1/filter-policies/{exam['filter_policy_id']}", allow=["example.com", "example.org"]
    )
    assert await session_lists(db, lease) == (["example.com"], [])


async def test_policies_of_leases_are_deleted_after_their_last_session(ada: Client, db: Database, friendly_name: str):
    lease = await leased(ada, friendly_name, options={"egress": "none"})
    await db.write("UPDATE filter_policies SET created = created - interval '2 hours'")
    keep = RetentionLimits(
        log_rows=1000, log_days=1, security_rows=1000, security_days=1, launch_days=1, recording_days=14
    )
    assert "filter_policies" not in await prune(db, keep)
    await db.write("UPDATE sessions SET status = 'deleted' WHERE session_id = %s", (lease["session_id"],))
    assert (await prune(db, keep))["filter_policies"] == 1

"""Many launches at once through two api processes use the capacity exactly; the others are refused with the reason."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.database.api_process import KEY, api_process
from tests.support import rows

from greenroom.core.access.permissions import GLOBAL_ADMIN
from greenroom.db.database import Database
from greenroom.db.installation import change_installation_settings
from greenroom.kit.secrets import Secrets, secret_digest
from greenroom.up.invariants import INVARIANTS, find_violations


@pytest.mark.parametrize(("method", "overcommit"), [("Shares", 1.0), ("Quotas", 16.0)])
async def test_100_launches_at_once_on_room_for_10(
    tmp_path: Path, db: Database, dsn: str, method: str, overcommit: float
):
    Secrets.create_file(tmp_path / "key")
    await db.write(
        "INSERT INTO api_keys (key_id, secret_hash, permissions) VALUES (%s, %s, %s)",
        (KEY[0], secret_digest(KEY[1]), [GLOBAL_ADMIN]),
    )
    zone_id = await rows.zone(db)
    room = {"agent-1": 4.0, "agent-2": 4.0, "agent-3": 2.0}
    for hostname, cores in room.items():
        await rows.agent(db, zone_id, hostname=hostname, cores=cores, overcommit=overcommit)
    async with db.transaction() as connection:
        await change_installation_settings(connection, {"default_cpu_allocation_method": method})
    image_id = await rows.image(db)
    group_id = await rows.group(db, image_id)
    users = [await rows.user(db, f"user-{number}", group_id) for number in range(100)]

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(api_process(tmp_path / "key", dsn, 60)) for _ in range(2)]
        answers = await asyncio.gather(
            *(
                clients[number % 2].post("/api/v1/sessions", json={"image_id": image_id, "user_id": user_id})
                for number, user_id in enumerate(users)
            )
        )
        refused = [answer.json() for answer in answers if answer.status_code == 409]
        assert Counter(answer.status_code for answer in answers) == {202: 10, 409: 90}
        (ledger_entry,) = (await clients[0].get(f"/api/v1/launches/{refused[0]['launch_id']}")).json()["steps"][-3:-2]
        listed = (await clients[0].get("/api/v1/launches?outcome=failed&limit=1000")).json()

    free = "cores free" if method == "Shares" else "cores free for a quota"
    for problem in refused:
        assert problem["code"] == "no-resources"
        assert problem["detail"] == (
            f"No resources are available to create the requested session. Zone eu: agent-1 has 0 of 4 {free}, 1 are"
            f" needed; agent-2 has 0 of 4 {free}, 1 are needed; agent-3 has 0 of 2 {free}, 1 are needed."
            " End sessions, add an Agent, or raise Cores Override or Memory Override of an Agent."
        )
    assert ledger_entry["code"] == "no_capacity"
    assert {entry["launch_id"] for entry in listed} == {problem["launch_id"] for problem in refused}

    placed = await db.fetch(
        "SELECT hostname, count(*) FROM sessions JOIN agents USING (agent_id) GROUP BY 1 ORDER BY 1"
    )
    assert {row["hostname"]: row["count"] for row in placed} == room
    assert not [
        what for invariant in INVARIANTS if invariant.code == "I5" for what in await find_violations(db, invariant)
    ]
    logged = await db.fetch("SELECT message FROM logs WHERE code = 'launch-failed'")
    assert 1 <= len(logged) <= 2, "one of each process, not 90"
    assert f"agent-2 has 0 of 4 {free}" in logged[0]["message"]

"""The webhook messages of the database's triggers: the changes that send them, and their content."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from tests.database.failing_launches import Failing
from tests.support import rows

from greenroom.core.errors import NoResources
from greenroom.core.lease import NewLease
from greenroom.core.webhooks import SELECTABLE_EVENTS, WebhookEvent
from greenroom.db.database import Database
from greenroom.manager.tasks.replacement import run_replacements


@dataclass
class Sent:
    """Reads the messages written since the last read."""

    db: Database

    async def all(self) -> list[tuple[str, dict[str, Any]]]:
        """Event and data, in order; the data is the documented data of the event."""
        rows = await self.db.write("WITH gone AS (DELETE FROM webhook_deliveries RETURNING *) SELECT * FROM gone")
        sent = sorted(rows, key=lambda row: row["at"])
        for row in sent:
            kind = WebhookEvent(row["event"]).data
            msgspec.convert(row["data"], kind)
            assert row["data"].keys() == {field.name for field in fields(kind)}
        return [(row["event"], row["data"]) for row in sent]

    async def events(self) -> list[str]:
        return [event for event, _ in await self.all()]

    async def about(self, event: str) -> dict[str, Any]:
        """The data of the only message of this event."""
        (data,) = [data for sent, data in await self.all() if sent == event]
        return data


@pytest.fixture
async def stage(db: Database) -> Failing:
    return await Failing.filled(db, "eu")


@pytest.fixture
async def sent(stage: Failing) -> Sent:
    await stage.db.write(
        "INSERT INTO webhooks (name, url, events, secret_encrypted) VALUES ('all', '', %s, '')",
        (list(map(str, SELECTABLE_EVENTS)),),
    )
    return Sent(stage.db)


async def end_pool(stage: Failing) -> None:
    await stage.end(*(each for each, row in (await stage.sessions()).items() if row["status"] != "deleted"))


async def test_of_a_staged_session_its_whole_life(stage: Failing, sent: Sent):
    session_id = (await stage.launch()).session_id
    messages = await sent.all()
    assert [event for event, _ in messages] == ["session.assigned", "launch.done"]
    assigned, launch = (data for _, data in messages)
    same = {"user_id": stage.user_id, "username": "ada", "image_friendly_name": "Desktop", "zone_name": "eu"}
    assert same.items() <= assigned.items()
    assert same.items() <= launch.items()
    assert (assigned["session_id"], assigned["staging_config_id"]) == (session_id, stage.config_id)
    assert (launch["session_id"], launch["outcome"]) == (session_id, "staged")
    assert launch["launch_id"] == assigned["launch_id"]
    await stage.become_usable()
    await stage.db.write("UPDATE sessions SET status = 'running' WHERE status = 'assigning'")
    assert await sent.events() == ["session.running"]
    await stage.end(session_id)
    ended = await sent.about("session.ended")
    assert (ended["status"], ended["reason"], ended["username"]) == ("deleted", "over", "ada")


async def test_of_a_session_on_demand_and_of_a_launch_in_vain(stage: Failing, sent: Sent):
    await stage.launch_on_demand()
    assert await sent.events() == ["session.assigned", "launch.done"]
    await stage.db.write("UPDATE agents SET enabled = false")
    await rows.zone(stage.db, "without-agents")
    with pytest.raises(NoResources):
        await stage.launcher.launch(stage.request())
    failed = await sent.about("launch.failed")
    assert (failed["outcome"], failed["session_id"], failed["username"]) == ("failed", None, "ada")
    assert failed["reason"] == "agent-1 is disabled. agent-2 is disabled."


async def test_unused_staged_sessions_end_without_a_message_but_do_not_fail_so(stage: Failing, sent: Sent):
    first, second = (session_id for session_id in await stage.sessions())
    await stage.end(first)
    assert await sent.all() == []
    await stage.db.write("UPDATE sessions SET status = 'failed', error = 'broken' WHERE session_id = %s", (second,))
    failed = await sent.about("session.failed")
    assert (failed["user_id"], failed["reason"], failed["staging_config_id"]) == (None, "broken", stage.config_id)


async def test_a_lease_is_granted_and_ends_once(stage: Failing, sent: Sent):
    lease = NewLease(lease_id=str(uuid4()), seconds=60, holder="ci", tags={"job": "1"})
    session_id = (await stage.launch(lease=lease)).session_id
    messages = dict(await sent.all())
    assert set(messages) == {"session.assigned", "launch.done", "lease.granted"}
    granted = messages["lease.granted"]
    assert (granted["session_id"], granted["tags"], granted["holder"]) == (session_id, {"job": "1"}, "ci")
    assert (await stage.launch(lease=lease)).repeated
    assert await sent.all() == []
    await stage.end(session_id)
    assert sorted(await sent.events()) == ["lease.ended", "session.ended"]


async def test_a_lease_goes_on_with_the_session_that_takes_the_place_of_a_failed_one(stage: Failing, sent: Sent):
    first = (await stage.launch()).session_id
    await rows.lease(stage.db, first)
    await sent.all()
    await stage.fails(first)
    await run_replacements(stage.ctx)
    assert sorted(await sent.events()) == ["session.assigned", "session.failed"]
    second = str((await stage.row(first))["superseded_by"])
    await stage.end(second)
    assert (await sent.about("lease.ended"))["session_id"] == second


async def test_what_nothing_can_replace_ends_lease_and_launch_once(stage: Failing, sent: Sent):
    session_id = await stage.launch_on_demand()
    await rows.lease(stage.db, session_id)
    await stage.db.write("UPDATE agents SET enabled = false")
    await sent.all()
    await stage.start_fails(session_id, "No such file.")
    messages = dict(await sent.all())
    assert set(messages) == {"session.failed", "launch.failed", "lease.ended"}
    assert messages["lease.ended"]["reason"].startswith("No such file.")
    await stage.end(session_id)
    assert await sent.events() == ["session.ended"]


async def test_a_pool_is_short_once_for_each_cause_and_then_full_once(stage: Failing, sent: Sent):
    await end_pool(stage)
    await stage.plan()  # starting again is no shortage
    await stage.become_usable()
    await stage.plan()
    assert await sent.all() == []
    await end_pool(stage)
    await stage.db.write("UPDATE agents SET enabled = false")
    await stage.plan()
    short = await sent.about("pool.short")
    assert (short["shortfall_code"], short["num_sessions"], short["zone_name"]) == ("no-agent", 2, "eu")
    assert short["reason"].startswith("2 of 2 not staged")
    await stage.db.write("UPDATE images SET enabled = false")
    await stage.plan()
    assert (await sent.about("pool.short"))["shortfall_code"] == "image-disabled"
    await stage.db.write("UPDATE images SET enabled = true")
    await stage.db.write("UPDATE agents SET enabled = true")
    await stage.plan()
    assert await sent.all() == []
    await stage.become_usable()
    await stage.plan()
    full = await sent.about("pool.full")
    assert (full["staging_config_id"], full["shortfall_code"], full["reason"]) == (stage.config_id, None, None)


async def test_nothing_is_written_where_no_webhook_wants_it(stage: Failing, sent: Sent):
    await stage.db.write("UPDATE webhooks SET events = '{pool.full}'")
    await stage.launch()
    await stage.db.write("UPDATE webhooks SET events = '{launch.done}', enabled = false")
    await stage.launcher.launch(stage.request())
    assert await sent.all() == []

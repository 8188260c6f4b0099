"""Webhooks with events of the audit: only for readers of the audit, at least once, and never given up."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

import msgspec
import pytest
from fastapi import FastAPI
from tests.database.api.client import Client, MakeClient
from tests.database.api.receiving import PATH, Hooks, is_signed

from greenroom.api.webhooks import delivery
from greenroom.api.webhooks.delivery import DeliveryWorker
from greenroom.core.audit import ChainedEvent
from greenroom.core.syslog import event_object
from greenroom.core.webhooks import MAX_ATTEMPTS, AuditData
from greenroom.db.database import Database
from greenroom.db.diagnostics import audit_webhooks
from greenroom.db.diagnostics.retention import DELIVERY_DAYS, RetentionLimits, prune
from greenroom.kit.secrets import Secrets

EVENT: Final = "audit.event"
KEEP: Final = RetentionLimits(
    log_rows=1000, log_days=1, security_rows=1000, security_days=1, launch_days=1, recording_days=14
)


def received(hooks: Hooks) -> list[dict[str, Any]]:
    """The data of the received messages, each once, in the order of the audit."""
    by_id = {message["data"]["event_id"]: message["data"] for message in hooks.receiver.messages}
    return [by_id[event_id] for event_id in sorted(by_id)]


async def due_now(db: Database) -> None:
    await db.write("UPDATE webhook_deliveries SET due = clock_timestamp()")


async def test_a_receiver_that_fails_first_gets_each_event_since_the_subscription(hooks: Hooks, db: Database):
    await hooks.admin.make("/api/v1/groups", name="Before")
    await hooks.made(EVENT)
    hooks.receiver.status = 500
    await hooks.admin.make("/api/v1/secrets", name="token", value="hidden-value", hosts=["example.org"])
    await hooks.admin.make("/api/v1/groups", name="Students")
    await hooks.delivered()
    assert len(hooks.receiver.requests) >= 3, "the receiver refuses each message at first"
    hooks.receiver.requests.clear()
    hooks.receiver.status = 204
    await due_now(db)
    await hooks.delivered()
    events = received(hooks)
    assert [event["code"] for event in events] == ["webhook-created", "secret-created", "group-created"]
    last = events[-1]
    assert (last["object_name"], last["details"]["after"]["name"], last["result"]) == ("Students", "Students", "done")
    assert last.keys() == {field.name for field in fields(AuditData)}
    assert msgspec.convert(last, AuditData).hash == last["hash"]
    assert not [body for _, body in hooks.receiver.requests if b"hidden-value" in body or b"whsec_" in body]


async def test_events_wait_in_the_chain_while_many_messages_wait(
    hooks: Hooks, db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audit_webhooks, "MAX_WAITING", 2)
    await hooks.made(EVENT)
    hooks.receiver.status = 503
    for number in range(4):
        await hooks.admin.make("/api/v1/groups", name=f"Group {number}")
    await hooks.delivered()
    assert await db.fetch("SELECT count(*) AS n FROM webhook_deliveries") == [{"n": 2}]
    hooks.receiver.status = 204
    for _ in range(3):
        await due_now(db)
        await hooks.delivered()
        await hooks.delivery_worker.wait_until_idle()  # of the messages that were queued last
    assert [event["object_name"] for event in received(hooks)] == ["ci", *(f"Group {n}" for n in range(4))]


async def test_an_event_is_not_given_up_or_deleted_by_age(hooks: Hooks, db: Database):
    made = await hooks.made(EVENT)
    hooks.receiver.status = 410
    await hooks.delivered()
    await db.write(
        "UPDATE webhook_deliveries SET attempts = %s, due = clock_timestamp(), at = at - make_interval(days => %s)",
        (MAX_ATTEMPTS + 5, DELIVERY_DAYS + 1),
    )
    await hooks.delivered()
    await prune(db, KEEP)
    (waiting,) = await hooks.deliveries(made, state="waiting")
    assert (waiting["status"], waiting["attempts"]) == (410, MAX_ATTEMPTS + 6)


async def test_an_error_of_the_audit_delays_no_other_message(
    hooks: Hooks, db: Database, monkeypatch: pytest.MonkeyPatch
):
    async def broken(_: Database) -> bool:
        raise KeyError("a defect")

    monkeypatch.setattr(delivery, "queue_events", broken)
    made = await hooks.made("pool.full")
    await db.write(
        "INSERT INTO webhook_deliveries (webhook_id, event, data) VALUES (%s, 'pool.full', '{}')",
        (made["webhook_id"],),
    )
    await hooks.delivered()
    assert [message["type"] for message in hooks.receiver.messages] == ["pool.full"]


async def test_two_apis_queue_each_event_once(hooks: Hooks, db: Database, app: FastAPI):
    await hooks.made(EVENT)
    for number in range(5):
        await hooks.admin.make("/api/v1/groups", name=f"Group {number}")
    other = DeliveryWorker(db, Secrets(bytes(32)), app.state.logs, app.state.snapshot)
    for worker in (hooks.delivery_worker, other, hooks.delivery_worker):
        await hooks.delivered(worker)
    assert len(hooks.receiver.requests) == len(received(hooks)) == 6


async def test_its_own_deletion_is_the_last_event_of_a_receiver(hooks: Hooks):
    made, muted = await hooks.made(EVENT), await hooks.made(EVENT, name="muted", enabled=False)
    await hooks.delivered()
    hooks.receiver.requests.clear()
    for webhook in (muted, made):
        assert (await hooks.admin.delete(f"{PATH}/{webhook['webhook_id']}")).status_code == 204
    ((headers, body),) = hooks.receiver.requests
    (event,) = received(hooks)
    assert (event["code"], event["object_name"], event["actor_kind"]) == ("webhook-deleted", "ci", "key")
    assert is_signed(made["secret"], headers, body)


async def test_only_readers_of_the_audit_subscribe_change_and_read(hooks: Hooks, with_key: MakeClient, db: Database):
    made = await hooks.made(EVENT)
    await hooks.delivered()
    (delivery,) = await hooks.deliveries(made)
    other: Client = await with_key("webhooks_view", "webhooks_create", "webhooks_modify", "webhooks_delete")
    path = f"{PATH}/{made['webhook_id']}"
    body = {"name": "mine", "url": hooks.receiver.url, "events": [EVENT]}
    assert "audit_view" in await other.refused(403, f"POST {PATH}", body)
    assert "audit_view" in await other.refused(403, f"PATCH {path}", {"url": f"{hooks.receiver.url}/mine"})
    assert "audit_view" in await other.refused(403, f"PATCH {path}", {"events": ["pool.full"]})
    assert "audit_view" in await other.refused(403, f"POST {path}/secret")
    assert "audit_view" in await other.refused(403, f"DELETE {path}")
    assert "audit_view" in await other.refused(403, f"POST {path}/deliveries/{delivery['delivery_id']}/replay")
    assert await other.read(f"{path}/deliveries") == []
    reader = await with_key("webhooks_view", "webhooks_modify", "audit_view")
    assert (await reader.read(f"{path}/deliveries"))[0]["data"]["code"] == "webhook-created"
    viewed = await db.fetch("SELECT actor_kind FROM audit_events WHERE code = 'audit-viewed'")
    assert len(viewed) == 2, "the reader and the administrator above"


async def test_a_user_who_may_no_longer_read_the_audit_gets_no_event(hooks: Hooks, user: Client, db: Database):
    codes = ["webhooks_view", "webhooks_create", "webhooks_modify"]
    group = await hooks.admin.make("/api/v1/groups", name="Watchers", permissions=[*codes, "audit_view"])
    await hooks.admin.put(f"/api/v1/groups/{group['group_id']}/users/{await user.own_id()}")
    await user.make(PATH, name="mine", url=hooks.receiver.url, events=[EVENT])
    hooks.receiver.status = 500
    await hooks.delivered()
    assert [event["code"] for event in received(hooks)] == ["webhook-created"]
    await hooks.admin.change(f"/api/v1/groups/{group['group_id']}", permissions=codes)
    hooks.receiver.requests.clear()
    await due_now(db)
    await hooks.delivered()
    assert hooks.receiver.requests == []
    assert await db.fetch("SELECT count(*) AS n FROM webhook_deliveries") == [{"n": 1}]


async def test_the_next_address_gets_no_event_of_an_ended_subscription(hooks: Hooks, db: Database):
    made = await hooks.made(EVENT)
    hooks.receiver.status = 500
    await hooks.delivered()
    path = f"{PATH}/{made['webhook_id']}"
    await hooks.admin.change(path, events=["pool.full"])
    hooks.receiver.status = 204
    hooks.receiver.requests.clear()
    await due_now(db)
    await hooks.delivered()
    assert hooks.receiver.requests == []
    await hooks.admin.change(path, events=[EVENT])
    await hooks.delivered()
    assert [event["code"] for event in received(hooks)] == ["webhook-changed"]
    assert (await hooks.admin.delete(path)).is_success
    assert await db.fetch("SELECT target FROM audit_deliveries") == []


async def test_events_that_cannot_be_decoded_or_stored_do_not_delay_the_others(
    hooks: Hooks, db: Database, monkeypatch: pytest.MonkeyPatch
):
    def refusing(event: ChainedEvent) -> dict[str, Any]:
        return event_object(event) | ({"message": "a\0b"} if event.message.endswith("group Third") else {})

    monkeypatch.setattr(audit_webhooks, "event_object", refusing)
    await hooks.made(EVENT)
    for name in ("First", "Second", "Third", "Fourth"):
        await hooks.admin.make("/api/v1/groups", name=name)
    await db.write("UPDATE audit_events SET details = %s WHERE object_name = 'Second'", ('{"after": {"name',))
    await hooks.delivered()
    events = received(hooks)[1:]
    assert [event["object_name"] for event in events] == ["First", "Second", None, "Fourth"]
    assert events[1]["details"] == {"unreadable": '{"after": {"name'}
    assert events[2]["message"].startswith("The event group-created was refused in its full form: ")

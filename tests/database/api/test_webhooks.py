"""Webhooks: created, signed, delivered once by the first api that claims them, retried, and given up."""

from __future__ import annotations

import time

import pytest
from fastapi import FastAPI
from tests.database.api.client import Client, MakeClient
from tests.database.api.receiving import PATH, Hooks, Receiver, is_signed

from greenroom.api.webhooks import sending
from greenroom.api.webhooks.delivery import DeliveryWorker
from greenroom.core.access.permissions import implied_codes
from greenroom.core.access.roles import ROLES
from greenroom.core.webhooks import MAX_ATTEMPTS, SELECTABLE_EVENTS
from greenroom.db import webhooks
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.db.diagnostics.retention import DELIVERY_DAYS, RetentionLimits, prune
from greenroom.kit.secrets import Secrets

EVENT = "launch.done"
KEEP = RetentionLimits(log_rows=1000, log_days=1, security_rows=1000, security_days=1, launch_days=1, recording_days=14)


async def emit(db: Database, number: int = 1) -> None:
    """Send webhooks like a trigger."""
    for _ in range(number):
        await db.fetch("SELECT send_webhooks(%s, '{}')", (EVENT,))


async def due_again(db: Database) -> None:
    await db.write("UPDATE webhook_deliveries SET due = clock_timestamp()")


async def test_messages_wait_while_the_owner_is_disabled(
    hooks: Hooks, db: Database, with_key_of: MakeClient, ada: Client
):
    admin, user = hooks.admin, f"/api/v1/users/{await ada.own_id()}"
    await admin.change(f"/api/v1/groups/{ALL_USERS}", permissions=["user", "webhooks_create", "webhooks_view"])
    program = await with_key_of(ada, "webhooks_create", "webhooks_view")
    made = await program.make(PATH, name="ada's", url=hooks.receiver.url, events=[EVENT])
    assert made["owner"] == "ada@example.org"
    await emit(db)
    await admin.change(user, disabled=True)
    await emit(db)
    await hooks.delivered()
    assert hooks.receiver.requests == []
    await admin.change(user, disabled=False)
    await hooks.delivered()
    assert len(hooks.receiver.requests) == 1, "the event while the user was disabled has no message"


async def test_a_webhook_sends_if_a_role_of_its_owner_sees_webhooks(hooks: Hooks, db: Database, ada: Client):
    webhook = await hooks.made(EVENT)
    await db.write("UPDATE webhooks SET owner_id = %s", (await ada.own_id(),))
    group = f"/api/v1/groups/{(await hooks.admin.make('/api/v1/groups', name='Jobs'))['group_id']}"
    await hooks.admin.put(f"{group}/users/{await ada.own_id()}")
    for name, role in ROLES.items():
        await hooks.admin.change(group, roles=[{"role": name}])
        sends = (await hooks.admin.read(f"{PATH}/{webhook['webhook_id']}"))["sends"]
        assert (name, sends) == (name, not implied_codes(role.codes).isdisjoint({"webhooks_view", "webhooks_create"}))


async def test_a_webhook_of_a_deleted_user_is_disabled(hooks: Hooks, db: Database, ada: Client):
    webhook = await hooks.made(EVENT)
    await db.write("UPDATE webhooks SET owner_id = %s", (await ada.own_id(),))
    await hooks.admin.delete(f"/api/v1/users/{await ada.own_id()}")
    row = await hooks.admin.read(f"{PATH}/{webhook['webhook_id']}")
    assert (row["owner"], row["enabled"], row["sends"]) == (None, False, False)


async def test_rows_and_the_audit_have_no_path_of_an_address(hooks: Hooks, db: Database):
    made = await hooks.made(EVENT, url="https://hooks.example/T0/secret-1?key=secret-2")
    path = f"{PATH}/{made['webhook_id']}"
    await hooks.admin.change(path, url="https://hooks.example/T0/secret-3")
    await hooks.admin.change(path, url="https://chat.example/")
    assert (await hooks.admin.delete(path)).status_code == 204
    rows = await db.fetch("SELECT message, details::text FROM logs WHERE code LIKE 'webhook-%%' ORDER BY log_id")
    texts = [f"{row['message']} {row['details']}" for row in rows]
    assert not [text for text in texts if "secret-" in text]
    created, same_host, other_host, deleted = texts
    assert "https://hooks.example/…" in created
    assert "path of url as before → changed" in same_host
    assert "url https://hooks.example/… → https://chat.example/" in other_host
    assert "https://chat.example/" in deleted


async def test_a_secret_is_shown_once_and_signs_what_is_sent(hooks: Hooks, db: Database):
    made = await hooks.made(EVENT)
    assert "secret" not in await hooks.admin.read(f"{PATH}/{made['webhook_id']}")
    stored = await db.fetch_one("SELECT secret_encrypted, w::text AS row FROM webhooks w")
    assert stored
    assert made["secret"].encode() not in bytes(stored["secret_encrypted"])
    await emit(db)
    await hooks.delivered()
    (headers, body) = hooks.receiver.requests[0]
    assert is_signed(made["secret"], headers, body)
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    renewed = await hooks.admin.post(f"{PATH}/{made['webhook_id']}/secret")
    await emit(db)
    await hooks.delivered()
    (headers, body) = hooks.receiver.requests[1]
    assert is_signed(renewed.json()["secret"], headers, body)
    assert not is_signed(made["secret"], headers, body)


async def test_only_what_was_chosen_is_written_and_nothing_for_a_disabled_one(hooks: Hooks, db: Database):
    made = await hooks.made("pool.full")
    await emit(db)
    await hooks.admin.change(f"{PATH}/{made['webhook_id']}", events=[EVENT], enabled=False)
    await emit(db)
    assert await db.fetch("SELECT 1 FROM webhook_deliveries") == []
    await hooks.admin.change(f"{PATH}/{made['webhook_id']}", enabled=True)
    await emit(db)
    assert [one["event"] for one in await hooks.deliveries(made)] == [EVENT]


async def test_outcomes_are_listed(hooks: Hooks, db: Database):
    made = await hooks.made(EVENT)
    hooks.receiver.status, hooks.receiver.answer = 200, b"thank \0 you" + b"!" * 5000
    await emit(db)
    await hooks.delivered()
    (one,) = await hooks.deliveries(made)
    assert (one["state"], one["status"], one["attempts"], one["due"]) == ("delivered", 200, 1, None)
    assert one["answer"][:11] == "thank  you!"
    assert hooks.receiver.messages[0]["id"] == one["delivery_id"]
    assert await hooks.deliveries(made, state="waiting") == []
    assert (await hooks.admin.read(f"{PATH}/{made['webhook_id']}"))["last_delivered"] == one["attempted"]


async def test_a_failed_delivery_is_retried_with_its_id_and_replayed_after_it_was_given_up(
    hooks: Hooks, db: Database, app: FastAPI
):
    made = await hooks.made(EVENT)
    hooks.receiver.status, hooks.receiver.answer = 500, b"out of order" + b"." * 5000
    await emit(db)
    assert await hooks.delivered() < 6
    (one,) = await hooks.deliveries(made)
    assert (one["state"], one["status"], one["answer"][:12], len(one["answer"])) == (
        "waiting",
        500,
        "out of order",
        1000,
    )
    await db.write("UPDATE webhook_deliveries SET attempts = %s", (MAX_ATTEMPTS - 1,))
    await due_again(db)
    await hooks.delivered()
    (one,) = await hooks.deliveries(made, state="given_up")
    await app.state.logs.flush()
    logged = await db.fetch_one("SELECT message FROM logs WHERE code = 'webhook-given-up'")
    assert logged
    assert logged["message"] == "Webhook ci did not get launch.done after 16 attempts: the answer was 500"
    await due_again(db)
    await hooks.delivered()
    assert len(hooks.receiver.requests) == 2, "no more attempts"
    hooks.receiver.status = 200
    again = await hooks.admin.post(f"{PATH}/{made['webhook_id']}/deliveries/{one['delivery_id']}/replay")
    assert (again.status_code, again.json()["state"], again.json()["attempts"]) == (202, "waiting", 0)
    await hooks.delivered()
    assert (await hooks.deliveries(made))[0]["state"] == "delivered"
    assert {message["id"] for message in hooks.receiver.messages} == {one["delivery_id"]}


async def test_all_that_were_given_up_are_replayed_at_once(hooks: Hooks, db: Database):
    made = await hooks.made(EVENT)
    path = f"POST {PATH}/{made['webhook_id']}/replay"
    hooks.receiver.status = 410
    await emit(db, 3)
    await hooks.delivered()
    await hooks.admin.post(f"{PATH}/{made['webhook_id']}/test")
    hooks.receiver.status = 200
    await emit(db)
    await hooks.delivered()
    await hooks.admin.change(f"{PATH}/{made['webhook_id']}", enabled=False)
    assert "disabled; enable it first" in await hooks.admin.refused(409, path)
    await hooks.admin.change(f"{PATH}/{made['webhook_id']}", enabled=True)
    answer = await hooks.admin.post(f"{PATH}/{made['webhook_id']}/replay")
    assert (answer.status_code, answer.json()) == (202, {"replayed": 3})
    await hooks.delivered()
    assert [one["event"] for one in await hooks.deliveries(made, state="given_up")] == ["webhook.test"]
    assert len(await hooks.deliveries(made, state="delivered")) == 4
    assert hooks.delivery_worker.outcomes == {"waiting": 0, "delivered": 4, "given_up": 4}


async def test_a_message_that_waits_for_its_next_attempt_is_sent_at_once(hooks: Hooks, db: Database):
    made = await hooks.made(EVENT)
    hooks.receiver.status = 500
    await emit(db)
    await hooks.delivered()
    hooks.receiver.status = 200
    answer = await hooks.admin.post(f"{PATH}/{made['webhook_id']}/replay")
    assert answer.json() == {"replayed": 1}
    await hooks.delivered()
    (one,) = await hooks.deliveries(made)
    assert (one["state"], one["attempts"]) == ("delivered", 1)


async def test_a_replay_leaves_out_a_message_that_is_being_sent(hooks: Hooks, db: Database):
    made = await hooks.made(EVENT)
    hooks.receiver.status = 500
    await emit(db)
    await hooks.delivered()
    await due_again(db)
    (taken,) = await webhooks.take_due(db, made["webhook_id"], 10)
    answer = await hooks.admin.post(f"{PATH}/{made['webhook_id']}/replay")
    assert answer.json() == {"replayed": 0}
    (one,) = await hooks.deliveries(made)
    assert one["attempts"] == taken.attempts == 2


async def test_a_replay_needs_audit_view_for_events_of_the_audit(hooks: Hooks, db: Database, with_key: MakeClient):
    made = await hooks.made(EVENT)
    hooks.receiver.status = 410
    await emit(db, 2)
    await hooks.delivered()
    await db.write(
        "UPDATE webhook_deliveries SET event = 'audit.event' WHERE delivery_id ="
        " (SELECT min(delivery_id::text)::uuid FROM webhook_deliveries)"
    )
    path = f"{PATH}/{made['webhook_id']}/replay"
    assert (await (await with_key("webhooks_modify")).post(path)).json() == {"replayed": 1}
    waiting = await hooks.deliveries(made, state="waiting")
    assert [one["event"] for one in waiting] == [EVENT]
    assert (await hooks.admin.post(path)).json() == {"replayed": 2}


async def test_two_apis_deliver_each_message_once(hooks: Hooks, db: Database, app: FastAPI):
    await hooks.made(EVENT)
    await emit(db, 20)
    other = DeliveryWorker(db, Secrets(bytes(32)), app.state.logs, app.state.snapshot)
    await hooks.delivery_worker.start_due_deliveries()
    await other.start_due_deliveries()
    await hooks.delivery_worker.wait_until_idle()
    await other.wait_until_idle()
    assert len(hooks.receiver.requests) == len({message["id"] for message in hooks.receiver.messages}) == 20


async def test_what_a_dead_api_had_taken_is_taken_by_another(hooks: Hooks, db: Database):
    made = await hooks.made(EVENT)
    await emit(db)
    (taken,) = await webhooks.take_due(db, made["webhook_id"], 8)
    assert await webhooks.take_due(db, made["webhook_id"], 8) == []
    await hooks.delivered()
    assert hooks.receiver.requests == []
    await due_again(db)  # its time has expired
    await hooks.delivered()
    assert hooks.receiver.messages[0]["id"] == taken.delivery_id


async def test_a_slow_receiver_keeps_no_other_waiting_and_is_given_up(
    hooks: Hooks, db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sending, "TIMEOUT_S", 2.0)
    slow = Receiver(pause_s=60)
    await slow.start()
    made = await hooks.made(EVENT, name="slow", url=slow.url)
    await hooks.made(EVENT)
    await emit(db)
    await hooks.delivered()
    assert len(hooks.receiver.requests) == 1
    (one,) = await hooks.deliveries(made)
    assert (one["state"], one["status"], one["error"]) == ("waiting", None, "there was no answer within 2 s")
    await slow.stop()


async def test_a_redirect_is_an_answer_like_others(hooks: Hooks, db: Database):
    made = await hooks.made(EVENT)
    hooks.receiver.status, hooks.receiver.headers = 302, {"location": f"{hooks.receiver.url}/elsewhere"}
    await emit(db)
    await hooks.delivered()
    assert len(hooks.receiver.requests) == 1
    assert [(one["state"], one["status"]) for one in await hooks.deliveries(made)] == [("waiting", 302)]


async def test_what_the_setting_does_not_allow_is_not_asked(hooks: Hooks, db: Database):
    https = "https://localhost:1/"
    made = await hooks.made(EVENT, url=https)
    assert "must begin with https://" in await hooks.admin.refused(
        422, f"PATCH {PATH}/{made['webhook_id']}", {"url": "http://example.org/"}
    )
    tried = await hooks.admin.post(f"{PATH}/{made['webhook_id']}/test")
    assert "is not a public address" in tried.json()["error"]
    plain = await hooks.made(EVENT, name="plain")
    await hooks.admin.change("/api/v1/settings", webhook_hosts="")
    await emit(db)
    await hooks.delivered()
    assert hooks.receiver.requests == []
    assert "must begin with https://" in (await hooks.deliveries(plain))[0]["error"]
    assert "neither a host nor host:port" in await hooks.admin.refused(
        422, "PATCH /api/v1/settings", {"webhook_hosts": "http://x"}
    )


async def test_a_webhook_is_tried_once_also_while_it_is_disabled(hooks: Hooks, db: Database):
    made = await hooks.made(EVENT, enabled=False)
    hooks.receiver.status = 404
    tried = (await hooks.admin.post(f"{PATH}/{made['webhook_id']}/test")).json()
    assert (tried["event"], tried["state"], tried["status"]) == ("webhook.test", "given_up", 404)
    assert hooks.receiver.of("webhook.test") == {"webhook_id": made["webhook_id"], "name": "ci"}
    replay = f"POST {PATH}/{made['webhook_id']}/deliveries/{tried['delivery_id']}/replay"
    assert "is disabled" in await hooks.admin.refused(409, replay)
    await due_again(db)
    await hooks.delivered()
    assert len(hooks.receiver.requests) == 1


async def test_no_more_than_a_bound_waits_and_is_kept(hooks: Hooks, db: Database, monkeypatch: pytest.MonkeyPatch):
    made = await hooks.made(EVENT)
    await emit(db, 5)
    assert await webhooks.give_up_excess_deliveries(db, 3, "too many") == [("ci", 2)]
    states = [one["state"] for one in await hooks.deliveries(made)]
    assert states == ["waiting"] * 3 + ["given_up"] * 2
    monkeypatch.setattr("greenroom.db.diagnostics.retention.MAX_DELIVERIES", 4)
    assert (await prune(db, KEEP))["webhook_deliveries"] == 1
    await db.write(
        "UPDATE webhook_deliveries SET at = at - make_interval(days => %s) WHERE state = 'waiting'",
        (DELIVERY_DAYS + 1,),
    )
    assert (await prune(db, KEEP))["webhook_deliveries"] == 3
    await hooks.admin.delete(f"{PATH}/{made['webhook_id']}")
    assert await db.fetch("SELECT 1 FROM webhook_deliveries") == []


async def test_what_happens_is_not_refused_because_a_webhook_is_deleted_meanwhile(hooks: Hooks, db: Database):
    made = await hooks.made(EVENT)
    async with db.transaction() as connection:
        await connection.execute("SELECT send_webhooks(%s, '{}')", (EVENT,))
        assert (await hooks.admin.delete(f"{PATH}/{made['webhook_id']}")).status_code == 204
    assert len(await db.fetch("SELECT 1 FROM webhook_deliveries")) == 1
    assert await hooks.delivered() > 1


async def test_events_and_deliveries_need_their_permissions(hooks: Hooks, with_key: MakeClient):
    made = await hooks.made(EVENT)
    one = f"{PATH}/{made['webhook_id']}"
    viewer = await with_key("webhooks_view")
    assert await viewer.read(f"{one}/deliveries") == []
    for what in (f"POST {one}/test", f"POST {one}/secret", f"PATCH {one}", f"DELETE {one}"):
        await viewer.refused(403, what, {})
    stranger = await with_key("settings_modify", "system_view")
    await stranger.refused(403, f"GET {one}/deliveries")


async def test_events_are_kept_in_their_order_each_once(hooks: Hooks):
    made = await hooks.made(*[str(event) for event in reversed(SELECTABLE_EVENTS)], "pool.full")
    assert made["events"] == [str(event) for event in SELECTABLE_EVENTS]

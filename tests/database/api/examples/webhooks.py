"""Webhooks to an address on this host, to which the messages are actually sent."""

from __future__ import annotations

from typing import Any, Final

from tests.database.api.examples.sessions import runs
from tests.database.api.examples.step import Scene, Step, Wrong, step
from tests.database.api.receiving import Hooks
from tests.support.system import primary_of

from greenroom.core.webhooks import SELECTABLE_EVENTS
from greenroom.db.session.sessions import end_sessions
from greenroom.manager.tasks.pools import examine_pools

SHOWN_URL: Final = "https://ci.example.org/greenroom"


async def sent_everything(scene: Scene) -> None:
    """A receiver of all events; its messages are the examples."""
    await scene.clients["admin"].change("/api/v1/settings", webhook_hosts="127.0.0.1")
    hooks: Hooks = scene.ids["hooks"]
    await hooks.made(*map(str, SELECTABLE_EVENTS), name="records", url=f"{scene.ids['receiver_url']}/records")


async def delivered(scene: Scene) -> None:
    """Deliver all due messages; saves the id of a message to the webhook `ci`."""
    await pool_is_short_and_full_again(scene)
    await sessions_end(scene)
    hooks: Hooks = scene.ids["hooks"]
    while await scene.db.fetch("SELECT 1 FROM webhook_deliveries WHERE state = 'waiting'"):
        await hooks.delivered()
    sent: list[dict[str, Any]] = await scene.clients["admin"].read(
        f"/api/v1/webhooks/{scene.ids['webhook_id']}/deliveries"
    )
    scene.ids["delivery_id"] = sent[0]["delivery_id"]


async def pool_is_short_and_full_again(scene: Scene) -> None:
    """Make the pool short and full again, with an unsuccessful launch in between."""
    primary = await primary_of(scene.db, scene.ids["home_zone_id"])
    await scene.db.write("UPDATE agents SET enabled = false")
    await examine_pools(primary)
    answer = await scene.clients["bob"].post("/api/v1/sessions", json={"image_id": scene.ids["desktop_id"]})
    assert answer.is_error, answer.text
    await scene.db.write("UPDATE agents SET enabled = true")
    for _ in range(3):
        await examine_pools(primary)
        await runs(scene)


async def sessions_end(scene: Scene) -> None:
    """Let a session fail, and delete the released ones."""
    await scene.db.write(
        "UPDATE sessions SET status = 'failed', error = 'The container ended by itself, with exit code 1.'"
        " WHERE session_id = (SELECT session_id FROM sessions WHERE user_id = %s AND status = 'running' LIMIT 1)",
        (scene.ids["bob_id"],),
    )
    gone = await scene.db.fetch("SELECT session_id::text FROM sessions WHERE status = 'deleting'")
    async with scene.db.transaction() as connection:
        await end_sessions(connection, [row["session_id"] for row in gone], "Its user ended it.")


async def one_was_given_up(scene: Scene) -> None:
    await scene.db.write(
        "UPDATE webhook_deliveries SET state = 'given_up' WHERE delivery_id = %s", (scene.ids["delivery_id"],)
    )


WEBHOOKS: Final[list[Step]] = [
    step(
        "create_webhook",
        {"name": "ci", "url": "{receiver_url}", "events": ["pool.full"]},
        saves=("webhook_id", "secret"),
        wrong=Wrong(body={"url": "http://192.168.1.10/"}),
    ),
    step("list_webhooks", wrong=Wrong(by="ada")),
    step("get_webhook"),
    step("update_webhook", {"events": ["pool.short", "pool.full"]}, wrong=Wrong(body={"events": ["pool.maybe"]})),
    step("renew_webhook_secret"),
    step("test_webhook"),
    step("list_webhook_deliveries", query={"state": "delivered"}, before=delivered),
    step("replay_webhook_delivery"),
    step("replay_webhook", before=one_was_given_up),
    step("delete_webhook", wrong=Wrong(again=True)),
]

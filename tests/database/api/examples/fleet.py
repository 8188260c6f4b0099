"""Zones, Managers, Agents, gateways, join tokens, and machine pools."""

from __future__ import annotations

import uuid
from typing import Final

from tests.database.api.examples.step import Scene, Step, Wrong, step
from tests.support import rows

GB: Final = 1_000_000_000
GATEWAY: Final = "7d2c1f0e-55aa-4c1e-8f0b-2f6f4f1f9a10"


async def managers(scene: Scene) -> None:
    for number in (1, 2):
        (row,) = await scene.db.write(
            "INSERT INTO managers (instance_id, zone_id, gateway_url, last_reported, last_round)"
            " VALUES (%s, %s, %s, clock_timestamp(), clock_timestamp()) RETURNING manager_id::text",
            (f"manager-{number}", scene.ids["home_zone_id"], f"https://manager-{number}.example.org:8443"),
        )
        scene.ids |= row


async def idle_agent(scene: Scene) -> None:
    zone, name = scene.ids["home_zone_id"], "host-3.example.org"
    scene.ids["agent_id"] = await rows.agent(
        scene.db, zone, hostname=name, status="dead", image="greenroom/desktop:xfce"
    )


async def authority(scene: Scene) -> None:
    """The certificate that new hosts must trust."""
    scene.app.state.config = scene.app.state.config.model_copy(update={"ca_file": scene.ids["ca_file"]})


async def gateway_token(scene: Scene) -> None:
    body = {"zone_id": scene.ids["home_zone_id"], "role": "gateway"}
    scene.ids["gateway_token"] = (await scene.clients["admin"].make("/api/v1/join-tokens", **body))["token"]


async def order(scene: Scene) -> None:
    (row,) = await scene.db.write(
        "INSERT INTO machine_orders (machine_pool_id, pool_name, zone_name, reason, deadline) SELECT machine_pool_id,"
        " name, 'default', 'A launch found no room for 2 cores.', now() + interval '10 min' FROM machine_pools"
        " RETURNING machine_order_id::text"
    )
    scene.ids |= row


async def no_order(scene: Scene) -> None:
    await scene.db.write("DELETE FROM machine_orders")


FLEET: Final[list[Step]] = [
    step(
        "create_zone",
        {"zone_name": "us-east", "allow_origin_domain": "desk.example.org", "load_balancing_strategy": "Least Load"},
        saves="zone_id",
        wrong=Wrong(again=True),
    ),
    step("list_zones", wrong=Wrong(by="ada")),
    step("get_zone"),
    step("update_zone", {"proxy_port": 8443}, wrong=Wrong(body={"proxy_port": 0})),
    step("delete_zone", wrong=Wrong(again=True)),
    step("list_managers", before=managers, wrong=Wrong(by="ada")),
    step("get_manager"),
    step("explain_manager"),
    step("update_manager", {"enabled": False}),
    step("delete_manager", wrong=Wrong(again=True)),
    step("list_agents", before=idle_agent, wrong=Wrong(by="ada")),
    step("get_agent"),
    step("explain_agent", query={"image_id": "{image_id}"}, wrong=Wrong(by="ada")),
    step("explain_capacity", wrong=Wrong(by="ada")),
    step("update_agent", {"draining": True}, wrong=Wrong(body={"cores_override": -1})),
    step("get_authority", then=authority, by="anonymous"),
    step(
        "create_join_token",
        {"zone_id": "{home_zone_id}", "uses": 3, "hours": 2},
        saves=("join_token_id", "token"),
        wrong=Wrong(body={"hours": 48}),
    ),
    step("list_join_tokens", wrong=Wrong(by="ada")),
    step("get_join_token"),
    step(
        "join_agent",
        {"token": "{token}", "hostname": "host-7.example.org"},
        by="anonymous",
        wrong=Wrong(body={"token": "expired"}),
    ),
    step("revoke_join_token"),
    step(
        "join_gateway",
        {"token": "{gateway_token}", "hostname": "edge-2.example.org", "gateway_id": GATEWAY},
        by="anonymous",
        before=gateway_token,
        saves="gateway_id",
        wrong=Wrong(body={"token": "expired"}),
    ),
    step("list_gateways", wrong=Wrong(by="ada")),
    step("get_gateway"),
    step("delete_gateway", wrong=Wrong(again=True)),
    step("revoke_credential"),
    step("delete_agent", wrong=Wrong(again=True)),
    step(
        "create_machine_pool",
        {
            "name": "cloud",
            "zone_id": "{home_zone_id}",
            "provider": "webhook",
            "options": {"url": "https://cloud.example.org/machines"},
            "secrets": {"token": "a key of the cloud"},
            "cores": 8,
            "memory": 32 * GB,
            "max_machines": 3,
            "join_url": "https://desk.example.org",
            "schedule": ["Mon-Sun 00:00-24:00 Europe/Berlin machines=2"],
        },
        saves="machine_pool_id",
        wrong=Wrong(again=True),
    ),
    step("list_machine_pools", wrong=Wrong(by="ada")),
    step("get_machine_pool", wrong=Wrong(ids={"machine_pool_id": "moon"})),
    step("update_machine_pool", {"idle_s": 900}, wrong=Wrong(body={"min_machines": 9})),
    step("preview_machine_pool", wrong=Wrong(ids={"machine_pool_id": "moon"})),
    step("list_machine_orders", before=order, wrong=Wrong(by="ada")),
    step("get_machine_order", wrong=Wrong(ids={"machine_order_id": str(uuid.UUID(int=1))})),
    step("delete_machine_pool", before=no_order, wrong=Wrong(ids={"machine_pool_id": "moon"})),
]

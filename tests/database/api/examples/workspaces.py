"""Workspaces, web filter policies, homes, the catalogue and staging configs."""

from __future__ import annotations

import json
from typing import Final

from tests.database.api.examples.step import Scene, Step, Wrong, step
from tests.database.api.test_catalogue import picture
from tests.support import rows

from greenroom.api.catalogue import downloads
from greenroom.db.access.users import ALL_USERS

GB: Final = 1_000_000_000


async def home(scene: Scene) -> None:
    (row,) = await scene.db.write(
        "INSERT INTO homes (agent_id, user_id, image_id, size_bytes) SELECT %s, user_id, %s, 734003200 FROM users"
        " WHERE user_id = %s RETURNING home_id::text",
        (scene.ids["home_agent_id"], scene.ids["desktop_id"], scene.ids["ada_id"]),
    )
    scene.ids |= row


async def published_list(url: str, **_: object) -> downloads.DownloadedContent:
    """A foreign catalogue, instead of a request to the internet."""
    del url
    return downloads.DownloadedContent(json.dumps({"name": "Acme", "workspaces": [CHESS]}).encode(), "")


async def misses(scene: Scene) -> None:
    """Launch one session from the pool, and one that the pool cannot serve."""
    config_id = scene.ids["staging_config_id"]
    config_hash = await rows.config_hash(scene.db, config_id)
    await rows.staged_sessions(scene.db, config_id, scene.ids["home_agent_id"], 1, config_hash=config_hash)
    for _ in range(2):
        await scene.clients["bob"].launch(scene.ids["desktop_id"])


CHESS: Final = {
    "friendly_name": "Chess",
    "description": "A game",
    "categories": ["Games"],
    "architecture": ["amd64"],
    "compatibility": [{"version": "1.17.x", "image": "acme/chess:1.17.0"}],
}
EDITOR: Final = {
    "name": "registry.example.org/editor:3",
    "friendly_name": "Editor",
    "description": "Writes and typesets",
    "categories": ["Office"],
    "cores": 2,
    "memory": 2 * GB,
    "exec_config": {"go": {"cmd": "editor --open"}},
}
WORKSPACES: Final[list[Step]] = [
    step("create_image", EDITOR, saves="image_id", wrong=Wrong(again=True)),
    step("preview_image", {"cores": 2, "memory": 2_000_000_000, "groups": [ALL_USERS]}, wrong=Wrong(by="ada")),
    step("list_images", wrong=Wrong(by="ada")),
    step("get_image"),
    step("update_image", {"hidden": True}, wrong=Wrong(body={"memory": 5})),
    step("refresh_image"),
    step("upload_picture", picture(), headers={"Content-Type": "image/png"}),
    step("get_picture"),
    step("remove_picture"),
    step(
        "create_filter_policy",
        {"name": "Exam", "default_action": "deny", "allow": ["exam.example.org"], "deny": ["chat.exam.example.org"]},
        saves="filter_policy_id",
        wrong=Wrong(again=True),
    ),
    step("list_filter_policies", wrong=Wrong(by="ada")),
    step("get_filter_policy"),
    step("update_filter_policy", {"deny": []}, wrong=Wrong(body={"allow": ["https://exam.example.org"]})),
    step("explain_filter_policy", query={"host": "www.exam.example.org"}),
    step("delete_filter_policy", wrong=Wrong(again=True)),
    step("list_homes", before=home, by="ada"),
    step("get_home", by="ada"),
    step("delete_home", by="ada"),
    step(
        "create_catalogue",
        {"name": "acme", "list_url": "https://workspaces.example.org/"},
        saves="catalogue_id",
        wrong=Wrong(again=True),
    ),
    step("list_catalogues", wrong=Wrong(by="ada")),
    step("get_catalogue"),
    step("read_catalogue"),
    step("list_catalogue", wrong=Wrong(by="ada")),
    step("add_from_catalogue", {"groups": []}, wrong=Wrong(ids={"name": "unknown"})),
    step("get_catalogue_picture", wrong=Wrong(ids={"name": "unknown"})),
    step("delete_catalogue", wrong=Wrong(again=True)),
]
STAGING: Final[list[Step]] = [
    step(
        "create_staging_config",
        {"zone_id": "{home_zone_id}", "image_id": "{desktop_id}", "num_sessions": 2, "expiration": 8},
        saves="staging_config_id",
        wrong=Wrong(body={"num_sessions": -1}),
    ),
    step(
        "preview_staging_config",
        {"zone_id": "{home_zone_id}", "image_id": "{desktop_id}", "num_sessions": 4, "expiration": 8},
        wrong=Wrong(body={"num_sessions": -1}),
    ),
    step("list_staging_configs", before=misses, wrong=Wrong(by="ada")),
    step("get_staging_config"),
    step("explain_pool"),
    step("update_staging_config", {"num_sessions": 4}, wrong=Wrong(body={"expiration": 0})),
    step("explain_staging_config", query={"user": "ada@example.org"}),
    step("get_staging_history"),
    step("recycle_staging_config"),
]
AFTERWARDS: Final[list[Step]] = [
    step("delete_staging_config", wrong=Wrong(again=True)),
    step("delete_image", wrong=Wrong(again=True)),
]

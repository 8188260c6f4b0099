"""Creates the objects of the demo through the api: groups, workspaces, people, pools, webhooks, keys and more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from greenroom.client import Greenroom
from greenroom.client.requests import PREFIX, ApiRequest
from greenroom.db.access.users import ALL_USERS
from greenroom.demo.artwork import draw_artwork
from greenroom.demo.history import InventedUser, InventedWorkspace
from greenroom.demo.people import LOG_INS, some_people
from greenroom.demo.plan import (
    EVERYONE,
    GB,
    GROUPS,
    LOGIN_NOTICE,
    POOLS,
    UNIVERSITY,
    WORKSPACES,
    DemoPool,
    DemoSize,
    DemoWorkspace,
    Language,
)

Row = dict[str, Any]

WEBHOOK_ADDRESS: Final = "https://127.0.0.1:9/hooks"
"""The address of the webhooks. Nothing listens there, so messages wait."""


@dataclass(slots=True)
class CreatedObjects:
    """Objects that were created, by their keys in `plan` and `people`."""

    greenroom: Greenroom
    language: Language
    size: DemoSize
    password: str
    groups: dict[str, str] = field(default_factory=dict[str, str])
    users: dict[str, InventedUser] = field(default_factory=dict[str, InventedUser])
    workspaces: dict[str, InventedWorkspace] = field(default_factory=dict[str, InventedWorkspace])
    zone_ids: dict[str, str] = field(default_factory=dict[str, str])
    pools: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    program_keys: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """The API keys of programs: id and secret."""

    def post(self, path: str, body: Row) -> Row:
        return self.greenroom.request("POST", path, body)

    def patch(self, path: str, body: Row) -> Row:
        return self.greenroom.request("PATCH", path, body)

    def rows(self, path: str) -> list[Row]:
        return self.greenroom.rows(path)


def name_installation(made: CreatedObjects) -> None:
    """Set the name and the notice of the installation, which the log-in page shows."""
    settings = {
        "installation_name": UNIVERSITY.text(made.language),
        "login_notice": LOGIN_NOTICE.text(made.language),
        "support_url": "https://help.uni.example",
    }
    made.patch("/settings", settings)


def create_groups(made: CreatedObjects) -> None:
    """Create the groups, and set the settings of All Users."""
    made.zone_ids = {zone["zone_name"]: zone["zone_id"] for zone in made.rows("/zones")}
    made.patch(f"/groups/{ALL_USERS}", {"settings": EVERYONE})
    made.groups["administrators"] = next(
        group["group_id"] for group in made.rows("/groups") if "global_admin" in group["permissions"]
    )
    for group in GROUPS:
        body = {
            "name": group.title.text(made.language),
            "description": group.purpose.text(made.language),
            "priority": group.priority,
            "permissions": list(group.permissions),
            "settings": dict(group.settings),
        }
        made.groups[group.key] = made.post("/groups", body)["group_id"]


def create_people(made: CreatedObjects) -> None:
    """Create the users. Those of `LOG_INS` have the password of the demo."""
    for person in some_people(made.size.people):
        body: Row = {
            "username": person.username,
            "first_name": person.first_name,
            "last_name": person.last_name,
            "organization": UNIVERSITY.text(made.language),
            "groups": [made.groups[key] for key in person.groups],
        }
        if person.login in LOG_INS:
            body["password"] = made.password
        user_id = made.post("/users", body)["user_id"]
        made.users[person.login] = InventedUser(user_id, person.username, person.groups)
        if person.login in LOG_INS:
            attributes = {"preferred_language": made.language, "preferred_timezone": "Europe/Berlin"}
            made.patch(f"/users/{user_id}/attributes", attributes)


def create_workspaces(made: CreatedObjects) -> None:
    """Create the workspaces: those of the catalogue, and those of the university with their artwork."""
    existing = {image["friendly_name"]: image for image in made.rows("/images")}
    for planned in WORKSPACES[: made.size.workspaces]:
        if planned.key == "desktop":
            (desktop,) = existing.values()
            image = made.patch(f"/images/{desktop['image_id']}", {"cores": 2, "memory": 4 * GB, "memory_limit": None})
        elif planned.entry is not None:
            image = made.post(f"/catalogue/{planned.entry}", {})
        else:
            image = _create_workspace(made, planned)
        made.workspaces[planned.key] = InventedWorkspace(
            key=planned.key,
            image_id=image["image_id"],
            name=image["friendly_name"],
            image=image["name"],
            cores=image["cores"],
            memory=image["memory"],
            groups=planned.groups,
            weight=planned.weight,
            cold_s=planned.cold_s,
        )


def _create_workspace(made: CreatedObjects, planned: DemoWorkspace) -> Row:
    name = planned.name.text(made.language)
    body: Row = {
        "name": planned.image,
        "friendly_name": name,
        "description": planned.description.text(made.language),
        "cores": planned.cores,
        "memory": planned.memory,
        "categories": [planned.category.text(made.language)],
    }
    if planned.groups:
        body["groups"] = [made.groups[key] for key in planned.groups]
    image = made.post("/images", body)
    picture = ApiRequest(
        "PUT",
        f"{PREFIX}/images/{image['image_id']}/picture",
        content=draw_artwork(name),
        headers={"Content-Type": "image/png"},
    )
    made.greenroom.send(picture)
    return image


def create_pool(made: CreatedObjects, pool: DemoPool) -> None:
    """Create a pool, unless the demo does not have its workspace."""
    if pool.workspace not in made.workspaces:
        return
    body = {
        "zone_id": made.zone_ids[pool.zone],
        "image_id": made.workspaces[pool.workspace].image_id,
        "num_sessions": max(1, round(pool.sessions * made.size.pooled)),
        "expiration": pool.hours,
        "paused": pool.paused,
    }
    made.pools[pool.workspace, pool.zone] = made.post("/staging-configs", body)["staging_config_id"]


def create_pools(made: CreatedObjects) -> None:
    """Create the pools of a healthy installation."""
    for pool in POOLS:
        create_pool(made, pool)


def create_programs(made: CreatedObjects) -> None:
    """Create service accounts with API keys, secrets, and web filter policies."""
    german = made.language == "de"
    accounts = {
        "grading-robot": "Korrigiert Abgaben" if german else "Grades submissions",
        "lecture-recorder": "Zeichnet Vorlesungen auf" if german else "Records lectures",
        "research-agent": "Recherchiert für Forschungsgruppen" if german else "Does research for groups",
    }
    for name, description in accounts.items():
        body = {"name": name, "description": description, "contact": "it-services@uni.example"}
        account = made.post("/service-accounts", body)
        key = made.post(
            "/api-keys",
            {"name": name, "user_id": account["service_account_id"], "permissions": ["user"], "max_leases": 20},
        )
        made.program_keys.append((key["api_key"], key["api_key_secret"]))
    made.post("/api-keys", {"name": "monitoring", "permissions": ["system_view", "sessions_view"], "read_only": True})
    for name, host in (("library-catalogue", "api.library.example"), ("language-model", "api.models.example")):
        body = {"name": name, "hosts": [host], "value": "value-of-the-demo", "description": host}
        made.post("/secrets", body)
    made.post(
        "/filter-policies",
        {
            "name": "Prüfung" if german else "Examination",
            "default_action": "deny",
            "allow": ["exam.uni.example", "login.uni.example"],
        },
    )
    made.post(
        "/filter-policies",
        {"name": "Labor" if german else "Lab", "default_action": "allow", "deny": ["games.example", "bets.example"]},
    )


def create_webhooks(made: CreatedObjects) -> None:
    """Create webhooks. No event of a healthy demo sends a message, because nothing receives it."""
    made.patch("/settings", {"webhook_hosts": "127.0.0.1:9"})
    for name, event in (("Operations chat", "pool.short"), ("Ticket system", "launch.failed")):
        made.post("/webhooks", {"name": name, "url": WEBHOOK_ADDRESS, "events": [event]})

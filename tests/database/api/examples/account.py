"""Log-ins, users, groups, API keys and settings."""

from __future__ import annotations

from typing import Final

from tests.database.api.client import ADA, USERS_PASSWORD
from tests.database.api.examples.step import Scene, Step, Wrong, step
from tests.database.api.test_catalogue import picture

NEW: Final = "a longer phrase than before"


async def link(scene: Scene) -> None:
    """Create a log-in link for a user, like a program."""
    url = (await scene.clients["admin"].published("get_login", target_user={"user_id": scene.ids["ada_id"]}))["url"]
    scene.ids["link"] = url.rpartition("/")[2]


async def logins(scene: Scene) -> None:
    """The log-in of the visitor's browser, and another one."""
    found = await scene.clients["visitor"].read("/api/v1/me/logins")
    scene.ids["login_id"] = next(one["login_id"] for one in found if not one["current"])


async def setting(scene: Scene) -> None:
    scene.ids["setting_name"] = "idle_disconnect"


async def linus_logs_in(scene: Scene) -> None:
    (row,) = await scene.db.write(
        "INSERT INTO login_sessions (token_hash, user_id, expires, client_ip, user_agent)"
        " SELECT 'linus', user_id, now() + interval '12 h', '192.0.2.23', 'Firefox' FROM users WHERE user_id = %s"
        " RETURNING login_id::text",
        (scene.ids["user_id"],),
    )
    scene.ids |= row


USER: Final = {
    "username": "linus@example.org",
    "password": USERS_PASSWORD,
    "first_name": "Linus",
    "last_name": "Berg",
    "organization": "Example School",
    "groups": ["{group_id}"],
}
LISTS: Final = {
    "sessions": {
        "columns": ["user", "workspace", "status", "cpu"],
        "views": [{"name": "Staged", "query": "kind=staged&sort=-created"}],
    }
}
ACCOUNT: Final[list[Step]] = [
    step("login", {"username": ADA, "password": USERS_PASSWORD}, by="visitor", wrong=Wrong(body={"password": "guess"})),
    step("login_by_link", {"token": "{link}"}, by="visitor", before=link, wrong=Wrong(again=True)),
    step("get_me", by="ada"),
    step("list_own_logins", by="ada"),
    step("get_own_attributes", by="ada"),
    step(
        "update_own_attributes",
        {
            "preferred_language": "de-DE",
            "preferred_timezone": "Europe/Berlin",
            "theme": "dark",
            "density": "compact",
            "lists": LISTS,
        },
        by="ada",
        wrong=Wrong(body={"preferred_timezone": "Berlin"}),
    ),
    step("generate_own_ssh_key", by="ada"),
]
AFTERWARDS: Final[list[Step]] = [
    step("end_own_login", by="visitor", before=logins),
    step(
        "change_own_password",
        {"password": USERS_PASSWORD, "new_password": NEW},
        by="visitor",
        wrong=Wrong(body={"new_password": "short"}),
    ),
    step("logout", by="visitor", wrong=Wrong(by="elsewhere")),
]
PEOPLE: Final[list[Step]] = [
    step("list_permissions"),
    step("list_roles"),
    step("list_group_settings"),
    step(
        "create_group",
        {
            "name": "Students",
            "description": "Everybody who attends a course",
            "priority": 50,
            "permissions": ["sessions_view"],
            "roles": [{"role": "workspace_editor"}],
            "settings": {"session_time_limit": 14400, "allow_kasm_uploads": False},
        },
        saves="group_id",
        wrong=Wrong(again=True),
    ),
    step("list_groups", wrong=Wrong(by="ada")),
    step("get_group"),
    step(
        "update_group",
        {"priority": 40, "settings": {"allow_kasm_uploads": None, "max_kasms_per_user": 2}},
        wrong=Wrong(body={"settings": {"max_kasms_per_user": -1}}),
    ),
    step("test_group_settings", {"values": {"max_kasms_per_user": -1, "watermark": True}}, wrong=Wrong(by="ada")),
    step("get_inherited_settings"),
    step("create_user", USER, saves="user_id", wrong=Wrong(again=True)),
    step("list_users", query={"q": "linus", "sort": "username", "limit": 50}, wrong=Wrong(by="ada")),
    step("get_user"),
    step(
        "update_user", {"phone": "+49 30 123456", "notes": "Second year"}, wrong=Wrong(body={"groups": ["{user_id}"]})
    ),
    step("get_user_settings"),
    step("explain_user_setting", before=setting, query={"value": "10"}, wrong=Wrong(query={"value": "-1"})),
    step("get_user_attributes"),
    step("update_user_attributes", {"default_image": "{image_id}"}, wrong=Wrong(body={"theme": "purple"})),
    step("generate_user_ssh_key"),
    step("list_user_logins", before=linus_logs_in),
    step("end_user_login"),
    step("log_user_out"),
    step("remove_group_user"),
    step("add_group_user"),
    step("add_group_image"),
    step("remove_group_image"),
    step(
        "create_api_key",
        {
            "name": "nightly tests",
            "permissions": ["users_auth_session", "sessions_view"],
            "max_leases": 10,
            "max_lease_s": 3600,
            "expires": "2099-12-31T00:00:00Z",
        },
        saves="key_id",
        wrong=Wrong(body={"permissions": ["root"]}),
    ),
    step("list_api_keys", wrong=Wrong(by="ada")),
    step("get_api_key", wrong=Wrong(ids={"key_id": "unknown"})),
    step("update_api_key", {"max_leases": 20}, wrong=Wrong(body={"max_lease_s": 1})),
    step("rotate_api_key", {"overlap_s": 86400}, wrong=Wrong(body={"overlap_s": 2_592_001})),
    step("delete_api_key", wrong=Wrong(again=True)),
    step(
        "create_service_account",
        {
            "name": "nightly tests",
            "description": "Tests of the course pages",
            "contact": "it@example.org",
            "networks": ["10.1.0.0/16", "2001:db8::/32"],
            "expires": "2099-12-31T00:00:00Z",
        },
        saves="service_account_id",
        wrong=Wrong(body={"networks": ["example.org"]}),
    ),
    step("list_service_accounts", wrong=Wrong(by="ada")),
    step("get_service_account"),
    step("update_service_account", {"enabled": False}, wrong=Wrong(body={"name": ""})),
    step("delete_service_account", wrong=Wrong(again=True)),
    step("delete_user", wrong=Wrong(again=True)),
    step("delete_group", wrong=Wrong(again=True)),
    step("list_settings", wrong=Wrong(by="ada")),
    step("update_settings", {"max_login_attempts": 5}, wrong=Wrong(body={"max_login_attempts": "many"})),
    step("test_settings", {"values": {"max_login_attempts": 0}}, wrong=Wrong(by="ada")),
    step("upload_logo", picture(), headers={"Content-Type": "image/png"}, wrong=Wrong(by="ada")),
    step("get_branding", by="visitor", wrong=Wrong(by="misdirected")),
    step("get_logo", by="visitor", wrong=Wrong(by="misdirected")),
    step("remove_logo"),
]

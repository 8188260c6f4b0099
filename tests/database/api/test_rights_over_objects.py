"""One rule for each kind of object with rights of its own, applied to all its verbs, also the rare ones.

The routes come from the application. A new route must be of a known kind, or be listed here with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from fastapi import FastAPI
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage

from greenroom.api.security import RouteAccess, access_of
from greenroom.core.access.permissions import PERMISSIONS

V1: Final = "/api/v1/"
PUBLIC: Final = "/api/public/"
ABOVE: Final = "webfilters_delete"
"""The permission that the objects have and the caller lacks."""
RIGHTS: Final = ("users_modify_admin", "groups_modify_system", "audit_view")
"""The permissions that give the right over objects above the caller."""
LACKING: Final = {"global_admin", ABOVE, *RIGHTS}
ISSUER: Final = "https://campus.example"
ID: Final = "00000000-0000-4000-8000-000000000000"

WITHOUT_RIGHTS: Final = {
    *("agents", "catalogue", "catalogues", "filter-policies", "gateways", "images", "join-tokens", "machine-pools"),
    *("managers", "staging-configs", "zones"),
}
"""Objects that have no rights and no owner: the permissions of their routes decide."""
OF_THE_CALLER: Final = {"me"}
OWN_CREDENTIALS: Final = {"shares", "sign-on"}
"""Their routes check a credential of their own."""
BY_ACT: Final = {"sessions", "leases"}
"""The authorization table has the rule of each act, and `test_authorization.py` compares all entry points with it."""

EVIDENCE: Final = "auditors also see what administrators did; each access is audited"
FREE: Final = {
    "POST session-videos/{session_id}/viewings": EVIDENCE,
    "POST webhooks/{webhook_id}/test": "it sends no event of the audit",
    "POST webhooks/{webhook_id}/replay": "it leaves out events of the audit without `audit_view`",
    "POST webhooks/{webhook_id}/deliveries/{delivery_id}/replay": "test_audit_webhooks.py tries it with an event",
    "POST sign-on-providers/{provider_id}/forget-keys": "it gives no key, and trusts only the provider that is set",
    "POST sign-on-providers/{provider_id}/test": "it changes nothing, and logs in no user",
    "POST directories/{directory_id}/test": "it changes nothing, and logs in no user",
    "POST directories/{directory_id}/sync/preview": "it changes nothing",
}
"""Verbs that need no right over their object, each with the reason."""
BODIES: Final[dict[str, dict[str, Any]]] = {
    "PATCH users/{user_id}": {"notes": "x"},
    "PATCH users/{user_id}/attributes": {"preferred_language": "de"},
    "POST users/{user_id}/identities": {"issuer": ISSUER, "subject": "other"},
    "PATCH groups/{group_id}": {"description": "x"},
    "PATCH api-keys/{key_id}": {"name": "x"},
    "POST api-keys/{key_id}/rotate": {"overlap_s": 0},
    "PATCH service-accounts/{service_account_id}": {"description": "x"},
    "PATCH webhooks/{webhook_id}": {"enabled": False},
    "PATCH secrets/{secret_id}": {"name": "x"},
    "PATCH sign-on-providers/{provider_id}": {"client_id": "other"},
    "PATCH directories/{directory_id}": {"title": "x"},
    "POST directories/{directory_id}/sync": {"force": False},
    "PATCH scim-clients/{client_id}": {"name": "x"},
    "POST scim-clients/{client_id}/token": {"overlap_s": 0},
}


@dataclass(frozen=True)
class Objects:
    """Objects above the caller: the id of each by its kind, and the ids of objects below them by parameter."""

    ids: dict[str, str]
    others: dict[str, str] = field(default_factory=dict[str, str])

    def path(self, route: RouteAccess) -> str:
        kind = route.path.removeprefix(V1).partition("/")[0]
        path = route.path
        for number, parameter in enumerate(_parameters(path)):
            value = self.ids[kind] if number == 0 else self.others.get(parameter, ID)
            path = path.replace("{" + parameter + "}", value)
        return path


def _parameters(path: str) -> list[str]:
    return [part.partition("}")[0] for part in path.split("{")[1:]]


def name_of(route: RouteAccess) -> str:
    return f"{route.method} {route.path.removeprefix(V1)}"


def changing_routes(app: FastAPI) -> Iterator[RouteAccess]:
    """The routes of `/api/v1` that change one object."""
    for route in access_of(app):
        if route.path.startswith(V1) and "{" in route.path and route.method not in ("GET", "HEAD"):
            yield route


def kind_of(route: RouteAccess) -> str:
    return route.path.removeprefix(V1).partition("/")[0]


@pytest.fixture
async def objects(stage: Stage, ada: Client) -> Objects:
    admin, ada_id = stage.admin, await ada.own_id()
    group = (await admin.make("/api/v1/groups", name="Above", permissions=[ABOVE]))["group_id"]
    assert (await admin.put(f"/api/v1/groups/{group}/users/{ada_id}")).status_code == 204
    key = await admin.make("/api/v1/api-keys", name="above", permissions=[ABOVE])
    account = await admin.make("/api/v1/service-accounts", name="builds", groups=[group])
    webhook = await admin.make("/api/v1/webhooks", name="siem", url="https://hooks.example/x", events=["audit.event"])
    provider = await admin.make("/api/v1/sign-on-providers", name="campus", title="C", client_id="c", issuer=ISSUER)
    identity = await admin.make(f"/api/v1/users/{ada_id}/identities", issuer=ISSUER, subject="ada")
    directory = await admin.make(
        "/api/v1/directories", name="staff", title="S", servers=["ldaps://ldap.example"], user_base="dc=example"
    )
    client = await admin.make("/api/v1/scim-clients", name="Okta")
    secret = await ada.make("/api/v1/secrets", name="token", value="hidden", hosts=["example.org"])
    await stage.db.write(
        "INSERT INTO identities (user_id, issuer, subject)"
        " SELECT %s, 'directory:' || directory_id, 'ada' FROM directories",
        (ada_id,),
    )
    await stage.db.write(
        "INSERT INTO scim_users (client_id, user_id, document) SELECT %s, %s, '{}'", (client["client_id"], ada_id)
    )
    (home,) = await stage.db.write(
        "INSERT INTO homes (agent_id, user_id, image_id, size_bytes)"
        " SELECT agent_id, %s, image_id, 1 FROM agents, images LIMIT 1 RETURNING home_id::text",
        (ada_id,),
    )
    (login,) = (await admin.read(f"/api/v1/users/{ada_id}/logins"))[:1]
    return Objects(
        {
            "users": ada_id,
            "groups": group,
            "api-keys": key["key_id"],
            "service-accounts": account["service_account_id"],
            "webhooks": webhook["webhook_id"],
            "sign-on-providers": provider["provider_id"],
            "directories": directory["directory_id"],
            "scim-clients": client["client_id"],
            "secrets": secret["secret_id"],
            "homes": home["home_id"],
        },
        {"identity_id": identity["identity_id"], "login_id": login["login_id"], "user_id": ada_id},
    )


KINDS: Final = {
    *("users", "groups", "api-keys", "service-accounts", "webhooks", "sign-on-providers", "directories"),
    *("scim-clients", "secrets", "homes"),
}


def test_every_route_that_changes_an_object_has_a_kind_of_object(app: FastAPI):
    known = KINDS | WITHOUT_RIGHTS | OF_THE_CALLER | OWN_CREDENTIALS | BY_ACT
    routes = list(changing_routes(app))
    unknown = [name_of(route) for route in routes if kind_of(route) not in known and name_of(route) not in FREE]
    assert unknown == [], "add its object to a kind, or the route to FREE with the reason"
    assert {kind_of(route) for route in routes} >= known, "a kind without a route"
    assert {name_of(route) for route in routes} >= {*FREE, *BODIES}, "a route that does not exist"
    without_acts = [
        name_of(route) for route in routes if kind_of(route) in BY_ACT and not getattr(route.declared, "acts", ())
    ]
    assert without_acts == []


async def test_every_verb_of_an_object_above_the_caller_needs_the_right_over_it(
    app: FastAPI, objects: Objects, with_key: MakeClient
):
    caller = await with_key(*(PERMISSIONS.keys() - LACKING))
    wrong: list[str] = []
    tried = set[str]()
    for route in changing_routes(app):
        if kind_of(route) not in KINDS or name_of(route) in FREE:
            continue
        answer = await caller.request(route.method, objects.path(route), json=BODIES.get(name_of(route)))
        tried.add(kind_of(route))
        required = answer.json().get("required", []) if answer.status_code == 403 else []
        if not {*RIGHTS, ABOVE} & set(required):
            wrong.append(f"{name_of(route)}: {answer.status_code} {answer.text[:200]}")
    assert wrong == []
    assert tried == KINDS


PEOPLE: Final = ("users_", "groups_", "sessions_")
"""The beginnings of the permissions whose published calls act on users, groups and sessions."""
REVEALS_NOTHING: Final = "it ends, pauses or extends a session, which reveals nothing"
PUBLISHED_ELSEWHERE: Final = {
    **dict.fromkeys(("destroy_kasm", "keepalive", "stop_kasm", "pause_kasm", "resume_kasm"), REVEALS_NOTHING),
    **dict.fromkeys(("request_kasm", "join_kasm", "get_kasm_status", "exec_command_kasm"), "test_authorization.py"),
    **dict.fromkeys(("get_session_token", "update_session_token", "delete_session_token"), "test_public_tokens.py"),
    "get_kasm_screenshot": "the act SCREENSHOT",
    **dict.fromkeys(("get_session_recordings", "get_sessions_recordings"), EVIDENCE),
    **dict.fromkeys(
        ("set_session_permissions", "delete_session_permissions", "delete_all_session_permissions"),
        "the act SHARE_BY_NAME",
    ),
    **dict.fromkeys(("assign_user_server", "unassign_user_server"), "Greenroom has no servers of users"),
    **dict.fromkeys(("create_user", "create_group"), "the object is new"),
}
READ_ONLY: Final = {
    *("get_user", "get_users", "get_user_attributes", "get_attributes", "get_user_kasms", "get_users_group"),
    *("get_group", "get_groups", "get_images_group", "get_settings_group", "get_kasms", "get_session_permissions"),
    *("get_kasm_frame_stats", "get_kasm_bottleneck_stats", "get_rdp_client_connection_info"),
}
"""Calls that return facts about users, groups and sessions, but not the content of a session or a credential."""


def published_calls(app: FastAPI) -> dict[str, tuple[str, ...]]:
    """Name → codes of the calls that act on users, groups and sessions."""
    found = dict[str, tuple[str, ...]]()
    for route in access_of(app):
        codes = (
            *((route.declared and route.declared.codes) or ()),
            *((route.declared and route.declared.one_of) or ()),
        )
        if route.path.startswith(PUBLIC) and any(code.startswith(PEOPLE) for code in codes):
            found[route.path.removeprefix(PUBLIC)] = codes
    return found


async def test_every_published_call_about_a_user_or_group_above_needs_the_right_over_them(
    app: FastAPI, objects: Objects, stage: Stage, connect: MakeClient
):
    codes = sorted(PERMISSIONS.keys() - LACKING)
    key = await stage.admin.make("/api/v1/api-keys", name="all but", permissions=codes)
    user, group = {"user_id": objects.ids["users"]}, {"group_id": objects.ids["groups"]}
    body: dict[str, Any] = {
        "api_key": key["api_key"],
        "api_key_secret": key["api_key_secret"],
        "target_user": user | {"notes": "x", "first_name": "x"},
        "target_user_attributes": user | {"preferred_language": "de"},
        "target_group": group | {"description": "x"},
        "target_image": {"image_id": stage.image_id},
        "target_setting": {"name": "allow_kasm_audio", "value": True},
        "force": True,
    }
    outsider = await connect()
    calls = published_calls(app).keys() - PUBLISHED_ELSEWHERE.keys() - READ_ONLY
    answers = {name: await outsider.post(PUBLIC + name, json=body) for name in sorted(calls)}
    wrong = {name: answer.text[:200] for name, answer in answers.items() if answer.status_code != 403}
    assert wrong == {}
    assert len(calls) > 10
    assert published_calls(app).keys() >= PUBLISHED_ELSEWHERE.keys() | READ_ONLY, "a call that does not exist"


def test_a_new_route_must_be_listed(app: FastAPI):
    app.add_api_route("/api/v1/treasures/{treasure_id}", lambda: None, methods=["DELETE"])
    with pytest.raises(AssertionError, match="treasures"):
        test_every_route_that_changes_an_object_has_a_kind_of_object(app)

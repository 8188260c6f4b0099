"""Roles of groups: their codes, and their scopes, in which the codes count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from tests.database.api.client import Client, MakeClient
from tests.database.api.factors import enroll_app
from tests.database.api.staging import Stage
from tests.support import rows

from greenroom.api.scopes import LISTED, ObjectScope
from greenroom.api.security import access_of
from greenroom.core.access.roles import ROLES
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database

GROUPS = "/api/v1/groups"


@dataclass(frozen=True)
class Site:
    """Two zones, each with an Agent, a Manager, a gateway and a staging config; two groups, each with a user who has a
    session in the zone of the same position."""

    stage: Stage
    zones: list[str]
    agents: list[str]
    managers: list[str]
    gateways: list[str]
    configs: list[str]
    groups: list[str]
    members: list[Client]
    ids: list[str]
    sessions: list[str]

    @property
    def admin(self) -> Client:
        return self.stage.admin

    async def assign(self, client: Client, *roles: dict[str, Any], **fields: Any) -> str:
        """Make the user of a client a member of a new group with these roles; returns the group."""
        name = f"Roles {len(await self.admin.read(GROUPS))}"
        group_id = (await self.admin.make(GROUPS, name=name, roles=list(roles), **fields))["group_id"]
        assert (await self.admin.put(f"{GROUPS}/{group_id}/users/{await client.own_id()}")).status_code == 204
        return group_id


@pytest.fixture
async def site(stage: Stage, with_user: MakeClient, db: Database) -> Site:
    other_zone = await rows.zone(db, "eu")
    zones = [stage.zone_id, other_zone]
    agents = [stage.agent_id, await rows.agent(db, other_zone, hostname="agent-2", image=stage.image_name)]
    groups = [(await stage.admin.make(GROUPS, name=name))["group_id"] for name in ("Sales", "Labs")]
    members = [await with_user(name) for name in ("ann@example.org", "ben@example.org")]
    ids = [await member.own_id() for member in members]
    managers, gateways, configs, sessions = [[""] * 2 for _ in range(4)]
    for number in range(2):
        await stage.admin.put(f"{GROUPS}/{groups[number]}/users/{ids[number]}")
        configs[number] = await stage.config(zone_id=zones[number])
        (manager,) = await db.write(
            "INSERT INTO managers (instance_id, zone_id, last_round) VALUES (%s, %s, clock_timestamp())"
            " RETURNING manager_id::text",
            (f"manager-{number}", zones[number]),
        )
        (gateway,) = await db.write(
            "INSERT INTO gateways (zone_id, credential_hash, hostname) VALUES (%s, 'x', 'gate')"
            " RETURNING gateway_id::text",
            (zones[number],),
        )
        (session,) = await db.write(
            "INSERT INTO sessions (session_id, zone_id, image_id, user_id, agent_id, status, spec,"
            " credential_encrypted, spec_hash, cores, memory) VALUES"
            " (gen_random_uuid(), %s, %s, %s, %s, 'running', '{}', '', '', 1, 1000) RETURNING session_id::text",
            (zones[number], stage.image_id, ids[number], agents[number]),
        )
        managers[number], gateways[number] = manager["manager_id"], gateway["gateway_id"]
        sessions[number] = session["session_id"]
    return Site(stage, zones, agents, managers, gateways, configs, groups, members, ids, sessions)


# Assignments ------------------------------------------------------------------------------------------------------


async def test_the_members_of_a_group_have_the_codes_of_its_roles(site: Site, user: Client):
    assert (await user.get("/api/v1/images")).status_code == 403
    await site.assign(user, {"role": "auditor"}, permissions=["images_modify"])
    assert (await user.get("/api/v1/images")).status_code == 200
    assert set(ROLES["auditor"].codes) | {"images_modify"} <= set((await user.read("/api/v1/me"))["permissions"])


async def test_a_group_returns_its_roles_with_their_scopes(site: Site):
    roles = [
        {"role": "zone_operator", "zones": sorted(site.zones)},
        {"role": "help_desk", "groups": [site.groups[0]]},
        {"role": "auditor"},
    ]
    made = await site.admin.make(GROUPS, name="Jobs", roles=roles)
    assert made["roles"] == [
        {"role": "auditor", "zones": None, "groups": None},
        {"role": "help_desk", "zones": None, "groups": [site.groups[0]]},
        {"role": "zone_operator", "zones": sorted(site.zones), "groups": None},
    ]
    path = f"{GROUPS}/{made['group_id']}"
    assert (await site.admin.change(path, description="x"))["roles"] == made["roles"]
    assert (await site.admin.change(path, roles=[]))["roles"] == []


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        ([{"role": "chief"}], "roles"),
        ([{"role": "auditor", "zones": []}], "cannot be restricted to zones"),
        ([{"role": "zone_operator", "zones": []}], "at least one zone"),
        ([{"role": "zone_operator", "groups": [ALL_USERS]}], "cannot be restricted to groups"),
        ([{"role": "user"}, {"role": "user"}], "each role must occur once"),
        ([{"role": "zone_operator", "zones": ["00000000-0000-4000-8000-000000000000"]}], "does not exist"),
    ],
)
async def test_a_role_with_a_wrong_scope_is_refused(admin: Client, roles: list[dict[str, Any]], reason: str):
    assert reason in await admin.refused(422, f"POST {GROUPS}", {"name": "Jobs", "roles": roles})


async def test_a_deleted_zone_does_not_widen_the_scope_of_a_role(site: Site, db: Database, user: Client):
    zone_id = await rows.zone(db, "asia")
    group = await site.assign(user, {"role": "zone_operator", "zones": [zone_id]})
    assert (await site.admin.delete(f"/api/v1/zones/{zone_id}")).status_code == 204
    assert (await site.admin.read(f"{GROUPS}/{group}"))["roles"] == []
    assert (await user.get("/api/v1/zones")).status_code == 403


async def test_a_change_of_roles_is_audited(site: Site, db: Database, user: Client):
    group = await site.assign(user, {"role": "auditor"})
    await site.admin.change(f"{GROUPS}/{group}", roles=[{"role": "help_desk", "groups": [site.groups[0]]}])
    row = await db.fetch_one("SELECT details FROM logs WHERE code = 'group-changed' ORDER BY log_id DESC LIMIT 1")
    assert row is not None
    assert "auditor" in str(row["details"]["before"])
    assert site.groups[0] in str(row["details"]["after"])


async def test_the_role_of_the_last_administrator_cannot_be_removed(site: Site, user: Client):
    chiefs = await site.assign(user, {"role": "administrator"})
    system = next(group for group in await site.admin.read(GROUPS) if group["name"] == "Administrators")
    assert (await user.patch(f"{GROUPS}/{system['group_id']}", json={"permissions": []})).status_code == 200
    path = f"{GROUPS}/{chiefs}"
    assert "would leave no administrator" in await site.admin.refused(409, f"PATCH {path}", {"roles": []})
    assert "would leave no administrator" in await site.admin.refused(409, f"DELETE {path}")


# Scopes -----------------------------------------------------------------------------------------------------------


async def test_a_zone_operator_sees_and_changes_only_the_zones_of_the_scope(site: Site, user: Client):
    await site.assign(user, {"role": "zone_operator", "zones": [site.zones[0]]})
    for noun, ids in (
        ("zones", site.zones),
        ("agents", site.agents),
        ("managers", site.managers),
        ("gateways", site.gateways),
        ("staging-configs", site.configs),
        ("sessions", site.sessions),
    ):
        inside, outside = (f"/api/v1/{noun}/{each}" for each in ids)
        listed = {value for row in await user.read(f"/api/v1/{noun}") for value in row.values() if value in ids}
        assert listed == {ids[0]}, noun
        assert (await user.get(inside)).status_code == 200, noun
        assert (await user.get(outside)).status_code == 404, noun
    for noun, ids, body in (
        ("zones", site.zones, {"proxy_port": 8443}),
        ("agents", site.agents, {"draining": True}),
        ("managers", site.managers, {"enabled": True}),
        ("staging-configs", site.configs, {"num_sessions": 1}),
    ):
        await user.change(f"/api/v1/{noun}/{ids[0]}", **body)
        assert (await user.patch(f"/api/v1/{noun}/{ids[1]}", json=body)).status_code == 404, noun
    assert (await user.delete(f"/api/v1/sessions/{site.sessions[1]}")).status_code == 404
    assert (await user.delete(f"/api/v1/sessions/{site.sessions[0]}")).is_success


async def test_a_zone_operator_creates_staging_configs_only_in_the_scope(site: Site, user: Client):
    await site.assign(user, {"role": "zone_operator", "zones": [site.zones[0]]})
    made = site.stage.body(allow_kasm_audio=False)
    await user.make("/api/v1/staging-configs", **made)
    assert (await user.post("/api/v1/staging-configs", json=made | {"zone_id": site.zones[1]})).status_code == 404
    assert (await user.post("/api/v1/staging-configs", json=made | {"zone_id": "default"})).status_code == 404


async def test_a_help_desk_sees_and_changes_only_members_of_the_scope(site: Site, user: Client, db: Database):
    await site.assign(user, {"role": "help_desk", "groups": [site.groups[0]]})
    inside, outside = (f"/api/v1/users/{each}" for each in site.ids)
    assert [row["user_id"] for row in await user.read("/api/v1/users")] == [site.ids[0]]
    assert [row["user_id"] for row in await user.read("/api/v1/users", group_id=site.groups[1])] == []
    assert (await user.get(f"{GROUPS}/{site.groups[0]}")).status_code == 200
    assert (await user.get(f"{GROUPS}/{site.groups[1]}")).status_code == 404
    assert "Labs" not in {group["name"] for group in await user.read(GROUPS)}
    await user.change(inside, password="another ordinary one")
    assert (await user.delete(f"{inside}/logins")).status_code == 204
    assert (await site.members[0].get("/api/v1/me")).status_code == 401
    assert (await user.patch(outside, json={"password": "another ordinary one"})).status_code == 404
    assert (await user.delete(f"{outside}/logins")).status_code == 404
    await db.write("INSERT INTO session_steps (session_id, name) SELECT session_id, 'painted' FROM sessions")
    assert [row["session_id"] for row in await user.read("/api/v1/sessions")] == [site.sessions[0]]
    assist = {"access": "control"}
    assert (await user.post(f"/api/v1/sessions/{site.sessions[1]}/assist", json=assist)).status_code == 404
    assert (await user.post(f"/api/v1/sessions/{site.sessions[0]}/assist", json=assist)).status_code == 201
    await site.admin.change(f"{GROUPS}/{ALL_USERS}", settings={"idle_disconnect": 5})
    open_shares = "SELECT count(*)::integer AS number FROM session_shares WHERE ended IS NULL"
    assert await db.fetch_one(open_shares) == {"number": 1}, "the assistance continues after a change of groups"


async def test_a_help_desk_neither_watches_nor_controls_a_user_with_more_rights(site: Site, user: Client, db: Database):
    await site.assign(user, {"role": "help_desk", "groups": [site.groups[0]]})
    operators = await site.assign(site.members[0], {"role": "zone_operator", "zones": [site.zones[0]]})
    await db.write("INSERT INTO session_steps (session_id, name) SELECT session_id, 'painted' FROM sessions")
    assist = f"POST /api/v1/sessions/{site.sessions[0]}/assist"
    for access in ("view", "control"):
        assert "users_modify_admin" in await user.refused(403, assist, {"access": access})
    await site.admin.delete(f"{GROUPS}/{operators}")
    assert (await user.post(assist.removeprefix("POST "), json={"access": "view"})).status_code == 201


async def test_a_help_desk_changes_no_user_with_another_group_or_more_rights(site: Site, user: Client):
    own = await site.assign(user, {"role": "help_desk", "groups": [site.groups[0]]})
    ann = f"/api/v1/users/{site.ids[0]}"
    await site.admin.put(f"{GROUPS}/{site.groups[1]}/users/{site.ids[0]}")
    assert (await user.get(ann)).status_code == 200
    assert "users_modify" in await user.refused(403, f"PATCH {ann}", {"notes": "x"})
    await site.admin.delete(f"{GROUPS}/{site.groups[1]}/users/{site.ids[0]}")
    await user.change(ann, notes="x")
    await site.admin.change(f"{GROUPS}/{site.groups[0]}", permissions=["users_modify"])
    above = await user.refused(403, f"PATCH {ann}", {"notes": "y"})
    assert "users_modify_admin" in above, "users_modify in a scope is less than users_modify"
    await site.admin.change(f"{GROUPS}/{site.groups[0]}", permissions=[])
    await site.admin.change(f"{GROUPS}/{site.groups[0]}", roles=[{"role": "zone_operator", "zones": [site.zones[0]]}])
    assert (await user.patch(ann, json={"notes": "y"})).status_code == 403, "a code in a zone is more, too"
    for refused in (
        await user.put(f"{GROUPS}/{site.groups[0]}/users/{site.ids[1]}"),
        await user.patch(f"{GROUPS}/{own}", json={"roles": [{"role": "help_desk"}]}),
        await user.patch(ann, json={"groups": [own]}),
    ):
        assert refused.status_code in (403, 404), refused.text


async def test_a_help_desk_resets_second_factors_only_in_its_scope(site: Site, user: Client):
    await site.assign(user, {"role": "help_desk", "groups": [site.groups[0]]})
    inside, outside = (f"/api/v1/users/{each}/second-factors" for each in site.ids)
    await enroll_app(site.members[0])
    assert len((await user.read(inside))["factors"]) == 1
    assert (await user.get(outside)).status_code == 404
    assert (await user.delete(outside)).status_code == 404
    assert (await user.delete(inside)).status_code == 204
    assert (await user.read(inside))["factors"] == []
    await site.admin.put(f"{GROUPS}/{site.groups[1]}/users/{site.ids[0]}")
    assert "must contain all groups of the user" in await user.refused(403, f"DELETE {inside}")


async def test_a_help_desk_changes_preferences_only_in_its_scope(site: Site, user: Client):
    await site.assign(user, {"role": "help_desk", "groups": [site.groups[0]]})
    inside, outside = (f"/api/v1/users/{each}" for each in site.ids)
    assert (await user.patch(f"{inside}/attributes", json={"preferred_language": "de"})).status_code == 200
    assert (await user.read(f"{inside}/attributes"))["preferred_language"] == "de"
    assert (await user.post(f"{inside}/ssh-key")).status_code == 200
    for refused in ("GET {}/attributes", "PATCH {}/attributes", "POST {}/ssh-key"):
        await user.refused(404, refused.format(outside), {})


async def test_a_code_in_a_scope_is_missing_on_every_route_without_a_scope(site: Site, user: Client, app: FastAPI):
    """The caller has all codes of the roles that can have a scope, in both zones and both groups."""
    await site.assign(
        user,
        {"role": "zone_operator", "zones": site.zones},
        {"role": "help_desk", "groups": [*site.groups, ALL_USERS]},
    )
    some_id, checked = "00000000-0000-4000-8000-000000000000", 0
    scoped = {code for name in ("zone_operator", "help_desk") for code in ROLES[name].codes}
    for route in access_of(app):
        declared = route.declared
        if declared is None or declared.scope is not None or not (scoped & {*(declared.codes or ()), *declared.one_of}):
            continue
        if "user" in declared.one_of or "groups_view_ifmember" in declared.one_of:
            continue  # the codes of users are enough to reach these
        path = route.path.replace("{", "").replace("}", "")
        answer = await user.request(route.method, path.replace("user_id", some_id), json={})
        assert answer.status_code in (401, 403), f"{route.method} {route.path}: {answer.text}"
        checked += 1
    assert checked >= 10


async def test_the_page_today_is_about_the_zones_of_the_role(site: Site, user: Client, db: Database):
    await site.assign(user, {"role": "zone_operator", "zones": [site.zones[1]]})
    await db.write("UPDATE agents SET enabled = false")
    await db.write(
        "INSERT INTO launches (launch_id, image_id, user_id, outcome, steps) SELECT gen_random_uuid(), i, u,"
        " 'failed', '[]' FROM (VALUES (%s::uuid, %s::uuid)) one (i, u)",
        (site.stage.image_id, site.ids[0]),
    )
    today = await user.read("/api/v1/today")
    disabled = [entry["help"]["object"]["id"] for entry in today["attention"] if entry["code"] == "agent-disabled"]
    assert disabled == [site.agents[1]]
    assert [each["zone_id"] for each in today["primaries"]] == [site.zones[1]]
    assert (today["pools"]["pools"], today["capacity"]["agents"], today["sessions"]["number"]) == (1, 1, 1)
    assert (today["launches"], today["changes"], today["next_credential"]) == (None, None, None)
    assert "launches" not in {entry["code"] for entry in today["attention"]}
    why = await user.read("/api/v1/why/capacity")
    assert [fact["object"]["id"] for step in why["steps"] for fact in step["facts"]] == [site.agents[1]]


async def test_the_page_today_of_a_help_desk_is_about_the_sessions_of_its_groups(site: Site, user: Client):
    await site.assign(user, {"role": "help_desk", "groups": [site.groups[0]]})
    today = await user.read("/api/v1/today")
    assert (today["sessions"]["number"], today["sessions"]["oldest"]["session_id"]) == (1, site.sessions[0])
    assert (today["attention"], today["capacity"], today["pools"]) == ([], None, None)


async def test_the_search_finds_only_objects_in_the_scope_of_a_role(site: Site, user: Client):
    await site.assign(user, {"role": "zone_operator", "zones": [site.zones[1]]})

    async def found(query: str) -> set[str]:
        return {hit["id"] for hit in await user.read(f"/api/v1/search?q={query}")}

    assert await found("agent") == {site.agents[1], site.sessions[1]}, "the session runs on the Agent"
    assert await found("manager") == {site.managers[1]}
    assert await found("desktop") == {site.configs[1], site.sessions[1]}
    assert await found("ann@") == set()
    await site.assign(user, {"role": "help_desk", "groups": [site.groups[0]]})
    assert await found("ann@") == {site.ids[0], site.sessions[0]}
    assert await found("ben@") == {site.sessions[1]}
    assert await found("sales") == {site.groups[0]}


async def test_the_routes_with_a_scope_are_these(app: FastAPI):
    """A code of a role with a scope counts on these routes. Each one is tested above, or acts on one session."""
    listed = {f"{r.method} {r.path}" for r in access_of(app) if r.declared and r.declared.scope is LISTED}
    scoped = {r.path for r in access_of(app) if r.declared and isinstance(r.declared.scope, ObjectScope)}
    nouns = ("agents", "managers", "zones", "gateways", "staging-configs", "users", "groups")
    names = (*nouns, "sessions", "today", "stage-map", "series", "search", "why/capacity")
    assert {what for what in listed if "{" not in what} == {f"GET /api/v1/{name}" for name in names}
    assert all(
        "{session_id}" in what or what.endswith("/leases/{lease_id}/recording") for what in listed if "{" in what
    )
    assert all(path.replace("/why", "").split("/")[3] in nouns for path in scoped)


# Grants -----------------------------------------------------------------------------------------------------------


async def test_a_caller_assigns_only_roles_of_which_it_has_all_codes(site: Site, user: Client):
    editors = {"permissions": ["groups_view", "groups_create", "groups_modify", "users_view"]}
    await site.assign(user, {"role": "zone_operator", "zones": [site.zones[0]]}, **editors)
    ids = iter(range(9))

    async def assign(*roles: dict[str, Any]) -> int:
        body = {"name": f"New {next(ids)}", "roles": list(roles)}
        return (await user.post(GROUPS, json=body)).status_code

    assert await assign({"role": "zone_operator", "zones": [site.zones[0]]}) == 201
    assert await assign({"role": "zone_operator", "zones": site.zones}) == 403
    assert await assign({"role": "zone_operator"}) == 403
    assert await assign({"role": "help_desk", "groups": [site.groups[0]]}) == 403
    assert await assign({"role": "user"}) == 201, "every user has this code"
    wide = (await site.admin.make(GROUPS, name="Wide", roles=[{"role": "zone_operator"}]))["group_id"]
    me = await user.own_id()
    assert "groups_modify_system" in await user.refused(403, f"PUT {GROUPS}/{wide}/users/{me}")
    assert (await user.patch(f"{GROUPS}/{wide}", json={"description": "x"})).status_code == 403
    narrow = (await site.admin.make(GROUPS, name="Narrow"))["group_id"]
    body = {"roles": [{"role": "zone_operator", "zones": [site.zones[1]]}]}
    assert (await user.patch(f"{GROUPS}/{narrow}", json=body)).status_code == 403


async def test_a_key_has_the_scope_of_its_owner(site: Site, user: Client, with_key_of: MakeClient):
    codes = ("agents_view", "agents_modify", "devapi_create", "devapi_view")
    group = await site.assign(user, {"role": "zone_operator"}, permissions=["devapi_create", "devapi_view"])
    key = await with_key_of(user, *codes)
    assert len(await key.read("/api/v1/agents")) == 2
    await site.admin.change(f"{GROUPS}/{group}", roles=[{"role": "zone_operator", "zones": [site.zones[1]]}])
    assert [agent["agent_id"] for agent in await key.read("/api/v1/agents")] == [site.agents[1]]
    assert (await key.patch(f"/api/v1/agents/{site.agents[0]}", json={"draining": True})).status_code == 404
    assert (await key.get("/api/v1/zones")).status_code == 403, "the key lacks the code"
    refused = await key.refused(403, "POST /api/v1/api-keys", {"name": "x", "permissions": ["agents_view"]})
    assert "agents_view" in refused


async def test_me_names_codes_in_a_scope_separately(site: Site, user: Client):
    await site.assign(user, {"role": "help_desk", "groups": [site.groups[0]]})
    me = await user.read("/api/v1/me")
    assert me["permissions"] == ["user"]
    assert me["scoped_permissions"] == sorted(ROLES["help_desk"].codes)

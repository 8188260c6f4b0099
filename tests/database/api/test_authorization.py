"""Every entry point to a session uses the authorization table: routes by callers by switches, compared with `TABLE`."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import pytest
from fastapi import FastAPI
from psycopg.types.json import Jsonb
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage

from greenroom.api.desk.schemas import ActionsDone
from greenroom.api.security import AccessDeclaration, access_of
from greenroom.api.session.authorized import VERBS, ActsOnSession
from greenroom.core.access.group_settings import EffectiveSetting
from greenroom.core.errors import Unavailable
from greenroom.core.session.authorization import TABLE, Act, Kind, SessionCaller, SessionFacts, decide
from greenroom.core.session.streams import PROGRAM_FOLDERS
from greenroom.interfaces.mcp.tools import TOOLS

AT_THE_GATEWAY: Final = {*PROGRAM_FOLDERS.values(), Act.WATCH, Act.TYPE, Act.STREAM_AS_PROGRAM}
"""Acts that the Agent authorizes: tests/unit/core/session/test_streams.py compares them."""
WITHIN: Final = {Act.OPEN, Act.OUTPUT_OF_WORKSPACE, Act.SHARE_BY_NAME, Act.DESTROY_FOR_USERS}
"""Acts of the published interface, or within a route of another act."""
ENDS: Final = {Act.DELETE, Act.FORCE_DELETE, Act.RELEASE, Act.ASSIST}
"""Acts that end the session, or need a person: they are only tried if the table refuses them."""
VIDEOS: Final = "/api/v1/session-videos/"
"""Routes to stored videos, which have their own permission. Their sessions may be over."""
BODIES: Final[dict[str, dict[str, Any]]] = {
    "/actions": {"actions": [{"action": "screenshot"}]},
    "/exec": {"command": ["true"]},
    "/control": {"holder": "person"},
    "/go": {"kasm_url": "https://example.com"},
    "/shares": {"access": "view", "guest": True},
    "/assist": {"access": "view"},
    "/{lease_id}": {"seconds": 600},
}


@dataclass(frozen=True)
class Entry:
    """A route to a session, and one of the acts it declares."""

    method: str
    path: str
    act: Act

    @property
    def of_lease(self) -> bool:
        return "{lease_id}" in self.path

    def body(self) -> dict[str, Any] | None:
        if self.method not in ("POST", "PATCH"):
            return None
        if self.path.endswith("/lifecycle-commands"):
            return {"command": str(self.act)}
        if self.path.endswith("/commands"):
            return {"command": ["true"]} | ({"user": "root"} if self.act is Act.COMMAND_AS else {})
        return next((body for end, body in BODIES.items() if self.path.endswith(end)), None)

    def query(self) -> dict[str, Any]:
        if self.path.endswith("share-candidates"):
            return {"q": "a"}
        return {"force": True} if self.act is Act.FORCE_DELETE else {}


def declared_acts(declared: AccessDeclaration | None) -> tuple[Act, ...]:
    return getattr(declared, "acts", ())


def routes_to_sessions(app: FastAPI) -> list[tuple[str, str, Any]]:
    return [
        (route.method, route.path, route.declared)
        for route in access_of(app)
        if ("{session_id}" in route.path or "{lease_id}" in route.path) and not route.path.startswith(VIDEOS)
    ]


def entries(app: FastAPI) -> list[Entry]:
    return [
        Entry(method, path, act)
        for method, path, declared in routes_to_sessions(app)
        for act in declared_acts(declared)
    ]


@dataclass(frozen=True)
class Asker:
    """A caller of the api, with the facts that the table uses."""

    name: str
    client: Client
    kind: Kind
    permissions: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def asking(self, entry: Entry) -> SessionCaller:
        kind = self.kind if entry.of_lease or self.kind is Kind.USER else Kind.OTHER
        return SessionCaller(kind=kind, permissions=self.permissions, codes=self.permissions)


class NoDesk:
    """Replaces `app.state.desks`: a caller that reaches it was admitted."""

    async def of(self, _lease: object) -> ActionsDone:
        raise Unavailable("The session was reached.")

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Scene:
    """A lease of ada's session, created by an API key; and callers of every kind."""

    stage: Stage
    lease: dict[str, Any]
    askers: list[Asker]

    async def set(self, *, switches: bool, settings: bool, held: bool, above: bool = False) -> SessionFacts:
        """Switch all conditions of the table on or off. `above`: ada has a permission that most callers lack."""
        rows = TABLE.values()
        permitted = {name: switches for row in rows for name in (*row.session_needs, *row.session_needs_one_of)}
        groups = {name: settings for row in rows for name in (row.user_setting, row.watch_setting) if name}
        await self.stage.db.write(
            "UPDATE sessions SET permissions = %s WHERE session_id = %s", (Jsonb(permitted), self.lease["session_id"])
        )
        await self.stage.everybody(**groups, allow_kasm_sharing=True, allow_guest_links=True)
        await self.stage.db.write("DELETE FROM lease_controls")
        if held:
            await self.stage.db.write(
                "INSERT INTO lease_controls (lease_id, term, viewer, name, until, said)"
                " VALUES (%s, 1, 'user', 'ada', clock_timestamp() + interval '1 hour', '')",
                (self.lease["lease_id"],),
            )
        if above:
            group = await self.stage.admin.make("/api/v1/groups", name="Above", permissions=[*ABOVE])
            path = f"/api/v1/groups/{group['group_id']}/users/{self.lease['user_id']}"
            assert (await self.stage.admin.put(path)).status_code == 204
        return SessionFacts(
            permitted=permitted,
            settings={name: EffectiveSetting(name=name, value=on, groups=(), trace="") for name, on in groups.items()},
            user="ada",
            user_permissions=ABOVE if above else (),
            held_by="ada" if held else "",
        )

    async def ask(self, entry: Entry, asker: Asker) -> httpx2.Response:
        ids = {"lease_id": self.lease["lease_id"], "session_id": self.lease["session_id"], "path:path": "a"}
        ids |= {"path": "a", "share_id": "0123abcd", "viewer_id": self.lease["lease_id"], "number": "1"}
        path = entry.path
        for name, value in ids.items():
            path = path.replace("{" + name + "}", value)
        return await asker.client.request(
            entry.method, path, json=entry.body(), params=entry.query(), headers=asker.headers
        )


def is_refused(answer: httpx2.Response) -> bool:
    """True if an answer is a refusal of the table, and not of later checks."""
    if answer.status_code in (401, 403):
        return True
    said = answer.json() if answer.headers.get("content-type", "").startswith("application/problem") else {}
    is_hidden = answer.status_code == 404 and said["detail"].startswith(
        ("There is no session", "There is no lease", "There is no recording")
    )
    return is_hidden or said.get("code") == "held"


KEYS: Final = (
    ("sessions_view",),
    ("sessions_modify",),
    ("sessions_screenshot",),
    ("sessions_modify", "sessions_screenshot"),
    ("sessions_delete",),
    ("users_auth_session", "user"),
    ("recordings_view", "recordings_delete"),
    ("sessions_modify", "sessions_screenshot", "users_modify_admin"),
)
ABOVE: Final = ("sessions_view", "webfilters_view")
"""The permissions of a user above most callers."""


@pytest.fixture
async def scene(stage: Stage, connect: MakeClient, with_user: MakeClient, with_key: MakeClient) -> Scene:
    stage.app.state.desks = NoDesk()
    ada, bob = await with_user("ada@example.org"), await with_user("bob@example.org")
    holder = await with_key("leases_create_for_others")
    name = (await stage.admin.only("/api/v1/images"))["friendly_name"]
    lease = await holder.make(
        "/api/v1/leases", workspace=name, seconds=3600, user_id=await ada.own_id(), record="actions"
    )
    bearer = {"Authorization": f"Bearer {lease['token']}"}
    askers = [
        Asker("its user", ada, Kind.USER, ("user",)),
        Asker("another user", bob, Kind.OTHER, ("user",)),
        Asker("the program", await connect(), Kind.PROGRAM, (), bearer),
        Asker("the key that made the lease", holder, Kind.LEASE_KEY, ("leases_create_for_others",)),
        *[Asker(" and ".join(codes), await with_key(*codes), Kind.OTHER, codes) for codes in KEYS],
    ]
    return Scene(stage, lease, askers)


def test_every_route_to_a_session_declares_its_acts_and_every_act_has_an_entry_point(app: FastAPI):
    silent = [f"{method} {path}" for method, path, declared in routes_to_sessions(app) if not declared_acts(declared)]
    assert silent == [], "declare them with caller_for(…) or lease_for(…)"
    assert {entry.act for entry in entries(app)} | AT_THE_GATEWAY | WITHIN == set(Act)


def test_a_route_without_an_act_is_found(app: FastAPI):
    app.add_api_route("/api/v1/sessions/{session_id}/new", lambda: None, methods=["GET"])
    assert [path for _, path, declared in routes_to_sessions(app) if not declared_acts(declared)] == [
        "/api/v1/sessions/{session_id}/new"
    ]


def test_every_tool_of_the_protocol_is_a_request_to_a_route_that_declares_its_acts(app: FastAPI):
    lease_id = "00000000-0000-4000-8000-000000000000"
    given: dict[str, Any] = {"path": "a", "content": "", "command": ["true"]}
    declared = {(entry.method, entry.path.replace("{lease_id}", lease_id)) for entry in entries(app)}
    lease_tools = [tool for tool in TOOLS if tool.needs_lease]
    assert lease_tools
    for tool in lease_tools:
        asked = tool.make_request(lease_id, given)
        path = "/api/v1" + asked.path
        path = path.replace("/files/a", "/files/{path:file}") if path.endswith("/files/a") else path
        assert (asked.method, path) in declared, tool.name


@pytest.mark.parametrize(
    ("switches", "settings", "held", "above"),
    [
        (True, True, False, False),
        (False, True, False, False),
        (True, False, False, False),
        (True, True, True, False),
        (True, True, False, True),
    ],
)
async def test_each_entry_point_answers_each_caller_as_the_table_says(
    scene: Scene, switches: bool, settings: bool, held: bool, above: bool
):
    facts = await scene.set(switches=switches, settings=settings, held=held, above=above)
    wrong: list[str] = []
    for entry, asker in itertools.product(entries(scene.stage.app), scene.askers):
        if asker.kind is Kind.PROGRAM and not entry.of_lease:
            continue
        expected = bool(decide(entry.act, asker.asking(entry), facts).refused)
        if entry.act in ENDS and not expected:
            continue
        if asker.kind is Kind.PROGRAM and entry.act in (Act.CONTROL, Act.SEE_RECORDING, Act.DELETE_RECORDING):
            expected = True  # these routes take no token
        answer = await scene.ask(entry, asker)
        if is_refused(answer) != expected:
            wrong.append(f"{asker.name}: {entry.method} {entry.path} ({entry.act}): {answer.status_code} {answer.text}")
    assert wrong == []


async def test_sessions_of_users_above_the_caller_are_neither_opened_nor_launched(scene: Scene):
    stage, user_id = scene.stage, scene.lease["user_id"]
    path = f"/api/v1/sessions/{scene.lease['session_id']}"
    await stage.db.write("UPDATE sessions SET status = 'running' WHERE session_id = %s", (scene.lease["session_id"],))
    await scene.set(switches=True, settings=True, held=False)
    await stage.everybody(allow_shared_control=True)
    bob = next(asker.client for asker in scene.askers if asker.name == "another user")
    link = await stage.admin.make(f"{path}/shares", access="control", user_id=await bob.own_id())
    codes = ["users_auth_session", "user", "sessions_view", "sessions_modify"]
    keys = {
        name: await stage.admin.make("/api/v1/api-keys", name=name, permissions=permissions)
        for name, permissions in (("below", codes), ("with right", [*codes, "users_modify_admin"]))
    }

    async def found(name: str) -> dict[str, bool]:
        """What a key gets of the session: an address, a link, a token, a new session."""
        key = keys[name]
        auth = httpx2.BasicAuth(key["api_key"], key["api_key_secret"])
        secrets = {field: key[field] for field in ("api_key", "api_key_secret")}
        kasm = {"kasm_id": scene.lease["session_id"], "user_id": user_id}
        joined = {"share_id": link["share_id"], "user_id": user_id}
        launched = {"image_id": stage.image_id, "user_id": user_id}
        outsider = scene.askers[2].client
        answers = {
            "lease": await outsider.post(
                "/api/v1/leases", json={"workspace": stage.image_id, "seconds": 60, "user_id": user_id}, auth=auth
            ),
            "launch": await outsider.post("/api/v1/sessions", json=launched, auth=auth),
        } | {
            call: await outsider.post(f"/api/public/{call}", json=secrets | body)
            for call, body in (
                ("request_kasm", launched),
                ("get_kasm_status", kasm),
                ("join_kasm", joined),
                ("exec_command_kasm", kasm | {"exec_config": {"cmd": "id"}}),
            )
        }
        connection = (await outsider.get(f"{path}/connection", auth=auth)).json()
        shares = (await outsider.get(f"{path}/shares", auth=auth)).json()
        return {call: answer.status_code != 403 for call, answer in answers.items()} | {
            "address": connection["frame_url"] is not None,
            "link": shares[0]["connect_url"] != "",
        }

    assert set((await found("below")).values()) == {True}
    await scene.set(switches=True, settings=True, held=False, above=True)
    assert set((await found("below")).values()) == {False}
    assert set((await found("with right")).values()) == {True}


async def test_assistance_with_any_access_needs_the_right_over_the_user(scene: Scene, with_user: MakeClient):
    await scene.set(switches=True, settings=True, held=False, above=True)
    helper = await with_user("helper@example.org")
    path = f"/api/v1/sessions/{scene.lease['session_id']}/assist"
    group = await scene.stage.admin.make("/api/v1/groups", name="Helpers", permissions=["sessions_assist"])
    await scene.stage.admin.put(f"/api/v1/groups/{group['group_id']}/users/{await helper.own_id()}")
    for access in ("view", "control"):
        assert "users_modify_admin" in await helper.refused(403, f"POST {path}", {"access": access})
    chief = ["sessions_assist", "users_modify_admin", "user"]
    await scene.stage.admin.change(f"/api/v1/groups/{group['group_id']}", permissions=chief)
    for access in ("view", "control"):
        assert "users_modify_admin" not in (await helper.post(path, json={"access": access})).text


async def test_who_may_only_modify_neither_looks_at_a_leased_desktop_nor_hides_in_its_log(scene: Scene):
    await scene.set(switches=True, settings=True, held=False)
    path = f"/api/v1/leases/{scene.lease['lease_id']}"
    key = next(one.client for one in scene.askers if one.permissions == ("sessions_modify",))
    for what in (f"GET {path}/screenshot", f"GET {path}/tree"):
        assert "sessions_screenshot" in await key.refused(403, what)
    looks = {"actions": [{"action": "screenshot"}]}
    assert "sessions_screenshot" in await key.refused(403, f"POST {path}/actions", looks)
    assert (await key.get(f"{path}/files/.bashrc")).status_code == 503, "let in"
    (row,) = await scene.stage.log("session-entered")
    assert row["username"].startswith("API key ")
    assert f"{row['username']} reads files of session" in row["message"]
    session = await scene.stage.row(scene.lease["session_id"])
    assert session["last_screenshot_at"] is None


async def test_who_looks_at_a_leased_desktop_is_logged_and_shown_to_its_user(scene: Scene):
    await scene.set(switches=True, settings=True, held=False)
    path = f"/api/v1/leases/{scene.lease['lease_id']}/screenshot"
    key = next(one.client for one in scene.askers if one.permissions == ("sessions_screenshot",))
    assert (await key.get(path)).status_code == 503, "let in"
    assert "API key" in (await scene.stage.log("session-screenshot"))[0]["message"]
    assert (await scene.stage.row(scene.lease["session_id"]))["last_screenshot_at"] is not None


def test_each_logged_act_has_its_own_verb():
    assert set(VERBS) == {act for act, row in TABLE.items() if row.logged != "never"}


class RunsCommands:
    """Replaces `app.state.desks`: every command ends with 0."""

    async def of(self, _lease: object) -> RunsCommands:
        return self

    @asynccontextmanager
    async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[RunsCommands]:
        yield self

    async def aiter_bytes(self) -> AsyncGenerator[bytes]:
        yield b'{"exit_code": 0}\n'

    async def close(self) -> None: ...


async def test_the_row_of_a_command_names_who_ran_it(scene: Scene):
    await scene.set(switches=True, settings=True, held=False)
    scene.stage.app.state.desks = RunsCommands()
    path = f"/api/v1/leases/{scene.lease['lease_id']}/exec"
    for asker in scene.askers:
        await asker.client.post(path, json={"command": ["id"]}, headers=asker.headers)
    rows = await scene.stage.log("session-command")
    user, program, holder, modifier, both, _ = [(row["username"], row["message"]) for row in rows]
    assert user[0] == program[0] == "ada@example.org"
    assert "with the token of its lease" in program[1]
    assert "with the token of its lease" not in user[1]
    assert len({holder[0], modifier[0], both[0]}) == 3
    entered = [row["message"] for row in await scene.stage.log("session-entered")]
    assert entered
    assert all(" runs a command in session " in message for message in entered)
    assert all(name.startswith("API key ") and said.startswith(f"{name} runs id") for name, said in (holder, modifier))


def test_a_declaration_requires_what_others_need():
    declared = ActsOnSession(Act.COMMAND, Act.COMMAND_AS)
    assert (declared.acts, declared.one_of) == ((Act.COMMAND, Act.COMMAND_AS), ("user", "sessions_modify"))

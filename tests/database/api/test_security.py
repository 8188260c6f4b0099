"""The access to routes, and requests from other origins."""

from __future__ import annotations

import base64
import re
import uuid

import pytest
from fastapi import FastAPI
from tests.database.api.client import Client, MakeClient

from greenroom.api.openapi import document
from greenroom.api.security import PublicAccess, access_of, check_access_declared
from greenroom.core.access.permissions import GLOBAL_ADMIN, PERMISSIONS, USER
from greenroom.db.database import Database
from greenroom.interfaces.public.calls import RequiresKey
from greenroom.kit.secrets import secret_digest

SOME_ID = str(uuid.UUID(int=1))


def routes(app: FastAPI) -> list[tuple[str, str, tuple[str, ...]]]:
    """(method, path, codes) of all routes under /api/v1 that need a credential, with ids filled in."""
    return [
        (
            route.method,
            re.sub(r"\{[^}]*\}", SOME_ID, route.path),
            (*(route.declared.codes or ()), *route.declared.one_of),
        )
        for route in access_of(app)
        if route.declared is not None
        and not isinstance(route.declared, PublicAccess)
        and route.path.startswith("/api/v1/")
    ]


async def test_only_these_routes_need_no_credential(app: FastAPI):
    public = {f"{r.method} {r.path}" for r in access_of(app) if isinstance(r.declared, PublicAccess)}
    assert {p for p in public if "/internal/" not in p} == {
        "GET /api/__healthcheck",
        "GET /metrics",
        "POST /api/v1/connect",
        "POST /api/v1/connect/control",
        "POST /api/v1/connect/keepalives",
        "POST /api/v1/login",
        "POST /api/v1/login/link",
        "POST /api/v1/login/second-factor",
        "POST /api/v1/login/second-factor/passkey",
        "GET /api/v1/sign-on",
        "POST /api/v1/sign-on/{provider_name}/start",
        "GET /api/v1/sign-on/{provider_name}/callback",
        "POST /api/v1/sign-on/{provider_name}/callback",
        "GET /api/v1/sign-on/{provider_name}/metadata",
        "GET /api/v1/sign-on/{provider_name}/saml-logout",
        "POST /api/v1/sign-on/{provider_name}/backchannel-logout",
        "GET /api/v1/sign-on/{provider_name}/frontchannel-logout",
        "GET /api/v1/openapi.json",
        "GET /api/public/openapi.json",
        "GET /api/v1/authority",
        "GET /api/v1/branding",
        "GET /api/v1/branding/logo",
        "POST /api/v1/join/agent",
        "POST /api/v1/join/gateway",
        "POST /api/v1/shares/{share_id}/invitation",
        "POST /api/v1/shares/{share_id}/return",
        "POST /api/v1/shares/{share_id}/viewers",
    }


async def test_every_published_call_needs_a_key_with_a_permission(app: FastAPI):
    others = r"/(metrics$|mcp$|api/(v1/|internal/|scim/|__healthcheck|public/openapi.json$))"
    published = [r for r in access_of(app) if not re.match(others, r.path)]
    assert len(published) > 40
    for route in published:
        assert isinstance(route.declared, RequiresKey), route.path
        assert route.declared.codes or route.declared.one_of, route.path


async def test_a_route_that_does_not_say_who_may_use_it_is_not_served(app: FastAPI):
    app.add_api_route("/api/v1/forgotten", lambda: None)
    with pytest.raises(AssertionError, match="GET /api/v1/forgotten"):
        check_access_declared(app)


async def test_nothing_without_a_credential(app: FastAPI, anonymous: Client):
    for method, path, _ in routes(app):
        answer = await anonymous.request(method, path, json={})
        assert answer.status_code == 401, f"{method} {path}"
        assert answer.json()["code"] == "unauthenticated"


async def test_what_needs_no_permission_shows_nothing_of_other_users(app: FastAPI):
    free = {
        f"{r.method} {r.path}"
        for r in access_of(app)
        if r.declared and r.declared.codes == () == r.declared.one_of and not r.path.startswith("/api/scim/")
    }
    assert free == {
        "POST /api/v1/logout",
        "POST /mcp",
        "GET /api/v1/me",
        "GET /api/v1/me/logins",
        "DELETE /api/v1/me/logins/{login_id}",
        "POST /api/v1/me/password",
        "POST /api/v1/me/confirmation",
        "GET /api/v1/me/second-factors",
        "POST /api/v1/me/second-factors/totp/start",
        "POST /api/v1/me/second-factors/totp",
        "POST /api/v1/me/second-factors/passkey/start",
        "POST /api/v1/me/second-factors/passkey",
        "DELETE /api/v1/me/second-factors/{factor_id}",
        "POST /api/v1/me/recovery-codes",
        "GET /api/v1/me/identities",
        "POST /api/v1/me/identities",
        "DELETE /api/v1/me/identities/{identity_id}",
        "POST /api/v1/sign-on/logout",
        "GET /api/v1/why/permissions/{code}",
        "GET /api/v1/permissions",
        "GET /api/v1/roles",
        "GET /api/v1/group-settings",
        "GET /api/v1/version",
    }


async def test_every_code_exists_and_is_needed_somewhere(app: FastAPI):
    needed = {code for r in access_of(app) if r.declared for code in (*(r.declared.codes or ()), *r.declared.one_of)}
    assert needed - set(PERMISSIONS) == set()
    in_the_body = {"global_admin", "users_modify_admin", "groups_modify_system", "sessions_assist_silent"}
    assert set(PERMISSIONS) - needed == in_the_body


async def test_every_route_is_refused_without_its_code_alone(app: FastAPI, connect: MakeClient, db: Database):
    """A key with every other code is refused: this code gives access to the route."""
    secret_hash, checked = secret_digest("secret"), 0
    for route in access_of(app):
        if route.declared is None or isinstance(route.declared, PublicAccess):
            continue
        for needed in [(code,) for code in route.declared.codes or ()] + [route.declared.one_of]:
            if not needed:
                continue
            granted = sorted(set(PERMISSIONS) - {GLOBAL_ADMIN, *needed})
            await db.write("DELETE FROM api_keys WHERE key_id = 'others'")
            await db.write(
                "INSERT INTO api_keys (key_id, secret_hash, permissions) VALUES ('others', %s, %s)",
                (secret_hash, granted),
            )
            key = await connect(("others", "secret"))
            answer = await key.request(route.method, re.sub(r"\{[^}]*\}", SOME_ID, route.path), json={})
            assert answer.status_code == 403, f"{route.method} {route.path} without {needed}"
            assert not route.path.startswith("/api/v1/") or answer.json()["code"] == "forbidden"
            checked += 1
    assert checked > 100


async def test_the_codes_of_a_route_are_enough_for_it(app: FastAPI, connect: MakeClient, db: Database):
    """With these codes nothing is forbidden; the requested object does not exist, or the request is invalid."""
    secret_hash, checked = secret_digest("secret"), 0
    for route in access_of(app):
        codes = (*(route.declared.codes or ()), *route.declared.one_of[:1]) if route.declared else ()
        if not codes or USER in codes or route.path.endswith("/events"):
            continue
        await db.write("DELETE FROM api_keys WHERE key_id = 'enough'")
        await db.write(
            "INSERT INTO api_keys (key_id, secret_hash, permissions) VALUES ('enough', %s, %s)",
            (secret_hash, list(codes)),
        )
        key = await connect(("enough", "secret"))
        answer = await key.request(route.method, re.sub(r"\{[^}]*\}", SOME_ID, route.path), json={})
        assert answer.status_code != 403, f"{route.method} {route.path} with {codes}: {answer.text}"
        checked += 1
    assert checked > 100


async def test_a_user_may_use_only_what_is_for_users(app: FastAPI, user: Client):
    for_others = [(method, path) for method, path, codes in routes(app) if codes and USER not in codes]
    assert len(for_others) > 100
    for method, path in for_others:
        answer = await user.request(method, path, json={})
        assert answer.status_code == 403, f"{method} {path}"


async def test_a_read_only_key_only_reads(with_key: MakeClient):
    key = await with_key("zones_view", "zones_modify", read_only=True)
    assert (await key.get("/api/v1/zones")).status_code == 200
    assert (await key.patch(f"/api/v1/zones/{SOME_ID}", json={})).status_code == 403


async def test_a_broken_authorization_header_is_401(anonymous: Client):
    for header in ("Basic !!!", "Basic YWJj", "Bearer abc", "Basic YWI6", "Basic"):
        answer = await anonymous.get("/api/v1/zones", headers={"Authorization": header})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")


async def test_a_browser_is_not_asked_for_a_password_by_the_browser_itself(anonymous: Client):
    answer = await anonymous.get("/api/v1/zones", headers={"Sec-Fetch-Mode": "cors"})
    assert answer.status_code == 401
    assert "www-authenticate" not in answer.headers


async def test_another_origin_cannot_act_with_the_cookie(logged_in: MakeClient):
    for headers, status in (
        ({"Sec-Fetch-Site": "same-origin"}, 204),
        ({"Sec-Fetch-Site": "none"}, 204),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://127.0.0.1:8443"}, 403),
        ({"Origin": "https://127.0.0.1:8443"}, 204),
        ({"Origin": "https://127.0.0.1:8445"}, 403),
        ({"Origin": "null"}, 403),
        ({"Referer": "https://127.0.0.1:8443/admin"}, 204),
        ({"Referer": "https://127.0.0.1:8443.evil.example/"}, 403),
        ({}, 403),
    ):
        browser = await logged_in()
        del browser.headers["Sec-Fetch-Site"]
        answer = await browser.post("/api/v1/logout", headers=headers)
        assert answer.status_code == status, headers
        if status == 403:
            assert (await browser.get("/api/v1/me")).status_code == 200, "still logged in"


async def test_a_log_in_from_another_site_is_refused(anonymous: Client):
    body = {"username": "admin@greenroom.local", "password": "one-time secret"}
    answer = await anonymous.post("/api/v1/login", json=body, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_another_host_is_misdirected(anonymous: Client):
    for host in ("evil.example", "127.0.0.1.evil.example:8443", "", "127.0.0.2", "127.0.0.1:x@evil.example"):
        answer = await anonymous.get("/api/v1/me", headers={"Host": host})
        assert answer.status_code == 421
        assert answer.json()["code"] == "misdirected-host"
        assert "Open https://127.0.0.1:8443, or add the name to GREENROOM_SERVED_HOSTS" in answer.json()["detail"]


async def test_a_text_that_cannot_be_stored_is_refused_without_a_defect(admin: Client):
    cursor = base64.urlsafe_b64encode(b'["\\ud800"]').decode()
    assert (await admin.refused(422, "GET /api/v1/users", cursor=cursor)).startswith("invalid: ")
    half = r'{"name": "odd", "settings": {"run_config": {"\ud800": "x"}}}'
    answer = await admin.post("/api/v1/groups", content=half, headers={"Content-Type": "application/json"})
    assert (answer.status_code, "settings: it contains an unpaired surrogate" in answer.json()["detail"]) == (422, True)


async def test_a_number_outside_json_is_refused_where_any_value_is_taken(admin: Client):
    """Stored as null it would break every launch of the group."""
    for number in ("NaN", "1e400"):
        body = f'{{"name": "odd", "settings": {{"run_config": {{"environment": {{"A": {number}}}}}}}}}'
        answer = await admin.post("/api/v1/groups", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, "value of A must be a text" in answer.json()["detail"]) == (422, True)


async def test_a_large_body_is_refused(admin: Client):
    async def chunks():
        for _ in range(40):
            yield b"x" * 65536

    for content in (b"x" * (1 << 20) + b"x", chunks()):
        answer = await admin.post("/api/v1/zones", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["code"] == "too-large"


async def test_every_answer_has_the_headers_of_a_json_interface(anonymous: Client, admin: Client):
    for answer in (await anonymous.get("/api/v1/me"), await admin.get("/api/v1/zones"), await admin.get("/nowhere")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_problems_are_documents_with_a_code(admin: Client):
    for path, code in (("/api/v1/nothing", "not-found"), (f"/api/v1/zones/{SOME_ID}", "not-found")):
        answer = await admin.get(path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == code
        assert answer.json()["status"] == answer.status_code == 404
    assert "unknown" in await admin.refused(422, "POST /api/v1/zones", {"zone_name": "a", "unknown": 1})
    refused = await admin.refused(422, "POST /api/v1/sessions", {"image": "a"})
    assert "image: is not a known field (did you mean image_id?)" in refused
    group = {"name": "a", "settings": {"idle_disconect": 1}}
    assert "`idle_disconect`; did you mean idle_disconnect?" in await admin.refused(422, "POST /api/v1/groups", group)
    answer = await admin.put("/api/v1/zones")
    assert (answer.status_code, answer.json()["type"]) == (405, "urn:greenroom:problem:method-not-allowed")
    assert answer.json()["detail"] == "/api/v1/zones does not accept PUT; it accepts GET, POST."
    assert answer.headers["Allow"] == "GET, POST"
    broken = await admin.post("/api/v1/zones", content=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 422


async def test_a_defect_is_500_without_details(app: FastAPI, admin: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("greenroom.db.fleet.zones.list_zones", None)
    answer = await admin.get("/api/v1/zones")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "NoneType" not in answer.text


async def test_the_description_is_that_of_the_command(anonymous: Client):
    answer = await anonymous.get("/api/v1/openapi.json")
    assert answer.json() == document()
    assert answer.json()["openapi"].startswith("3.1")

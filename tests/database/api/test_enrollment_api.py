"""Join tokens for administrators, and the requests of a new host before it has a credential."""

from __future__ import annotations

import asyncio
import shlex
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import pytest
from fastapi import FastAPI
from tests.database.api.client import Client, MakeClient
from tests.database.locks import waiting
from tests.support import rows

from greenroom.core.fleet.enrollment import MAX_LOGGED
from greenroom.db.database import Database
from greenroom.db.fleet.enrollment import register_gateway
from greenroom.kit.certificates import fingerprint, new_authority
from greenroom.kit.secrets import Secrets, secret_digest


@pytest.fixture
async def zone_id(admin: Client) -> str:
    return (await admin.read("/api/v1/zones"))[0]["zone_id"]


@pytest.fixture
def authority(app: FastAPI, tmp_path: Path) -> str:
    """The certificate of the authority in the api's answer."""
    file = tmp_path / "ca.pem"
    file.write_text(new_authority("test", datetime.now(UTC)).certificate)
    app.state.config = app.state.config.model_copy(update={"ca_file": file})
    return file.read_text()


async def make(admin: Client, zone_id: str, **fields: Any) -> dict[str, Any]:
    answer = await admin.post("/api/v1/join-tokens", json={"zone_id": zone_id, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def listed(admin: Client, token: dict[str, Any]) -> dict[str, Any]:
    return await admin.read(f"/api/v1/join-tokens/{token['join_token_id']}")


async def join_refusals(app: FastAPI, db: Database) -> list[str]:
    await app.state.logs.flush()
    return [row["message"] for row in await db.fetch("SELECT message FROM logs WHERE code = 'join-refused'")]


async def test_the_answer_has_the_command_for_the_new_host(admin: Client, zone_id: str, authority: str):
    made = await make(admin, zone_id, uses=3, hours=2)
    words = shlex.split(made["join_command"])
    assert words[:5] == ["greenroom", "join", "https://127.0.0.1:8443", "--token", made["token"]]
    assert words[5:] == ["--ca-sha256", fingerprint(authority)]
    gateways = await make(admin, zone_id, role="gateway")
    assert "--role gateway" in gateways["join_command"]


async def test_who_may_not_enable_agents_makes_no_token_that_does(admin: Client, with_key: MakeClient, zone_id: str):
    body = {"zone_id": zone_id, "enable_agent": True}
    adder = await with_key("agents_view", "agents_create")
    assert (await adder.refused(403, "POST /api/v1/join-tokens", body)).startswith("forbidden: ")
    assert not (await make(adder, zone_id))["enable_agent"]
    assert (await make(admin, zone_id, enable_agent=True))["enable_agent"]
    assert (await admin.post("/api/v1/join-tokens", json=body | {"role": "gateway"})).status_code == 422


async def test_without_the_authoritys_certificate_no_token_is_made(
    admin: Client, zone_id: str, authority: str, tmp_path: Path
):
    (tmp_path / "ca.pem").unlink()
    assert "ca.pem of the certificate authority cannot be read" in await admin.refused(
        404, "POST /api/v1/join-tokens", {"zone_id": zone_id}
    )
    assert await admin.read("/api/v1/join-tokens") == []


async def test_where_every_system_knows_the_authority_the_command_names_none(admin: Client, zone_id: str):
    made = await make(admin, zone_id)
    assert "--ca-sha256" not in made["join_command"]
    assert (await admin.get("/api/v1/authority")).status_code == 404


async def test_the_authority_is_shown_to_everybody(anonymous: Client, authority: str):
    assert (await anonymous.get("/api/v1/authority")).text == authority


async def test_tokens_are_listed_without_the_token(admin: Client, db: Database, zone_id: str):
    made = await make(admin, zone_id, uses=3)
    (row,) = await admin.read("/api/v1/join-tokens")
    assert made["token"] not in str(row)
    assert (row["role"], row["status"], row["used"], row["uses_left"]) == ("agent", "open", 0, 3)
    assert row["created_by"].startswith("API key")
    stored = await db.fetch_one("SELECT * FROM join_tokens")
    assert made["token"] not in str(stored)
    changes: tuple[tuple[LiteralString, str], ...] = (
        ("UPDATE join_tokens SET expires = now() - interval '1 s'", "expired"),
        ("UPDATE join_tokens SET uses_left = 0", "used up"),
    )
    for change, status in changes:
        await db.write(change)
        assert (await listed(admin, made))["status"] == status


async def test_a_revoked_token_is_refused_and_says_so(admin: Client, anonymous: Client, zone_id: str):
    made = await make(admin, zone_id, uses=2)
    assert (await anonymous.post("/api/v1/join/agent", json={"token": made["token"]})).status_code == 200
    assert (await admin.delete(f"/api/v1/join-tokens/{made['join_token_id']}")).status_code == 204
    assert (await listed(admin, made))["status"] == "revoked"
    assert "was revoked by an administrator" in await anonymous.refused(
        401, "POST /api/v1/join/agent", {"token": made["token"]}
    )
    assert (await admin.delete(f"/api/v1/join-tokens/{uuid.uuid4()}")).status_code == 404


async def test_a_token_for_a_known_agent_is_for_the_role_agent(admin: Client, db: Database, zone_id: str):
    agent_id = await rows.agent(db, zone_id)
    made = await make(admin, zone_id, agent_id=agent_id)
    assert f"--agent-id {agent_id}" in made["join_command"]
    body = {"zone_id": zone_id, "agent_id": agent_id, "role": "gateway"}
    assert (await admin.post("/api/v1/join-tokens", json=body)).status_code == 422


async def test_a_token_for_an_enabled_agent_needs_the_right_to_enable_agents(
    admin: Client, with_key: MakeClient, db: Database, zone_id: str
):
    body = {"zone_id": zone_id, "agent_id": await rows.agent(db, zone_id)}
    joiner = await with_key("agents_create")
    assert "agents_modify" in await joiner.refused(403, "POST /api/v1/join-tokens", body)
    await (await with_key("agents_create", "agents_modify")).make("/api/v1/join-tokens", **body)
    await admin.change(f"/api/v1/agents/{body['agent_id']}", enabled=False)
    await joiner.make("/api/v1/join-tokens", **body)


async def test_asking_where_to_join_uses_nothing_up(admin: Client, anonymous: Client, db: Database, zone_id: str):
    made = await make(admin, zone_id)
    for name, enabled, url in (("m1", True, "https://m1:1"), ("m2", True, "https://m2:1"), ("m3", True, "")):
        await db.write(
            "INSERT INTO managers (instance_id, zone_id, enabled, gateway_url, last_reported)"
            " VALUES (%s, %s, %s, %s, now() - CASE WHEN %s = 'm1' THEN interval '1 h' ELSE interval '0' END)",
            (name, zone_id, enabled, url, name),
        )
    place = (await anonymous.post("/api/v1/join/agent", json={"token": made["token"], "hostname": "h"})).json()
    assert place["zone_name"] == "default"
    assert place["manager_urls"] == ["https://m2:1", "https://m1:1"], "the one that reported last comes first"
    assert (await listed(admin, made))["uses_left"] == 1


async def test_administrators_see_who_was_refused_from_where_and_why(
    app: FastAPI, admin: Client, anonymous: Client, db: Database, zone_id: str
):
    gateways = await make(admin, zone_id, role="gateway")
    for body, said in (
        ({"token": "wrong", "hostname": "stranger"}, "join token is unknown"),
        ({"token": gateways["token"], "hostname": "agent-host"}, "is for the role gateway, not for agent"),
    ):
        assert said in await anonymous.refused(401, "POST /api/v1/join/agent", body)
        assert any(said in row and f"{body['hostname']} at 192.0.2.1" in row for row in await join_refusals(app, db))
    answer = await anonymous.post("/api/v1/join/agent", json={"token": "x", "hostname": "a\nb"})
    assert answer.status_code == 422


async def test_a_flood_of_unknown_tokens_is_few_rows(app: FastAPI, anonymous: Client, db: Database):
    for number in range(30):
        body = {"token": "wrong", "hostname": f"h{number}"}
        assert (await anonymous.post("/api/v1/join/agent", json=body)).status_code == 401
    assert len(await join_refusals(app, db)) == MAX_LOGGED


# Gateways on hosts of their own -----------------------------------------------------------------------------------


async def test_a_gateway_joins_with_a_token_and_has_a_credential_of_its_own(
    app: FastAPI, admin: Client, anonymous: Client, db: Database, zone_id: str
):
    token = await make(admin, zone_id, role="gateway")
    body = {"token": token["token"], "hostname": "front-1", "gateway_id": str(uuid.uuid4())}
    first = (await anonymous.post("/api/v1/join/gateway", json=body)).json()
    again = await anonymous.post("/api/v1/join/gateway", json=body)
    assert again.status_code == 200, "the answer was lost; the token counts once"
    credential = again.json()["credential"]
    assert (await listed(admin, token))["used"] == 1
    stored = await db.fetch_one("SELECT * FROM gateways")
    assert credential.partition(".")[2] not in str(stored)

    async def asks(secret: str) -> int:
        return (await anonymous.get("/api/internal/gateway", headers={"Authorization": f"Bearer {secret}"})).status_code

    assert await asks(credential) == 200
    assert await asks(first["credential"]) == 401, "the lost one counts no more"
    assert await asks(f"{uuid.uuid4()}.{credential.partition('.')[2]}") == 401
    assert await asks(Secrets(bytes(32)).gateway_credential()) == 200, "those beside an api"
    (row,) = await admin.read("/api/v1/gateways")
    assert (row["hostname"], row["zone_name"]) == ("front-1", "default")
    assert row["last_reported"] is not None

    other = await make(admin, zone_id, role="gateway", uses=2)
    answer = await anonymous.post("/api/v1/join/gateway", json={**body, "token": other["token"]})
    assert answer.status_code == 409, "no host joins as a gateway that is known"
    assert (await admin.delete(f"/api/v1/gateways/{row['gateway_id']}")).status_code == 204
    assert await asks(credential) == 401


async def test_of_two_gateways_with_one_id_at_one_moment_one_joins(admin: Client, db: Database, zone_id: str):
    tokens = [secret_digest((await make(admin, zone_id, role="gateway"))["token"]) for _ in range(2)]
    gateway_id = str(uuid.uuid4())
    async with db.transaction() as connection:
        # blocks both before they affect each other
        await connection.execute("SELECT 1 FROM join_tokens FOR UPDATE")
        joining = [
            asyncio.ensure_future(register_gateway(db, gateway_id, "front", token, secret_digest(f"credential {n}")))
            for n, token in enumerate(tokens)
        ]
        await waiting(db, 2)
    answers = await asyncio.gather(*joining, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["IdentityConflict", "StoredJoinToken"]
    left = await db.fetch("SELECT uses_left FROM join_tokens ORDER BY uses_left")
    assert [row["uses_left"] for row in left] == [0, 1], "the other's token was not used"


async def test_a_token_for_agents_admits_no_gateway(
    app: FastAPI, admin: Client, anonymous: Client, db: Database, zone_id: str
):
    made = await make(admin, zone_id)
    body = {"token": made["token"], "hostname": "front-1", "gateway_id": str(uuid.uuid4())}
    assert "is for the role agent, not for gateway" in await anonymous.refused(401, "POST /api/v1/join/gateway", body)
    assert any("A new gateway on host front-1" in row for row in await join_refusals(app, db))
    assert (await listed(admin, made))["uses_left"] == 1


async def test_a_zone_with_a_gateway_is_not_deleted(admin: Client, db: Database):
    made = await admin.make("/api/v1/zones", zone_name="us")
    await db.write(
        "INSERT INTO gateways (zone_id, hostname, credential_hash) VALUES (%s, 'front-1', 'x')", (made["zone_id"],)
    )
    assert "gateway front-1" in await admin.refused(409, f"DELETE /api/v1/zones/{made['zone_id']}")

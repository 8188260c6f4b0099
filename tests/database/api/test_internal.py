"""The requests of Agents and gateways to the api."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from tests.database.api.client import Client, MakeClient
from tests.support import rows

from greenroom.db.database import Database
from greenroom.db.diagnostics.today import read_watched
from greenroom.db.fleet.enrollment import StoredAuthority, add_authority
from greenroom.db.session.viewers import find_stream_session
from greenroom.kit.secrets import Secrets, secret_digest

SECRETS = Secrets(bytes(32))


@dataclass
class Stage:
    db: Database
    client: Client
    agent_id: str
    other_agent_id: str
    ann: str
    bob: str
    config_id: str

    async def session(self, user_id: str | None, status: str = "running", agent_id: str = "") -> str:
        (session_id,) = await rows.staged_sessions(self.db, self.config_id, agent_id or self.agent_id, 1, status=status)
        await self.db.write("UPDATE sessions SET user_id = %s WHERE session_id = %s", (user_id, session_id))
        return session_id

    async def supersede(self, old: str, new: str) -> None:
        await self.db.write(
            "UPDATE sessions SET superseded_by = %s, user_id = NULL, status = 'failed' WHERE session_id = %s",
            (new, old),
        )

    async def ask(self, session_id: str, token: str, *, agent_id: str = "", **more: Any) -> httpx2.Response:
        agent_id = agent_id or self.agent_id
        return await self.client.post(
            "/api/internal/stream",
            json={"session_id": session_id, "token": token, **more},
            headers={"Authorization": f"Bearer {agent_id}.credential of {agent_id}"},
        )

    async def verdict(self, session_id: str, token: str, **more: Any) -> dict[str, Any]:
        reply = await self.ask(session_id, token, **more)
        assert reply.status_code == 200, reply.text
        return reply.json()


@pytest.fixture
async def stage(app: FastAPI, db: Database, connect: MakeClient) -> Stage:
    zone_id = await rows.zone(db, "eu")
    image_id = await rows.image(db, friendly_name="Test")
    agent, other = await rows.agent(db, zone_id), await rows.agent(db, zone_id)
    for agent_id in (agent, other):
        await db.write(
            "UPDATE agents SET credential_hash = %s WHERE agent_id = %s",
            (secret_digest(f"credential of {agent_id}"), agent_id),
        )
    config_id = await rows.staging_config(db, zone_id, image_id)
    group_id = await rows.group(db, image_id)
    ann, bob = await rows.user(db, "ann@x", group_id), await rows.user(db, "bob@x", group_id)
    return Stage(db, await connect(), agent, other, ann, bob, config_id)


async def test_the_user_of_a_session_may_view_it_with_its_token(stage: Stage):
    session_id = await stage.session(stage.ann)
    token = SECRETS.connect_token(session_id, stage.ann, 1)
    verdict = await stage.verdict(session_id, token, username="ann@x")
    assert verdict == {"allow": True, "user_id": stage.ann, "epoch": 1} | {
        k: v for k, v in verdict.items() if k == "viewer_ttl_s"
    }


async def test_a_raised_epoch_revokes_the_token(stage: Stage):
    session_id = await stage.session(stage.ann)
    token = SECRETS.connect_token(session_id, stage.ann, 1)
    await stage.db.write("UPDATE sessions SET auth_epoch = 2 WHERE session_id = %s", (session_id,))
    assert not (await stage.verdict(session_id, token)).get("allow")
    assert (await stage.verdict(session_id, SECRETS.connect_token(session_id, stage.ann, 2)))["allow"]


async def test_tokens_of_other_sessions_and_users_do_not_count(stage: Stage):
    mine, other = await stage.session(stage.ann), await stage.session(stage.bob)
    for session_id, token in (
        (mine, SECRETS.connect_token(other, stage.bob, 1)),
        (mine, SECRETS.connect_token(mine, stage.bob, 1)),
        (mine, ""),
        (mine, "ümläut"),
    ):
        assert not (await stage.verdict(session_id, token)).get("allow")
    token = SECRETS.connect_token(mine, stage.ann, 1)
    assert "another user" in (await stage.verdict(mine, token, username="bob@x"))["reason"]


async def test_the_token_of_a_lease_opens_its_session_for_a_program(stage: Stage):
    session_id, other = await stage.session(stage.ann), await stage.session(stage.ann)
    lease_id = await rows.lease(stage.db, session_id)
    token = SECRETS.lease_token(lease_id, 1)
    for status in ("running", "assigning"):
        await stage.db.write("UPDATE sessions SET status = %s WHERE session_id = %s", (status, session_id))
        verdict = await stage.verdict(session_id, token)
        assert (verdict["allow"], verdict["access"], verdict.get("viewer_id", "")) == (True, "program", "")
    assert "does not open" in (await stage.verdict(other, token))["reason"]
    assert "does not open" in (await stage.verdict(session_id, SECRETS.lease_token(lease_id, 2)))["reason"]
    await stage.db.write("UPDATE sessions SET status = 'deleting' WHERE session_id = %s", (session_id,))
    assert not (await stage.verdict(session_id, token)).get("allow")


async def test_a_successor_elsewhere_is_named_with_its_path_at_the_gateway(stage: Stage):
    old, new = await stage.session(stage.ann), await stage.session(stage.ann, agent_id=stage.other_agent_id)
    await stage.supersede(old, new)
    token = SECRETS.connect_token(old, stage.ann, 1)
    verdict = await stage.verdict(old, token)
    assert (verdict["allow"], verdict["session_id"]) == (True, new)
    assert verdict["path"] == f"/desktop/{stage.other_agent_id[:8]}/{new}/"
    await stage.db.write("UPDATE zones SET proxy_connections = false")
    assert "path" not in await stage.verdict(old, token)


async def test_disabled_and_locked_users_are_refused(stage: Stage):
    session_id = await stage.session(stage.ann)
    token = SECRETS.connect_token(session_id, stage.ann, 1)
    for column in ("disabled", "locked"):
        await stage.db.write(f"UPDATE users SET {column} = true WHERE user_id = %s", (stage.ann,))
        assert "disabled or locked" in (await stage.verdict(session_id, token))["reason"]
        await stage.db.write(f"UPDATE users SET {column} = false WHERE user_id = %s", (stage.ann,))


async def test_a_staged_session_is_nobodys(stage: Stage):
    session_id = await stage.session(None)
    for user_id in (stage.ann, ""):
        verdict = await stage.verdict(session_id, SECRETS.connect_token(session_id, user_id, 1))
        assert verdict["reason"] == "This session has no user: it was not handed over."


async def test_a_session_opens_at_assigned_and_closes_with_its_end(stage: Stage):
    for status in ("assigning", "starting", "stopped", "deleting", "failed"):
        session_id = await stage.session(stage.ann, status)
        assert not (await stage.verdict(session_id, SECRETS.connect_token(session_id, stage.ann, 1))).get("allow")
    for status in ("unreachable", "lost"):
        session_id = await stage.session(stage.ann, status)
        assert (await stage.verdict(session_id, SECRETS.connect_token(session_id, stage.ann, 1)))["allow"]


async def test_the_token_of_a_launch_opens_its_final_successor(stage: Stage):
    first, second, third = [await stage.session(stage.ann) for _ in range(3)]
    await stage.supersede(first, second)
    await stage.supersede(second, third)
    token = SECRETS.connect_token(first, stage.ann, 1)
    for asked in (first, second):
        verdict = await stage.verdict(asked, token)
        assert (verdict["allow"], verdict["session_id"]) == (True, third)
    assert "session_id" not in await stage.verdict(third, token)
    found = await find_stream_session(stage.db, first)
    assert found is not None
    assert set(found.own_and_replaced_ids) == {first, second, third}


async def test_an_agent_may_ask_for_its_own_sessions_only(stage: Stage):
    session_id = await stage.session(stage.ann)
    token = SECRETS.connect_token(session_id, stage.ann, 1)
    assert (await stage.ask(session_id, token, agent_id=stage.other_agent_id)).status_code == 403
    assert (await stage.ask(str(uuid.uuid4()), token)).status_code == 403


async def test_without_an_agents_credential_nothing_is_answered(stage: Stage):
    session_id = await stage.session(stage.ann)
    body = {"session_id": session_id, "token": SECRETS.connect_token(session_id, stage.ann, 1)}
    for authorization in (
        "",
        "Bearer ",
        f"Bearer {stage.agent_id}",
        f"Bearer {stage.agent_id}.wrong",
        f"Bearer {stage.agent_id}.credential of {stage.other_agent_id}",
        f"Bearer {uuid.uuid4()}.",
        "Bearer no-uuid.x",
        f"Bearer {SECRETS.gateway_credential()}",
        "Basic YTpi",
    ):
        headers = {"Authorization": authorization} if authorization else {}
        reply = await stage.client.post("/api/internal/stream", json=body, headers=headers)
        assert reply.status_code == 401, authorization


async def test_what_cannot_be_read_is_422(stage: Stage):
    headers = {"Authorization": f"Bearer {stage.agent_id}.credential of {stage.agent_id}"}
    for body in (b"", b"{", b'{"session_id": 1, "token": "t"}', b'{"session_id": "x", "token": "t"}'):
        reply = await stage.client.post("/api/internal/stream", content=body, headers=headers)
        assert reply.status_code == 422, body


async def test_a_refusal_is_a_log_row(stage: Stage, app: FastAPI):
    session_id = await stage.session(stage.ann)
    await stage.ask(session_id, "wrong", username="mallory")
    await app.state.logs.flush()
    (row,) = await stage.db.fetch("SELECT * FROM logs WHERE code = 'stream-refused'")
    assert (str(row["session_id"]), row["username"], row["zone_name"]) == (session_id, "mallory", "eu")
    assert "does not open this session" in row["message"]


async def test_the_gateway_reports_requests_it_refused(stage: Stage):
    agent_id = str(uuid.uuid4())
    request = {
        "at": time.time(),
        "manager": "manager-1",
        "agent_id": agent_id,
        "method": "POST",
        "path": "/manager_api/v1/check-in",
        "status": 503,
        "duration_ms": 0.2,
    }
    body = {"requests": [request, {**request, "agent_id": None}]}
    for credential, status in (("wrong", 401), (SECRETS.gateway_credential(), 204)):
        reply = await stage.client.post(
            "/api/internal/manager-requests", json=body, headers={"Authorization": f"Bearer {credential}"}
        )
        assert reply.status_code == status
    for field, value in (("at", -1), ("at", 1e12), ("status", 10**30), ("path", "a\0b"), ("agent_id", "odd")):
        reply = await stage.client.post(
            "/api/internal/manager-requests",
            json={"requests": [{**request, field: value}]},
            headers={"Authorization": f"Bearer {SECRETS.gateway_credential()}"},
        )
        assert reply.status_code == 422, (field, value)
    found = await stage.db.fetch("SELECT agent_id::text, manager_instance_id, status, count FROM manager_requests")
    assert [tuple(row.values()) for row in found] == [(agent_id, "manager-1", 503, 1), (None, "manager-1", 503, 1)]


async def test_a_gateway_reports_certificates_that_expire(stage: Stage, app: FastAPI):
    sentence = "The certificate /tls.pem ends in 3 days, on 2026-01-09"
    reply = await stage.client.post(
        "/api/internal/manager-requests",
        json={"requests": [], "warnings": [sentence, "a\0b"]},
        headers={"Authorization": f"Bearer {SECRETS.gateway_credential()}"},
    )
    assert reply.status_code == 204
    await app.state.logs.flush()
    found = (await read_watched(stage.db, "")).certificates
    assert sentence in [warning.sentence for warning in found]


async def test_a_gateway_learns_of_the_fleet(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    bearer = {"Authorization": f"Bearer {SECRETS.gateway_credential()}"}
    for headers in ({}, {"Authorization": f"Bearer {stage.agent_id}.credential of {stage.agent_id}"}):
        assert (await stage.client.get("/api/internal/gateway", headers=headers)).status_code == 401
    empty = (await stage.client.get("/api/internal/gateway", headers=bearer)).json()
    assert empty == {}

    await stage.db.write(
        "UPDATE agents SET edge_url = 'https://agent-b.example:8443' WHERE agent_id = %s", (stage.agent_id,)
    )
    await add_authority(stage.db, StoredAuthority("certificate", b"key"))
    learnt = (await stage.client.get("/api/internal/gateway", headers=bearer)).json()
    edge = {"route": stage.agent_id[:8], "url": "https://agent-b.example:8443"}
    assert learnt == {"authority": "certificate", "edges": [edge]}

    await stage.db.write("UPDATE agents SET enabled = false, status = 'pending'")
    learnt = (await stage.client.get("/api/internal/gateway", headers=bearer)).json()
    assert "edges" not in learnt, "it waits for an administrator"
    await stage.db.write("UPDATE agents SET status = 'running'")

    await stage.db.write("UPDATE zones SET proxy_connections = false, proxy_port = 8445")
    learnt = (await stage.client.get("/api/internal/gateway", headers=bearer)).json()
    assert learnt["edges"] == [edge | {"direct": True}]
    assert learnt["direct"] == [{"hostname": "$request_host$", "port": 8445}]
    await stage.db.write("UPDATE zones SET proxy_hostname = 'desks.example'")
    real, statements = Database.fetch, list[str]()

    async def noting(db: Database, query: Any, *arguments: Any, **options: Any) -> Any:
        statements.append(query)
        return await real(db, query, *arguments, **options)

    monkeypatch.setattr(Database, "fetch", noting)
    learnt = (await stage.client.get("/api/internal/gateway", headers=bearer)).json()
    assert len(statements) == 1, "for a question of every second"
    assert (learnt["edges"], learnt["direct"]) == ([edge], [{"hostname": "desks.example", "port": 8445}])

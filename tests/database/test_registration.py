"""The rules for registration as an Agent: join tokens, identities, credentials."""

from __future__ import annotations

import httpx2
from tests.support.agents import ToldAgent, join_token, joined
from tests.support.waiting import eventually

from greenroom.db.database import Database
from greenroom.db.fleet.views import list_agents


async def test_a_join_token_admits_an_agent_with_the_id_it_proposes(door: httpx2.ASGITransport, db: Database):
    agent = ToldAgent(door, await join_token(db))
    response = await agent.register()
    assert response.status_code == 200
    assert agent.registered is not None
    assert agent.registered.agent_id == agent.agent_id
    assert agent.registered.incarnation == 1
    assert agent.registered.managers[0].url.startswith("https://127.0.0.1:")
    rows = await db.fetch("SELECT credential_hash FROM agents")
    assert len(rows) == 1
    assert agent.credential.encode() not in bytes(rows[0]["credential_hash"])


async def test_a_wrong_token_is_refused_and_the_reason_is_in_the_logs(door: httpx2.ASGITransport, db: Database):
    response = await ToldAgent(door, "wrong").register()
    assert response.status_code == 401
    assert "join token is unknown" in response.json()["message"]

    async def logged() -> bool:
        return bool(await db.fetch("SELECT 1 FROM logs WHERE code = 'join-refused' AND message LIKE '%%join token%%'"))

    assert await eventually(logged)


async def test_a_refused_stranger_is_in_diagnostics_under_any_name(door: httpx2.ASGITransport, db: Database):
    async with httpx2.AsyncClient(transport=door, base_url="http://manager") as client:
        body = {"agent_id": "x" * 36, "join_token": "t", "machine_id": "m\0", "hostname": "h\0", "place": "p"}
        assert (await client.post("/v1/register", json=body)).status_code == 422

    async def noted() -> bool:
        requests = await db.fetch("SELECT agent_id FROM manager_requests WHERE status = 422")
        logged = await db.fetch("SELECT 1 FROM logs WHERE code = 'join-refused' AND message LIKE '%%on host h at%%'")
        return [row["agent_id"] for row in requests] == [None] and bool(logged)

    assert await eventually(noted)


async def test_a_token_is_used_up(door: httpx2.ASGITransport, db: Database):
    token = await join_token(db, uses=1)
    first, second = ToldAgent(door, token), ToldAgent(door, token)
    assert (await first.register()).status_code == 200
    assert (await second.register()).status_code == 401


async def test_an_expired_token_is_refused(door: httpx2.ASGITransport, db: Database):
    assert (await ToldAgent(door, await join_token(db, valid_s=-1)).register()).status_code == 401


async def test_an_agent_whose_first_answer_was_lost_may_use_its_token_again(door: httpx2.ASGITransport, db: Database):
    agent = ToldAgent(door, await join_token(db, uses=1))
    assert (await agent.register()).status_code == 200
    agent.credential = ""
    assert (await agent.register()).status_code == 200
    await agent.check_in(full=True)
    agent.credential = ""
    assert (await agent.register()).status_code == 401


async def test_the_version_of_an_agent_is_that_of_its_last_registration(agent: ToldAgent, db: Database):
    assert await db.fetch("SELECT version FROM agents") == [{"version": "0.1.0"}]
    agent.version = "0.2.0"
    assert (await agent.register()).status_code == 200
    assert await db.fetch("SELECT version FROM agents") == [{"version": "0.2.0"}]


async def test_a_restarted_agent_gets_a_new_incarnation_and_voids_the_old(agent: ToldAgent):
    old = agent.message()
    assert (await agent.register()).status_code == 200
    assert agent.registered is not None
    assert agent.registered.incarnation == 2
    assert (await agent.post("/v1/check-in", old)).status_code == 409
    await agent.check_in()


async def test_a_copied_identity_on_another_machine_is_refused(door: httpx2.ASGITransport, agent: ToldAgent):
    copy = ToldAgent(door, agent_id=agent.agent_id, credential=agent.credential, place="place-2")
    response = await copy.register()
    assert response.status_code == 409
    assert response.json()["code"] == "identity-conflict"
    await agent.check_in()


async def test_a_credential_opens_only_its_own_agent(door: httpx2.ASGITransport, db: Database):
    one = await joined(db, door)
    other = await joined(db, door)
    message = other.message()
    other.credential = one.credential
    assert (await other.post("/v1/check-in", message)).status_code == 401
    other.agent_id = one.agent_id
    assert (await other.post("/v1/check-in", message)).status_code == 401


async def test_an_unresponsive_docker_is_shown_at_the_agent(agent: ToldAgent, db: Database):
    await db.write("UPDATE agents SET status = 'running'")
    for error, reason in (("Docker is away.", "It cannot start sessions: Docker is away."), ("", None)):
        await agent.check_in(runtime_error=error)

        async def shown(reason: str | None = reason) -> bool:
            (listed,) = (await list_agents(db)).rows
            return listed.status_reason == reason

        await eventually(shown)

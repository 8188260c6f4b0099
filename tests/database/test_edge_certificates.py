"""Certificates of edge gateways, and the writes when an edge moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from cryptography import x509
from tests.support.agents import ToldAgent, join_token, joined
from tests.support.managers import Fleet, manager_here
from tests.support.waiting import eventually

from greenroom.core.fleet.addresses import edge_name
from greenroom.db.database import Database
from greenroom.db.fleet.agents import revoke_credential
from greenroom.db.fleet.views import read_routes
from greenroom.kit.certificates import general_name, names_in, new_certificate_request, new_key
from greenroom.wire.messages import EdgeCertificate, EdgeRequest

Door = httpx2.AsyncBaseTransport


@pytest.fixture
async def door(db: Database, dsn: str, tmp_path: Path) -> AsyncIterator[Door]:
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    fleet = Fleet(dsn, tmp_path)
    async with manager_here(fleet, agent_missing_s=60) as transport:
        yield transport
    fleet.close()


async def ask_for_certificate(agent: ToldAgent, csr: str, **changes: Any) -> httpx2.Response:
    assert agent.registered is not None
    values: dict[str, Any] = {"agent_id": agent.agent_id, "incarnation": agent.registered.incarnation, "csr": csr}
    return await agent.post("/v1/edge-certificate", EdgeRequest(**(values | changes)))


async def test_an_agent_gets_a_certificate_for_its_own_name_alone(door: Door, db: Database):
    agent = await joined(db, door, edge_url="https://edge-1.example.org:9443")
    other = await joined(db, door)
    key = new_key()
    response = await ask_for_certificate(agent, new_certificate_request(key, "edge-2.example.org"))
    assert response.status_code == 200, response.text
    issued = msgspec.json.decode(response.content, type=EdgeCertificate)
    own = [general_name(edge_name(agent.agent_id[:8]))]
    assert names_in(issued.certificate) == own, "neither what the request named nor the host of its edge"
    signed = x509.load_pem_x509_certificate(issued.certificate.encode())
    signed.verify_directly_issued_by(x509.load_pem_x509_certificate(issued.authority.encode()))
    again = msgspec.json.decode(
        (await ask_for_certificate(agent, new_certificate_request(key, "x"))).content, type=EdgeCertificate
    )
    assert again.authority == issued.authority, "there is one authority"

    response = await ask_for_certificate(agent, new_certificate_request(key, "x"), agent_id=other.agent_id)
    assert response.status_code == 401, "with another's credential"
    response = await ask_for_certificate(agent, new_certificate_request(key, "x"), incarnation=99)
    assert response.status_code == 409
    response = await ask_for_certificate(other, new_certificate_request(key, "x"))
    assert response.status_code == 422
    assert "without an edge address" in response.json()["message"]
    assert (await ask_for_certificate(agent, "no request")).status_code == 422
    await revoke_credential(db, agent.agent_id)
    assert (await ask_for_certificate(agent, new_certificate_request(key, "x"))).status_code == 401


HERE = "https://edge-1.example.org:9443"
ELSEWHERE = "https://www.bank.example"


async def edges(db: Database) -> list[str]:
    """The addresses to which streams are passed on, and the address that waits."""
    (row,) = await db.fetch("SELECT edge_url, edge_url_requested FROM agents")
    used = {way.edge_url for way in await read_routes(db)} | {row["edge_url"]}
    return [*used, row["edge_url_requested"]]


async def warnings(db: Database, code: str) -> list[str]:
    rows = await db.fetch("SELECT message FROM logs WHERE code = %s AND level = 'WARNING' ORDER BY log_id", (code,))
    return [row["message"] for row in rows]


async def test_an_address_reported_after_joining_waits_for_an_administrator(door: Door, db: Database):
    agent = await joined(db, door, edge_url=HERE)
    assert await edges(db) == [HERE, None], "it came with a token, which an administrator made"
    agent.edge_url = ELSEWHERE
    for _ in range(2):
        assert (await agent.register()).status_code == 200
    assert await edges(db) == [HERE, ELSEWHERE]
    (message,) = await eventually(lambda: warnings(db, "edge-address-requested"))
    assert f"reports {ELSEWHERE} as the address of its edge gateway; {HERE} stays in use" in message
    assert f"greenroom agents confirm-edge {agent.agent_id}" in message
    assert (await ask_for_certificate(agent, new_certificate_request(new_key(), "x"))).status_code == 200, (
        "of its own name alone"
    )

    agent.edge_url = HERE
    assert (await agent.register()).status_code == 200
    assert await edges(db) == [HERE, None], "it took that back"


async def test_rejoining_with_a_token_confirms_the_address_of_an_agent(door: Door, db: Database):
    agent = await joined(db, door, edge_url=HERE)
    agent.edge_url = ELSEWHERE
    assert (await agent.register()).status_code == 200
    agent.credential, agent.join_token = "", await join_token(db)
    await db.write("UPDATE join_tokens SET agent_id = %s WHERE uses_left > 0", (agent.agent_id,))
    assert (await agent.register()).status_code == 200
    assert await edges(db) == [ELSEWHERE, None]
    (message,) = await eventually(lambda: warnings(db, "edge-address-changed"))
    assert f"the address of its edge gateway changed from {HERE} to {ELSEWHERE}" in message


async def test_the_authoritys_key_is_stored_encrypted(door: Door, db: Database):
    agent = await joined(db, door, edge_url="https://edge-1.example.org:9443")
    assert (await ask_for_certificate(agent, new_certificate_request(new_key(), "x"))).status_code == 200
    (row,) = await db.fetch("SELECT key_encrypted FROM fleet_authority")
    assert b"PRIVATE KEY" not in row["key_encrypted"]

"""Certificates of edge gateways, and what is written when an edge moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography import x509
from tests.integration.agents import ToldAgent, joined
from tests.integration.managers import Fleet, eventually, manager_here

from greenroom.core.edges import edge_name
from greenroom.db.agents import revoke_credential
from greenroom.db.database import Database
from greenroom.kit.certificates import general_name, names_in, new_key, request_for
from greenroom.wire.messages import EdgeCertificate, EdgeRequest

Door = httpx.AsyncBaseTransport


@pytest.fixture
async def door(db: Database, dsn: str, tmp_path: Path) -> AsyncIterator[Door]:
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    fleet = Fleet(dsn, tmp_path)
    async with manager_here(fleet, agent_missing_s=60) as transport:
        yield transport
    fleet.close()


async def ask_for_certificate(agent: ToldAgent, csr: str, **changes: Any) -> httpx.Response:
    assert agent.registered is not None
    values: dict[str, Any] = {"agent_id": agent.agent_id, "incarnation": agent.registered.incarnation, "csr": csr}
    return await agent.post("/v1/edge-certificate", EdgeRequest(**(values | changes)))


async def test_an_agent_gets_a_certificate_for_its_own_name_alone(door: Door, db: Database):
    agent = await joined(db, door, edge_url="https://edge-1.example.org:9443")
    other = await joined(db, door)
    key = new_key()
    response = await ask_for_certificate(agent, request_for(key, "edge-2.example.org"))
    assert response.status_code == 200, response.text
    issued = msgspec.json.decode(response.content, type=EdgeCertificate)
    own = [general_name(edge_name(agent.agent_id[:8]))]
    assert names_in(issued.certificate) == own, "neither what the request named nor the host of its edge"
    signed = x509.load_pem_x509_certificate(issued.certificate.encode())
    signed.verify_directly_issued_by(x509.load_pem_x509_certificate(issued.authority.encode()))
    again = msgspec.json.decode((await ask_for_certificate(agent, request_for(key, "x"))).content, type=EdgeCertificate)
    assert again.authority == issued.authority, "there is one authority"

    response = await ask_for_certificate(agent, request_for(key, "x"), agent_id=other.agent_id)
    assert response.status_code == 401, "with another's credential"
    response = await ask_for_certificate(agent, request_for(key, "x"), incarnation=99)
    assert response.status_code == 409
    response = await ask_for_certificate(other, request_for(key, "x"))
    assert response.status_code == 422
    assert "without an edge address" in response.json()["message"]
    assert (await ask_for_certificate(agent, "no request")).status_code == 422
    await revoke_credential(db, agent.agent_id)
    assert (await ask_for_certificate(agent, request_for(key, "x"))).status_code == 401


async def test_an_agent_that_says_it_has_moved_is_written_about(door: Door, db: Database):
    agent = await joined(db, door, edge_url="https://edge-1.example.org:9443")

    async def warnings() -> list[str]:
        rows = await db.fetch("SELECT message FROM logs WHERE code = 'edge-address-changed' AND level = 'WARNING'")
        return [row["message"] for row in rows]

    assert (await agent.register()).status_code == 200
    agent.edge_url = "https://www.bank.example"
    assert (await agent.register()).status_code == 200
    assert await eventually(warnings)
    (message,) = await warnings()
    assert "is at https://www.bank.example now; it was at https://edge-1.example.org:9443" in message


async def test_the_authoritys_key_is_stored_encrypted(door: Door, db: Database):
    agent = await joined(db, door, edge_url="https://edge-1.example.org:9443")
    assert (await ask_for_certificate(agent, request_for(new_key(), "x"))).status_code == 200
    row = await db.fetch_one("SELECT key_encrypted FROM fleet_authority")
    assert row is not None
    assert b"PRIVATE KEY" not in row["key_encrypted"]

"""The Agents that a Manager names to one without an image, and the valid tickets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import httpx2
import msgspec
import pytest
from tests.support import rows
from tests.support.agents import ToldAgent, joined
from tests.support.managers import Fleet, manager_here

from greenroom.db.database import Database
from greenroom.kit.certificates import new_certificate_request, new_key
from greenroom.wire.fleet import ImageSource, ImageSources, MissingImages, TicketCheck, TicketResult
from greenroom.wire.messages import EdgeRequest

IMAGE = "greenroom/desk:0123456789ab"
DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
async def door(db: Database, dsn: str, tmp_path: Path) -> AsyncIterator[httpx2.AsyncBaseTransport]:
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    fleet = Fleet(dsn, tmp_path)
    async with manager_here(fleet, agent_missing_s=60) as transport:
        yield transport
    fleet.close()


@dataclass(frozen=True)
class Two:
    """An Agent that has the image, and one without it."""

    having: ToldAgent
    lacking: ToldAgent


@pytest.fixture
async def two(door: httpx2.AsyncBaseTransport, db: Database) -> Two:
    having = await joined(db, door, edge_url="https://edge-1.example.org:9443")
    await db.write("UPDATE agents SET status = 'running'")
    await db.write(
        "INSERT INTO agent_images (agent_id, name, state, digest, size_bytes) VALUES (%s, %s, 'present', %s, 7)",
        (having.agent_id, IMAGE, DIGEST),
    )
    await rows.image(db, name=IMAGE)
    assert having.registered is not None
    request = EdgeRequest(
        agent_id=having.agent_id, incarnation=having.registered.incarnation, csr=new_certificate_request(new_key(), "x")
    )
    assert (await having.post("/v1/edge-certificate", request)).status_code == 200
    return Two(having, await joined(db, door))


async def sources(agent: ToldAgent) -> list[ImageSource]:
    assert agent.registered is not None
    incarnation = agent.registered.incarnation
    message = MissingImages(agent_id=agent.agent_id, incarnation=incarnation, names=(IMAGE, "other:1"))
    response = await agent.post("/v1/image-sources", message)
    assert response.status_code == 200, response.text
    answer = msgspec.json.decode(response.content, type=ImageSources)
    assert set(answer.sources) <= {IMAGE}
    assert ("BEGIN CERTIFICATE" in answer.authority) == bool(answer.sources)
    return list(answer.sources.get(IMAGE, ()))


async def show(agent: ToldAgent, ticket: str) -> httpx2.Response:
    assert agent.registered is not None
    shown = TicketCheck(agent_id=agent.agent_id, incarnation=agent.registered.incarnation, ticket=ticket)
    return await agent.post("/v1/image-ticket", shown)


async def test_an_agent_learns_who_has_its_image_and_the_ticket_counts_for_that_one_alone(two: Two, db: Database):
    (source,) = await sources(two.lacking)
    assert (source.url, source.route) == ("https://edge-1.example.org:9443", two.having.agent_id[:8])
    assert (source.digest, source.size_bytes) == (DIGEST, 7)
    assert await sources(two.having) == [], "no Agent copies from itself"
    response = await show(two.having, source.ticket)
    counts = msgspec.json.decode(response.content, type=TicketResult)
    assert (counts.name, counts.digest) == (IMAGE, DIGEST)
    response = await show(two.lacking, source.ticket)
    assert response.status_code == 409
    assert response.json()["message"] == "The ticket for the image belongs to another Agent."
    response = await show(two.having, source.ticket[:-8] + "AAAAAAA=")
    assert response.status_code == 409
    assert "The ticket for the image is invalid or has expired" in response.json()["message"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE agents SET enabled = false WHERE edge_url = ''", "the one that lacks it is disabled"),
        ("UPDATE agents SET enabled = false WHERE edge_url <> ''", "the one that has it is disabled"),
        ("UPDATE agents SET status = 'missing', last_reported = last_reported - interval '1 hour' WHERE edge_url <> ''",
         "it is silent"),
        ("UPDATE agents SET edge_url = '' WHERE edge_url <> ''", "it cannot be reached"),
        ("UPDATE images SET enabled = false", "the workspace is off"),
        ("UPDATE images SET restrict_to_server = true, server_id = (SELECT agent_id FROM agents WHERE edge_url <> '')",
         "the workspace is for another Agent"),
        ("UPDATE agent_images SET digest = 'sha256:new'", "it has another image by now"),
    ],
)  # fmt: skip
async def test_a_ticket_ends_with_what_it_was_made_for(two: Two, db: Database, change: LiteralString, why: str):
    (source,) = await sources(two.lacking)
    await db.write(change)
    assert [one for one in await sources(two.lacking) if one.digest == DIGEST] == [], why
    response = await show(two.having, source.ticket)
    assert response.status_code == 409, why
    assert "can no longer be copied from this Agent" in response.json()["message"]


async def test_only_the_agent_itself_may_ask(two: Two):
    message = MissingImages(agent_id=two.having.agent_id, incarnation=1, names=(IMAGE,))
    assert (await two.lacking.post("/v1/image-sources", message)).status_code == 401
    many = MissingImages(agent_id=two.lacking.agent_id, incarnation=1, names=tuple(map(str, range(300))))
    assert (await two.lacking.post("/v1/image-sources", many)).status_code == 422

"""The hosts that a join token admits or refuses: it must not let a host become an Agent that exists already."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, LiteralString

import httpx2
import pytest
from psycopg.types.json import Jsonb
from tests.support import rows
from tests.support.agents import ToldAgent, join_token, joined
from tests.support.managers import Fleet, manager_here
from tests.support.waiting import eventually

from greenroom.core.fleet.addresses import edge_name
from greenroom.db.database import Database
from greenroom.db.fleet.agents import revoke_credential
from greenroom.db.fleet.enrollment import add_join_token
from greenroom.db.fleet.views import StoredRefusal, list_agents
from greenroom.kit.secrets import Secrets, secret_digest
from greenroom.up.installation import WAITS_FOR_ADMINISTRATOR, agent_states, allow_join
from greenroom.wire.messages import ImageReport, Usage

Door = httpx2.AsyncBaseTransport
HOLD_S = 25.0
"""Long enough to distinguish an early end of a held check-in from the end of its hold."""


@pytest.fixture
async def door(db: Database, dsn: str, tmp_path: Path) -> AsyncIterator[Door]:
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    fleet = Fleet(dsn, tmp_path)
    async with manager_here(fleet, checkin_hold_s=HOLD_S, agent_missing_s=60) as transport:
        yield transport
    fleet.close()


async def silence(db: Database) -> None:
    """Set the last check-in of all Agents to a day ago."""
    await db.write("UPDATE agents SET last_reported = now() - interval '1 day'")


async def test_a_join_token_takes_over_no_agent_that_is_known(door: Door, agent: ToldAgent, db: Database):
    await silence(db)
    thief = ToldAgent(door, await join_token(db), agent_id=agent.agent_id, place="place-2")
    response = await thief.register()
    assert (response.status_code, response.json()["code"]) == (409, "identity-conflict")
    assert "a join token admits only new Agents" in response.json()["message"]
    assert (await agent.register()).status_code == 200, "the credential is still the Agent's own"
    assert (await ToldAgent(door, thief.join_token).register()).status_code == 200, "the token was not used up"


async def test_another_token_does_not_take_over_an_agent_that_has_not_reported_yet(door: Door, db: Database):
    agent = ToldAgent(door, await join_token(db, uses=1))
    assert (await agent.register()).status_code == 200
    thief = ToldAgent(door, await join_token(db, uses=1), agent_id=agent.agent_id)
    assert (await thief.register()).status_code == 409
    assert (await ToldAgent(door, agent.join_token, agent_id=agent.agent_id).register()).status_code == 200


async def test_a_join_token_of_another_zone_is_refused(door: Door, db: Database):
    zone = (await db.write("INSERT INTO zones (zone_name) VALUES ('eu') RETURNING zone_id::text"))[0]["zone_id"]
    agent = await joined(db, door)
    await add_join_token(db, secret_digest("of eu"), zone, uses=9)
    assert (await ToldAgent(door, "of eu").register()).status_code == 401
    await db.write(
        "UPDATE agents SET zone_id = %s, last_reported = NULL, joined_with = %s", (zone, secret_digest("of eu"))
    )
    assert (await ToldAgent(door, "of eu", agent_id=agent.agent_id).register()).status_code == 401


async def test_a_token_for_one_agent_admits_only_this_agent(door: Door, agent: ToldAgent, db: Database):
    (zone,) = await db.fetch("SELECT zone_id::text FROM agents")
    await add_join_token(db, secret_digest("again"), zone["zone_id"], uses=2, agent_id=agent.agent_id)
    assert (await ToldAgent(door, "again").register()).status_code == 401
    back = ToldAgent(door, "again", agent_id=agent.agent_id)
    assert (await back.register()).status_code == 200
    await back.check_in()
    assert (await agent.post("/v1/check-in", agent.message())).status_code == 401, "its old credential is void"


async def test_an_agent_of_up_without_credential_rejoins_its_own_zone(door: Door, agent: ToldAgent, db: Database):
    await db.write("INSERT INTO zones (zone_name) VALUES ('eu')")  # the current name of `up` for its zone
    await allow_join(db, secret_digest("lost"), "eu", agent.agent_id)
    assert (await ToldAgent(door, "lost", agent_id=agent.agent_id).register()).status_code == 200
    await allow_join(db, secret_digest("new"), "default")
    assert (await ToldAgent(door, "new").register()).status_code == 200


async def is_stored(db: Database, agent: ToldAgent) -> bool:
    """True if the last check-in of the only Agent is in the database: without news it is stored within a second."""
    return await db.fetch_one("SELECT seq FROM agents") == {"seq": agent.seq}


async def refused(db: Database, agent_id: str) -> StoredRefusal | None:
    """The last refusal of an Agent, as administrators see it."""
    (listed,) = (await list_agents(db, agent_id)).rows
    return listed.refused


async def logged(db: Database, code: str, part: str) -> dict[str, Any]:
    """The log row with this code that contains this part, as soon as it exists."""

    async def find() -> dict[str, Any] | None:
        rows = await db.fetch("SELECT message, details, zone_name FROM logs WHERE code = %s", (code,))
        return next((row for row in rows if part in row["message"]), None)

    return await eventually(find)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE join_tokens SET revoked = now()", "was revoked by an administrator"),
        ("UPDATE join_tokens SET expires = now() - interval '1 s'", "expired at"),
        ("UPDATE join_tokens SET uses_left = 0, used = 1", "is used up: it admitted a host once"),
        ("UPDATE join_tokens SET role = 'gateway'", "is for the role gateway, not for agent"),
    ],
)
async def test_the_reason_of_a_refused_token_is_in_the_answer_and_in_the_log(
    door: Door, db: Database, change: LiteralString, said: str
):
    agent = ToldAgent(door, await join_token(db))
    await db.write(change)
    response = await agent.register()
    assert response.status_code == 401
    assert said in response.json()["message"]
    row = await logged(db, "join-refused", said)
    assert "on host host-1 at 127.0.0.1" in row["message"]
    assert (row["zone_name"], row["details"]["address"]) == ("default", "127.0.0.1")
    assert await db.fetch("SELECT 1 FROM agents") == []


async def test_uses_are_counted_and_a_lost_answer_counts_once(door: Door, db: Database):
    token = await join_token(db, uses=2)
    first = ToldAgent(door, token)
    for _ in range(2):
        first.credential = ""
        assert (await first.register()).status_code == 200
    assert await db.fetch_one("SELECT used, uses_left FROM join_tokens") == {"used": 1, "uses_left": 1}
    assert (await ToldAgent(door, token).register()).status_code == 200
    assert (await ToldAgent(door, token).register()).status_code == 401


async def test_a_token_admits_at_most_its_number_of_new_agents(door: Door, db: Database):
    token = await join_token(db, uses=2)
    answers = await asyncio.gather(*(ToldAgent(door, token).register() for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 401, 401, 401, 401]
    assert await db.fetch_one("SELECT count(*) AS n FROM agents") == {"n": 2}


async def test_two_simultaneous_joins_with_the_same_id_create_one_agent(door: Door, db: Database):
    token = await join_token(db, uses=2)
    twins = [ToldAgent(door, token, agent_id=str(uuid.UUID(int=7)), place=f"place-{n}") for n in (1, 2)]
    responses = await asyncio.gather(*(twin.register() for twin in twins))
    assert sorted(response.status_code for response in responses) == [200, 409]
    admitted = next(twin for twin in twins if twin.credential)
    await admitted.check_in()


async def test_a_copy_of_a_live_agent_is_refused_also_on_a_copied_machine(door: Door, db: Database):
    agent = await joined(db, door)
    copy = ToldAgent(door, agent_id=agent.agent_id, credential=agent.credential, place="place-2")
    response = await copy.register()
    assert response.status_code == 409
    assert "a copied identity is refused" in response.json()["message"]
    await agent.check_in()
    found = await refused(db, agent.agent_id)
    assert found is not None
    assert "a copied identity" in found.reason
    assert found.address == "127.0.0.1"
    await logged(db, "agent-refused", "a copied identity is refused")
    await eventually(lambda: is_stored(db, agent))  # it would end the silence
    # the machine is lost, and started again from the copy: the copy continues, and the first one is now the duplicate
    await silence(db)
    assert (await copy.register()).status_code == 200
    await copy.check_in()
    assert await refused(db, agent.agent_id) is None
    assert (await agent.post("/v1/check-in", agent.message())).status_code == 409
    assert (await agent.register()).status_code == 409
    await copy.check_in()


async def test_a_restarted_process_in_the_same_place_is_admitted_at_once(door: Door, db: Database):
    agent = await joined(db, door)
    again = ToldAgent(door, agent_id=agent.agent_id, credential=agent.credential, machine_id="renamed")
    assert (await again.register()).status_code == 200


async def a_primary(db: Database) -> None:
    """Wait for the election."""

    async def is_elected() -> bool:
        return await db.fetch_one("SELECT term > 0 AS elected FROM zone_leases") == {"elected": True}

    await eventually(is_elected)


async def test_a_revoked_agent_is_refused_at_once_and_joins_again_with_its_own_token(
    door: Door, agent: ToldAgent, db: Database
):
    await a_primary(db)
    await agent.check_in()  # news of the election would end a hold as well
    held = asyncio.create_task(agent.post("/v1/check-in", agent.message(hold_s=HOLD_S)))
    await eventually(lambda: is_stored(db, agent))
    await revoke_credential(db, agent.agent_id)
    async with asyncio.timeout(HOLD_S / 2):  # before the end of its hold
        assert (await held).status_code == 401, "the held poll ends"
    response = await agent.register()
    assert response.status_code == 401
    assert "was revoked" in response.json()["message"]
    found = await refused(db, agent.agent_id)
    assert found is not None
    assert "was revoked" in found.reason
    await logged(db, "agent-refused", "was revoked")
    (zone,) = await db.fetch("SELECT zone_id::text FROM agents")
    await add_join_token(db, secret_digest("again"), zone["zone_id"], agent_id=agent.agent_id)
    back = ToldAgent(door, "again", agent_id=agent.agent_id)
    assert (await back.register()).status_code == 200
    back.credential = ""
    assert (await back.register()).status_code == 200, "the answer was lost"
    assert await refused(db, agent.agent_id) is None
    await back.check_in()
    back.credential = ""
    assert (await back.register()).status_code == 401, "it was used up"


async def test_an_agent_does_not_change_its_zone_by_itself(agent: ToldAgent, db: Database):
    zone = (await db.write("INSERT INTO zones (zone_name) VALUES ('eu') RETURNING zone_id::text"))[0]["zone_id"]
    await db.write("UPDATE agents SET zone_id = %s", (zone,))
    assert (await agent.post("/v1/check-in", agent.message())).status_code == 409
    response = await agent.register()
    assert response.status_code == 401
    assert "is for zone eu, and this Manager coordinates zone default" in response.json()["message"]
    assert await db.fetch_one("SELECT zone_id::text FROM agents") == {"zone_id": zone}


@pytest.mark.parametrize(
    "fields",
    [
        {"machine_id": "m" * 256},
        {"place": "\n"},
        {"edge_url": "http://edge:1"},
        {"edge_url": "https://a/b"},
        {"edge_url": "https://" + "a" * 100_000},
        {"edge_url": f"https://{edge_name('0f6e8a52')}:8443"},
    ],
)
async def test_an_agent_with_an_invalid_name_or_address_is_refused(door: Door, db: Database, fields: dict[str, Any]):
    response = await ToldAgent(door, await join_token(db), **fields).register()
    assert response.status_code == 422
    assert await db.fetch("SELECT 1 FROM agents") == []

    async def logged() -> bool:
        rows = await db.fetch("SELECT length(message) AS long FROM logs WHERE code = 'join-refused'")
        return bool(rows) and max(row["long"] for row in rows) < 1000

    assert await eventually(logged)


async def test_two_agents_never_share_the_beginning_of_their_ids(door: Door, agent: ToldAgent, db: Database):
    like_it = ToldAgent(door, await join_token(db), agent_id=agent.agent_id[:8] + "-0000-4000-8000-000000000000")
    response = await like_it.register()
    assert response.status_code == 409
    assert "Remove the file agent_id" in response.json()["message"]


async def test_a_new_agent_is_pending_until_it_is_enabled(door: Door, db: Database):
    await rows.image(db)
    agent = ToldAgent(door, await join_token(db, enable_agent=False))
    assert (await agent.register()).status_code == 200
    await agent.check_in(full=True)
    assert agent.answer is not None
    images = [image.name for image in agent.answer.images or ()]

    async def status() -> str:
        (row,) = await db.fetch("SELECT status, enabled FROM agents")
        return f"{row['status']} {row['enabled']}"

    async def another_round() -> None:
        before = await db.fetch_one("SELECT last_round FROM managers")

        async def was_looked_at() -> bool:
            images.extend(image.name for image in (await agent.check_in()).images or ())
            return before != await db.fetch_one("SELECT last_round FROM managers")

        await eventually(was_looked_at)

    for _ in range(2):
        await another_round()
    assert await status() == "pending False"
    assert images == [], "nor the passwords of registries"

    async def says_so() -> bool:
        return bool(await db.fetch("SELECT 1 FROM logs WHERE message LIKE '%%waits for an administrator%%'"))

    assert await eventually(says_so)
    await db.write("UPDATE agents SET enabled = true")

    async def is_promoted() -> bool:
        images.extend(image.name for image in (await agent.check_in()).images or ())
        return await status() == "running True"

    assert await eventually(is_promoted)
    assert images == ["greenroom/desktop:test"]


async def test_a_token_or_the_setting_enables_new_agents_only(door: Door, db: Database):
    async def enabled(*, by_token: bool) -> bool:
        agent = ToldAgent(door, await join_token(db, enable_agent=by_token))
        assert (await agent.register()).status_code == 200
        assert agent.registered is not None
        return agent.registered.enabled

    assert [await enabled(by_token=False), await enabled(by_token=True)] == [False, True]
    await db.write("INSERT INTO settings (name, value) VALUES ('auto_agent', %s)", (Jsonb(True),))
    assert await enabled(by_token=False)
    agent = await joined(db, door)
    await db.write("UPDATE agents SET enabled = false WHERE agent_id = %s", (agent.agent_id,))
    assert (await agent.register()).status_code == 200
    assert agent.registered is not None
    assert not agent.registered.enabled, "an administrator disabled it"


async def test_a_registry_password_goes_only_to_enabled_agents_that_pull(door: Door, db: Database, tmp_path: Path):
    secret = Secrets.from_file(tmp_path / "key").encrypt("robot secret")
    await db.write(
        "INSERT INTO images (friendly_name, name, docker_user, docker_token_encrypted) VALUES ('A', 'a:1', 'u', %s)",
        (secret,),
    )
    agent = await joined(db, door)

    async def password_for(**said: Any) -> tuple[str, bool]:
        (image,) = (await agent.check_in(**said)).images or []
        return image.password, image.password_withheld

    def has(state: Any) -> list[ImageReport]:
        return [ImageReport(name="a:1", state=state)]

    assert agent.answer is not None
    assert [image.password for image in agent.answer.images or ()] == ["robot secret"], "nothing is known of it"
    assert await password_for(images=has("present")) == ("", True)
    keeps: dict[str, Any] = {"images": has("present"), "usage": Usage(keeps_log_ins=True)}
    assert await password_for(**keeps) == ("robot secret", False), "for machines that get images later"
    changed = Secrets.from_file(tmp_path / "key").encrypt("another")
    await db.write("UPDATE images SET docker_token_encrypted = %s", (changed,))
    assert await password_for(**keeps) == ("another", False)
    assert await password_for(images=has("present")) == ("", True)
    assert await password_for(images=has("absent")) == ("another", False)
    await db.write("UPDATE agents SET enabled = false, status = 'running'")
    assert await password_for() == ("", True)


async def test_up_does_not_wait_for_an_agent_that_waits_for_an_administrator(db: Database):
    zone_id = await rows.zone(db)
    agents = {
        "waits": await rows.agent(db, zone_id, status="pending", enabled=False),
        "comes": await rows.agent(db, zone_id, status="pending"),
        "disabled": await rows.agent(db, zone_id, enabled=False),
    }
    states = await agent_states(db, [*agents.values(), "0f6e8a52-0000-4000-8000-00000000000a"])
    assert {name: states[agent_id].state for name, agent_id in agents.items()} == {
        "waits": WAITS_FOR_ADMINISTRATOR,
        "comes": "pending",
        "disabled": "running",
    }
    assert len(states) == 3

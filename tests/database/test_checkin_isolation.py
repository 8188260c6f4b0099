"""Check-in: unusable data of one Agent, session or image affects nothing else."""

from __future__ import annotations

import asyncio
from typing import Any, LiteralString

import httpx2
import pytest
from psycopg.types.json import Jsonb
from structlog.testing import capture_logs
from tests.support.agents import ToldAgent, joined, seen, session, user
from tests.support.managers import Fleet
from tests.support.postgres import incompressible_text
from tests.support.waiting import eventually

from greenroom.db.database import Database
from greenroom.kit.secrets import Secrets
from greenroom.manager.checkin import commit


async def test_a_message_no_manager_can_process_stops_no_other(
    door: httpx2.ASGITransport, db: Database, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
):
    """The Agent would send it to the next Manager, and the next."""
    agents = [await joined(db, door) for _ in range(3)]
    ids = [await session(db, agent) for agent in agents]
    real = commit.apply_messages

    async def apply(connection: Any, messages: Any, config: Any) -> Any:
        if any(message.agent_id == agents[0].agent_id for message in messages):
            raise KeyError("a defect")
        return await real(connection, messages, config)

    monkeypatch.setattr(commit, "apply_messages", apply)
    messages = [agent.message(seen(session_id, "creating")) for agent, session_id in zip(agents, ids, strict=True)]
    answers = await asyncio.gather(*(a.post("/v1/check-in", m) for a, m in zip(agents, messages, strict=True)))
    assert [answer.status_code for answer in answers] == [422, 200, 200]
    monkeypatch.undo()
    assert (await agents[0].post("/v1/check-in", agents[0].message(seen(ids[0], "creating")))).status_code == 200


async def test_a_value_that_an_index_cannot_hold_delays_no_other_agent(
    door: httpx2.ASGITransport, db: Database, fleet: Fleet
):
    agents = [await joined(db, door) for _ in range(3)]
    ids = [await session(db, agent) for agent in agents]
    await db.write("CREATE INDEX ON session_observed (probe_error)")
    errors = (incompressible_text(4000), "short", "short")
    messages = [
        agent.message(seen(session_id, "running", probe_error=error))
        for agent, session_id, error in zip(agents, ids, errors, strict=True)
    ]
    answers = await asyncio.gather(*(a.post("/v1/check-in", m) for a, m in zip(agents, messages, strict=True)))
    assert [answer.status_code for answer in answers] == [422, 200, 200]


async def test_an_agent_whose_row_is_locked_keeps_no_other_waiting(
    door: httpx2.ASGITransport, db: Database, fleet: Fleet
):
    agents = [await joined(db, door) for _ in range(3)]
    ids = [await session(db, agent) for agent in agents]
    async with db.transaction() as blocking:
        await blocking.execute("SELECT 1 FROM agents WHERE agent_id = %s FOR UPDATE", (agents[0].agent_id,))
        pairs = list(zip(agents, ids, strict=True))
        answers = await asyncio.gather(
            *(agent.check_in(seen(session_id, "creating"), once=agent is agents[0]) for agent, session_id in pairs)
        )
        assert [answer.acked_seq == agent.seq for answer, agent in zip(answers, agents, strict=True)] == [
            False,
            True,
            True,
        ]


async def test_unreadable_secrets_affect_their_session_and_image_alone(agent: ToldAgent, db: Database):
    """Each Agent of the zone gets all images: otherwise every Manager would refuse all of them."""
    unreadable, other = [await session(db, agent) for _ in range(2)]
    await db.write("UPDATE sessions SET credential_encrypted = 'x' WHERE session_id = %s", (unreadable,))
    await db.write(
        "INSERT INTO images (friendly_name, name, docker_user, docker_token_encrypted) VALUES ('A', 'a', 'u', 'x')"
    )
    answer = await agent.check_in(full=True)
    assert answer.desired is not None
    assert {entry.session_id: entry.spec is None for entry in answer.desired} == {unreadable: True, other: False}
    passwords = {image.name: image.password for image in answer.images or ()}
    assert passwords["a"] == ""
    assert len(passwords) == 2


@pytest.mark.parametrize(
    "ill_typed",
    [
        *("spec = '[]'", "assignment = '1'"),
        *("""client_settings = '{"max_upload_mb": "many"}'""", """permissions = '{"allow_kasm_audio": "yes"}'"""),
    ],
)
async def test_a_row_that_cannot_be_read_concerns_its_session_alone(
    ill_typed: LiteralString, agent: ToldAgent, db: Database
):
    """It stays on the list: an Agent whose list differs is answered at once, again and again."""
    user_id = await user(db)
    unreadable, other = [await session(db, agent, user_id=user_id) for _ in range(2)]
    await db.write(f"UPDATE sessions SET {ill_typed} WHERE session_id = %s", (unreadable,))
    with capture_logs() as logged:
        answer = await agent.check_in(full=True)
    assert [line["session_id"] for line in logged if line["log_level"] == "error"] == [unreadable]
    read = {one.session_id: (one.generation, one.spec is None, one.authorised is None) for one in answer.desired or ()}
    assert read == {unreadable: (1, True, True), other: (1, False, False)}


async def test_variables_are_decrypted_on_the_way_to_the_agent(agent: ToldAgent, db: Database, fleet: Fleet):
    secrets = Secrets.from_file(fleet.key_file)
    env = {"OLD": "plain", "NEW": secrets.seal("canary")}
    session_id = await session(db, agent)
    await db.write(
        "UPDATE sessions SET spec = spec || %s WHERE session_id = %s",
        (Jsonb({"environment": env, "run_config": {"environment": env}}), session_id),
    )
    await db.write(
        "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv, env, deadline_s)"
        " VALUES (gen_random_uuid(), %s, %s, 1, '[\"id\"]', %s, 60)",
        (session_id, agent.agent_id, Jsonb(env)),
    )
    answer = await agent.check_in(full=True)
    plain = {"OLD": "plain", "NEW": "canary"}
    (entry,), (command,) = answer.desired or [], answer.commands
    assert entry.spec is not None
    assert (entry.spec["environment"], entry.spec["run_config"]["environment"], command.env) == (plain, plain, plain)


async def test_an_answer_that_cannot_be_made_is_kept_for_diagnostics_too(
    agent: ToldAgent, db: Database, monkeypatch: pytest.MonkeyPatch
):

    async def fails(*_: object, **__: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr("greenroom.manager.checkin.answers.Answers.make", fails)
    response = await agent.post("/v1/check-in", agent.message(full=True))
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    await eventually(lambda: db.fetch("SELECT 1 FROM manager_requests WHERE status = 500"))

"""With its credential an Agent can neither read nor change data of another Agent."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, LiteralString

import httpx2
import pytest
from tests.support.agents import ToldAgent, joined, row, seen, session, user
from tests.support.managers import Fleet, manager_here
from tests.support.postgres import incompressible_text
from tests.support.waiting import eventually

from greenroom.db.database import Database
from greenroom.wire.messages import AssignmentReport, CommandReport, ImageReport, LogLine, Observed, Step

JPEG = b"\xff\xd8\xff picture"


@dataclass
class Two:
    """Two Agents of a zone; `victim` has a session that is handed over, with a waiting command."""

    db: Database
    door: httpx2.AsyncBaseTransport
    victim: ToldAgent
    intruder: ToldAgent
    user_id: str
    session_id: str
    assignment_id: str
    command_id: str

    async def rows(self) -> dict[str, Any]:
        """All rows of the victim, except the time of its last report."""
        values = {"agent_id": self.victim.agent_id, "session_id": self.session_id}
        found = {name: await self.db.fetch(query, values) for name, query in VICTIMS.items()}
        return json.loads(json.dumps(found, default=str))


VICTIMS: Final[dict[str, LiteralString]] = {
    "agent": "SELECT to_jsonb(a) - 'last_reported' AS row FROM agents a WHERE agent_id = %(agent_id)s",
    "capacity": "SELECT to_jsonb(c) AS row FROM agent_capacity c WHERE agent_id = %(agent_id)s",
    "images": "SELECT to_jsonb(i) AS row FROM agent_images i WHERE agent_id = %(agent_id)s",
    "session": "SELECT to_jsonb(s) AS row FROM sessions s WHERE session_id = %(session_id)s",
    "observed": "SELECT to_jsonb(o) AS row FROM session_observed o WHERE session_id = %(session_id)s",
    "steps": "SELECT to_jsonb(t) AS row FROM session_steps t WHERE session_id = %(session_id)s",
    "commands": "SELECT to_jsonb(k) AS row FROM session_commands k WHERE session_id = %(session_id)s",
    "logs": "SELECT to_jsonb(l) AS row FROM logs l WHERE session_id = %(session_id)s",
}


@pytest.fixture
async def two(db: Database, dsn: str, tmp_path: Path) -> AsyncIterator[Two]:
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    fleet = Fleet(dsn, tmp_path)
    async with manager_here(fleet, agent_missing_s=3600) as door:
        victim, intruder = await joined(db, door), await joined(db, door)

        async def are_running() -> bool:
            return len(await db.fetch("SELECT 1 FROM agents WHERE status = 'running'")) == 2

        await eventually(are_running)
        assignment_id = str(uuid.uuid4())
        user_id = await user(db)
        session_id = await session(
            db,
            victim,
            status="assigning",
            user_id=user_id,
            assignment_id=assignment_id,
            assignment=json.dumps({"assignment_id": assignment_id, "argv": ["assign"]}),
        )
        command = await db.write(
            "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv, deadline_s)"
            " VALUES (%s, %s, %s, 1, jsonb_build_array('true'), 60) RETURNING command_id::text",
            (str(uuid.uuid4()), session_id, victim.agent_id),
        )
        yield Two(db, door, victim, intruder, user_id, session_id, assignment_id, command[0]["command_id"])
    fleet.close()


def everything_about(two: Two) -> Observed:
    """An observation of the victim's session with every field that refers to something of it."""
    return seen(
        two.session_id,
        "running",
        usable=True,
        container_id="c" * 64,
        address="127.0.0.1:1",
        log_tail="mine",
        assignment=AssignmentReport(assignment_id=two.assignment_id, state="assigned", exit_code=0),
        commands=[CommandReport(command_id=two.command_id, state="done", exit_code=0, output="mine", picture=JPEG)],
        steps=[Step(name="painted", at=1.0)],
    )


@pytest.mark.parametrize("state", ["running", "failed", "stopped", "absent", "creating", "paused"])
async def test_what_is_observed_of_anothers_session_changes_nothing(two: Two, state: Any):
    before = await two.rows()
    full = everything_about(two)
    await two.intruder.check_in(Observed(**{**{f: getattr(full, f) for f in full.__struct_fields__}, "state": state}))
    assert await two.rows() == before
    assert (await two.victim.check_in(full)).acked_seq > 0
    assert (await row(two.db, two.session_id))["status"] == "running", "its own Agent says the same and is believed"


async def test_a_command_is_answered_only_through_its_own_session(two: Two):
    own = await session(two.db, two.intruder, status="running")
    before = await two.rows()
    report = CommandReport(command_id=two.command_id, state="done", exit_code=0, output="mine", picture=JPEG)
    handover = AssignmentReport(assignment_id=two.assignment_id, state="assigned", exit_code=0)
    await two.intruder.check_in(seen(own, commands=[report], assignment=handover))
    assert await two.rows() == before


async def test_an_answer_holds_nothing_of_another_agent(two: Two):
    answer = await two.intruder.check_in(full=True, unknown=[two.session_id])
    assert answer.desired == []
    assert answer.commands == []
    assert two.session_id not in json.dumps([*answer.verdicts.items()]), "it waits for the grace period"
    answer = await two.victim.check_in(full=True)
    assert [desired.session_id for desired in answer.desired or []] == [two.session_id]
    assert [command.command_id for command in answer.commands] == [two.command_id]


async def test_reports_of_images_and_capacity_concern_their_sender_alone(two: Two):
    await two.victim.check_in(images=[ImageReport(name="greenroom/test", state="present")])
    before = await two.rows()
    await two.intruder.check_in(images=[ImageReport(name="greenroom/test", state="failed", error="mine")])
    await two.intruder.check_in(images=[])
    assert await two.rows() == before


async def test_log_lines_are_not_about_sessions_or_users_of_others(two: Two):
    own = await session(two.db, two.intruder, status="running", friendly_name="Other")
    lines = [
        LogLine(
            at=1.0, level="ERROR", code="launch-failed", message="1", session_id=two.session_id, user_id=two.user_id
        ),
        LogLine(at=1.0, level="ERROR", code="launch-failed", message="2", session_id=own, user_id=two.user_id),
        LogLine(at=1.0, level="ERROR", code="launch-failed", message="3", user_id=two.user_id),
    ]
    await two.intruder.check_in(logs=lines, once=True)

    async def written() -> list[dict[str, Any]]:
        return await two.db.fetch(
            "SELECT message, session_id::text, user_id::text, details->>'agent_id' AS agent_id FROM logs"
            " WHERE code = 'launch-failed' ORDER BY message"
        )

    rows = await eventually(written)
    assert [(r["session_id"], r["user_id"]) for r in rows] == [(None, None), (own, None), (None, None)]
    assert {r["agent_id"] for r in rows} == {two.intruder.agent_id}

    await two.victim.check_in(
        logs=[
            LogLine(
                at=1.0, level="INFO", code="stream-opened", message="4", session_id=two.session_id, user_id=two.user_id
            )
        ],
        once=True,
    )

    async def of_its_own() -> list[dict[str, Any]]:
        return await two.db.fetch("SELECT session_id::text, user_id::text FROM logs WHERE code = 'stream-opened'")

    assert await eventually(of_its_own) == [{"session_id": two.session_id, "user_id": two.user_id}]


async def test_an_agent_cannot_report_as_another(two: Two):
    before = await two.rows()
    assert two.victim.registered is not None
    message = two.victim.message(everything_about(two), seq=99)
    for agent_id, credential in (
        (two.victim.agent_id, two.intruder.credential),
        (two.intruder.agent_id, two.intruder.credential),
        (two.victim.agent_id, ""),
        ("", ""),
    ):
        sender = ToldAgent(two.door, agent_id=agent_id, credential=credential)
        assert (await sender.post("/v1/check-in", message)).status_code == 401
    stolen_name = ToldAgent(two.door, agent_id=two.victim.agent_id, credential=two.intruder.credential)
    assert (await stolen_name.register()).status_code == 401
    after = await two.rows()
    refusal = after["agent"][0]["row"].pop("refused_reason")
    assert "credential is not valid" in refusal, "the administrator sees the attempt"
    for rows in (before, after):
        for name in ("refused_reason", "refused_at", "refused_address"):
            rows["agent"][0]["row"].pop(name, None)
    assert after == before


async def test_a_log_line_with_a_long_or_unknown_code_delays_no_other(two: Two):
    lines = [
        LogLine(at=1.0, level="INFO", code="x" * 64 + incompressible_text(3936), message="5"),
        LogLine(at=1.0, level="INFO", code="launch-failed", message="6"),
    ]
    await two.intruder.check_in(logs=lines, once=True)
    await two.victim.check_in(logs=[LogLine(at=1.0, level="INFO", code="launch-failed", message="7")], once=True)

    async def written() -> list[dict[str, Any]]:
        rows = await two.db.fetch("SELECT code, right(message, 1) AS last FROM logs WHERE component = 'agent'")
        return sorted(rows, key=lambda row: row["last"]) if len(rows) >= 3 else []

    rows = await eventually(written)
    assert [(row["code"], row["last"]) for row in rows[-3:]] == [
        ("agent-log-unknown", "5"),
        ("launch-failed", "6"),
        ("launch-failed", "7"),
    ]

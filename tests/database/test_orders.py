"""Orders to an Agent in running sessions, and their results: hand-over, commands, screenshots."""

from __future__ import annotations

import uuid

from tests.support.agents import ToldAgent, row, seen, session, user

from greenroom.db.database import Database
from greenroom.wire.fields import ScreenshotSize
from greenroom.wire.messages import MAX_PICTURE_BYTES, AssignmentReport, CommandReport


async def test_a_hand_over_is_received_then_assigned(agent: ToldAgent, db: Database):
    assignment_id = str(uuid.uuid4())
    session_id = await session(
        db,
        agent,
        status="assigning",
        generation=2,
        user_id=await user(db),
        assignment_id=assignment_id,
        assignment=f'{{"assignment_id": "{assignment_id}"}}',
    )
    answer = await agent.check_in(full=True)
    assert answer.desired is not None
    assert answer.desired[0].assignment is not None
    report = AssignmentReport(assignment_id=assignment_id, state="received")
    await agent.check_in(seen(session_id, generation=2, usable=True, assignment=report))
    found = await row(db, session_id)
    assert (found["status"], found["assignment_state"]) == ("assigning", "received")
    assert found["deadline"] is not None
    report = AssignmentReport(assignment_id=assignment_id, state="assigned", exit_code=0)
    await agent.check_in(seen(session_id, generation=2, usable=True, assignment=report))
    found = await row(db, session_id)
    assert (found["status"], found["assignment_state"], found["deadline"]) == ("running", "assigned", None)


async def test_a_command_is_sent_until_it_has_begun_and_its_result_is_kept(agent: ToldAgent, db: Database):
    session_id = await session(db, agent, status="running")
    await agent.check_in()
    command_id = str(uuid.uuid4())
    await db.write(
        "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv)"
        """ VALUES (%s, %s, %s, 1, '["true"]')""",
        (command_id, session_id, agent.agent_id),
    )
    assert [c.argv for c in (await agent.check_in()).commands] == [["true"]]
    started = CommandReport(command_id=command_id, state="started")
    assert (await agent.check_in(seen(session_id, commands=[started]))).commands == []
    done = CommandReport(command_id=command_id, state="done", exit_code=0, output="hello")
    await agent.check_in(seen(session_id, commands=[done]))
    await agent.check_in(seen(session_id, commands=[CommandReport(command_id=command_id, state="unknown")]))
    rows = await db.fetch("SELECT state, exit_code, output FROM session_commands")
    assert rows == [{"state": "done", "exit_code": 0, "output": "hello"}]


async def test_a_command_whose_caller_no_longer_waits_is_not_begun(agent: ToldAgent, db: Database):
    session_id = await session(db, agent, status="running")
    await db.write(
        "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv, deadline_s, created)"
        """ VALUES (gen_random_uuid(), %s, %s, 1, '["true"]', 30, clock_timestamp() - interval '41 s')""",
        (session_id, agent.agent_id),
    )
    assert (await agent.check_in()).commands == []
    await db.write("UPDATE session_commands SET created = clock_timestamp() - interval '30 s'")
    assert [c.argv for c in (await agent.check_in()).commands] == [["true"]]


async def test_a_screenshot_is_ordered_while_awaited_and_only_a_jpeg_is_kept(agent: ToldAgent, db: Database):
    session_id = await session(db, agent, status="running")
    await agent.check_in()

    async def ordered(age_s: float) -> str:
        await db.write("DELETE FROM session_commands")
        command_id = str(uuid.uuid4())
        await db.write(
            "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv, deadline_s, screenshot,"
            """ created) VALUES (%s, %s, %s, 1, '[]', 10, '{"width": 64, "height": 48}',"""
            " clock_timestamp() - make_interval(secs => %s))",
            (command_id, session_id, agent.agent_id, age_s),
        )
        return command_id

    async def kept(picture: bytes) -> bytes | None:
        report = CommandReport(command_id=await ordered(0), state="done", picture=picture)
        await agent.check_in(seen(session_id, commands=[report]))
        (found,) = await db.fetch("SELECT state, picture FROM session_commands")
        assert found["state"] == "done"
        return found["picture"]

    await ordered(21)
    assert (await agent.check_in()).commands == [], "no caller waits for it any more"
    command_id = await ordered(0)
    (command,) = (await agent.check_in()).commands
    assert (command.command_id, command.screenshot) == (command_id, ScreenshotSize(width=64, height=48))
    jpeg = b"\xff\xd8\xff" + bytes(range(256))
    assert await kept(jpeg) == jpeg
    assert await kept(b"<script>") is None
    assert await kept(jpeg + bytes(MAX_PICTURE_BYTES)) is None


async def test_output_of_a_hand_over_may_hold_anything(agent: ToldAgent, db: Database):
    handover = str(uuid.uuid4())
    session_id = await session(db, agent, status="assigning", user_id=await user(db), assignment_id=handover)
    report = AssignmentReport(assignment_id=handover, state="failed", exit_code=1, error="binary \0 output")
    await agent.check_in(seen(session_id, "running", usable=True, assignment=report))
    found = await row(db, session_id)
    said = found["set_aside_reason"] or found["error"]  # the Primary may already have given it up
    assert (found["status"], said) == ("failed", "its hand-over failed: binary  output")

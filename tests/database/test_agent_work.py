"""The Agent's work inside running sessions: hand-over, commands, screenshots, the first launch."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image
from tests.support.real_agents import agent_inside, behave, containers, session_id
from tests.support.scripted_manager import ScriptedManager, World, spec
from tests.support.waiting import eventually

from greenroom.wire.messages import CheckIn, ScreenshotSize


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], ("assigned", "")),
        (["true"], ("assigned", "")),
        (["sleep", "60"], ("assigned", "")),
        (["false"], ("failed", "`assign` ended with exit code 1: (it wrote nothing)")),
        (["nonsense"], ("failed", "`assign` ended with exit code 127: nonsense: not found")),
    ],
)
async def test_hand_over(
    world: World, manager: ScriptedManager, tmp_path: Path, argv: list[str], expected: tuple[str, str]
):
    session = session_id()
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        assert agent.sessions.get(session)
        assignment_id = await world.hand_over(session, argv, deadline_s=4.0 if "sleep" in argv else 30.0)
        await world.until(lambda: _handed_over(world, session) in {"assigned", "failed"})
        snapshot = agent.sessions.get(session)
        assert snapshot
        assert snapshot.handed_over is (expected[0] == "assigned")
    reports = [observed.assignment for observed in world.history if observed.assignment]
    assert {report.assignment_id for report in reports} == {assignment_id}
    assert (reports[-1].state, reports[-1].error) == expected
    assert argv != ["sleep", "60"] or reports[0].state == "received"


def _handed_over(world: World, session: str) -> str:
    report = world.observed[session].assignment
    return report.state if report else ""


async def test_hand_over_of_a_session_that_no_longer_answers_fails(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    session = session_id()
    async with agent_inside(tmp_path, manager, probe_interval_s=60):
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        behave(tmp_path, never_paint=["greenroom/desktop:openbox"])
        await world.hand_over(session, ["true"])
        await world.until(lambda: _handed_over(world, session) == "failed")
    report = world.observed[session].assignment
    assert report
    assert report.error.startswith("The session did not answer its last probe: ")


async def test_assign_does_not_run_for_a_user_who_has_another_session_now(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An Agent that was frozen finds the order in its socket, long after the session was quarantined."""
    session, receive = session_id(), world.receive

    def quarantine(message: CheckIn) -> None:
        receive(message)
        if any(observed.assignment for observed in message.sessions):
            before = world.desired[session]
            generation = before.generation + 1
            world.desired[session] = msgspec.structs.replace(
                before, generation=generation, assignment=None, authorised=None
            )

    monkeypatch.setattr(world, "receive", quarantine)
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        assignment_id = await world.hand_over(session, ["true"])
        await world.until(lambda: world.observed[session].generation == world.desired[session].generation > 2)
        command = await world.order(session, "true")
        await world.until(lambda: any(c.command_id == command for c in world.observed[session].commands))
        desired = agent.sessions.desired.get(session)
        assert desired
        assert desired.assignment is None
    journal = tmp_path / "agent" / "journal.jsonl"
    states = [line for line in journal.read_text().splitlines() if assignment_id in line]
    assert len(states) == 1
    assert '"state":"received"' in states[0]


async def test_a_command_runs_once_and_its_result_is_kept_until_committed(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    session = session_id()
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        command_id = await world.order(session, "echo", "hello")
        await world.until(lambda: [c.state for c in world.observed[session].commands] == ["done"])
        (report,) = world.observed[session].commands
        assert (report.command_id, report.exit_code, report.output) == (command_id, 0, "hello\n")
        await world.until(lambda: agent.journal.state.commands[command_id].state == "reported")


async def test_a_screenshot_is_taken_reported_and_forgotten(world: World, manager: ScriptedManager, tmp_path: Path):
    session = session_id()
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        command_id = await world.order(session, screenshot=ScreenshotSize(width=32, height=32))
        await world.until(lambda: [c.state for c in world.observed[session].commands] == ["done"])
        (report,) = world.observed[session].commands
        assert (report.command_id, Image.open(BytesIO(report.picture)).size) == (command_id, (32, 24))
        world.commands.clear()
        await world.until(lambda: agent.sessions.commands.get(command_id) is None)
        agent.sessions.outbox.resend_all()
        assert [observed.commands for observed in agent.sessions.outbox.unacknowledged(1)] == [[]]
        assert command_id.encode() not in (tmp_path / "agent" / "journal.jsonl").read_bytes()


@pytest.mark.parametrize("want", ["stopped", "paused"])
async def test_a_session_that_does_not_run_has_no_screenshot(
    world: World, manager: ScriptedManager, tmp_path: Path, want: Any
):
    session = session_id()
    async with agent_inside(tmp_path, manager):
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        await world.want(session, want)
        await world.order(session, screenshot=ScreenshotSize(width=32, height=32))
        await world.until(lambda: world.observed[session].commands)
    (report,) = world.observed[session].commands
    assert (report.state, report.picture) == ("done", b"")
    assert report.output.startswith(f"No screenshot was taken: the desired state of the session is {want}")


async def test_a_command_in_a_stopped_session_is_refused_with_the_reason(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    session = session_id()
    async with agent_inside(tmp_path, manager):
        await world.want(session)
        await world.want(session, "stopped")
        await world.order(session, "true")
        await world.until(lambda: session in world.observed and world.observed[session].commands)
    (report,) = world.observed[session].commands
    assert report.exit_code is None
    assert report.output.startswith("The command was not run: the desired state of the session is stopped")


async def test_first_launch_ends_before_the_session_is_usable(world: World, manager: ScriptedManager, tmp_path: Path):
    session = session_id()
    plain = msgspec.to_builtins(spec())
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session, spec={**plain, "first_launch": {"argv": ["sleep", "3"]}})
        await world.until(lambda: _painted(world, session))
        assert agent.sessions.observed.journal_record(session).first_launch == "started"
        assert not world.is_usable(session)
        await world.until(lambda: world.is_usable(session))
        assert agent.sessions.observed.journal_record(session).first_launch == "ended"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ({"argv": ["false"]}, "`first_launch` ended with exit code 1: (it wrote nothing)"),
        (
            {"argv": ["sleep", "9"], "deadline_s": 0.2},
            "`first_launch` was still running after 0.2 s: (it wrote nothing)",
        ),
        ({"argv": ["no-such-program"]}, "`first_launch` ended with exit code 127: no-such-program: not found"),
    ],
)
async def test_a_first_launch_that_fails_fails_the_session(
    world: World, manager: ScriptedManager, tmp_path: Path, command: dict[str, Any], words: str
):
    session = session_id()
    async with agent_inside(tmp_path, manager):
        await world.want(session, spec={**msgspec.to_builtins(spec()), "first_launch": command})
        await world.until(lambda: world.state(session) == "failed")
        assert world.observed[session].error == words
        assert not any(observed.usable for observed in world.history)
        await eventually(lambda: [c.state for c in containers(tmp_path).values()] == ["exited"])


async def test_a_first_launch_interrupted_with_its_agent_fails_the_session(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    session = session_id()
    wanted = {**msgspec.to_builtins(spec()), "first_launch": {"argv": ["sleep", "20"]}}
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session, spec=wanted)
        await eventually(lambda: agent.sessions.observed.journal_record(session).first_launch == "started")
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: world.state(session) == "failed")
    assert "was restarted while `first_launch` ran" in world.observed[session].error


def _painted(world: World, session: str) -> bool:
    return session in world.observed and "painted" in {step.name for step in world.observed[session].steps}

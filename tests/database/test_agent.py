"""The Agent with scripted Managers and simulated containers: its required and its forbidden actions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.real_agents import agent_inside, behave, session_id, simulated
from tests.support.scripted_manager import ScriptedManager, WantText, World, spec
from tests.support.waiting import eventually

from greenroom.agent.session import prober
from greenroom.wire.messages import Answer, Desired


async def test_a_wanted_session_is_started_and_becomes_usable_with_its_steps(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    session = session_id()
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: world.check_ins)
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
    observed = world.observed[session]
    assert [step.name for step in observed.steps] == ["received", "created", "started", "answering", "painted"]
    assert (observed.state, observed.generation, observed.address) == ("running", 1, "127.0.0.1:9")


async def test_the_first_check_in_is_complete_and_says_what_the_host_offers(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    async with agent_inside(tmp_path, manager):
        first = await world.until(lambda: world.check_ins and world.check_ins[0])
    assert first.full
    assert first.inventory_complete
    assert first.capacity.cores == 64.0
    assert world.registrations[0].join_token == "join-me"


async def test_observations_do_not_wait_for_the_held_poll(world: World, manager: ScriptedManager, tmp_path: Path):
    world.hold_s = 30
    session = session_id()
    behave(tmp_path, paint_s=0.3)
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: world.check_ins)
        await world.want(session)
        await world.until(lambda: world.is_usable(session), 15)


async def test_a_desktop_that_never_paints_never_becomes_usable(world: World, manager: ScriptedManager, tmp_path: Path):
    behave(tmp_path, never_paint=["greenroom/desktop:openbox"])
    session = session_id()
    async with agent_inside(tmp_path, manager):
        await world.want(session)
        error = await world.until(lambda: session in world.observed and world.observed[session].probe_error)
    assert error == "Nothing has been painted on the screen yet."
    assert not any(observed.usable for observed in world.history)


async def test_stop_pause_and_resume(world: World, manager: ScriptedManager, tmp_path: Path):
    session = session_id()
    async with agent_inside(tmp_path, manager):
        wants: tuple[WantText, ...] = ("running", "paused", "running", "stopped", "running")
        for want in wants:
            desired = await world.want(session, want)
            await world.until(lambda d=desired, s=want: _is(world, session, s, d.generation))
    assert not any(observed.state == "failed" for observed in world.history)


def _is(world: World, session: str, state: str, generation: int) -> bool:
    observed = world.observed.get(session)
    return observed is not None and (observed.state, observed.generation) == (state, generation)


async def test_absent_destroys_and_is_reported_until_the_row_is_gone(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    session = session_id()
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        await world.want(session, "absent")
        await world.until(lambda: world.state(session) == "absent")
        assert await simulated(agent).list() == []
        await world.drop(session)
        await world.until(lambda: world.check_ins[-1].have_digest == world.digest())


async def test_while_its_container_is_being_created_a_session_is_not_absent(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    session = session_id()
    reached, release = asyncio.Event(), asyncio.Event()
    async with agent_inside(tmp_path, manager) as agent:
        await eventually(lambda: agent.host.runtime)
        runtime = simulated(agent)
        create = runtime.create

        async def held(*arguments: Any, **options: Any) -> Any:
            reached.set()
            await release.wait()
            return await create(*arguments, **options)

        monkeypatch.setattr(runtime, "create", held)
        await world.want(session)
        await reached.wait()
        await world.want(session, "absent")
        await world.until(lambda: _is(world, session, "creating", 2))
        release.set()
        await world.until(lambda: world.state(session) == "absent")
        assert await runtime.list() == []


async def test_a_session_that_does_not_become_usable_reports_its_last_lines(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def says(*_: object) -> str:
        return "cannot open display\n"

    monkeypatch.setattr(prober, "FAST_PROBING_S", 0.2)
    behave(tmp_path, paint_s=3600)
    session = session_id()
    async with agent_inside(tmp_path, manager) as agent:
        await eventually(lambda: agent.host.runtime)
        monkeypatch.setattr(simulated(agent), "logs", says)
        await world.want(session)
        tail = await world.until(lambda: session in world.observed and world.observed[session].log_tail)
    assert tail == "cannot open display\n"


async def test_absence_commands_nothing_and_a_verdict_destroys(world: World, manager: ScriptedManager, tmp_path: Path):
    kept, condemned = session_id(), session_id()
    async with agent_inside(tmp_path, manager) as agent:
        for session in (kept, condemned):
            await world.want(session)
            await world.until(lambda s=session: world.is_usable(s))
        await world.drop(kept)
        await world.drop(condemned)
        await world.until(lambda: world.check_ins[-1].unknown == sorted([kept, condemned]))
        world.verdicts = {kept: "keep", condemned: "destroy"}
        await world.notify()
        await world.until(lambda: world.check_ins[-1].unknown == [kept])
        assert [container.session_id for container in await simulated(agent).list()] == [kept]
        await world.until(lambda: any(condemned in said for said in _said(world, "agent-stranger-removed")))


async def test_a_verdict_does_not_touch_a_session_that_is_wanted(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    session = session_id()
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        world.verdicts = {session: "destroy"}
        await world.notify()
        count = len(world.check_ins)
        await world.until(lambda: len(world.check_ins) > count + 3)
        assert [container.state for container in await simulated(agent).list()] == ["running"]


async def test_an_answer_of_a_lower_term_is_no_news(world: World, manager: ScriptedManager, tmp_path: Path):
    session, other = session_id(), session_id()
    world.term, world.hold_s = 7, 0.2
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        manager.term = 6
        await world.want(session, "absent")
        await world.want(other)
        count = len(world.check_ins)
        await world.until(lambda: len(world.check_ins) > count + 4)
        assert [container.session_id for container in await simulated(agent).list()] == [session]
        assert world.check_ins[-1].term_seen == 7
        manager.term = 8
        await world.until(lambda: world.state(session) == "absent" and world.is_usable(other))


async def test_the_highest_term_is_remembered_across_restarts(world: World, manager: ScriptedManager, tmp_path: Path):
    session = session_id()
    world.term, world.hold_s = 7, 0.2
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: len(world.check_ins) > 1)
    manager.term = 6
    await world.want(session)
    count = len(world.check_ins)
    async with agent_inside(tmp_path, manager) as agent:
        await world.until(lambda: len(world.check_ins) > count + 2)
        assert await simulated(agent).list() == []


async def test_a_container_that_exits_has_failed_with_code_and_log(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    session = session_id()
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        simulated(agent).die(session, 3, "Xvnc: no screens found\n")
        await world.until(lambda: session in world.observed and world.observed[session].log_tail)
        observed = world.observed[session]
        assert (observed.state, observed.exit_code, observed.usable) == ("failed", 3, False)
        assert observed.error == "The container ended by itself with exit code 3."
        assert observed.log_tail == "Xvnc: no screens found\n"
        await world.want(session)
        await world.until(lambda: _is(world, session, "failed", 2))
        assert [container.state for container in await simulated(agent).list()] == ["exited"]


async def test_late_and_repeated_answers_do_no_harm(world: World, manager: ScriptedManager, tmp_path: Path):
    world.hold_s = 0.1
    session = session_id()
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        old = list(world.desired.values())
        await world.want(session, "absent")
        await world.until(lambda: world.state(session) == "absent")
        manager.change_answer = lambda answer: _saying(answer, old)
        count = len(world.check_ins)
        await world.until(lambda: len(world.check_ins) > count + 3)
        assert await simulated(agent).list() == []


def _saying(answer: Answer, desired: list[Desired]) -> Answer:
    return msgspec.structs.replace(answer, desired=desired)


async def test_after_a_restore_the_agent_registers_again_destroying_nothing(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    session = session_id()
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session)
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        world.db_epoch = session_id()
        world.desired[session] = msgspec.structs.replace(world.desired[session], generation=1)
        await world.notify()
        await world.until(lambda: len(world.registrations) == 2 and _is(world, session, "running", 1))
        assert [container.state for container in await simulated(agent).list()] == ["running"]


async def test_an_old_process_registers_again_with_pauses_that_grow(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    world.hold_s = 0.05
    async with agent_inside(tmp_path, manager):
        for expected in (2, 3):
            await world.until(lambda: len(world.check_ins) > 1)
            world.check_ins.clear()
            world.incarnation += 1
            await world.until(lambda n=expected: len(world.registrations) == n)
    assert all(message.credential for message in world.registrations[1:])


async def test_a_wrong_join_token_is_tried_again_when_the_file_was_corrected(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    wrong = tmp_path / "wrong"
    wrong.write_text("something else")
    async with agent_inside(tmp_path, manager, join_token_file=wrong) as agent:
        assert await eventually(lambda: agent.health.manager_error) == "who are you?"
        wrong.write_text("join-me\n")
        await world.until(lambda: world.check_ins)


@pytest.mark.parametrize("rest", ["stopped", "paused"])
async def test_a_session_that_goes_on_is_looked_at_at_once(
    world: World, manager: ScriptedManager, tmp_path: Path, rest: WantText
):
    session = session_id()
    async with agent_inside(tmp_path, manager, probe_interval_s=60):
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        for want in (rest, "running"):
            desired = await world.want(session, want)
            await world.until(lambda d=desired, s=want: _is(world, session, s, d.generation))
        await world.until(lambda: world.is_usable(session), 30)


async def test_the_stream_authorizer_is_notified_of_revocation(world: World, manager: ScriptedManager, tmp_path: Path):
    session = session_id()
    notified: list[str] = []
    async with agent_inside(tmp_path, manager) as agent:
        agent.session_cache.authorised_changed.subscribe(notified.append)
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        notified.clear()
        await world.hand_over(session)
        await world.until(lambda: notified == [session])
        await world.want(session, "absent")
        await world.until(lambda: world.state(session) == "absent")
        assert notified == [session, session]
        assert agent.sessions.get(session) is None


async def test_another_specification_is_reported_once_and_replaces_nothing(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    session = session_id()
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        made = [container.container_id for container in await simulated(agent).list()]
        await world.want(session, spec=msgspec.to_builtins(spec(cores=2.0)))
        await world.until(lambda: "agent-report-mismatch" in _log_codes(world))
        assert [container.container_id for container in await simulated(agent).list()] == made
    assert _log_codes(world).count("agent-report-mismatch") == 1


def _log_codes(world: World) -> list[str]:
    return [line.code for message in world.check_ins for line in message.logs]


def _said(world: World, code: str) -> list[str]:
    """Log rows of the Agent with this code."""
    return [line.message for message in world.check_ins for line in message.logs if line.code == code]

"""The Agent when its runtime is slow or unavailable, and its link to Managers over TLS."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.real_agents import agent_inside, behave, session_id, simulated
from tests.support.scripted_manager import ScriptedManager, World
from tests.support.waiting import eventually

from greenroom.core.session.starts import MAX_START_SLOTS_PER_CORE
from greenroom.runtimes.contract import Container, RuntimeUnavailable
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.up.account import Account
from greenroom.up.layout import Layout
from greenroom.up.tls import ensure_authority, ensure_certificate


class Away:
    """Let calls of the simulated runtime fail while `away` is true."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.away = True
        self.refused = 0
        for name in names:
            monkeypatch.setattr(SimulatedRuntime, name, self._failing(getattr(SimulatedRuntime, name)))

    def _failing(self, original: Any) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            if self.away:
                self.refused += 1
                raise RuntimeUnavailable
            return await original(*arguments, **named)

        return call


async def test_a_runtime_that_is_away_fails_no_session_and_is_asked_again(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    runtime = Away(monkeypatch, "create", "inspect")
    session = session_id()
    async with agent_inside(tmp_path, manager):
        await world.want(session)
        await eventually(lambda: runtime.refused)
        runtime.away = False
        await world.until(lambda: world.is_usable(session))
    assert not any(observed.state == "failed" for observed in world.history)


async def test_without_an_inventory_nothing_is_done_and_the_check_in_says_so(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    runtime = Away(monkeypatch, "list")
    session = session_id()
    await world.want(session)
    async with agent_inside(tmp_path, manager) as agent:
        await world.until(lambda: world.check_ins)
        assert not world.check_ins[0].inventory_complete
        await eventually(lambda: runtime.refused > 1)
        assert await simulated(agent).inspect(session) is None
        assert await eventually(lambda: not agent.health.report(0.0)[0])
        runtime.away = False
        await world.until(lambda: world.is_usable(session))
        assert await eventually(lambda: world.check_ins[-1].inventory_complete)


async def test_an_agent_without_runtime_does_not_report_sessions_as_gone(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    session = session_id()
    await world.want(session)
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: world.is_usable(session))
    runtime, before = Away(monkeypatch, "list"), len(world.check_ins)
    async with agent_inside(tmp_path, manager):
        await eventually(lambda: runtime.refused > 1 and len(world.check_ins) > before + 1)
        runtime.away = False
        await eventually(lambda: world.check_ins[-1].inventory_complete)
        await world.until(lambda: world.is_usable(session))
    assert not any(observed.state in {"failed", "absent"} for observed in world.history)


async def test_a_session_ended_while_its_runtime_is_away_is_removed(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    session = session_id()
    async with agent_inside(tmp_path, manager) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        runtime = Away(monkeypatch, "remove")
        await world.want(session, "absent")
        await eventually(lambda: runtime.refused)
        runtime.away = False
        await world.until(lambda: world.state(session) == "absent")
        assert await simulated(agent).list() == []


async def test_few_containers_are_changed_at_a_time(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    at_once, most = 0, 0
    create = SimulatedRuntime.create

    async def counted(*arguments: Any, **options: Any) -> Container:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)  # others begin in the meantime, unless they wait
        try:
            return await create(*arguments, **options)
        finally:
            at_once -= 1

    monkeypatch.setattr(SimulatedRuntime, "create", counted)
    sessions, cores = [session_id() for _ in range(20)], 2
    behave(tmp_path, cores=cores)
    async with agent_inside(tmp_path, manager):
        for session in sessions:
            await world.want(session)
        for session in sessions:
            await world.until(lambda s=session: world.is_usable(s))
    assert 2 <= most <= MAX_START_SLOTS_PER_CORE * cores


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path, Path]:
    """(authority, certificate, key) for 127.0.0.1."""
    layout = Layout(tmp_path / "tls")
    for folder in (layout.data, layout.tls, layout.gateway):
        folder.mkdir(parents=True, exist_ok=True)
    ensure_authority(layout)
    return layout.ca_file, *ensure_certificate(layout, Account(None), ["127.0.0.1"], datetime.now(UTC))


async def test_only_certificates_of_the_authority_are_accepted(
    world: World, tmp_path: Path, certificate: tuple[Path, Path, Path]
):
    authority, *pair = certificate
    manager = ScriptedManager(world, "manager-1")
    await manager.start(certificate=(pair[0], pair[1]))
    try:
        async with agent_inside(tmp_path, manager) as agent:
            error = await eventually(lambda: agent.health.manager_error)
            assert "certificate verify failed" in error
            assert manager.requests == 0
        async with agent_inside(tmp_path, manager, ca_file=authority):
            await world.until(lambda: world.check_ins)
    finally:
        await manager.stop()

"""The failures of an upgrade after which no previous version can run, or the previous one is started."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from greenroom.core.errors import SetupError
from greenroom.kit.program import version
from greenroom.up.control import ControlAnswer, ProgramFiles
from greenroom.up.layout import Layout
from greenroom.up.progress import LineProgress
from greenroom.up.supervisor import PartState, State
from greenroom.upgrade import instance, waiting
from greenroom.upgrade.instance import InstanceUpgrade
from greenroom.upgrade.instance_facts import UpgradeRecord
from greenroom.upgrade.plan import ROLE_ORDER, RunningRole
from greenroom.upgrade.waiting import SteadyProcesses


def upgrade(layout: Layout, version_of_up: str, python: str) -> InstanceUpgrade:
    unused = cast("Any", None)
    return InstanceUpgrade(
        layout=layout,
        site=unused,
        http=unused,
        db=unused,
        progress=LineProgress(io.StringIO()),
        plan=unused,
        current_up=ControlAnswer(version=version_of_up),
        programs=ProgramFiles(python=python, postgres="", console=""),
        record=None,
    )


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.state.parent.mkdir()
    return layout


async def test_the_record_stays_if_there_is_no_previous_version_to_return_to(layout: Layout):
    record = UpgradeRecord(previous="0.0.1", new=version(), python="/opt/old/bin/python", backup="/backup")
    record.write(layout)
    with pytest.raises(SetupError, match=r"does not work\. .* run it again with: /opt/new/bin/python -P -m greenroom"):
        await upgrade(layout, version(), "/opt/new/bin/python")._return_and_raise(SetupError("api does not work."))
    assert UpgradeRecord.read(layout) == record


@pytest.mark.parametrize("python", ["/bin/false", "/absent/python"])
def test_the_previous_version_gets_its_settings_back_before_its_start(layout: Layout, python: str):
    layout.instance.write_text("of the new version")
    with pytest.raises(SetupError, match=r"It has ended\. Greenroom 0\.0\.1 does not start: "):
        upgrade(layout, "0.0.1", python)._start_previous("of 0.0.1", SetupError("It has ended."))
    assert layout.instance.read_text() == "of 0.0.1"


async def test_the_last_step_waits_for_a_role_that_misses_a_check(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    api = RunningRole(name="api", role="api", version=version())
    checks = [[replace(api, problem="no response")], *[[api]] * 3]
    applied = list[str]()

    async def read_roles(*_: object) -> list[RunningRole]:
        return checks.pop(0)

    async def migrate(dsn: str) -> None:
        applied.append(dsn)

    monkeypatch.setattr(waiting, "POLL_S", 0)
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(instance, "read_roles", read_roles)
    monkeypatch.setattr(instance, "migrate", migrate)
    planned = upgrade(layout, "0.0.1", "/opt/old/bin/python")
    planned.site = cast("Any", SimpleNamespace(dsn="the database"))
    planned.processes = SteadyProcesses(lambda: float(next(clock)))
    State(parts=(PartState(name="api", role="api", pid=1, starts=1),)).write(layout.state)
    await planned._finish()
    assert applied == ["the database"]


@pytest.mark.parametrize("ends_after_s", [0, 4, 12])
@pytest.mark.parametrize("role", [role for role in ROLE_ORDER if role != "database"])
async def test_a_role_that_works_but_ends_again_and_again_is_given_up(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, role: str, ends_after_s: int
):
    clock = iter(range(1000))
    now_s = 0

    async def read_roles(*_: object) -> list[RunningRole]:
        nonlocal now_s
        now_s = next(clock)
        starts = 1 + now_s // max(ends_after_s, 1)
        State(parts=(PartState(name=f"{role}-1", role=role, pid=1, starts=starts),)).write(layout.state)
        return [RunningRole(name=f"{role}-1", role=role, version=version())]

    async def send_request(*_: object) -> None:
        pass

    monkeypatch.setattr(waiting, "POLL_S", 0)
    monkeypatch.setattr(instance, "read_roles", read_roles)
    monkeypatch.setattr(instance, "send_request", send_request)
    layout.log(f"{role}-1").parent.mkdir()
    layout.log(f"{role}-1").write_text("planted\n")
    planned = upgrade(layout, "0.0.1", "/opt/old/bin/python")
    planned.processes = SteadyProcesses(lambda: float(now_s))
    with pytest.raises(SetupError, match=rf"{role}-1 does not keep running: its process ended 2 times\. .*: planted"):
        await planned._replace(f"{role}-1", version())
    assert now_s == 2 * max(ends_after_s, 1)

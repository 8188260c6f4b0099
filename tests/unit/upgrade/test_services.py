"""The upgrade of the services of one machine after an interruption, and its commands for a return."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from tests.unit.upgrade.test_services_plan import STARTED, manager

from greenroom.core.errors import SetupError
from greenroom.up.progress import LineProgress
from greenroom.upgrade import services, units, waiting
from greenroom.upgrade.plan import RunningRole
from greenroom.upgrade.services import ServicesUpgrade
from greenroom.upgrade.services_facts import ServicesRecord
from greenroom.upgrade.units import UnitService
from greenroom.upgrade.waiting import STEADY_S, SteadyProcesses

ROLES: Final = ("manager", "api", "gateway", "agent")


class RunningUnit(UnitService):
    """A service whose process runs the program in the folder `settings["environment"]`."""

    @property
    def environment(self) -> Path | None:
        return self.settings["environment"]


def running(role: str, environment: Path, pid: int = 0) -> UnitService:
    return RunningUnit(
        role=role,
        unit=f"greenroom-{role}.service",
        state="active",
        pid=pid,
        program=Path("/usr/local/bin/greenroom"),
        user="",
        group="",
        settings={"environment": environment},
    )


@pytest.fixture
def planned(tmp_path: Path) -> ServicesUpgrade:
    """An upgrade from the program `old/greenroom`, which was interrupted after it had disabled the Manager."""
    unused = cast("Any", None)
    (tmp_path / "greenroom").symlink_to(tmp_path / "new/greenroom")
    return ServicesUpgrade(
        folder=tmp_path,
        dsn="",
        db=cast("Any", object()),
        database=unused,
        http=unused,
        progress=LineProgress(io.StringIO()),
        plan=unused,
        services={},
        link=tmp_path / "greenroom",
        previous=tmp_path / "old/greenroom",
        manager=manager("one"),
        disables=False,
        record=ServicesRecord(previous=str(tmp_path / "old/greenroom"), enable=True),
    )


def test_the_return_with_the_backup_uses_the_program_before_the_upgrade(planned: ServicesUpgrade):
    planned.previous = Path("/opt/new/bin/greenroom")  # the link in a run after that which replaced the services
    steps = planned._return_with_backup(STARTED)
    assert "/opt/old/bin/greenroom restore /backup --passphrase-file /p --replace --services" in steps[1]
    assert "ln -sfn /opt/old/bin/greenroom" in steps[2]
    assert not [step for step in steps if "/opt/new" in step]


async def test_a_return_includes_services_that_an_interrupted_upgrade_replaced(
    planned: ServicesUpgrade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    old, new = tmp_path / "old", tmp_path / "new"
    found = [running("manager", new), running("api", new), running("gateway", old)]
    returned, enabled = list[str](), list[bool]()

    async def replace(_: ServicesUpgrade, name: str, environment: Path, expected: str | None) -> None:
        assert (environment, expected) == (old, None)
        returned.append(name)

    async def set_enabled(_db: object, _manager_id: str, value: bool) -> None:
        enabled.append(value)

    async def list_managers(*_: object) -> list[object]:
        return [manager("one")]

    monkeypatch.setattr(units, "read_services", lambda: found)
    monkeypatch.setattr(ServicesUpgrade, "_replace", replace)
    monkeypatch.setattr(services, "set_enabled", set_enabled)
    monkeypatch.setattr(services, "list_managers", list_managers)
    planned.services = {service.role: service for service in found}
    planned.changed.append("api")
    with pytest.raises(SetupError, match=r"It failed\. .*/old/greenroom runs again\."):
        await planned._return_and_raise("It failed.")
    assert (returned, enabled) == (["api", "manager"], [True])
    assert (tmp_path / "greenroom").readlink() == tmp_path / "old/greenroom"
    assert ServicesRecord.read(tmp_path) is None


@dataclass
class Machine:
    """Services that run the new program. `ends_after_s` maps a role to the time for which each of its processes runs;
    a second passes at each look. `failed_at_s`: the time at which the state of the role `failed` becomes failed."""

    environment: Path
    ends_after_s: dict[str, float] = field(default_factory=dict[str, float])
    failed: str = ""
    failed_at_s: float = 0
    now_s: float = 0

    def read_service(self, role: str) -> UnitService:
        self.now_s += 1
        pid = 1 + int(self.now_s / self.ends_after_s.get(role, 10_000))
        service = running(role, self.environment, pid)
        return replace(service, state="failed") if role == self.failed and self.now_s > self.failed_at_s else service


@pytest.fixture
def machine(planned: ServicesUpgrade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose services work while they have a process."""
    machine = Machine(tmp_path / "new")

    async def find_problem(*_: object) -> str:
        return ""

    async def enable(_: ServicesUpgrade) -> None:
        pass

    async def fail(_: ServicesUpgrade, cause: str) -> None:
        raise SetupError(cause)

    monkeypatch.setattr(waiting, "POLL_S", 0)
    monkeypatch.setattr(units, "restart", lambda _: None)
    monkeypatch.setattr(units, "read_service", machine.read_service)
    monkeypatch.setattr(units, "find_problem", find_problem)
    monkeypatch.setattr(ServicesUpgrade, "_enable_manager", enable)
    monkeypatch.setattr(ServicesUpgrade, "_return_and_raise", fail)
    roles = [RunningRole(name=name, role=name, version=None) for name in ROLES]
    planned.plan = cast("Any", SimpleNamespace(services=roles))
    planned.services = {name: running(name, machine.environment) for name in ROLES}
    planned.processes = SteadyProcesses(lambda: machine.now_s)
    return machine


@pytest.mark.parametrize("ends_after_s", [1, 4, 12])
@pytest.mark.parametrize("role", ROLES)
async def test_a_service_that_works_but_ends_again_and_again_is_given_up(
    planned: ServicesUpgrade, machine: Machine, role: str, ends_after_s: float
):
    machine.ends_after_s[role] = ends_after_s
    with pytest.raises(SetupError, match=rf"greenroom-{role} does not keep running: its process ended 2 times\. See"):
        await planned._replace_all()
    assert planned.changed[-1] == role


async def test_a_service_that_fails_while_later_services_are_replaced_is_noticed(
    planned: ServicesUpgrade, machine: Machine
):
    machine.failed, machine.failed_at_s = ROLES[0], 2 * STEADY_S
    with pytest.raises(SetupError, match=rf"greenroom-{ROLES[0]} does not keep running: its state is failed\."):
        await planned._replace_all()
    assert planned.changed == [*ROLES]

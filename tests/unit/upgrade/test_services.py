"""The upgrade of the services of one machine after an interruption, and its commands for a return."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.upgrade.test_services_plan import STARTED, manager

from greenroom.core.errors import SetupError
from greenroom.up.progress import LineProgress
from greenroom.upgrade import services, units
from greenroom.upgrade.services import ServicesUpgrade
from greenroom.upgrade.services_facts import ServicesRecord
from greenroom.upgrade.units import UnitService


class RunningUnit(UnitService):
    """A service whose process runs the program in the folder `settings["environment"]`."""

    @property
    def environment(self) -> Path | None:
        return self.settings["environment"]


def running(role: str, environment: Path) -> UnitService:
    return RunningUnit(
        role=role,
        unit=f"greenroom-{role}.service",
        state="active",
        pid=0,
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

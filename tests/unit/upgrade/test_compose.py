"""The checks before the upgrade of a deployment with Docker Compose, its wait for a container, and its return."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from greenroom.core.errors import SetupError
from greenroom.core.versions import Version
from greenroom.kit.program import version
from greenroom.up.compose import SERVICE_ROLES, RoleContainer
from greenroom.upgrade import compose, waiting
from greenroom.upgrade.compose import (
    ComposeUpgrade,
    check_images,
    check_old_images,
    check_postgres,
    check_services,
    return_commands,
)
from greenroom.upgrade.plan import RunningRole
from greenroom.upgrade.waiting import SteadyProcesses

SERVICES = ("kasm_db", "kasm_api")


def test_images_of_another_version_are_refused_with_both_versions():
    check_images({"greenroom/api:0.2.0": Version(0, 2, 0)}, Version(0, 2, 0))
    with pytest.raises(SetupError, match=r"greenroom/api:latest contains Greenroom 0\.1\.0, .* is Greenroom 0\.2\.0"):
        check_images({"greenroom/api:latest": Version(0, 1, 0)}, Version(0, 2, 0))


def test_old_images_whose_tags_name_the_new_version_are_refused():
    role = RunningRole(name="kasm_api", role="api", version="0.1.0")
    check_old_images([role, replace(role, version=None)], {"kasm_api": Version(0, 1, 0)})
    with pytest.raises(SetupError, match=r"kasm_api runs Greenroom 0\.1\.0, .* now names 0\.2\.0"):
        check_old_images([role], {"kasm_api": Version(0, 2, 0)})


def test_new_files_without_a_running_service_are_refused():
    check_services(SERVICES, SERVICES)
    with pytest.raises(SetupError, match=r"do not define kasm_manager_2; copy \.env"):
        check_services((*SERVICES, "kasm_manager_2"), SERVICES)


def test_a_service_without_a_container_is_refused():
    with pytest.raises(SetupError, match="kasm_api has no container"):
        check_services(("kasm_db",), SERVICES)


def test_another_major_version_of_postgresql_is_refused():
    check_postgres("15", "15")
    with pytest.raises(SetupError, match="runs PostgreSQL 15, and the new image has 17"):
        check_postgres("15", "17")


def test_the_commands_that_lead_back_quote_their_paths(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("greenroom.upgrade.compose.compose_command", lambda: "docker compose")
    assert return_commands(Path("/opt/old files"), Path("/b"), "/p") == [
        "(cd '/opt/old files' && docker compose stop)",
        f"{sys.executable} -P -m greenroom restore /b --passphrase-file /p --replace --compose '/opt/old files'",
        "(cd '/opt/old files' && docker compose up -d)",
    ]


class WorkingContainer(RoleContainer):
    """A container whose health check succeeds."""

    def problem(self) -> str:
        return ""

    def version(self) -> str:
        return version()


@pytest.mark.parametrize("ends_after_s", [1, 4, 12])
@pytest.mark.parametrize("name", SERVICE_ROLES)
async def test_a_container_that_works_but_restarts_again_and_again_is_given_up(
    monkeypatch: pytest.MonkeyPatch, name: str, ends_after_s: int
):
    clock = iter(range(1000))
    now_s = 0

    def role_containers() -> dict[str, RoleContainer]:
        nonlocal now_s
        now_s = next(clock)
        container = WorkingContainer(
            name=name,
            image="image",
            status="running",
            restarts=now_s // ends_after_s,
            exit_code=0,
            folder=Path("/opt/new"),
            health_command=(),
            addresses={},
        )
        return {name: container}

    unused = cast("Any", None)
    files = cast("Any", SimpleNamespace(start=lambda _: None))
    planned = ComposeUpgrade(progress=unused, plan=unused, previous_files=None, new_files=files)
    planned.processes = SteadyProcesses(lambda: float(now_s))
    monkeypatch.setattr(waiting, "POLL_S", 0)
    monkeypatch.setattr(compose, "role_containers", role_containers)
    monkeypatch.setattr(compose, "last_log_line", lambda _: "planted")
    with pytest.raises(SetupError, match=rf"{name} does not keep running: its process ended 2 times\. .*: planted"):
        await planned._start(files, name, version())
    assert now_s == 2 * ends_after_s

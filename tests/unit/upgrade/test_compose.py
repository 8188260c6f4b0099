"""The checks before the upgrade of a deployment with Docker Compose, and the commands that lead back."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom.core.errors import SetupError
from greenroom.core.versions import Version
from greenroom.upgrade.compose import check_images, check_old_images, check_postgres, check_services, return_commands
from greenroom.upgrade.plan import RunningRole

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

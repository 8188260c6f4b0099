"""The reasons of failed programs, and the address of the database of a deployment with Docker Compose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenroom.core.errors import SetupError
from greenroom.up import compose
from greenroom.up.compose import RoleContainer, database_dsn, run_program
from greenroom.up.deployment import Deployment


def container(**changes: Any) -> RoleContainer:
    facts: dict[str, Any] = {"name": "kasm_db", "image": "greenroom/db:0.1.0", "status": "running", "restarts": 0}
    facts |= {"exit_code": 0, "folder": Path("/opt/old"), "health_command": [], "addresses": {}}
    return RoleContainer(**(facts | changes))


def test_the_reason_of_a_failed_container_is_its_message_and_not_the_exit_code():
    script = "echo Creating it >&2; echo greenroom: The migration failed. >&2; echo 1 >&2; exit 1"
    with pytest.raises(SetupError, match=r"^sh -c failed: The migration failed\.$"):
        run_program("sh", "-c", script)


def test_a_missing_program_and_a_program_that_does_not_end_are_refused():
    with pytest.raises(SetupError, match="The program no-such-program is missing"):
        run_program("no-such-program")
    with pytest.raises(SetupError, match=r"sleep 60 did not end within 0\.1 s"):
        run_program("sleep", "60", timeout_s=0.1)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"restarts": compose.MAX_RESTARTS}, ""),
        (
            {"status": "exited", "exit_code": 2},
            "its container is exited, and its process ended with exit code 2",
        ),
    ],
)
def test_a_container_that_runs_works_also_after_earlier_restarts(changes: dict[str, Any], problem: str):
    assert container(**changes).problem() == problem


def test_a_new_container_whose_process_ends_repeatedly_is_not_awaited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(RoleContainer, "find", lambda _: container(restarts=compose.MAX_RESTARTS))
    monkeypatch.setattr(compose, "last_log_line", lambda _: "planted")
    with pytest.raises(SetupError, match=r"kasm_db is not ready: its process ended 3 times\. .*planted"):
        compose.wait_until_ready("kasm_db")


@pytest.mark.parametrize(("listen", "address"), [("0.0.0.0", "127.0.0.1"), ("192.0.2.7", "192.0.2.7")])
def test_the_database_is_verified_by_its_name_at_its_published_address(
    monkeypatch: pytest.MonkeyPatch, listen: str, address: str
):
    published = {"5432/tcp": [{"HostIp": listen, "HostPort": "5433"}]}
    monkeypatch.setattr(RoleContainer, "find", lambda _: container(addresses=published))
    dsn = database_dsn(Deployment(Path("/opt/kasm/current")))
    assert dsn.startswith(f"postgresql://greenroom@kasm_db:5433/greenroom?hostaddr={address}&sslmode=verify-full&")
    assert dsn.endswith("passfile=%2Fopt%2Fkasm%2Fcurrent%2Fsecrets%2Fsetup%2Fpgpass")


def test_a_stopped_database_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(RoleContainer, "find", lambda _: container(status="exited"))
    monkeypatch.setattr(compose, "compose_command", lambda: "docker-compose")
    with pytest.raises(SetupError, match="start it with: docker-compose up -d kasm_db"):
        database_dsn(Deployment(Path("/opt/kasm/current")))

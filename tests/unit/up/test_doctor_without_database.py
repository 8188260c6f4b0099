"""`greenroom doctor` while the database cannot be used."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from greenroom.core.errors import SetupError
from greenroom.up import commands, log
from greenroom.up.layout import Layout

COULD_NOT = "2.3 GB of disk are free"


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    async def of_docker(db: object, _site: object) -> list[str]:
        assert db is None
        return [COULD_NOT]

    site = SimpleNamespace(dsn=f"host={tmp_path} dbname=greenroom")
    monkeypatch.setattr(commands, "running_layout", Layout)
    monkeypatch.setattr(commands, "site_of", lambda _layout: site)
    monkeypatch.setattr(commands, "runtime_warnings", of_docker)
    return tmp_path


def test_the_cause_is_named_and_what_needs_no_database_is_checked(instance: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SetupError, match=r"^The database does not run, or listens at another address \(connection"):
        commands.doctor(instance, as_json=False)
    said = capsys.readouterr()
    assert said.err == f"Warning: {COULD_NOT}\n"
    assert said.out.count("skipped") >= 18
    assert "nginx has the list of disabled Managers" in said.out


def test_a_command_writes_no_line_of_a_log(capsys: pytest.CaptureFixture[str]):
    log.configure_for_command("status")
    structlog.get_logger("greenroom.up.health").error("it is unknown which Manager is Primary", reason="none")
    logging.getLogger("psycopg.pool").error("error connecting in 'pool-1': the pool is being closed")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")

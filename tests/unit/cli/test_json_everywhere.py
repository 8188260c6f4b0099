"""`--json` is an option of every command but those that go on running, and of `setup`, which is run once by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from greenroom.cli.main import PANELS, app
from greenroom.up import commands

WITHOUT = {"api", "manager", "agent", "gateway", "setup"}


def all_commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command below `group` with its full name."""
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, f"{name}{word} ")
        else:
            yield f"{name}{word}", command


def test_every_command_has_json():
    found = dict(all_commands(typer.main.get_command(app)))
    lacking = [name for name, one in found.items() if not any("--json" in option.opts for option in one.params)]
    assert len(found) > 100
    assert {name.partition(" ")[0] for name in lacking} == WITHOUT


def test_every_command_stands_in_one_panel_of_the_help():
    grouped = [name for names in PANELS.values() for name in names]
    assert sorted(grouped) == sorted(typer.main.get_command(app).commands)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("options", "said"), [([], "pw\n"), (["--json"], {"username": "ann", "password": "pw"})])
def test_a_new_password_is_printed(monkeypatch: pytest.MonkeyPatch, options: list[str], said: object):
    monkeypatch.setattr(commands, "reset_password", lambda data, username: "pw")
    done = CliRunner().invoke(app, ["users", "reset-password", "ann", "--data", "there", *options])
    assert done.exit_code == 0, done.output
    assert (json.loads(done.stdout) if options else done.stdout) == said


def test_what_migrate_did_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(commands, "migrate", lambda data, url, only_pre: (["0001_a"], ["0002_b"] if only_pre else []))
    plain = CliRunner().invoke(app, ["migrate", "--data", str(tmp_path), "--pre"])
    assert plain.stdout.splitlines()[0] == "0001_a"
    assert "0002_b" in plain.stdout
    done = CliRunner().invoke(app, ["migrate", "--data", str(tmp_path), "--pre", "--json"])
    assert json.loads(done.stdout) == {"applied": ["0001_a"], "left": ["0002_b"]}

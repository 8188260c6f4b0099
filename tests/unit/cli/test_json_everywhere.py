"""`--json` is an option of every command that does not run continuously, except `setup` and `host`, which run once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from greenroom.cli.lazy import walk_commands
from greenroom.cli.main import PANELS, app
from greenroom.up import commands, user_commands

WITHOUT = {"api", "manager", "agent", "gateway", "host", "setup"}


def test_every_command_has_json():
    found = {name: one for name, one in walk_commands(typer.main.get_command(app)) if not hasattr(one, "commands")}
    lacking = [name for name, one in found.items() if not any("--json" in option.opts for option in one.params)]
    assert len(found) > 100
    assert {name.partition(" ")[0] for name in lacking} == WITHOUT


def test_the_text_of_a_command_in_the_help_of_the_program_is_its_own():
    root: Any = typer.main.get_command(app)
    own = {name: command.help.partition("\n\n")[0] for name, command in walk_commands(root) if " " not in name}
    assert {name: " ".join(text.split()) for name, text in own.items()} == {
        name: entry.text for commands in PANELS.values() for name, entry in commands.items()
    }


@pytest.mark.parametrize(("options", "said"), [([], "pw\n"), (["--json"], {"username": "ann", "password": "pw"})])
def test_a_new_password_is_printed(monkeypatch: pytest.MonkeyPatch, options: list[str], said: object):
    monkeypatch.setattr(user_commands, "reset_password", lambda data, username: "pw")
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


def test_the_help_shows_every_option_whole_at_80_columns():
    for name, command in walk_commands(typer.main.get_command(app)):
        shown = command.get_help(command.context_class(command, info_name=name, terminal_width=80)).split()
        names = [option for one in command.params for option in (*one.opts, *one.secondary_opts) if "-" in option]
        assert [option for option in names if option not in {word.rstrip(",") for word in shown}] == [], name

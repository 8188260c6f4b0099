"""docs/howto/audit.md names every command that uses no request to the api, and states whether it leaves an event."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, get_args

import typer

from greenroom.cli.lazy import walk_commands
from greenroom.cli.main import PANELS, app
from greenroom.up.recorded import CommandName

ROOT: Final = Path(__file__).parents[2]
SECTION: Final = (ROOT / "docs/howto/audit.md").read_text().partition("## Commands on a host")[2].partition("\n## ")[0]
FIRST_WORDS: Final = {*PANELS["This machine"], *PANELS["Roles of a deployment"], "mcp"}
OTHERS: Final = {"users break-glass", "users reset-factors", "users reset-password", "audit verify", "config schema"}


def commands_in_rows() -> list[list[str]]:
    rows = [line.split(" | ")[0] for line in SECTION.splitlines() if line.startswith("| `")]
    return [re.findall(r"`([\w -]+)`", row) for row in rows]


def test_each_command_without_a_request_is_in_one_row():
    listed = [command for row in commands_in_rows() for command in row]
    leaves = {name for name, command in walk_commands(typer.main.get_command(app)) if not hasattr(command, "commands")}
    local = {name for name in leaves if name.split()[0] in FIRST_WORDS} | OTHERS
    assert sorted(listed) == sorted(local)


def test_the_first_row_has_the_commands_that_store_an_event():
    assert sorted(commands_in_rows()[0]) == sorted(get_args(CommandName))

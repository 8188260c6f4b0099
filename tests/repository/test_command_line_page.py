"""The reference that script/command_line.py prints names every command and option of the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from script.command_line import document

from greenroom.cli.lazy import walk_commands
from greenroom.cli.main import app

ROOT = Path(__file__).parents[2]
SHARED = {"--data", "--url", "--key", "--secret", "--ca-file", "--json", "--wide"}
"""Options of all verbs, which docs/reference/command-line.md describes once."""


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    """The words of each heading's command, with the text below the heading."""
    parts = [part.partition("\n") for part in document().replace("\n### ", "\n## ").split("\n## ")[1:]]
    return {heading.strip("`"): text for heading, _, text in parts}


def section_of(name: str, sections: dict[str, str]) -> str:
    command = f"greenroom {name}"
    found = [text for heading, text in sections.items() if f"{heading} ".startswith(f"{command} ")]
    assert found, f"{command} is not in the reference"
    return found[0]


@pytest.mark.parametrize(("name", "command"), list(walk_commands(typer.main.get_command(app))))
def test_every_command_and_option_is_in_the_reference(name: str, command: Any, sections: dict[str, str]):
    text = section_of(name, sections)
    assert command.help in text
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert [option for option in options - SHARED if f"`{option}`" not in text] == []


def test_options_of_all_verbs_are_described_once():
    page = (ROOT / "docs/reference/command-line.md").read_text()
    assert [option for option in SHARED if f"`{option}`" not in page] == []

"""Every page and picture is linked; the commands, options, files and decisions that pages name exist."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from script.prose import Page
from tests.support.sources import FOLDERS as SOURCES

from greenroom.cli.lazy import walk_commands
from greenroom.cli.main import app

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "deploy", "bench")
PAGES = [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))]
RECORDS = ROOT / "docs/adr"
"""Architecture decision records."""
MOST_RECORD_LINES = 120
CITING = ("src", "tests", "docs", "deploy", "script", "bench", "web/src", "images", "*.md")
"""Where records are cited."""
MOST_PICTURE_BYTES = 200_000
PROGRAM: Any = typer.main.get_command(app)
COMMANDS = {"": PROGRAM} | dict(walk_commands(PROGRAM))
"""Full name of each command and group, with the command."""

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def linked(page: Path) -> list[Path]:
    """The files of the checkout that a page links or shows."""
    return [link.file for link in Page(page).links()]


def test_every_page_and_picture_can_be_found():
    found, ahead = set[Path](), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        found.add(page)
        ahead += [target for target in linked(page) if target.suffix == ".md" and target not in found]
    shown = {target for page in found for target in linked(page)}
    docs = {path for path in (ROOT / "docs").rglob("*") if path.is_file()}
    assert sorted(docs - found - shown) == []
    large = [path.name for path in shown if path.suffix == ".png" and path.stat().st_size > MOST_PICTURE_BYTES]
    assert large == []


MENUS = {
    place: set(re.findall(r"title: t`([^`]+)`", pages))
    for place, pages in re.findall(
        r"^  (\w+): \[(.+?)(?<!')\],$", (ROOT / "web/src/places.tsx").read_text(), re.MULTILINE | re.DOTALL
    )
}
"""The places of the console, with the titles of their pages."""


def menu_paths(text: str) -> list[list[str]]:
    """The paths through the menus of the console that a text names, such as `*Workspaces → Catalogue*`."""
    marked = re.findall(r"(?<!\*)\*{1,2}([A-Z][^*|`]*?→[^*|`]*?)\*{1,2}", text)
    names = [re.split(r"\s+→\s+", path) for path in marked]
    words = [re.split(r", ", path) for path in re.findall(r"\(((?:" + "|".join(MENUS) + r"), [A-Z][^()`]*?)[,)]", text)]
    return names + words


def test_the_paths_through_the_menus_exist():
    texts = set(re.findall(r'^msgid "(.+)"$', (ROOT / "web/src/locales/de/others.po").read_text(), re.MULTILINE))
    texts |= set(re.findall(r'^msgid "(.+)"$', (ROOT / "web/src/locales/de/first.po").read_text(), re.MULTILINE))
    assert {"Staging", "Infrastructure", "Diagnostics"} <= MENUS.keys()
    assert {"Managers", "Zones", "Docker Agents"} <= MENUS["Infrastructure"]
    pages = set[str]().union(*MENUS.values())
    wrong, checked = list[str](), 0
    messages = [path for source in ("src", "packages") for path in (ROOT / source).rglob("*.py")]
    for file in (*PAGES, *messages):
        for first, second, *others in menu_paths(file.read_text()):
            checked += 1
            is_page = second in MENUS.get(first, set())
            is_action = first in pages and second in texts
            if not (is_page or is_action) or any(each not in texts for each in others):
                wrong.append(f"{file.relative_to(ROOT)}: {' → '.join([first, second, *others])}")
    assert wrong == []
    assert checked > 40


def test_every_decision_is_listed_by_its_title():
    index = (RECORDS / "README.md").read_text()
    for page in RECORDS.glob("0*.md"):
        number, _, title = page.read_text().partition("\n")[0].removeprefix("# ").partition(". ")
        assert f"| {number} | [{title}]({page.name}) |" in index, page.name


@pytest.mark.parametrize("page", sorted(RECORDS.glob("0*.md")), ids=lambda page: page.stem)
def test_every_decision_has_its_context_and_consequences(page: Path):
    lines = page.read_text().splitlines()
    assert [line for line in lines if line.startswith("## ")][:3] == ["## Context", "## Decision", "## Consequences"]
    assert len(lines) <= MOST_RECORD_LINES


def test_every_cited_decision_exists():
    known = {int(page.name[:4]) for page in RECORDS.glob("0*.md")}
    cited = subprocess.run(
        ["git", "grep", "-InoE", r"\bADRs? [0-9]+", "--", *CITING], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert cited
    assert [place for place in cited if int(place.rpartition(" ")[2]) not in known] == []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/glossary.md"])
def test_every_file_named_on_the_way_into_the_code_exists(page: str):
    named = re.findall(r"(?:`|script/test )([a-z_]+/[\w./-]*\w)/?(?=`| )", (ROOT / page).read_text())
    assert named
    folders = (ROOT, *SOURCES)
    assert [path for path in named if not any((folder / path).exists() for folder in folders)] == []


def problem_of(words: list[str]) -> str | None:
    """The first command or option of `greenroom WORDS…` that the program does not have."""
    name = ""
    while hasattr(COMMANDS[name], "commands") and words and not words[0].startswith("-"):
        alternatives, *words = words
        if unknown := set(alternatives.split("|")) - set(COMMANDS[name].commands):
            return f"no command {sorted(unknown)}"
        name = f"{name} {alternatives.partition('|')[0]}".strip()
    command = COMMANDS[name]
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    used = {word.partition("=")[0] for word in words if re.match(r"--\w", word)}
    return f"no option {sorted(used - options)}" if used - options else None


@pages
def test_every_command_exists(page: Path):
    code = re.findall(r"(?<![\w`])`([^`\n]+)`|^(?: {4}|\t)(.+)$", page.read_text(), re.MULTILINE)
    lines = [words for line in code for words in re.findall(r"(?<![\w/-])greenroom ([a-z][^#>]*)", "".join(line))]
    commands = [re.findall(r"[^\s`'\"(),;:\[\]]+", words) for words in lines]
    assert [(words, problem) for words in commands if (problem := problem_of(words))] == []

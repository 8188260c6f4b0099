"""Pages name only tests that exist, as `FILE::TEST` with the file below `tests/`, or as `TEST`. The page that compares
Greenroom with OWASP ASVS lists all requirements of a chapter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.repository.test_documentation import PAGES, ROOT

SUITES = "|".join(folder.name for folder in (ROOT / "tests").iterdir() if folder.is_dir())
ASVS_REQUIREMENTS = {
    "6": (3, 12, 8, 6, 8, 4, 2, 4),
    "7": (3, 4, 2, 5, 3, 2),
    "8": (4, 4, 3, 2),
    "9": (3, 4),
    "10": (2, 3, 5, 16, 5, 2, 3),
}
"""Chapter of OWASP ASVS 5.0 → the number of requirements in each of its sections."""


@cache
def defined_in(file: Path) -> frozenset[str]:
    return frozenset(re.findall(r"^\s*(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE))


@cache
def all_tests() -> frozenset[str]:
    return frozenset().union(*(defined_in(file) for file in (ROOT / "tests").rglob("test_*.py")))


def missing_tests(text: str) -> list[str]:
    """Return the files and tests that a text names and that do not exist."""
    missing = [test for test in re.findall(r"`(test_\w+)`", text) if test not in all_tests()]
    for name, test in re.findall(rf"`(?:tests/)?((?:{SUITES})/[\w/]*test_\w+\.py)(?:::(\w+))?`", text):
        file = ROOT / "tests" / name
        if not file.exists() or (test and test not in defined_in(file)):
            missing.append(f"{name}::{test}")
    return missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_test_on_a_page_exists(page: Path):
    assert missing_tests(page.read_text()) == []


def test_a_test_that_does_not_exist_is_found():
    this = "repository/test_named_tests.py"
    names = ("test_a_test_that_does_not_exist_is_found", "test_that_is_not_defined")
    named = (*names, *(f"{this}::{name}" for name in names), "unit/test_none.py")
    found = missing_tests("\n".join(f"`{name}`" for name in named))
    assert found == [names[1], f"{this}::{names[1]}", "unit/test_none.py::"]


def _listed_requirements(text: str) -> Iterator[str]:
    for first, last in re.findall(r"^\| (\d+\.\d+\.\d+)(?: to (\d+\.\d+\.\d+))? \|", text, re.MULTILINE):
        section, _, number = first.rpartition(".")
        end = int(last.rpartition(".")[2]) if last else int(number)
        yield from (f"{section}.{each}" for each in range(int(number), end + 1))


def test_the_page_lists_each_requirement_of_the_asvs_chapters_once():
    listed = list(_listed_requirements((ROOT / "docs/reference/asvs.md").read_text()))
    assert listed == [
        f"{chapter}.{section}.{number}"
        for chapter, sections in ASVS_REQUIREMENTS.items()
        for section, size in enumerate(sections, 1)
        for number in range(1, size + 1)
    ]


def test_the_states_on_the_asvs_page_have_a_reason():
    rows = re.findall(
        r"^\| \d[\d. to]+ \| (.+) \| (\w+) \| (.*) \|$", (ROOT / "docs/reference/asvs.md").read_text(), re.MULTILINE
    )
    assert {state for _, state, _ in rows} == {"met", "differs", "none"}
    assert all(text and reason for text, _, reason in rows)

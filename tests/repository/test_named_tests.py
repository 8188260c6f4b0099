"""Pages that compare Greenroom with requirements name only tests that exist, and all requirements of a chapter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES_WITH_TESTS = ("asvs.md",)
"""Pages of docs/reference with names of tests."""
ASVS_REQUIREMENTS = {
    "6": (3, 12, 8, 6, 8, 4, 2, 4),
    "7": (3, 4, 2, 5, 3, 2),
    "8": (4, 4, 3, 2),
    "9": (3, 4),
    "10": (2, 3, 5, 16, 5, 2, 3),
}
"""Chapter of OWASP ASVS 5.0 → the number of requirements in each of its sections."""


def named_tests(text: str) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", text))


def defined_tests() -> set[str]:
    sources = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for source in sources for name in re.findall(r"^\s*(?:async )?def (test_\w+)", source, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES_WITH_TESTS)
def test_each_test_on_a_page_exists(page: str):
    named = named_tests((ROOT / "docs/reference" / page).read_text())
    assert named - defined_tests() == set()
    assert named


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

"""Documents that docstrings, comments and pages name exist, with the sections that are named."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIXED = "src/greenroom/db/migrations/"
"""Text that databases compare by its checksum."""
PAGE = re.compile(r"(?<![\w./-])(?P<page>docs/[\w/-]+\.md)(?: §(?P<section>\d+))?")
"""A page by its path, with the number of a section."""
WITHOUT_PATH = re.compile(
    r"(?<!\w)(?:DESIGN|CONTRACT|PROTOCOLS)(?!\w)|[Ss]eed (?:page|product)|(?<![\w./-])[A-Z]+\.md §"
)


def files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", "src", "tests", "docs", "script", "bench", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [ROOT / name for name in listed.stdout.split("\0") if name and not name.startswith(FIXED)]
    return [path for path in found if path.suffix in {".py", ".md", ".sh", ".toml", ""} and path.is_file()]


def problems(text: str) -> list[str]:
    """The citations in `text` of things that do not exist."""
    found = [f"{match[0]}: name the page by its path" for match in WITHOUT_PATH.finditer(text)]
    for match in PAGE.finditer(re.sub(r"\s+", " ", text) if "docs/" in text else ""):
        page = ROOT / match["page"]
        if not page.is_file():
            found.append(f"{match['page']}: there is no such page")
        elif match["section"] and f"\n## §{match['section']} " not in page.read_text():
            found.append(f"{match[0]}: the page has no such section")
    return found


def test_every_cited_document_exists():
    found = {str(path.relative_to(ROOT)): problems(path.read_text()) for path in files() if path != Path(__file__)}
    assert {path: cited for path, cited in found.items() if cited} == {}


@pytest.mark.parametrize(
    "text",
    [
        "the states (DESIGN §5)",
        "fixed by CONTRACT",
        "the seed page of Managers",
        "see docs/explanation/no-such-page.md",
        "see docs/explanation/protocols.md\n    §9",
    ],
)
def test_a_citation_of_no_document_is_found(text: str):
    assert len(problems(text)) == 1


def test_a_citation_of_a_page_and_its_section_is_none():
    assert problems("as in docs/explanation/protocols.md\n§3, and docs/reference/zones.md") == []

"""The page of a desktop session has a German text for each English one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "images/page"
SERVER = ROOT / "packages/desktop/src/greenroom/recipes/base/rootfs/opt/greenroom"

KEY = re.compile(r"^  '((?:[^'\\]|\\.)+)':", re.MULTILINE)
LITERAL = re.compile(r"'((?:[^'\\\n]|\\.)*)'")
TRANSLATED = re.compile(r"\bt\((?:[^'()]*\? )?'([^']*)'(?: : '([^']*)')?")
PLACE = re.compile(r">([^<>]+)<|aria-label=\"([^\"]+)\"")
KEY_NAMES = {"Esc", "←", "↑", "→", "↓", "✕"}
"""Texts that are the same in all languages."""


def scripts() -> dict[str, str]:
    return {path.name: path.read_text() for path in PAGE.glob("*.js") if path.name != "german.js"}


def german() -> set[str]:
    return set(KEY.findall((PAGE / "german.js").read_text()))


def texts_of_pages() -> set[str]:
    found: set[str] = set()
    for path in PAGE.glob("*.html"):
        found |= {text.strip() for pair in PLACE.findall(path.read_text()) for text in pair if text.strip()}
    return found - KEY_NAMES


def texts_of_scripts() -> set[str]:
    """The arguments of `t`, and the sentences that are translated where they are shown."""
    found: set[str] = set()
    for script in scripts().values():
        found |= {text for pair in TRANSLATED.findall(script) for text in pair if text}
        found |= {text for text in LITERAL.findall(script) if re.fullmatch(r"[A-Z][^{}]* .*[.…]", text)}
    return found


def test_each_text_of_the_session_page_has_a_german_one():
    wanted = texts_of_pages() | texts_of_scripts()
    assert len(wanted) > 60
    assert wanted - german() == set()


def test_each_german_text_of_the_session_page_is_used():
    used = texts_of_pages() | texts_of_scripts() | set(LITERAL.findall("\n".join(scripts().values())))
    server = "\n".join(path.read_text() for path in SERVER.glob("*.py"))
    assert {text for text in german() - used if f'"{text}"' not in server} == set()

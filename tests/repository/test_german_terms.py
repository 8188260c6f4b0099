"""German texts use one term for each English one: that of the table in docs/howto/languages.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| [^|]+ \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)
MESSAGE = re.compile(r'^msgid ((?:".*"\n)+)^msgstr ((?:".*"\n?)+)', re.MULTILINE)


def refused_words() -> list[str]:
    page = (ROOT / "docs/howto/languages.md").read_text()
    table = page.partition("## German terms")[2].partition("\n## ")[0]
    words = [word for cell in ROW.findall(table) for word in cell.split(", ")]
    return [word for word in words if word != "not"]


def pattern_of(word: str) -> re.Pattern[str]:
    """Match the word with its endings; a verb also at the beginning of a sentence."""
    first = re.escape(word[0]) if word[0].isupper() else f"[{word[0]}{word[0].upper()}]"
    return re.compile(rf"(?<![\w-]){first}{re.escape(word[1:])}(?:e|en|er|es|n|s)?(?![\w-])")


def german_texts() -> list[str]:
    catalogs = [path.read_text() for path in (ROOT / "web/src/locales/de").glob("*.po")]
    messages = [found for text in catalogs for found in MESSAGE.findall(text)]
    texts = [re.sub(r'"\n"', "", german) for english, german in messages if english != '""\n']
    templates = (ROOT / "src/greenroom/gateway/templates").glob("*.j2")
    return [*texts, *(path.read_text() for path in [*templates, ROOT / "images/page/german.js"])]


@pytest.mark.parametrize("word", refused_words())
def test_no_german_text_has_another_word_for_a_term(word: str):
    pattern = pattern_of(word)
    found = [
        text[max(0, match.start() - 40) : match.end() + 40]
        for text in german_texts()
        for match in pattern.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("word", "text", "is_found"),
    [
        ("Id", "die Id des Agents", True),
        ("Id", "die ID", False),
        ("Home-Ordner", "des Home-Ordners", True),
        ("benutzt", "Benutzt von", True),
        ("benutzt", "ein Benutzer", False),
        ("Log", "Log-in", False),
    ],
)
def test_a_word_is_found_with_its_endings(word: str, text: str, is_found: bool):
    assert bool(pattern_of(word).search(text)) == is_found

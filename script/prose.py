"""Check the documents (*.md of the checkout): links, anchors, tables, the length of sentences, the grade of each page.

The grade of Flesch and Kincaid is the school year that a reader needs. A block of code counts as no word, and a word
of code as one short word. textstat is not used, because it installs a package `tests`, which hides the tests here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin
from pyphen import Pyphen

ROOT: Final = Path(__file__).parents[1]
MAX_GRADE: Final = 9.0
MAX_SENTENCE_WORDS: Final = 30
"""Words."""
MIN_WORDS: Final = 100
"""A shorter page has no grade: one sentence would decide it."""
CODE: Final = "Code"
"""Replaces each word of code."""
_MARKDOWN: Final = MarkdownIt().enable("table").use(anchors_plugin, max_level=6)
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")
_QUESTION_WORD: Final = re.compile(r"(What|Who|Which|Whether|Where|How)\s")
_WORD: Final = re.compile(r"[^\W\d_][\w'-]*")
_SYLLABLES: Final = Pyphen(lang="en_US", left=1, right=1)


@dataclass(frozen=True)
class Block:
    """The text of a paragraph, a list item or a table cell, and the line at which it begins."""

    line: int
    text: str
    in_table: bool

    @property
    def sentences(self) -> list[str]:
        return _SENTENCE_END.split(self.text)


@dataclass(frozen=True)
class Link:
    """A link or picture of a page; `file` is absolute, and is the page itself for a link that is only an anchor."""

    line: int
    target: str
    file: Path
    anchor: str


class Page:
    """A document and its parsed content."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tokens = _MARKDOWN.parse(path.read_text())

    def blocks(self) -> Iterator[Block]:
        """The prose of the page, without headings and code."""
        outer = ""
        for token in self._tokens:
            if token.type in {"heading_open", "td_open", "th_open", "paragraph_open"}:
                outer = token.type
            elif token.type == "inline" and outer != "heading_open":
                yield Block(_line(token), _text(token), in_table=outer in {"td_open", "th_open"})

    def anchors(self) -> set[str]:
        """The anchors of the headings."""
        return {str(token.attrs["id"]) for token in self._tokens if token.type == "heading_open"}

    def links(self) -> Iterator[Link]:
        """Links to files of the checkout, and to headings of the page itself."""
        for token in self._tokens:
            for child in token.children or ():
                target = str(child.attrGet("href") or child.attrGet("src") or "")
                if target and not re.match(r"[a-z]+:", target):
                    path, _, anchor = target.partition("#")
                    yield Link(_line(token), target, (self.path.parent / path).resolve() if path else self.path, anchor)

    def grade(self) -> float | None:
        """The grade of the paragraphs and lists; None for a page with few words."""
        sentences = [
            sentence for block in self.blocks() if not block.in_table for sentence in block.sentences if sentence
        ]
        words = _WORD.findall(" ".join(sentences))
        if len(words) < MIN_WORDS:
            return None
        syllables = sum(len(_SYLLABLES.positions(word)) + 1 for word in words)
        return 0.39 * len(words) / len(sentences) + 11.8 * syllables / len(words) - 15.59


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _text(token: Token) -> str:
    parts = {"code_inline": lambda _: CODE, "softbreak": lambda _: " ", "text": lambda child: child.content}
    return "".join(parts[child.type](child) for child in token.children or () if child.type in parts).strip()


@cache
def _anchors(path: Path) -> set[str]:
    return Page(path).anchors()


def broken_links(page: Page) -> Iterator[str]:
    """Links to missing files and headings."""
    for link in page.links():
        if not link.file.exists():
            yield f"{link.line}: the link {link.target} leads to no file"
        elif link.anchor and link.anchor not in _anchors(link.file):
            yield f"{link.line}: the link {link.target} leads to no heading of the page"


def broken_tables(page: Page) -> Iterator[str]:
    """Rows of a table that is not displayed as a table, because its head or its delimiter is missing."""
    for block in page.blocks():
        if not block.in_table and block.text.startswith("|"):
            yield f"{block.line}: this row is in no table; write head, delimiter and rows without empty lines"


def hard_sentences(page: Page) -> Iterator[str]:
    """Long sentences, clauses in place of nouns, and a page with a high grade."""
    for block in page.blocks():
        for sentence in block.sentences:
            if (word := _QUESTION_WORD.match(sentence)) and not sentence.endswith("?"):
                yield f"{block.line}: it begins with {word[1]} and is no question; name the noun first: {sentence}"
            if (words := len(sentence.split())) > MAX_SENTENCE_WORDS:
                yield f"{block.line}: a sentence has {words} words; split it, at most {MAX_SENTENCE_WORDS}: {sentence}"
    if (grade := page.grade()) is not None and grade > MAX_GRADE:
        yield f"1: the page has the grade {grade:.1f}; shorten its sentences and words, at most {MAX_GRADE:.0f}"


def pages() -> list[Page]:
    """All documents of the checkout."""
    result = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Page(ROOT / name) for name in sorted(filter(None, result.stdout.split("\0"))) if (ROOT / name).is_file()]


def main() -> None:
    """Print each finding, exit code 1 if there is one. With --grades, print the grade of each page instead."""
    documents = pages()
    if "--grades" in sys.argv[1:]:
        grades = {page: grade for page in documents if (grade := page.grade()) is not None}
        for page, grade in sorted(grades.items(), key=lambda item: -item[1]):
            print(f"{grade:4.1f}  {page.path.relative_to(ROOT)}")
        return
    findings = [
        f"{page.path.relative_to(ROOT)}:{finding}"
        for page in documents
        for finding in (*broken_links(page), *broken_tables(page), *hard_sentences(page))
    ]
    print("\n".join(findings), end="\n" if findings else "")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()

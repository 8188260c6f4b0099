"""The commands of the documentation as a reader meets them: blocks of `sh`, and of `console` with what they print.

A comment `<!-- not run: REASON -->` on the line before a block says that no test can run it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_BLOCK: Final = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One block: the heading it stands under, its commands, and what a page shows of their output."""

    section: str
    kind: str
    commands: str
    shown: str
    not_run: str | None

    @property
    def first(self) -> str:
        """Its first line, by which a failed test names it."""
        return self.commands.partition("\n")[0]


def blocks_of(page: Path) -> list[Block]:
    """The blocks with commands of a page, from top to bottom."""
    text = page.read_text()
    found: list[Block] = []
    for match in _BLOCK.finditer(text):
        if match["kind"] in ("sh", "console"):
            headings = re.findall(r"^#+ (.+)$", text[: match.start()], re.MULTILINE)
            found.append(_block(headings[-1], match["kind"], match["text"], match["reason"]))
    return found


def _block(section: str, kind: str, text: str, reason: str | None) -> Block:
    if kind == "sh":
        return Block(section, kind, text.rstrip("\n"), "", reason)
    lines = text.splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    shown = [line for line in lines if not line.startswith("$ ")]
    return Block(section, kind, "\n".join(commands), "\n".join(shown), reason)


def words_of(shown: str) -> list[str]:
    """The words of an output that are the same each time: no numbers, ids, times and names of machines."""
    return re.findall(r"(?<![\w./:-])[A-Za-z][a-z]{2,}(?![\w/:-])", shown)

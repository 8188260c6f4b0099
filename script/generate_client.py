"""Generate the half of the Python client without asyncio from the half with asyncio: script/generate_client.py
[--check].

Each file `asynchronous*.py` of the client produces the file `synchronous*.py` in the same folder. With --check nothing
is written; the exit code is 1 if a file is not current.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final

from generated import run_ruff, write_or_check

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "packages/client/src/greenroom/client"
HEADER: Final = "# Written by script/generate_client.py from {source}: run script/lint --fix after that file changes.\n"

REMOVED_KEYWORDS: Final = frozenset({"async", "await"})
NAMES: Final = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "aiter_bytes": "iter_bytes",
    "aiter_lines": "iter_lines",
    "aread": "read",
    "asynccontextmanager": "contextmanager",
    "asyncio": "time",
}
"""Name → its replacement. Of `asyncio` only `sleep` is used, which `time` has too."""
PREFIXES: Final = re.compile(r"^Async(?=[A-Z])|^a(?=synchronous)")
"""The prefixes that are removed from names: of classes, and of the modules of this half."""

REMOVED_LINES: Final = re.compile(r"^ *@entered\n", re.MULTILINE)
"""Decorators that only asynchronous functions have."""


def without_asyncio(source: str) -> str:
    """Remove `async`, `await` and decorators, and replace the names. Comments do not change."""
    source = REMOVED_LINES.sub("", source)
    for start, end, text in reversed(list(_edits(source))):
        source = source[:start] + text + source[end:]
    return source


def _edits(source: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, new text) of each token that changes."""
    lines = [0, *accumulate(map(len, source.splitlines(keepends=True)))]
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for token, following in pairwise(tokens):
        start, end, after = (lines[row - 1] + column for row, column in (token.start, token.end, following.start))
        if token.type == tokenize.STRING and "with asyncio" in token.string:
            yield start, end, token.string.replace("with asyncio", "without asyncio")
        elif token.string in REMOVED_KEYWORDS:
            yield start, after, ""
        elif token.type == tokenize.NAME:
            yield start, end, NAMES.get(token.string) or PREFIXES.sub("", token.string)


def generate(source: Path) -> str:
    """The generated text for `source`, with imports and `with` statements joined and formatted by ruff."""
    text = HEADER.format(source=source.name) + without_asyncio(source.read_text())
    text = run_ruff(text, target_of(source), "check", "--select", "F401,I,SIM117", "--fix")
    return run_ruff(text, target_of(source), "format")


def target_of(source: Path) -> Path:
    """The path of the file generated from `source`."""
    return source.with_name(source.name.removeprefix("a"))


def main(arguments: list[str]) -> int:
    """Write the files, or with --check print those that are not current."""
    sources = sorted(FOLDER.glob("asynchronous*.py"))
    return write_or_check(((target_of(source), generate(source), source.name) for source in sources), ROOT, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

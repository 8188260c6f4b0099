"""Find retired words in code and pages. `INSTEAD` has their replacements, `KEPT` the places where a word must stay."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
SEARCHED: Final = (
    "src",
    "packages/*.py",
    "tests",
    "bench",
    "docs",
    "web/src",
    "images",
    "deploy",
    "script",
    "*.md",
    ":!docs/images",
    ":!*.gz",
)
INSTEAD: Final = {
    "he|him|his|himself|she|her|hers|herself": "they, or the role: the user, the administrator, the caller",
    "whoever|whomever": "anyone who, a user who, the process that",
    "whom": "who, or the role",
    "somebody|nobody|anybody": "the role: a user, no user, an administrator; no one",
    "whatever": "any, even if",
    "told|tell|tells|telling": "sent, reported, answered, notified, known",
    "hear|hears|heard|unheard": "received, reported, seen",
    "speak|speaks|spoke|speaking": "report, send, follow a protocol",
    "knock|knocks|knocking": "attempt, request",
    "graver|gravest": "larger, longer",
    "leisure": "wait",
    "patience|patient|impatient": "time limit, timeout, deadline",
    "trouble|troubles": "failure, error",
    "standing": "status",
    "stranded": "waiting, blocked, unreachable",
    "lapse|lapses|lapsed": "expire, expired",
    "ripe": "overdue",
    "spare|spares|spared": "margin, unused; leave out",
    "set aside": "quarantined",
    "left aside|leave aside": "backs off",
    "put away|puts away": "discarded, removed",
    "apart": "separate, except",
    "wander|wanders|wandered": "move, change",
    "voice": "output, message",
    "seldom": "rarely",
    "(?:agent|container|daemon|gateway|runtime|server)'s words": "message, as it reports it",
    "by and by": "later",
    "foretell": "simulate, forecast",
    "heeding": "reraise",
    "spoken for": "reserved",
    "rests": "backs off, is stopped or paused",
}


def _occurrences(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])", re.IGNORECASE)


ANY: Final = _occurrences("|".join(INSTEAD))
OLDER: Final = (
    "told|tell|tells|telling",
    "hear|hears|heard|unheard",
    "somebody|nobody|anybody",
    "whatever",
    "set aside",
    "left aside|leave aside",
    "apart",
    "seldom",
)
"""Words in texts that are not rewritten."""
KEPT: Final = {
    "script/words.py": tuple(INSTEAD),
    "src/greenroom/core/access/accounts.py": ("he", "whatever"),
    "src/greenroom/db/migrations/0001_pre_schema.sql": OLDER,
    "tests/support/gateways.py": ("nobody",),
    "web/src/components/AttributesForm.tsx": ("he",),
}
"""Path, or the beginning of paths → the words that may stay there: entries of `INSTEAD`, or single words of an
entry."""


def retired(text: str, kept: tuple[str, ...] = ()) -> list[tuple[int, str, str]]:
    """Find the retired words in `text`: line, word, replacement."""
    found: list[tuple[int, str, str]] = []
    if not ANY.search(text):
        return found
    for words, instead in INSTEAD.items():
        matches = _occurrences(words).finditer(text)
        found += [
            (text.count("\n", 0, match.start()) + 1, match[0], instead)
            for match in matches
            if words not in kept and match[0].lower() not in kept
        ]
    return sorted(found)


def main() -> None:
    """Print each occurrence of a retired word; exit code 1 if there is one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *SEARCHED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    places: list[str] = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        kept = tuple(word for start, words in KEPT.items() if name.startswith(start) for word in words)
        places += [f"{name}:{line}: {word!r}: use {instead}" for line, word, instead in retired(path.read_text(), kept)]
    print("\n".join(places), end="\n" if places else "")
    sys.exit(1 if places else 0)


if __name__ == "__main__":
    main()

"""Find retired words in code and pages. `REPLACEMENTS` has the words to use, `ALLOWED` the places of exceptions."""

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
    ":!*.woff2",
    ":!web/src/locales",
    ":!tests/browser/fingerprints.json",
)
REPLACEMENTS: Final = {
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


ANY_RETIRED_WORD: Final = _occurrences("|".join(REPLACEMENTS))
ALLOWED: Final = {
    "script/words.py": tuple(REPLACEMENTS),
    "src/greenroom/core/access/accounts.py": ("he", "whatever"),
    "tests/support/gateways.py": ("nobody",),
    "web/src/components/AttributesForm.tsx": ("he",),
}
"""Path, or the beginning of paths → the words that may stay there: entries of `REPLACEMENTS`, or single words of an
entry."""


def find_retired_words(text: str, allowed: tuple[str, ...] = ()) -> list[tuple[int, str, str]]:
    """Find the retired words in `text`: line, word, replacement."""
    occurrences: list[tuple[int, str, str]] = []
    if not ANY_RETIRED_WORD.search(text):
        return occurrences
    for words, replacement in REPLACEMENTS.items():
        matches = _occurrences(words).finditer(text)
        occurrences += [
            (text.count("\n", 0, match.start()) + 1, match[0], replacement)
            for match in matches
            if words not in allowed and match[0].lower() not in allowed
        ]
    return sorted(occurrences)


def main() -> None:
    """Print each occurrence of a retired word; exit code 1 if there is one."""
    result = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *SEARCHED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    findings: list[str] = []
    for name in filter(None, result.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        allowed = tuple(word for start, words in ALLOWED.items() if name.startswith(start) for word in words)
        findings += [
            f"{name}:{line}: {word!r}: use {replacement}"
            for line, word, replacement in find_retired_words(path.read_text(), allowed)
        ]
    print("\n".join(findings), end="\n" if findings else "")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()

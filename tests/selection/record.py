"""The recordings of test runs: the duration of each test file, the functions that it enters and the files that it
opens.

`durations.json` has the seconds of each test file, `calls.json.gz` the test files of each function. Both are in the
repository. `script/test --time SUITE...` and `script/test --record SUITE...` update them for the test files that ran.
They are two commands because the recording of calls more than doubles the duration of many tests.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
DURATIONS: Final = FOLDER / "durations.json"
CALLS: Final = FOLDER / "calls.json.gz"


def load_durations() -> dict[str, float]:
    """The seconds of each test file, including setups and teardowns; the key is its path in the checkout."""
    return json.loads(DURATIONS.read_text()) if DURATIONS.exists() else {}


def save_durations(ran: Mapping[str, float], partial: Set[str], root: Path) -> None:
    """Replace the seconds of these test files; drop removed files. Of `partial` files only some tests ran."""
    known = load_durations()
    for name, seconds in ran.items():
        known[name] = round(max(seconds, known.get(name, 0.0)) if name in partial else seconds, 1)
    kept = {name: seconds for name, seconds in sorted(known.items()) if (root / name).exists()}
    DURATIONS.write_text(json.dumps(kept, indent=0) + "\n")


@dataclass
class Calls:
    """Subject → the test files that reach it. A subject is `path::function` or the path of a file."""

    tests_of: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def replace(self, reached: Mapping[str, Iterable[str]], partial: Set[str], root: Path) -> None:
        """Replace the subjects of these test files by those that each `reached`; drop removed files.

        Of `partial` files only some tests ran: the subjects that they reached are added.
        """
        for tests in self.tests_of.values():
            tests.difference_update(reached.keys() - partial)
            tests.difference_update([name for name in tests if not (root / name).exists()])
        for test, subjects in reached.items():
            for subject in subjects:
                self.tests_of.setdefault(subject, set()).add(test)
        self.tests_of = {subject: tests for subject, tests in self.tests_of.items() if tests}

    def number_of_subjects(self) -> dict[str, int]:
        """The number of subjects that each test file reaches."""
        found = dict[str, int]()
        for tests in self.tests_of.values():
            for test in tests:
                found[test] = found.get(test, 0) + 1
        return found


def load_calls() -> Calls:
    """The recorded calls; empty if nothing was recorded yet."""
    if not CALLS.exists():
        return Calls()
    stored = json.loads(gzip.decompress(CALLS.read_bytes()))
    names, groups = stored["tests"], [int(group, 16) for group in stored["groups"]]
    members = [{name for number, name in enumerate(names) if group >> number & 1} for group in groups]
    return Calls({subject: set(members[group]) for subject, group in stored["subjects"].items()})


def save_calls(calls: Calls) -> None:
    """Store the calls. Many subjects have the same tests: each group of tests is stored once."""
    names = sorted(set[str]().union(*calls.tests_of.values()))
    bits = {name: 1 << number for number, name in enumerate(names)}
    masks = {subject: sum(bits[test] for test in tests) for subject, tests in sorted(calls.tests_of.items())}
    groups = {mask: number for number, mask in enumerate(sorted(set(masks.values())))}
    stored = {
        "tests": names,
        "groups": [f"{mask:x}" for mask in groups],
        "subjects": {subject: groups[mask] for subject, mask in masks.items()},
    }
    CALLS.write_bytes(gzip.compress(json.dumps(stored, separators=(",", ":")).encode(), mtime=0))

"""Choose the tests that a change can affect: `python -m tests.selection.select BASE` prints their paths.

Each test file that the recording or the imports connect with a changed function is a candidate. The candidates that
belong most closely to a changed function come first, until the time is used.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from tests.selection.changes import Changes, changes_since
from tests.selection.record import load_calls, load_durations
from tests.selection.users import Sources

ROOT: Final = Path(__file__).parents[2]
WITHIN_S: Final = 60.0
CONSOLE: Final = "web/tests"
CORES: Final = 2
"""The cores of the machine on which durations are recorded."""
UNKNOWN_S: Final = 5.0
"""The assumed duration of a test file that was never recorded."""


@dataclass(frozen=True)
class Suite:
    """A suite. `workers` run files in parallel; `start_s` is the time until the first test runs."""

    workers: int
    start_s: float


SUITES: Final = {
    "unit": Suite(2, 4),
    "client": Suite(1, 2),
    "repository": Suite(2, 4),
    "database": Suite(4, 8),
    "host": Suite(3, 6),
    "acceptance": Suite(3, 6),
    "browser": Suite(3, 6),
}
"""The suites whose tests are chosen; others must be named."""


@dataclass(frozen=True)
class Selection:
    """A selection: `targets` for script/test; `candidates` are all test files that can be affected; `missed` is the
    number of subjects without a selected test; times in seconds."""

    targets: list[str]
    candidates: set[str]
    missed: int
    takes_s: float
    all_take_s: float


def select(
    changes: Changes,
    candidates: Mapping[str, Iterable[str]],
    durations: Mapping[str, float],
    within_s: float = WITHIN_S,
) -> Selection:
    """Select test files. `candidates`: the test files of each changed subject, the closest first.

    Changed tests come first, then the closest of each subject in turn, as many as fit. If none fits, the shortest one
    is selected.
    """
    lists = [[target] for target in sorted(changes.tests, key=lambda test: _seconds(test, durations))]
    lists += [list(tests) for _, tests in sorted(candidates.items())]
    everything = {test for tests in lists for test in tests}
    chosen = dict[str, float]()
    for turn in range(max(map(len, lists), default=0)):
        for test in [tests[turn] for tests in lists if turn < len(tests)]:
            tried = chosen | {test: _seconds(test, durations)}
            if wall_s(tried) <= within_s:
                chosen = tried
    if not chosen and everything:
        shortest = min(sorted(everything), key=lambda test: _seconds(test, durations))
        chosen = {shortest: _seconds(shortest, durations)}
    missed = sum(bool(tests) and not chosen.keys() & set(tests) for tests in lists)
    whole_files = {target for target in chosen if "::" not in target}
    targets = [target for target in chosen if target in whole_files or target.partition("::")[0] not in whole_files]
    return Selection(
        targets, everything, missed, wall_s(chosen), wall_s({test: _seconds(test, durations) for test in everything})
    )


def wall_s(seconds: Mapping[str, float]) -> float:
    """The duration of these tests: suites run one after the other, the files of a suite in parallel.

    Durations are recorded while all workers of the suite share the cores. A file that runs alone is faster.
    """
    of_suite = defaultdict[str, list[float]](list)
    for target, takes_s in seconds.items():
        of_suite[suite_of(target)].append(takes_s)
    return sum(
        SUITES[suite].start_s + max(sum(times), max(times) * min(CORES, SUITES[suite].workers)) / SUITES[suite].workers
        for suite, times in of_suite.items()
        if suite in SUITES
    )


def suite_of(target: str) -> str:
    """The suite of a path below tests/, or for a path below packages/ the name of the package."""
    return target.split("/")[1]


def _seconds(target: str, durations: Mapping[str, float]) -> float:
    """The duration of a target. A single test function is assumed to take a quarter of its file, whose setup it
    needs."""
    file, _, function = target.partition("::")
    return durations.get(file, UNKNOWN_S) * (0.25 if function else 1)


class Finder:
    """Finds the test files of changes."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.calls = load_calls()
        self.durations = load_durations()

    @cached_property
    def breadth(self) -> dict[str, int]:
        """The number of subjects that each recorded test file reaches."""
        return self.calls.number_of_subjects()

    def candidates(self, changes: Changes) -> dict[str, list[str]]:
        """The test files of each changed function, name and file, the closest first."""
        found = dict[str, set[str]]()
        for path, name in changes.functions:
            found[f"{path}::{name}"] = self._of_function(path, name)
        for path, name in changes.names:
            found[f"{path}:{name}"] = self._of_name(path, name)
        for path in {path for path, _ in changes.functions | changes.names}:
            if of_generator := self._of_generator(path):
                found[path] = of_generator
        for path in changes.files:
            found[path] = self._of_file(path)
        return {
            subject: sorted(self._that_exist(tests), key=lambda test: self._distance(subject, test))
            for subject, tests in found.items()
        }

    def _of_function(self, path: str, name: str) -> set[str]:
        """The test files that entered the function; if there are none, because it is new or never entered, those of
        its users. Those named after its module belong to them even if they never entered it in a recording, and so do
        those that import the module and were never recorded."""
        entered = self.calls.tests_of.get(f"{path}::{name}") or self._of_name(path, name.rpartition(".")[2])
        return entered | self._named_after(path) | (self.sources.importers(path) - self.breadth.keys())

    def _of_generator(self, path: str) -> set[str]:
        """The test files of the scripts that wrote a generated file; its first lines name them."""
        scripts = re.findall(r"^# Written by script/(\w+\.py)", self.sources.texts.get(path, ""), re.MULTILINE)
        return {file for script in scripts for file in self.sources.mentioning(script)} & self.sources.tests

    def _named_after(self, path: str) -> set[str]:
        """The test files that have the name of the module in their name and import it."""
        stem = Path(path).stem
        named = {test for test in self.sources.tests if f"_{stem}_" in f"{Path(test).stem}_"}
        return {test for test in named if stem in self.sources.module(test).imports}

    def _of_name(self, path: str, name: str) -> set[str]:
        """The test files that mention the name or entered a function that does; otherwise those of the whole module."""
        functions, tests = self.sources.users(path, name)
        for user, function in functions:
            tests = tests | self.calls.tests_of.get(f"{user}::{function}", set[str]())
        return tests or self._of_module(path)

    def _of_module(self, path: str) -> set[str]:
        """The test files that entered a function of the module; for a module that was never recorded, its importers."""
        entered = {s for s in self.calls.tests_of if s.startswith(f"{path}::")}
        return set[str]().union(*(self.calls.tests_of[subject] for subject in entered)) or self.sources.importers(path)

    def _of_file(self, path: str) -> set[str]:
        """The test files that opened or mention the file, and those of modules that mention it or a table that it
        alters."""
        found = set(self.calls.tests_of.get(path, ()))
        words = [Path(path).name]
        if path.endswith(".sql") and (ROOT / path).exists():
            words += sorted(tables_of((ROOT / path).read_text()))
        if path.startswith("packages/desktop/src/greenroom/recipes"):
            words.append(Path(path).stem)
        for word in words:
            for file in self.sources.mentioning(word):
                if file in self.sources.tests:
                    found.add(file)
                else:
                    found |= self._of_module(file)
        if path.startswith("web/src"):
            parts = {part.lower() for part in re.findall(r"[A-Za-z][a-z]{3,}", path.removeprefix("web/src"))}
            browser = [test for test in self.sources.tests if test.startswith("tests/browser/")]
            found |= {test for test in browser if any(part in test for part in parts)} or {
                "tests/browser/test_pages.py"
            }
        return found

    def _distance(self, subject: str, test: str) -> tuple[bool, float]:
        """A sort key: small for a test file that names the changed module, enters few other functions and is short."""
        stem = Path(subject.partition(":")[0]).stem
        names_it = stem in Path(test).stem or re.search(rf"\b{re.escape(stem)}\b", self.sources.texts[test]) is not None
        return (not names_it, (self.breadth.get(test, 0) + 50) * (self.durations.get(test, UNKNOWN_S) + 1))

    def _that_exist(self, tests: Iterable[str]) -> list[str]:
        return [test for test in tests if test in self.sources.texts and suite_of(test) in SUITES]


def tables_of(sql: str) -> set[str]:
    """The names of the tables that statements create, alter or write."""
    pattern = r"\b(?:TABLE(?: IF (?:NOT )?EXISTS)?|INTO|UPDATE|ON|FROM)\s+(?:ONLY\s+)?([a-z][a-z_]{3,})"
    return set(re.findall(pattern, sql))


def main() -> None:
    """Print the targets; print a summary on the error output."""
    parser = argparse.ArgumentParser(prog="script/test --changed", description=__doc__)
    parser.add_argument("base", help="the commit that the checkout is compared with")
    parser.add_argument(
        "--within", type=float, default=WITHIN_S, help="seconds that the tests may take; 0: all of them"
    )
    arguments = parser.parse_args()
    changes = changes_since(ROOT, arguments.base)
    finder = Finder(Sources(ROOT))
    chosen = select(changes, finder.candidates(changes), finder.durations, arguments.within or float("inf"))
    console = [CONSOLE] if any(path.startswith("web/") for path in changes.files) else []
    sys.stdout.write("".join(f"{target}\n" for target in [*console, *chosen.targets]))
    subjects = len(changes.functions) + len(changes.names) + len(changes.files)
    sys.stderr.write(
        f"{subjects} functions, names and files changed, and {len(changes.tests)} tests. They can affect "
        f"{len(chosen.candidates)} test files, which take about {chosen.all_take_s:.0f} s; "
        f"{len(chosen.targets)} of them are run, about {chosen.takes_s:.0f} s.\n"
    )
    if chosen.missed:
        sys.stderr.write(f"{chosen.missed} of the changes have no test within the time. --within 0 runs all tests.\n")


if __name__ == "__main__":
    main()

"""Measure the quality of `script/test --changed`: `python -m tests.selection.trial commits|faults NUMBER`.

`commits` selects tests for each of the last commits of main, by the recorded durations, and prints their duration.
`faults` plants faults in this checkout, which must be clean, one after the other, and runs the chosen tests. A fault
is found if a test fails with it and passes without it. If no chosen test fails, it runs the other tests that the fault
can affect, for `--rest` seconds. A fault that only these find was missed.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.selection.changes import Function, changes_since, functions_of
from tests.selection.select import ROOT, WITHIN_S, Finder, select
from tests.selection.users import Sources
from tests.support.sources import FOLDERS

UNNAMED: Final = "the run failed without a failed test"
OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def commits(number: int) -> None:
    """Print the selection for each of the last commits, then the distribution of the durations."""
    finder, seconds = Finder(Sources(ROOT)), list[float]()
    log = subprocess.run(
        ["git", "log", "--first-parent", "--no-merges", f"-{number}", "--format=%h"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for commit in log.stdout.split():
        changes = changes_since(ROOT, f"{commit}~1", commit)
        chosen = select(changes, finder.candidates(changes), finder.durations)
        seconds.append(chosen.takes_s)
        say(
            f"{commit}: {len(chosen.targets)} of {len(chosen.candidates)} test files,"
            f" {chosen.takes_s:.0f} of {chosen.all_take_s:.0f} s"
        )
    seconds.sort()
    for percentile in (50, 75, 90, 95, 100):
        say(f"{percentile} % take at most {seconds[max(0, len(seconds) * percentile // 100 - 1)]:.0f} s")


def faults(number: int, seed: int, rest_s: float) -> None:
    """Plant faults until tests have found `number` of them, and print the result of each."""
    chance = random.Random(seed)  # noqa: S311 -- no secret
    results = list[tuple[str, float]]()
    modules = sorted(path for folder in FOLDERS for path in folder.rglob("*.py") if "recipes" not in path.parts)
    while sum(result in ("found", "missed") for result, _ in results) < number:
        path = chance.choice(modules)
        fault = plant(path.read_text(), chance)
        if fault is None:
            continue
        mutant, where = fault
        began = time.monotonic()
        result = "found"
        failed = failing(path, mutant, WITHIN_S)
        took_s = time.monotonic() - began
        if not failed:
            failed = failing(path, mutant, rest_s)
            result = "missed" if failed else "found by no test"
        if failed and failed != [UNNAMED] and not passes(failed):
            result = "unclear: a test fails without the fault too"
        results.append((result, took_s))
        say(f"{result} in {took_s:.0f} s: {path.relative_to(ROOT)} {where} ({', '.join(failed)})")
    for result in sorted({result for result, _ in results}):
        say(f"{result}: {sum(other == result for other, _ in results)}")
    say(f"median {sorted(took_s for _, took_s in results)[len(results) // 2]:.0f} s")


def failing(path: Path, mutant: str, within_s: float) -> list[str]:
    """Run the tests that a fault affects, until one fails; return the failed tests, or UNNAMED if none has a name."""
    text = path.read_text()
    path.write_text(mutant)
    try:
        command = ["script/test", "--changed", "HEAD", "--within", f"{within_s:.0f}", "-x", "-q"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        path.write_text(text)
    if done.returncode == 0:
        return []
    return re.findall(r"^(?:FAILED|ERROR) ([^\s\[]+)", done.stdout, re.MULTILINE) or [UNNAMED]


def passes(tests: list[str]) -> bool:
    """True if the tests pass in this checkout."""
    return subprocess.run(["script/test", *tests, "-q"], cwd=ROOT, capture_output=True, check=False).returncode == 0


def plant(text: str, chance: random.Random) -> tuple[str, str] | None:
    """Plant a fault in one of the module's functions; returns the new text and the place, None if there is no place
    for one."""
    module = ast.parse(text)
    places = [(name, change) for name, node in functions_of(module) for change in _places(node)]
    if not places:
        return None
    name, change = chance.choice(places)
    where = change()
    return ast.unparse(module) + "\n", f"{name}: {where}"


def _places(function: Function) -> Iterator[Callable[[], str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in OPPOSITES:
            yield lambda node=node: _compare_otherwise(node)
        elif isinstance(node, ast.BoolOp):
            yield lambda node=node: _join_otherwise(node)
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            yield lambda node=node: _test_otherwise(node)
        elif isinstance(node, ast.Return) and not _returns_none(node):
            yield lambda node=node: _return_nothing(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await) and not _is_log(node):
            yield lambda node=node: _do_nothing(node)


def _returns_none(node: ast.Return) -> bool:
    """True for a return whose value is already None."""
    return node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None)


def _is_log(node: ast.Expr) -> bool:
    """True for a line of a log, which tests do not read in general."""
    return ast.unparse(node).startswith("log.")


def _compare_otherwise(node: ast.Compare) -> str:
    before = ast.unparse(node)
    node.ops[0] = OPPOSITES[type(node.ops[0])]()
    return f"{before} → {ast.unparse(node)}"


def _join_otherwise(node: ast.BoolOp) -> str:
    before = ast.unparse(node)
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    return f"{before} → {ast.unparse(node)}"


def _test_otherwise(node: ast.If | ast.While | ast.IfExp) -> str:
    node.test = ast.UnaryOp(ast.Not(), node.test)
    return f"if {ast.unparse(node.test)}"


def _return_nothing(node: ast.Return) -> str:
    before = ast.unparse(node)
    node.value = None
    return f"{before} → return"


def _do_nothing(node: ast.Expr) -> str:
    before = ast.unparse(node)
    node.value = ast.Constant(value=...)
    return f"{before} → ..."


def say(line: str) -> None:
    """Print a line without buffering."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """The entry point of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=["commits", "faults"])
    parser.add_argument("number", type=int)
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--rest", type=float, default=600, help="seconds for the tests that were not chosen")
    arguments = parser.parse_args()
    commits(arguments.number) if arguments.trial == "commits" else faults(
        arguments.number, arguments.seed, arguments.rest
    )


if __name__ == "__main__":
    main()

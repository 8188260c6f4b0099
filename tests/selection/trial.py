"""Measure the quality of `script/test --changed`: `python -m tests.selection.trial commits|faults|survivors`.

`commits NUMBER` selects tests for each of the last commits of main, by the recorded durations, and prints their
duration. `faults NUMBER` plants faults in this checkout, which must be clean, one after the other, and runs the chosen
tests. A fault is found if a test fails with it and passes without it. `survivors [SUITE]...` plants all faults that
were not found, and runs the suites, without a name all of them. A fault that only this run finds was missed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import itertools
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from tests.selection.changes import Function, changes_since, functions_of
from tests.selection.select import ROOT, Finder, select
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


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in a function of a module; `path` is relative to the checkout, `text` the module with the fault."""

    path: str
    where: str
    text: str


def faults(number: int, seed: int, skip: int, kept: Path) -> None:
    """Plant faults one after the other until tests have found `number` of them, and print the result of each.

    The first `skip` faults of the seed are left out. Faults that no chosen test finds are written to `kept`.
    """
    results, survivors = list[tuple[str, float]](), list[Fault]()
    for fault in itertools.islice(planted(seed), skip, None):
        began = time.monotonic()
        failed = failing(fault)
        took_s = time.monotonic() - began
        result = "found" if failed else "not found"
        if failed and failed != [UNNAMED] and not passes(failed):
            result = "unclear: a test fails without the fault too"
        if not failed:
            survivors.append(fault)
            kept.write_bytes(msgspec.json.encode(survivors))
        results.append((result, took_s))
        say(f"{result} in {took_s:.0f} s: {fault.path} {fault.where} ({', '.join(failed)})")
        if sum(result == "found" for result, _ in results) == number:
            break
    for result in sorted({result for result, _ in results}):
        say(f"{result}: {sum(other == result for other, _ in results)}")
    say(f"median {sorted(took_s for _, took_s in results)[len(results) // 2]:.0f} s")


def survivors(kept: Path, suites: list[str]) -> None:
    """Plant all faults of the file `kept` together and run the suites; print the faults that these find: `script/test
    --changed` has missed them.

    A test that fails with all faults is run again with each of them alone.
    """
    left = msgspec.json.decode(kept.read_bytes(), type=list[Fault])
    with contextlib.ExitStack() as changes:
        for fault in left:
            changes.enter_context(fault_in(fault))
        done = subprocess.run(["script/test", *suites, "-q"], cwd=ROOT, capture_output=True, text=True, check=False)
    failed = failed_tests(done.stdout)
    say(f"{len(failed)} tests fail with {len(left)} faults: {', '.join(failed)}")
    for fault in left if failed else ():
        with fault_in(fault):
            missed = not passes(failed)
        say(f"{'missed' if missed else 'found by no test'}: {fault.path} {fault.where}")


def planted(seed: int) -> Iterator[Fault]:
    """Faults in functions drawn at random, at most one of each module."""
    chance = random.Random(seed)  # noqa: S311 -- no secret
    modules = sorted(path for folder in FOLDERS for path in folder.rglob("*.py") if "recipes" not in path.parts)
    chance.shuffle(modules)
    for path in modules:
        if mutant := plant(path.read_text(), chance):
            yield Fault(str(path.relative_to(ROOT)), mutant[1], mutant[0])


@contextlib.contextmanager
def fault_in(fault: Fault) -> Iterator[None]:
    """Change the module for the duration of the context."""
    path = ROOT / fault.path
    text = path.read_text()
    path.write_text(fault.text)
    try:
        yield
    finally:
        path.write_text(text)


def failing(fault: Fault) -> list[str]:
    """Run the tests that `script/test --changed` chooses, until one fails; return the failed tests, or UNNAMED if none
    has a name."""
    with fault_in(fault):
        command = ["script/test", "--changed", "HEAD", "-x", "-q"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else failed_tests(done.stdout) or [UNNAMED]


def failed_tests(output: str) -> list[str]:
    """The failed tests that pytest has printed."""
    return re.findall(r"^(?:FAILED|ERROR) ([^\s\[]+)", output, re.MULTILINE)


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
    trials = parser.add_subparsers(dest="trial", required=True)
    replay = trials.add_parser("commits")
    replay.add_argument("number", type=int)
    plants = trials.add_parser("faults")
    plants.add_argument("number", type=int)
    plants.add_argument("--seed", type=int, default=1, help="of the faults")
    plants.add_argument("--skip", type=int, default=0, help="faults of the seed to leave out")
    rest = trials.add_parser("survivors")
    rest.add_argument("suites", nargs="*")
    for trial in (plants, rest):
        trial.add_argument("--kept", type=Path, default=Path("survivors.json"), help="file of the faults not found")
    arguments = parser.parse_args()
    match arguments.trial:
        case "commits":
            commits(arguments.number)
        case "faults":
            faults(arguments.number, arguments.seed, arguments.skip, arguments.kept)
        case _:
            survivors(arguments.kept, arguments.suites)


if __name__ == "__main__":
    main()

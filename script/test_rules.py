"""Check rules for tests that other tools do not have: `RULES` lists them, and their docstrings define them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LONGEST_NAME: Final = 80
CHECKOUT: Final = frozenset({"bench", "deploy", "docs", "images", "packages", "script", "src", "tests", "web"})
"""The top-level folders of the checkout."""
READERS: Final = frozenset({"__file__", "spec_from_file_location", "run_path", "getsource", "getsourcefile"})
"""Names that find or read a file of the checkout, or the text of code."""
SHARED: Final = frozenset({"unit", "support"})
"""The folders of tests/ that unit tests may import."""
PROPERTIES: Final = frozenset({"given", "for_all"})
"""The decorators of property tests."""
NO_MUTANT: Final = re.compile(r"\s*# No mutant: \S")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Loop = ast.For | ast.AsyncFor


@dataclass(frozen=True)
class Module:
    """A file of tests: its path relative to the checkout, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


@dataclass(frozen=True, order=True)
class Finding:
    """A violation at a line, and its remedy."""

    path: str
    line: int
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.problem}; {self.remedy}"


def _functions(module: Module) -> Iterator[Function]:
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


def _tests(module: Module) -> Iterator[Function]:
    return (function for function in _functions(module) if function.name.startswith("test_"))


def _within(*nodes: ast.AST) -> Iterator[ast.AST]:
    """The nodes and their descendants, without the bodies of functions and classes that they define."""
    for node in nodes:
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            yield from _within(*ast.iter_child_nodes(node))


def _names(*nodes: ast.AST) -> set[str]:
    return {node.id for node in _within(*nodes) if isinstance(node, ast.Name)}


def _called(node: ast.AST) -> str:
    """The last part of the name of the called function; "" if the node is no call."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


# Names ----------------------------------------------------------------------------------------------------------------


def long_names(module: Module) -> Iterator[Finding]:
    """The name of a test has at most `LONGEST_NAME` characters."""
    for test in _tests(module):
        if (length := len(test.name)) > LONGEST_NAME:
            problem = f"the name {test.name} has {length} characters"
            yield Finding(module.path, test.lineno, problem, f"shorten it to {LONGEST_NAME}")


# Files of the checkout ------------------------------------------------------------------------------------------------


def checkout_in_unit_tests(module: Module) -> Iterator[Finding]:
    """Unit tests read no files of the checkout and import no module that does: they do not find a file relative to
    code, load no code from a file, and import from tests/ only `SHARED`."""
    if not module.path.startswith("tests/unit/"):
        return
    for node in ast.walk(module.tree):
        if used := _of_the_checkout(node):
            remedy = "move the test to tests/repository"
            yield Finding(module.path, getattr(node, "lineno", 1), f"a unit test uses {used}", remedy)


def _of_the_checkout(node: ast.AST) -> str:
    """The part of the checkout that a node uses; "" if there is none."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in READERS:
            return name
        case ast.Attribute(value=ast.Name(id="sys"), attr="path"):
            return "sys.path"
        case ast.Import(names=names):
            return next((name.name for name in names if _is_elsewhere(name.name)), "")
        case ast.ImportFrom(module=str(name), names=names):
            return next((f"{name}.{one.name}" for one in names if _is_elsewhere(f"{name}.{one.name}")), "")
        case ast.Call(args=[ast.Constant(value=str(path)), *_]) if _called(node) in {"Path", "open"}:
            return path if path.partition("/")[0] in CHECKOUT else ""
        case _:
            return ""


def _is_elsewhere(name: str) -> bool:
    first, second, *_ = [*name.split("."), ""]
    return first in {"bench", "script", "runpy"} or (first == "tests" and second not in SHARED)


# Loops ----------------------------------------------------------------------------------------------------------------


def loops_that_may_judge_nothing(module: Module) -> Iterator[Finding]:
    """A loop of a test that may skip all of its assertions must be counted: an assertion after the loop uses a name
    that the loop changes. The assertions may be skipped if an iteration can end before any of them (they are below
    an `if` without an `else` that also asserts, or after an `if` with `continue`), or if the loop iterates over a
    comprehension with a condition, inline or under a name of the test; then any other assertion about that name
    suffices. Property tests are exempt, because their mutants prove that they assert."""
    for test in _tests(module):
        if any(_called(one) in PROPERTIES for one in test.decorator_list):
            continue
        nodes = list(_within(*test.body))
        filtered = {name for one in nodes if isinstance(one, ast.Assign) and _is_filtered(one.value)
                    for target in one.targets for name in _names(target)}  # fmt: skip
        for loop in nodes:
            if isinstance(loop, Loop) and any(isinstance(one, ast.Assert) for one in _within(*loop.body)):
                over = filtered & _names(loop.iter)
                may_judge_nothing = over or _is_filtered(loop.iter) or not _judges(loop.body)
                asserted = _asserted(nodes, loop, over) | _asserted(nodes, loop, _changed(loop), is_after=True)
                if may_judge_nothing and not asserted:
                    remedy = "count what it judged, and assert the number after the loop"
                    yield Finding(module.path, loop.lineno, f"the loop of {test.name} may judge nothing", remedy)


def _is_filtered(node: ast.AST) -> bool:
    return any(isinstance(one, ast.comprehension) and one.ifs for one in ast.walk(node))


def _judges(statements: list[ast.stmt]) -> bool:
    """True if every path through the statements reaches an assertion."""
    for one in statements:
        match one:
            case ast.Assert():
                return True
            case ast.If(body=body, orelse=orelse):
                branches = (body, orelse)
                if all(map(_judges, branches)):
                    return True
                if any(_leaves(branch) and not _judges(branch) for branch in branches):
                    return False
            case ast.Match(cases=cases) if all(_judges(case.body) for case in cases):
                return True
            case ast.With() | ast.AsyncWith() | ast.For() | ast.AsyncFor() | ast.Try():
                raises = isinstance(one, ast.With | ast.AsyncWith) and "raises" in {
                    _called(item.context_expr) for item in one.items
                }
                if raises or _judges(one.body):
                    return True
            case _:
                pass
    return False


def _leaves(statements: list[ast.stmt]) -> bool:
    return any(isinstance(one, ast.Continue | ast.Break | ast.Return) for one in _within(*statements))


def _changed(loop: Loop) -> set[str]:
    """The names that the body of a loop assigns, or whose methods it calls."""
    nodes = list(_within(*loop.body))
    targets = [target for one in nodes if isinstance(one, ast.Assign) for target in one.targets]
    targets += [one.target for one in nodes if isinstance(one, ast.AugAssign)]
    targets += [one.func.value for one in nodes if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute)]
    return _names(*targets)


def _asserted(nodes: list[ast.AST], loop: Loop, names: set[str], *, is_after: bool = False) -> bool:
    """True if an assertion outside of the loop uses one of the names."""
    inside = set(_within(loop))
    return any(
        isinstance(one, ast.Assert) and one not in inside and names & _names(one.test)
        for one in nodes
        if not is_after or getattr(one, "lineno", 0) > loop.lineno
    )


# Property tests -------------------------------------------------------------------------------------------------------


def properties_without_mutant(module: Module) -> Iterator[Finding]:
    """A property test of the core has a wrong implementation that it rejects: it uses `for_all`, or `holds` and, in
    the same file, `catches` of the same property. A test with `given` has a line within or directly above it with
    the reason why it has none: `# No mutant: REASON`."""
    if not module.path.startswith("tests/unit/core/"):
        return
    remedy = "use for_all, or catches, of tests/unit/properties.py, or add the reason: # No mutant: REASON"
    lines = module.text.splitlines()
    for function in _functions(module):
        given = [one.lineno for one in function.decorator_list if _called(one) == "given"]
        if given and not any(NO_MUTANT.match(line) for line in lines[min(given) - 2 : function.end_lineno]):
            yield Finding(module.path, function.lineno, f"the property {function.name} has no mutant", remedy)
    calls = [one for one in ast.walk(module.tree) if isinstance(one, ast.Call) and one.args]
    caught = {ast.unparse(one.args[0]) for one in calls if _called(one) == "catches"}
    for one in calls:
        if _called(one) == "holds" and (name := ast.unparse(one.args[0])) not in caught:
            yield Finding(module.path, one.lineno, f"the property {name} has no mutant", remedy)


RULES: Final = (long_names, checkout_in_unit_tests, loops_that_may_judge_nothing, properties_without_mutant)


def findings(module: Module) -> list[Finding]:
    """The findings of all rules in a file, in the order of its lines."""
    return sorted(finding for rule in RULES for finding in rule(module))


def main() -> None:
    """Print the findings in tests/; exit code 1 if there are any."""
    listed = subprocess.run(
        [
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
            "tests/*.py",
            "packages/*/tests/*.py",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [name for name in sorted(listed.stdout.split("\0")) if name and (ROOT / name).is_file()]
    found = [one for name in files for one in findings(Module(name, (ROOT / name).read_text()))]
    print("\n".join(map(str, found)), end="\n" if found else "")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

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
MAX_NAME_LENGTH: Final = 80
CHECKOUT: Final = frozenset({"bench", "deploy", "docs", "images", "packages", "script", "src", "tests", "web"})
"""The top-level folders of the checkout."""
FILE_READERS: Final = frozenset({"__file__", "spec_from_file_location", "run_path", "getsource", "getsourcefile"})
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


def _own_nodes(*nodes: ast.AST) -> Iterator[ast.AST]:
    """The nodes and their descendants, without the bodies of functions and classes that they define."""
    for node in nodes:
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            yield from _own_nodes(*ast.iter_child_nodes(node))


def _names(*nodes: ast.AST) -> set[str]:
    return {node.id for node in _own_nodes(*nodes) if isinstance(node, ast.Name)}


def _called_name(node: ast.AST) -> str:
    """The last part of the name of the called function; "" if the node is no call."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


# Names ----------------------------------------------------------------------------------------------------------------


def long_names(module: Module) -> Iterator[Finding]:
    """The name of a test has at most `MAX_NAME_LENGTH` characters."""
    for test in _tests(module):
        if (length := len(test.name)) > MAX_NAME_LENGTH:
            problem = f"the name {test.name} has {length} characters"
            yield Finding(module.path, test.lineno, problem, f"shorten it to {MAX_NAME_LENGTH}")


# Files of the checkout ------------------------------------------------------------------------------------------------


def checkout_in_unit_tests(module: Module) -> Iterator[Finding]:
    """Unit tests read no files of the checkout and import no module that does: they do not find a file relative to
    code, load no code from a file, and import from tests/ only `SHARED`."""
    if not module.path.startswith("tests/unit/"):
        return
    for node in ast.walk(module.tree):
        if used := _used_part_of_checkout(node):
            remedy = "move the test to tests/repository"
            yield Finding(module.path, getattr(node, "lineno", 1), f"a unit test uses {used}", remedy)


def _used_part_of_checkout(node: ast.AST) -> str:
    """The part of the checkout that a node uses; "" if there is none."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in FILE_READERS:
            return name
        case ast.Attribute(value=ast.Name(id="sys"), attr="path"):
            return "sys.path"
        case ast.Import(names=names):
            return next((name.name for name in names if _is_elsewhere(name.name)), "")
        case ast.ImportFrom(module=str(name), names=names):
            return next((f"{name}.{alias.name}" for alias in names if _is_elsewhere(f"{name}.{alias.name}")), "")
        case ast.Call(args=[ast.Constant(value=str(path)), *_]) if _called_name(node) in {"Path", "open"}:
            return path if path.partition("/")[0] in CHECKOUT else ""
        case _:
            return ""


def _is_elsewhere(name: str) -> bool:
    first, second, *_ = [*name.split("."), ""]
    return first in {"bench", "script", "runpy"} or (first == "tests" and second not in SHARED)


# Loops ----------------------------------------------------------------------------------------------------------------


def loops_that_may_assert_nothing(module: Module) -> Iterator[Finding]:
    """A loop of a test that may skip all of its assertions must be counted: an assertion after the loop uses a name
    that the loop changes. The assertions may be skipped if an iteration can end before any of them (they are below
    an `if` without an `else` that also asserts, or after an `if` with `continue`), or if the loop iterates over a
    comprehension with a condition, inline or under a name of the test; then any other assertion about that name
    suffices. Property tests are exempt, because their mutants prove that they assert."""
    for test in _tests(module):
        if any(_called_name(node) in PROPERTIES for node in test.decorator_list):
            continue
        nodes = list(_own_nodes(*test.body))
        filtered = {name for node in nodes if isinstance(node, ast.Assign) and _is_filtered(node.value)
                    for target in node.targets for name in _names(target)}  # fmt: skip
        for loop in nodes:
            if isinstance(loop, Loop) and any(isinstance(node, ast.Assert) for node in _own_nodes(*loop.body)):
                conditional_names = filtered & _names(loop.iter)
                may_assert_nothing = conditional_names or _is_filtered(loop.iter) or not _always_asserts(loop.body)
                is_counted = _is_asserted(nodes, loop, conditional_names) | _is_asserted(
                    nodes, loop, _changed_names(loop), is_after=True
                )
                if may_assert_nothing and not is_counted:
                    remedy = "count what it judged, and assert the number after the loop"
                    yield Finding(module.path, loop.lineno, f"the loop of {test.name} may judge nothing", remedy)


def _is_filtered(node: ast.AST) -> bool:
    return any(isinstance(child, ast.comprehension) and child.ifs for child in ast.walk(node))


def _always_asserts(statements: list[ast.stmt]) -> bool:
    """True if every path through the statements reaches an assertion."""
    for child in statements:
        match child:
            case ast.Assert():
                return True
            case ast.If(body=body, orelse=orelse):
                branches = (body, orelse)
                if all(map(_always_asserts, branches)):
                    return True
                if any(_can_leave(branch) and not _always_asserts(branch) for branch in branches):
                    return False
            case ast.Match(cases=cases) if all(_always_asserts(case.body) for case in cases):
                return True
            case ast.With() | ast.AsyncWith() | ast.For() | ast.AsyncFor() | ast.Try():
                raises = isinstance(child, ast.With | ast.AsyncWith) and "raises" in {
                    _called_name(item.context_expr) for item in child.items
                }
                if raises or _always_asserts(child.body):
                    return True
            case _:
                pass
    return False


def _can_leave(statements: list[ast.stmt]) -> bool:
    return any(isinstance(child, ast.Continue | ast.Break | ast.Return) for child in _own_nodes(*statements))


def _changed_names(loop: Loop) -> set[str]:
    """The names that the body of a loop assigns, or whose methods it calls."""
    nodes = list(_own_nodes(*loop.body))
    targets = [target for child in nodes if isinstance(child, ast.Assign) for target in child.targets]
    targets += [child.target for child in nodes if isinstance(child, ast.AugAssign)]
    targets += [
        child.func.value for child in nodes if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute)
    ]
    return _names(*targets)


def _is_asserted(nodes: list[ast.AST], loop: Loop, names: set[str], *, is_after: bool = False) -> bool:
    """True if an assertion outside of the loop uses one of the names."""
    inside = set(_own_nodes(loop))
    return any(
        isinstance(child, ast.Assert) and child not in inside and names & _names(child.test)
        for child in nodes
        if not is_after or getattr(child, "lineno", 0) > loop.lineno
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
        decorator_lines = [node.lineno for node in function.decorator_list if _called_name(node) == "given"]
        if decorator_lines and not any(
            NO_MUTANT.match(line) for line in lines[min(decorator_lines) - 2 : function.end_lineno]
        ):
            yield Finding(module.path, function.lineno, f"the property {function.name} has no mutant", remedy)
    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call) and node.args]
    names_with_mutant = {ast.unparse(node.args[0]) for node in calls if _called_name(node) == "catches"}
    for node in calls:
        if _called_name(node) == "holds" and (name := ast.unparse(node.args[0])) not in names_with_mutant:
            yield Finding(module.path, node.lineno, f"the property {name} has no mutant", remedy)


RULES: Final = (long_names, checkout_in_unit_tests, loops_that_may_assert_nothing, properties_without_mutant)


def findings(module: Module) -> list[Finding]:
    """The findings of all rules in a file, in the order of its lines."""
    return sorted(finding for rule in RULES for finding in rule(module))


def main() -> None:
    """Print the findings in tests/; exit code 1 if there are any."""
    result = subprocess.run(
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
    files = [name for name in sorted(result.stdout.split("\0")) if name and (ROOT / name).is_file()]
    violations = [finding for name in files for finding in findings(Module(name, (ROOT / name).read_text()))]
    print("\n".join(map(str, violations)), end="\n" if violations else "")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()

"""The functions, names defined outside functions, and other files that a change of the checkout affects."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

Function = ast.FunctionDef | ast.AsyncFunctionDef
TEST_FOLDERS: Final = ("tests/", "packages/client/tests/")


@dataclass
class Changes:
    """A change. `functions`: (path, qualified name), of those that the old or the new file has. `names`: (path, name
    of a class, constant or import at the top of a module). `files`: changed paths that are not Python; `tests`:
    changed or new test functions, or the path of a whole test file."""

    functions: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    names: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    files: set[str] = field(default_factory=set[str])
    tests: set[str] = field(default_factory=set[str])


def is_test(path: str) -> bool:
    """True if the path is a test file."""
    return path.startswith(TEST_FOLDERS) and Path(path).name.startswith("test_")


def changes_since(root: Path, base: str, until: str | None = None) -> Changes:
    """The differences between the commit `base` and the checkout in `root`, or the commit `until`."""
    found = Changes()
    for path in changed_paths(root, base, until):
        if not path.endswith(".py"):
            found.files.add(path)
            continue
        old, new = _text(root, base, path), _text(root, until, path)
        if is_test(path) and not new:
            continue  # it was removed
        functions, names = differences(old, new)
        if not is_test(path):
            found.functions |= {(path, name) for name in functions}
            found.names |= {(path, name) for name in names}
        elif functions and not names and all(name.startswith("test_") for name in functions):
            found.tests |= {f"{path}::{name}" for name in functions if f"def {name}(" in new}
        elif functions or names:
            found.tests.add(path)
    return found


def changed_paths(root: Path, base: str, until: str | None) -> list[str]:
    """The paths that differ, including untracked files; a moved file counts with both names."""
    compared = [base] if until is None else [base, until]
    paths = _git(root, "diff", "--name-only", "--no-renames", *compared).splitlines()
    if until is None:
        paths += _git(root, "ls-files", "--others", "--exclude-standard").splitlines()
    return sorted(set(paths))


def differences(old: str, new: str) -> tuple[set[str], set[str]]:
    """The functions (`f`, `Class.method`), and other names at the top of a module, that differ between two texts of it.

    Comments, layout and docstrings make no difference. A function inside another belongs to the outer one.
    """
    before, after = _parts(ast.parse(old)), _parts(ast.parse(new))
    functions = {
        name
        for name in before.functions.keys() | after.functions.keys()
        if before.functions.get(name) != after.functions.get(name)
    }
    names = {
        name
        for name in before.statements.keys() | after.statements.keys()
        if before.statements.get(name) != after.statements.get(name)
    }
    # A new or removed method also affects users of the class: it may override an inherited one.
    names |= {name.partition(".")[0] for name in before.functions.keys() ^ after.functions.keys() if "." in name}
    return functions, names


@dataclass
class _Parts:
    functions: dict[str, str] = field(default_factory=dict[str, str])
    statements: dict[str, str] = field(default_factory=dict[str, str])


def _parts(module: ast.Module) -> _Parts:
    found = _Parts()
    for node in module.body:
        _add(node, "", found)
    return found


def _add(node: ast.stmt, prefix: str, found: _Parts) -> None:
    if isinstance(node, Function):
        name = prefix + node.name
        found.functions[name] = found.functions.get(name, "") + _dump(node)  # overloads and properties share a name
    elif isinstance(node, ast.ClassDef):
        top = prefix.partition(".")[0] or node.name
        head = [*node.bases, *node.keywords, *node.decorator_list]
        _append(found, top, f"class {node.name} " + " ".join(map(ast.dump, head)))
        for inner in node.body:
            if isinstance(inner, Function | ast.ClassDef):
                _add(inner, f"{prefix}{node.name}.", found)
            elif not _is_docstring(inner):
                _append(found, top, ast.dump(inner))
    elif not _is_docstring(node):
        for name in defined_names(node) or ["*"]:
            _append(found, name, ast.dump(node))


def _append(found: _Parts, name: str, text: str) -> None:
    found.statements[name] = found.statements.get(name, "") + text


def defined_names(node: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module binds; empty for a statement that binds none."""
    if isinstance(node, Function | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    return sorted({n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)})


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _dump(node: Function) -> str:
    node.body = [part for part in node.body if not _is_docstring(part)]
    return ast.dump(node)


def functions_of(module: ast.Module) -> Iterator[tuple[str, Function]]:
    """The functions and methods of a module with their qualified names, without nested functions."""
    bodies: list[tuple[str, Sequence[ast.stmt]]] = [("", module.body)]
    for prefix, body in bodies:
        for node in body:
            if isinstance(node, Function):
                yield prefix + node.name, node
            elif isinstance(node, ast.ClassDef):
                bodies.append((f"{prefix}{node.name}.", node.body))


def _text(root: Path, commit: str | None, path: str) -> str:
    """The file at a commit, or in the checkout; empty if it does not exist."""
    if commit is None:
        return (root / path).read_text() if (root / path).exists() else ""
    done = subprocess.run(["git", "show", f"{commit}:{path}"], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout

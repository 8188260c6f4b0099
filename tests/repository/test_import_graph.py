"""The diagram of ARCHITECTURE.md shows the imports between the packages of Greenroom."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.sources import FOLDERS

PAGE = Path(__file__).parents[2] / "ARCHITECTURE.md"
ARROWS = re.compile(r"^ +(\w+) --> ([\w &]+)$", re.MULTILINE)

Graph = dict[str, set[str]]
"""Package → the packages that it imports."""


def drawn(page: str) -> Graph:
    """The arrows of the diagram."""
    return {package: set(imported.split(" & ")) for package, imported in ARROWS.findall(page)}


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def imports() -> Graph:
    """All imports between packages, from the code."""
    found: Graph = defaultdict(set)
    for folder in FOLDERS:
        for file in folder.glob("*/**/*.py"):
            package = file.relative_to(folder).parts[0]
            for name in imported(ast.parse(file.read_text())):
                if name.startswith("greenroom.") and (other := name.split(".")[1]) != package:
                    found[package].add(other)
    return dict(found)


def reachable(graph: Mapping[str, set[str]], package: str) -> set[str]:
    """The packages that a package imports directly or through others."""
    direct = graph.get(package, set[str]())
    return direct.union(*(reachable(graph, other) for other in direct))


def reduced(graph: Graph) -> Graph:
    """The graph without imports that follow from other imports."""
    return {
        package: {one for one in direct if not any(one in reachable(graph, other) for other in direct - {one})}
        for package, direct in graph.items()
    }


def test_the_diagram_of_the_packages_shows_the_imports_of_the_code():
    assert drawn(PAGE.read_text()) == reduced(imports())


def test_an_import_that_follows_from_others_is_left_out():
    assert reduced({"cli": {"up", "core"}, "up": {"core"}}) == {"cli": {"up"}, "up": {"core"}}

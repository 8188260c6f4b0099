"""Every named stop is a place in the product's code, and a test kills the process there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from greenroom.kit.stops import STOPS

ROOT = Path(__file__).parents[2]
AWAITED = re.compile(r'(?:await stop|\bhold)\("([a-z_.]+)"\)')
NAME = re.compile(r'"([a-z]+\.[a-z_]+)"')


def awaited() -> set[str]:
    """The stops that the product's code comes to."""
    return {name for file in (ROOT / "src").rglob("*.py") for name in AWAITED.findall(_code(file))}


def _code(file: Path) -> str:
    """The source without its docstrings and comments."""
    return ast.unparse(_without_docstrings(ast.parse(file.read_text()))).replace("'", '"')


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0] = ast.Pass()
    return tree


def killed_at() -> set[str]:
    """The stops named in files of kill tests, and in tests elsewhere that kill."""
    return {name for text in _killing() for name in NAME.findall(text)}


def _killing() -> Iterator[str]:
    for file in (ROOT / "tests").rglob("test_*.py"):
        text = file.read_text()
        if "kill" in file.name:
            yield text
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "kill" in node.name:
                yield "\n".join(text.splitlines()[node.lineno - 1 - len(node.decorator_list) : node.end_lineno])


def test_the_product_waits_at_every_listed_name_and_at_no_other():
    assert awaited() == STOPS.keys()


def test_at_every_stop_a_test_kills_the_process():
    assert STOPS.keys() - killed_at() == set()

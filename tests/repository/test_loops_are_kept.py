"""Endless loops of Agents, Managers and the api are started with `keep_running`, so that an error ends none of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.support.sources import FOLDERS

LAYERS = ("agent", "api", "db", "kit", "manager", "runtimes", "sessions")
STARTS = {"create_task", "ensure_future"}

OTHERS = {
    "agent/homes.py: _measure_all": "the loop homes is kept, and waits for it",
    "agent/homes.py: _remove_all": "the loop homes is kept, and waits for it",
    "agent/images.py: _run_lane": "the loop images is kept, and waits for it",
    "agent/session/video.py: store_all": "an error of a segment counts as unavailable, and the segment is sent again",
    "agent/web_filter/policy_squid.py: _follow": "its errors end the filter, which is started again",
    "runtimes/docker/events.py: run": "the loop events is kept, and waits for it",
    "runtimes/docker/networks.py: _refresh_rules": "its errors are kept, and no session starts until they are over",
    "runtimes/kubernetes/changes.py: _watch": "the loop events is kept, and waits for it",
}
"""File and coroutine → who handles its errors. An entry without a task fails the test."""


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for folder in FOLDERS:
        for layer in LAYERS:
            for file in sorted((folder / layer).rglob("*.py")):
                yield str(file.relative_to(folder)), ast.parse(file.read_text())


def _is_endless(node: ast.AST) -> bool:
    return isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)


def _name(call: ast.expr) -> str:
    """The name of the coroutine function that is called, without what it belongs to; "" = it is no call."""
    if not isinstance(call, ast.Call):
        return ""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def endless(trees: list[tuple[str, ast.Module]]) -> set[str]:
    """The names of coroutine functions with a loop that has no condition."""
    functions = (node for _, tree in trees for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef))
    return {function.name for function in functions if any(map(_is_endless, ast.walk(function)))}


def started(trees: list[tuple[str, ast.Module]]) -> set[str]:
    """ "file: name" of each coroutine that is started as a task."""
    calls = ((file, node) for file, tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {f"{file}: {_name(call.args[0])}" for file, call in calls if _name(call) in STARTS}


def _loops(trees: list[tuple[str, ast.Module]]) -> set[str]:
    names = endless(trees) - {"keep_running"}
    return {one for one in started(trees) if one.partition(": ")[2] in names}


def test_every_endless_loop_is_started_with_keep_running():
    assert _loops(list(_trees())) == OTHERS.keys()


def test_a_loop_without_keep_running_is_found():
    source = "async def run():\n    while True:\n        pass\nasync def main(group):\n    group.create_task(run())\n"
    assert _loops([("role/main.py", ast.parse(source))]) == {"role/main.py: run"}
    assert _loops([("role/main.py", ast.parse(source.replace("task(run()", "task(keep_running('x', run)")))]) == set()

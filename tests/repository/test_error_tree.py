"""The tree of errors that is drawn in `core/errors.py`, against the classes."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator

from tests.support.sources import FOLDERS

from greenroom.core import errors
from greenroom.core.errors import GreenroomError

LINE = re.compile(
    r"(?P<indent>(?:[│ ]   )*)(?:[├└]── )?(?P<name>\w+) +(?P<status>\d{3})? +(?P<code>[a-z-]+)(?: +(?P<package>\w+))?"
)


def drawn() -> Iterator[tuple[str, ...]]:
    """Parent, name, HTTP status, code, package of each line of the tree."""
    above: list[tuple[str, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := LINE.fullmatch(line):
            depth = len(found["indent"]) // 4 + ("── " in line)
            parent, status = above[depth - 1] if depth else ("Exception", "")
            status = found["status"] or status
            above[depth:] = [(found["name"], status)]
            yield parent, found["name"], status, found["code"], found["package"] or "core"


def defined(error: type[GreenroomError]) -> Iterator[tuple[str, ...]]:
    """The same of a class and those below it."""
    base, package = error.__bases__[0].__name__, error.__module__.split(".")[1].replace("shared", "core")
    yield base, error.__name__, str(error.http_status), error.code, package
    for below in error.__subclasses__():
        if below.__module__.startswith("greenroom."):
            yield from defined(below)


def test_the_drawn_tree_has_each_class():
    for folder in FOLDERS:
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            if "rootfs" not in parts and parts[-1] != "__main__":
                importlib.import_module(".".join(parts).removesuffix(".__init__"))
    assert sorted(drawn()) == sorted(defined(GreenroomError))

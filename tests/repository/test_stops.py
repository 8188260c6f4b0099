"""Every named stop is a place in the product's code, and a test kills the process there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.support.sources import FOLDERS, ROOT

from greenroom.kit.stops import STOPS

AWAITED = re.compile(r'(?:await hold_if_armed|\bhold_function)\("([a-z_.]+)"\)')
KILLS = re.compile(r"^(?:async )?def \w*kill|\.kill\(", re.MULTILINE)


def awaited() -> set[str]:
    """The stops that the product's code comes to; the module of the stops itself only explains them."""
    files = (file for folder in FOLDERS for file in folder.rglob("*.py") if file.name != "stops.py")
    return {name for file in files for name in AWAITED.findall(file.read_text())}


def killed_at() -> set[str]:
    """The stops named in files of kill tests, and in tests elsewhere that kill."""
    text = "\n".join(_killing())
    return {name for name in STOPS if re.search(rf"\b{re.escape(name)}\b", text)}


def _killing() -> Iterator[str]:
    for file in (ROOT / "tests").rglob("test_*.py"):
        text = file.read_text()
        if "kill" in file.name:
            yield text
            continue
        yield from (part for part in text.split("\n\n\n") if KILLS.search(part))


def test_the_product_waits_at_every_listed_name_and_at_no_other():
    assert awaited() == STOPS.keys()


def test_at_every_stop_a_test_kills_the_process():
    assert STOPS.keys() - killed_at() == set()

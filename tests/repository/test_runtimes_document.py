"""docs/reference/docker-and-kubernetes.md names every test of Pods, and none that there is not."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs/reference/docker-and-kubernetes.md").read_text()
NOT_HERE: Final = ("not here: ", "not run: ")
TESTS_OF_THE_CLUSTER: Final = "test_cluster.py"
"""The module that tests the cluster itself, and nothing of Greenroom."""


def rows(section: str) -> Iterator[list[str]]:
    """Cells of the table below this heading."""
    for line in PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0].splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def names_of(module: str) -> set[str]:
    """Names of the tests that pytest collects from this module."""
    return {name for name in vars(importlib.import_module(module)) if name.startswith("test_")}


def left_out(module: str) -> dict[str, str]:
    """Test → why it is not run on Pods."""
    return getattr(importlib.import_module(module), "NOT_HERE", {})


def said(rows: list[tuple[str, str, str]]) -> tuple[set[str], dict[str, str]]:
    """Of (test, Docker, Kubernetes): tests that run on both, and those that do not with the sentence."""
    assert {docker for _, docker, _ in rows} == {"yes"}
    absent = {test: cell for test, _, cell in rows if cell.startswith(NOT_HERE)}
    assert {cell for test, _, cell in rows if test not in absent} == {"yes"}
    assert len({test for test, _, _ in rows}) == len(rows)
    sentences = {test: cell.partition(": ")[2] for test, cell in absent.items()}
    return {test for test, _, _ in rows if test not in absent}, sentences


def test_the_conformance_suite_is_what_the_table_says():
    table = [
        (test.strip("`"), docker, kubernetes) for test, docker, kubernetes in list(rows("Tests of the runtime"))[1:]
    ]
    on_both, absent = said(table)
    assert absent == left_out("tests.kubernetes.test_runtime_conformance")
    assert on_both | absent.keys() == names_of("tests.host.test_runtime_conformance")
    assert on_both <= names_of("tests.kubernetes.test_runtime_conformance")


def test_the_acceptance_tests_on_both_are_what_the_table_says():
    tables = dict[str, list[tuple[str, str, str]]]()
    for file, test, docker, kubernetes in list(rows("Tests of a complete deployment"))[1:]:
        tables.setdefault(file.strip("`").removesuffix(".py"), []).append((test.strip("`"), docker, kubernetes))
    assert set(tables) == {file.stem for file in (ROOT / "tests/kubernetes").glob("test_*.py") if is_shared(file)}
    for file, table in tables.items():
        on_both, absent = said(table)
        assert absent == left_out(f"tests.kubernetes.{file}"), file
        assert on_both == names_of(f"tests.kubernetes.{file}"), file
        assert on_both | absent.keys() == names_of(f"tests.acceptance.{file}"), file


def is_shared(file: Path) -> bool:
    """Whether it takes its tests over from tests/acceptance."""
    return "from tests.acceptance import " in file.read_text()


def named() -> set[tuple[str, str]]:
    """File and test of every id on the page."""
    return {(file, test) for file, test in re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)}


def test_each_test_of_pods_is_named():
    own = {
        (f"kubernetes/{file.name}", test)
        for file in (ROOT / "tests/kubernetes").glob("test_*.py")
        if file.name != TESTS_OF_THE_CLUSTER and not is_shared(file)
        for test in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert own - named() == set()


def test_each_behaviour_has_a_test_on_either_or_says_that_there_is_none():
    for behaviour, docker, kubernetes in list(rows("Separate tests"))[1:]:
        for cell in (docker, kubernetes):
            assert re.search(r"`[\w/]+\.py::test_\w+`", cell) or cell.startswith(NOT_HERE), behaviour

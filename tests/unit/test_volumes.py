"""Folders of the host that a container may see."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from pathlib import PurePosixPath

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.errors import Invalid
from greenroom.core.settings import validated
from greenroom.core.volumes import FORBIDDEN, mappings_problem, source_problem

names = st.sampled_from(
    ["", ".", "..", "var", "run", "lib", "docker", "etc", "docker.sock", "etcetera", "mnt", "{user_id}"]
)
sources = st.lists(names, max_size=5).map("/".join).map(lambda path: f"/{path}")


def nothing_of_the_host_is_let_through(is_let_through: Callable[[str], bool], source: str) -> None:
    if not is_let_through(source):
        return
    path = PurePosixPath(posixpath.normpath("/" + source.lstrip("/")))
    for folder in map(PurePosixPath, FORBIDDEN):
        assert not path.is_relative_to(folder)
        assert not folder.is_relative_to(path)


@given(sources)
def test_no_way_of_writing_it_lets_the_hosts_own_folders_through(source: str):
    nothing_of_the_host_is_let_through(lambda path: source_problem(path) is None, source)


def test_a_mutant_that_looks_at_the_beginning_alone_is_caught():
    def mutant(source: str) -> None:
        nothing_of_the_host_is_let_through(lambda path: not path.startswith(FORBIDDEN), source)

    with pytest.raises(AssertionError):
        hypothesis.settings(report_multiple_bugs=False, database=None)(given(sources)(mutant))()


@pytest.mark.parametrize(
    "source", ["/mnt/profiles/{username}", "/srv", "/etcetera", "/data/a b", "/home/x/", "/var/log"]
)
def test_other_folders_may(source: str):
    assert source_problem(source) is None


@pytest.mark.parametrize(
    "source", ["/", "//", "/var", "/var/run/docker.sock", "//etc", "/mnt/../etc", "etc", "", "/proc/."]
)
def test_these_may_not(source: str):
    assert source_problem(source)


def test_a_mapping_says_where_it_goes():
    assert mappings_problem({"/srv": {"bind": "/srv", "mode": "ro", "uid": 1000}}) is None
    for wrong in ({"/srv": 1}, {"/srv": {}}, {"/srv": {"bind": "/x", "mode": "777"}}, {"/etc": {"bind": "/x"}}):
        assert mappings_problem(wrong)
        with pytest.raises(Invalid):
            validated("volume_mapping", wrong)

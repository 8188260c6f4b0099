"""The root user of a container, in any spelling."""

from __future__ import annotations

import pytest

from greenroom.core.workspace.exec_config import commands_problem, is_root, is_root_by_name, root_problem

PASSWD = "root:x:0:0:root:/root:/bin/sh\nkasm-user:x:1000:1000::/home/kasm-user:/bin/bash\ntoor:x:00:0::/:/bin/sh\n"


@pytest.mark.parametrize("user", ["root", "0", "00", "0:0", "root:users", "0:1000", "+0", "-0", "+00:1"])
def test_root_by_its_spelling(user: str):
    assert is_root_by_name(user)
    assert is_root(user, "")


@pytest.mark.parametrize(
    ("user", "root"), [("", True), ("toor", True), ("toor:users", True), ("kasm-user", False), ("1000:0", False)]
)
def test_root_as_the_container_knows_its_users(user: str, root: bool):
    assert is_root(user, PASSWD) is root


def test_a_number_that_is_somebodys_name_is_who_docker_takes_it_for():
    assert is_root("1000", "1000:x:0:0::/:/bin/sh\n")
    assert not is_root("1000", "broken\nother:x:no:0\n")


@pytest.mark.parametrize("line", ["eve", "eve:x", "eve:x:", "eve:x:no:0", "eve:x:-1:0", "  eve:x:0:0", "\teve:x::"])
def test_a_user_whose_number_docker_cannot_read_is_root(line: str):
    assert is_root("eve", f"kasm-user:x:1000:1000\n{line}\n")


def test_commands_of_root_are_named():
    assert commands_problem({}) is None
    assert commands_problem({"go": {"cmd": "open"}, "assign": {"cmd": "x", "user": "kasm-user"}}) is None
    problem = commands_problem({"go": {"cmd": "open"}, "first_launch": {"cmd": "true", "user": "0:0"}})
    assert problem is not None
    assert problem.startswith("The command first_launch would run as root (0:0) with write access to a mounted folder")
    assert problem.endswith("Set another user, or mount the folder with the mode ro.")


def test_root_is_named_once():
    assert root_problem("root", "The command go").startswith("The command go would run as root with write access")
    assert root_problem("", "The image").startswith("The image would run as root with write access")


def test_an_unknown_command_is_left_to_the_command_line_to_refuse():
    assert commands_problem({"go": {"cmd": "'"}, "assign": {"cmd": "x", "user": "kasm-user"}}) is None

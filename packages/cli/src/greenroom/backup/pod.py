"""The part of a backup that runs in a Pod next to the database: `python3 -m greenroom.backup.pod ACTION`.

The actions use the database GREENROOM_DATABASE_URL, standard input and standard output:

- `describe` prints the properties of the database and the pending migrations as JSON;
- `dump TABLE...` writes a dump without the rows of these tables. A connection through kubectl can lose the end of a
  stream without an error, so the dump is followed by its digest;
- `record EVENT FOLDER [FAILURE]` stores an event of a backup (JSON) as `store_event`, with the key of the installation
  in the Pod;
- `list` reads a dump and prints its table of contents;
- `restore` reads a dump, restores it and migrates it. With `--replace`, the database may contain tables, which return
  if the restore fails.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

import msgspec

from greenroom.backup.database import (
    CHUNK_BYTES,
    PostgresTools,
    drop_replaced_tables,
    empty_database,
    read_installed_database,
    server_version,
    store_event,
)
from greenroom.core.audit import AuditEvent
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.db.migrate import migrate

DIGEST_BYTES: Final = 32
"""The length of the digest (sha256) after a dump."""


def dump(dsn: str, target: IO[bytes], without_rows_of: Iterable[str]) -> None:
    """Write a dump and its digest. Raises SetupError: pg_dump failed."""
    digest = hashlib.sha256()

    def write(data: bytes) -> None:
        digest.update(data)
        target.write(data)

    PostgresTools.of_server(server_version(dsn)).dump(dsn, write, without_rows_of)
    target.write(digest.digest())
    target.flush()


def list_dump(dsn: str, source: IO[bytes]) -> str:
    """Return the table of contents of the dump in `source`. Raises SetupError: pg_restore cannot read it."""
    with PostgresTools.of_server(server_version(dsn)).listing() as listing:
        while data := source.read(CHUNK_BYTES):
            listing.write(data)
    return listing.text


def main(arguments: list[str]) -> None:
    """Run an action. Raises SetupError: it failed, or is unknown."""
    dsn = os.environ["GREENROOM_DATABASE_URL"]
    match arguments:
        case ["describe"]:
            sys.stdout.write(msgspec.json.encode(read_installed_database(dsn)).decode())
        case ["dump", *tables]:
            dump(dsn, sys.stdout.buffer, tables)
        case ["record", event, folder, *failure]:
            key_file = Path(os.environ["GREENROOM_SECRET_KEY_FILE"])
            store_event(dsn, key_file, msgspec.json.decode(event, type=AuditEvent), Path(folder), "".join(failure))
        case ["list"]:
            sys.stdout.write(list_dump(dsn, sys.stdin.buffer))
        case ["restore", *options]:
            with empty_database(dsn, replace="--replace" in options):
                PostgresTools.of_server(server_version(dsn)).restore(dsn, Path("/dev/stdin"))
                asyncio.run(migrate(dsn, may_skip=True))
            drop_replaced_tables(dsn)
        case _:
            raise SetupError(f"Unknown action {arguments}.")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except GreenroomError as failure:
        sys.exit(failure.message)

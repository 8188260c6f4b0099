"""Checks of `greenroom up` before it creates a file, so that a start that cannot succeed leaves no files."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from greenroom.core.errors import DatabaseUnavailable, SetupError
from greenroom.core.text import database_error, one_line
from greenroom.db.connections import refuse_pooler
from greenroom.db.database import Database
from greenroom.db.installation import installation_id
from greenroom.db.migrate import pending_files
from greenroom.kit import host_limits, recipes
from greenroom.runtimes.contract import BuildError
from greenroom.runtimes.registry import find_runtime
from greenroom.up.account import Accounts
from greenroom.up.free_space import Space, free_disk, shortages
from greenroom.up.host_programs import has_program
from greenroom.up.installation import has_first_data
from greenroom.up.instance_folders import find_instance_folders
from greenroom.up.layout import Layout, running_pid
from greenroom.up.options import Settings, default_data, find_listen_error
from greenroom.up.programs import bytes_to_copy
from greenroom.up.progress import Progress
from greenroom.up.tls import check_certificate_pair

PROGRAMS: Final = ("nginx", "setpriv")
"""The required programs of the Linux distribution."""

_UNUSABLE_CHARACTERS: Final = re.compile(r"""["$'\\`:,]""")
"""Characters that a path cannot contain: nginx cannot escape `$`; programs of PostgreSQL pass paths to a shell in
double quotes; commas separate the hosts of a database address, and colons the entries of PYTHONPATH.
"""

DESKTOP_IMAGE: Final = "greenroom/desktop:xfce"
"""The image of the workspace `Desktop`; GREENROOM_DESKTOP_IMAGE overrides it for a new instance."""


def desktop_image() -> str:
    """Return the image of the first workspace."""
    return os.environ.get("GREENROOM_DESKTOP_IMAGE", DESKTOP_IMAGE)


async def check_machine(layout: Layout, settings: Settings) -> None:
    """Check all requirements of an instance on this machine.

    Raises:
        SetupError: a requirement is missing; the message names it and the solution.
    """
    check_only_instance(layout, running_folders())
    check_programs()
    check_port(settings.port)
    if settings.tls_cert is not None and settings.tls_key is not None:
        check_certificate_pair(Path(settings.tls_cert), Path(settings.tls_key))
    await find_runtime(settings.runtime).check("")
    if settings.database_url is not None:
        await pending_files(settings.database_url)
        await refuse_pooler(settings.database_url)
    if not layout.key_file.exists():
        await _check_new_key(layout, settings.database_url)
    elif settings.database_url is not None and layout.installation_id.exists():
        await _check_same_installation(layout, settings.database_url)


def check_only_instance(layout: Layout, folders: Iterable[Path]) -> None:
    """Check that no other running instance has the installation id of DATA. An original and its restored copy would
    remove the containers of each other, because the runtime does not distinguish them. `folders` contains the data
    folders of running instances. Raises SetupError: another instance has the same id."""
    if (other := instance_with_id(layout.stored_installation_id(), layout.data, folders)) is not None:
        raise SetupError(
            f"{other} is a running instance with the installation id of {layout.data}, which is a copy of it; stop"
            f" one with `greenroom down --data {shlex.quote(str(other))}`, or restore the copy with --as-copy."
        )


def instance_with_id(installation: str, data: Path, folders: Iterable[Path]) -> Path | None:
    """Return the first of `folders` with this installation id that is not `data`; None without one."""
    for folder in folders:
        try:
            is_same = bool(installation) and Layout(folder).stored_installation_id() == installation
            if is_same and not (data.exists() and folder.samefile(data)):
                return folder
        except OSError:  # this account cannot read the id of that instance, or its folder was removed
            continue
    return None


def running_folders() -> list[Path]:
    """Return the data folders of the running instances of this machine. Without root, instances of other accounts are
    found only in a default folder."""
    defaults = {default_data(), Path("/var/lib/greenroom")}
    return sorted({*find_instance_folders()} | {folder for folder in defaults if _may_run(Layout(folder))})


def _may_run(layout: Layout) -> bool:
    """True if the instance is running, or if this account cannot read its lock."""
    try:
        return running_pid(layout) is not None
    except PermissionError:
        return True


async def provide_desktop_image(layout: Layout, settings: Settings, progress: Progress) -> None:
    """Build the image of the first workspace for a new instance, if the image is missing and has an installed recipe.
    Raises SetupError: the image is missing, and cannot be built."""
    if layout.instance.exists():
        return
    image, runtime, source = desktop_image(), find_runtime(settings.runtime), recipes.find_recipes()
    try:
        await runtime.check(image)
    except SetupError:
        if source is None or runtime.remote_sessions_text or not source.has(image):
            raise
        with ExitStack() as running:
            text = f"Building the image {image} from Debian packages, once"
            running.enter_context(progress.step(text))
            async with runtime.open_builder() as builder:
                quarter = 0
                async for percent in _build(source.build(image, builder), image):
                    if percent // 25 > quarter:  # the build takes minutes
                        quarter = percent // 25
                        running.close()
                        running.enter_context(progress.step(f"{text}: {percent} %"))


async def _build(build_progress: AsyncIterator[int], image: str) -> AsyncGenerator[int]:
    """Yield the progress of a build in percent. Raises SetupError: the image cannot be built."""
    try:
        async for percent in build_progress:
            yield percent
    except BuildError as error:
        raise SetupError(f"The image {image} could not be built: {error.message}") from error


def check_path(data: Path) -> None:
    """Refuse a path with a character that cannot be quoted for a program that must read the path."""
    unusable = {
        character for character in str(data) if _UNUSABLE_CHARACTERS.match(character) or not character.isprintable()
    }
    if unusable:
        raise SetupError(
            f"The path {one_line(str(data))} cannot be used, because programs of the instance cannot parse"
            f" {' '.join(map(repr, sorted(unusable)))} in it. Specify a --data without quotes, backslashes, dollar"
            " signs, colons, commas and control characters."
        )


async def _check_new_key(layout: Layout, database_url: str | None) -> None:
    """Refuse to create a new key for a database that was written with another key."""
    if database_url is None:
        if (layout.postgres / "data").exists():
            raise missing_key_error(layout.keys, f"restore {layout.data} from a backup.")
        return
    async with open_database(database_url) as db:
        if await has_first_data(db):
            raise missing_key_error(
                layout.keys, "specify the --data of that installation, or restore it from a backup."
            )


async def _check_same_installation(layout: Layout, database_url: str) -> None:
    """Refuse the database of another installation: its secrets are encrypted with another key."""
    expected = layout.stored_installation_id()
    async with open_database(database_url) as db:
        if await has_first_data(db) and (other := await installation_id(db)) != expected:
            raise SetupError(
                f"{layout.data} belongs to the installation {expected}, but the database belongs to {other}; "
                "specify the database of this installation, or another --data."
            )


@asynccontextmanager
async def open_database(dsn: str) -> AsyncGenerator[Database]:
    """Open a database for the duration of the block. Raises SetupError: the database cannot be reached."""
    db = Database(dsn, application_name="greenroom setup", max_size=1)
    await db.open()
    try:
        yield db
    except DatabaseUnavailable as error:
        raise SetupError(database_error(error.cause)) from error
    finally:
        await db.close()


def missing_key_error(folder: Path, remedy: str) -> SetupError:
    """Return the error for a missing installation key: a new key could not decrypt the data in the database."""
    return SetupError(f"The database already contains an installation, but its key is not in {folder}: {remedy}")


def check_programs() -> None:
    """Refuse to start without the programs that come from the distribution."""
    for program in PROGRAMS:
        if not has_program(program):
            raise SetupError(f"The program {program} is missing; run `sudo greenroom host setup`, which installs it.")


DATABASE_BYTES: Final = 120_000_000
"""The size of a new database cluster with its first write-ahead log."""
MEMORY_BYTES: Final = 400_000_000
"""The memory of the processes of an instance with one zone, without sessions."""


def check_space(layout: Layout, settings: Settings, accounts: Accounts) -> None:
    """Refuse to start if the disk or the memory has too little free space.

    Raises:
        SetupError: there is too little space; the message contains the required and the free space.
    """
    database = 0 if settings.database_url is not None or layout.postgres.exists() else DATABASE_BYTES
    folder, free_bytes = free_disk(layout.data)
    needed = Space(disk_bytes=database + bytes_to_copy(layout.runtime, accounts), memory_bytes=MEMORY_BYTES)
    free = Space(disk_bytes=free_bytes, memory_bytes=host_limits.read_free_memory_bytes())
    if problems := shortages(str(folder), needed, free):
        raise SetupError(" ".join(problems))


def check_port(port: int) -> None:
    """Refuse a main port on which this process cannot listen."""
    error = find_listen_error(port)
    if isinstance(error, PermissionError):
        raise SetupError(f"Port {port} requires root; specify a --port of 1024 or higher.") from error
    if error is not None:
        raise SetupError(
            f"Port {port} is taken by another program; stop that program, or specify another --port."
        ) from error

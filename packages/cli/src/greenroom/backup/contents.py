"""The content of a backup: which files it contains, its header and digests, its file name, and which backups to delete.

A backup is a tar archive. Its members are the header, the dump of the database, the files of DATA, and the digests of
the other members. The dump is divided into several members, so that it needs no temporary file.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final, Literal

import msgspec

from greenroom.core.errors import SetupError

FORMAT: Final = 1
"""The version of the format. A backup with a higher version is refused."""

HEADER_NAME: Final = "greenroom-backup.json"
DIGESTS_NAME: Final = "digests.json"
DUMP_PREFIX: Final = "database.dump."
DATA_PREFIX: Final = "data/"

RESTORING_NAME: Final = "restoring"
"""The folder in DATA into which a restore extracts files, before it moves them into place."""
REPLACED_PREFIX: Final = "replaced-"
"""The prefix of the folders in DATA that contain the files that a restore replaced."""
LOCK_NAME: Final = "backup.lock"
UPGRADE_LOCK_NAME: Final = "upgrade.lock"
"""The lock of upgrades of a deployment in containers, and of the services of a machine."""
SERVICES_RECORD_NAME: Final = "upgrade.json"
"""The record of an interrupted upgrade of the services of a machine."""

_EXCLUDED_NAMES: Final = frozenset(
    {"lock", LOCK_NAME, RESTORING_NAME, "run", "tmp", "runtime", "logs", "postgres", "web-filter"}
    | {UPGRADE_LOCK_NAME, "db", "secrets", "proxy", "hosts"}  # of a deployment in containers
    | {SERVICES_RECORD_NAME}
)
"""Entries of DATA that a backup omits: the next start creates them, or the dump contains them."""

RECORDING_TABLES: Final = ("recordings", "recording_rows", "recording_pictures", "session_video_segments")
"""The tables whose rows a backup without recordings omits. It contains the list of session videos, because later
segments of a running session continue its video."""

Form = Literal["instance", "services", "compose", "kubernetes"]
"""The form of an installation. Each form stores its files in other paths, so a restore accepts only its own form."""

_FORMS: Final[Mapping[Form, tuple[str, str]]] = {
    "instance": ("an instance on one machine", "without --services, --compose and --kubernetes"),
    "services": ("an installation on several machines", "with --services"),
    "compose": ("a deployment with Docker Compose", "with --compose and the folder of the compose files"),
    "kubernetes": ("a deployment on Kubernetes", "with --kubernetes and the folder of its kustomization"),
}
"""Form → its description, and the options of its restore."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first member of a backup. `migrations` maps the names of the applied migrations to their checksums. `homes`
    and `recordings`: True if the backup contains them."""

    format: int
    version: str
    """The version of the program that wrote the backup. During an upgrade, this is the new version."""
    installation_version: str = ""
    """The version of the installation in the backup, which has applied its migrations; "" in a backup of 0.1.0."""
    created: datetime
    installation_id: str
    postgres: int
    """The major version of the database server."""
    migrations: dict[str, str]
    tables: list[str]
    """The tables whose rows the dump contains."""
    homes: bool
    recordings: bool
    form: Form


def read_header(data: bytes) -> Header:
    """Return the header of a backup.

    Raises:
        SetupError: `data` is not a header, or is the header of a newer format.
    """
    try:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        version = msgspec.json.decode(fields.get("format", b"0"), type=int)
        if version > FORMAT:
            raise SetupError(
                f"The backup was created by a newer version of Greenroom (format {version}, this version reads"
                f" {FORMAT}); update Greenroom."
            )
        return msgspec.json.decode(data, type=Header)
    except msgspec.MsgspecError as error:
        raise SetupError(f"The backup has no valid header ({error}); it is not from Greenroom.") from error


def check_form(header: Header, expected: Form) -> None:
    """Check that a backup has the form that a restore expects. Raises SetupError: it has another form."""
    if header.form != expected:
        description, options = _FORMS[header.form]
        raise SetupError(f"The backup is of {description}; restore it {options}.")


def is_included(path: PurePosixPath, *, homes: bool) -> bool:
    """True if a backup contains the file or folder at `path`, which is relative to DATA.

    `homes` includes the folders of persistent profiles and the homes of users. The folder of the gateway is included
    with only its certificates, keys and credential.
    """
    first, *rest = path.parts or ("",)
    if first in _EXCLUDED_NAMES or first.startswith(REPLACED_PREFIX):
        return False
    if first in ("volumes", "homes") or (first == "agent" and rest[1:2] == ["homes"]):
        return homes
    if first == "gateway" and rest:
        return len(rest) == 1 and (path.suffix in {".pem", ".key"} or path.name == "credential")
    return True


def is_home(path: PurePosixPath) -> bool:
    """True if `path`, relative to DATA, is a folder of homes or persistent profiles, or is in such a folder."""
    return is_included(path, homes=True) and not is_included(path, homes=False)


def may_be_link(path: PurePosixPath) -> bool:
    """True if this entry of DATA may be a symbolic link: only below a folder of homes."""
    return is_home(path) and is_home(path.parent)


def check_member(member: tarfile.TarInfo, links: set[str]) -> None:
    """Check that a member can be extracted safely: its path stays in the target folder, and a backup may contain such a
    member. Anyone can create a backup, because recipient keys are public. `links` contains the names of the earlier
    symbolic links; the function adds the name of a symbolic link.

    Raises:
        SetupError: the member is unsafe.
    """
    path = PurePosixPath(member.name)
    entry = PurePosixPath(member.name.removeprefix(DATA_PREFIX))
    is_entry = member.name.startswith(DATA_PREFIX)
    is_safe = (
        str(path) == member.name  # without "//", after which the rest would be an absolute path
        and not path.is_absolute()
        and ".." not in path.parts
        and (not is_entry or is_included(entry, homes=True))
        and (member.isreg() or member.isdir() or (member.issym() and is_entry and may_be_link(entry)))
        and not any(str(parent) in links for parent in (path, *path.parents))
    )
    if not is_safe:
        raise SetupError(f"The backup contains {member.name!r}, which is unsafe; nothing was restored.")
    if member.issym():
        links.add(str(path))


def digest_key(name: str) -> str:
    """Return the name of a member in the list of digests. The list is JSON, so bytes that are not UTF-8 are escaped."""
    return name.encode(errors="backslashreplace").decode()


def digest_problem(expected: Mapping[str, str], actual: Mapping[str, str]) -> str | None:
    """Return the first difference between two lists of digests, as a sentence; None if they are equal."""
    for name in sorted({*expected, *actual}):
        if name not in actual:
            return f"{name} is missing."
        if name not in expected:
            return f"{name} is not in the list of digests."
        if expected[name] != actual[name]:
            return f"{name} has another digest than at its creation."
    return None


_FILE_NAME: Final = re.compile(r"greenroom-[0-9a-f]{8}-\d{8}T\d{6}Z\.backup")


def file_name(installation_id: str, created: datetime) -> str:
    """Return the file name of a backup. The names for one installation sort by time."""
    return f"greenroom-{installation_id[:8]}-{created.astimezone(UTC):%Y%m%dT%H%M%SZ}.backup"


def backups_to_delete(names: Iterable[str], installation_id: str, keep: int) -> list[str]:
    """Return the names of all backups of this installation except the newest `keep`, oldest first. Other names are
    ignored."""
    prefix = f"greenroom-{installation_id[:8]}-"
    backups = sorted(name for name in names if _FILE_NAME.fullmatch(name) and name.startswith(prefix))
    return backups[: max(len(backups) - keep, 0)]


_TABLE_DATA_LINE: Final = re.compile(r"^\d+; \d+ \d+ TABLE DATA public (\S+) ", re.MULTILINE)


def parse_tables(contents: str) -> list[str]:
    """Return the tables with rows in the output of `pg_restore --list`, in alphabetical order."""
    return sorted(_TABLE_DATA_LINE.findall(contents))

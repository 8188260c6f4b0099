"""`greenroom support-bundle`: an archive with facts about an installation and its host, without secrets.

Each source adds one file. A source that fails is recorded in `missing.json`, and the other sources are still read.
All files pass through one mask (`up.masked_text`).
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import platform
import shutil
import sys
import tarfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final, cast

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from greenroom.core.errors import SetupError
from greenroom.core.text import summary
from greenroom.db.database import Database
from greenroom.kit import host_limits
from greenroom.kit.environment import PREFIX, known_variables
from greenroom.kit.program import version
from greenroom.kit.secrets import Secrets
from greenroom.up.host_limits import SYSCTL_FILE
from greenroom.up.host_programs import command_output
from greenroom.up.layout import Layout, running_pid
from greenroom.up.masked_text import TextMask, is_secret_name
from greenroom.up.site import site_of
from greenroom.up.support_facts import (
    allowed_lines,
    encrypted_values,
    private_texts,
    recent_log_rows,
    support_facts,
)

PROGRAM_TIMEOUT_S: Final = 30.0
"""The time limit of each program in `PROGRAMS`."""
CHECK_TIMEOUT_S: Final = 120.0
"""The time limit of `greenroom status` and `greenroom doctor`."""
LOG_BYTES: Final = 1 << 20
"""The number of bytes of each log in the archive, from its end."""

Source = Callable[[], object]
"""Returns the content of a file: a text, or a JSON value. An exception is the reason why the file is missing."""

_CONTAINER_FORMAT: Final = "table {{.Names}}\t{{.Image}}\t{{.Status}}"
PROGRAMS: Final[Mapping[str, Sequence[str]]] = {
    "docker/version.json": ("docker", "version", "--format", "{{json .}}"),
    "docker/info.json": ("docker", "info", "--format", "{{json .}}"),
    "docker/containers.txt": ("docker", "ps", "--all", "--format", _CONTAINER_FORMAT),
    "docker/networks.txt": ("docker", "network", "ls"),
    "docker/images.txt": ("docker", "images"),
    "docker/disk.txt": ("docker", "system", "df"),
    "docker/journal.txt": ("journalctl", "--unit", "docker", "--lines", "1000", "--no-pager"),
    "host/addresses.txt": ("ip", "-brief", "address"),
    "host/routes.txt": ("ip", "route"),
    "host/listeners.txt": ("ss", "-H", "-l", "-n", "-t", "-p"),
    "host/processes.txt": ("ps", "-e", "-o", "pid,ppid,user,stat,etimes,rss,nlwp,comm"),
    "host/disks.txt": ("df", "--human-readable", "--print-type"),
    "host/inodes.txt": ("df", "--inodes"),
    "host/units.txt": ("systemctl", "list-units", "--all", "--no-pager", "greenroom*", "docker*"),
    "host/firewall.txt": ("iptables", "-w", "5", "-S"),
    "kernel/messages.txt": ("dmesg", "--level", "emerg,alert,crit,err,warn"),
    "versions/nginx.txt": ("nginx", "-v"),
    "versions/squid.txt": ("squid", "-v"),
    "versions/iptables.txt": ("iptables", "--version"),
}
"""File in the archive → the program that writes its content. No program prints command lines of processes."""

HOST_FILES: Final[Mapping[str, Path]] = {
    "host/os-release.txt": Path("/etc/os-release"),
    "host/memory.txt": Path("/proc/meminfo"),
    "host/setup.json": Path("/var/lib/greenroom-host/setup.json"),
    "host/sysctl.txt": SYSCTL_FILE,
    "kernel/modules.txt": Path("/proc/modules"),
    "docker/daemon.json": Path("/etc/docker/daemon.json"),
    "docker/dockerd.log": Path("/var/log/greenroom-dockerd.log"),
}

README: Final = """Support archive of Greenroom {version}, created on {time} on request. Nothing was sent.

Secrets are replaced by "(secret)": passwords, keys, tokens, values of variables, texts that look random, and the names,
telephone numbers and notes of users. The archive has names of hosts, zones, groups and workspaces, and other texts in
the sentences of logs. Read it before you give it to others.

missing.json names the parts that could not be read, with the reasons.
"""


@dataclass
class SupportArchive:
    """A gzip-compressed tar archive. Every file passes through the mask."""

    tar: tarfile.TarFile
    mask: TextMask
    files: list[str] = field(default_factory=list[str])
    missing: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, name: str, source: Source) -> None:
        """Add a file with the content of the source, or record why it is missing."""
        try:
            content = source()
        except Exception as error:  # noqa: BLE001 -- the archive of a broken installation contains the reason
            self.missing[name] = self.mask.mask_text(summary(error))
            return
        self.write(name, content)

    def write(self, name: str, content: object) -> None:
        """Add a file: the masked text, or the masked JSON value."""
        if isinstance(content, str):
            text = self.mask.mask_lines(content)
        else:
            text = json.dumps(self.mask.mask_value(content), indent=1, ensure_ascii=False, default=str)
        data = self.mask.mask_known_values(text).encode(errors="replace")
        entry = tarfile.TarInfo(f"greenroom-support/{name}")
        entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
        self.tar.addfile(entry, io.BytesIO(data))
        self.files.append(name)


@contextmanager
def new_archive(file: Path, mask: TextMask) -> Generator[SupportArchive]:
    """Create the archive, which only this account can read. After an error, remove the file. Raises SetupError: the
    file exists, or cannot be written."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise SetupError(f"{file} exists already; specify another --output.") from error
    except OSError as error:
        raise SetupError(f"{file} cannot be created ({error.strerror}); specify another --output.") from error
    try:
        with os.fdopen(descriptor, "wb") as output, tarfile.open(fileobj=output, mode="w:gz") as tar:
            os.fchmod(output.fileno(), 0o600)
            yield SupportArchive(tar, mask)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise SetupError(f"{file} could not be written ({error.strerror}); specify another --output.") from error
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def sources(layout: Layout, environment: Mapping[str, str]) -> Iterator[tuple[str, Source]]:
    """Yield the file name and the source of each part of the archive, except for the parts from the database."""
    yield "versions/versions.json", read_versions
    yield "settings/environment.json", lambda: environment_facts(environment)
    yield "settings/instance.json", lambda: json.loads(layout.instance.read_text())
    yield "settings/ports.json", lambda: json.loads(layout.ports.read_text())
    if config := environment.get(f"{PREFIX}CONFIG"):
        yield "settings/config.toml", lambda: Path(config).read_text()
    yield "host/host.json", lambda: host_facts(layout.data)
    yield "host/limits.json", host_limits.read_limits
    for name, path in HOST_FILES.items():
        yield name, lambda path=path, name=name: parse_if_json(name, read_end(path))
    for name, command in PROGRAMS.items():
        yield name, lambda command=command: command_output(*command, within_s=PROGRAM_TIMEOUT_S)
    for name, arguments in {"status.json": ("status", "--json"), "doctor.txt": ("doctor",)}.items():
        check = (sys.executable, "-m", "greenroom", *arguments, "--data", str(layout.data))
        yield name, lambda check=check: command_output(*check, within_s=CHECK_TIMEOUT_S)
    for file in sorted(layout.logs.glob("*.log*")) if os.access(layout.logs, os.R_OK | os.X_OK) else ():
        yield f"logs/{file.name}", lambda file=file: allowed_lines(read_end(file))


def parse_if_json(name: str, text: str) -> object:
    """Return the JSON value of a file whose name ends with `.json`, so that its fields are masked by name."""
    try:
        return json.loads(text) if name.endswith(".json") else text
    except ValueError:
        return text


def read_end(file: Path, limit_bytes: int = LOG_BYTES) -> str:
    """Return the end of a file, without an incomplete first line: a secret without its name would not be masked."""
    with file.open("rb") as stream:
        start = max(0, os.fstat(stream.fileno()).st_size - limit_bytes)  # 0 for files of /proc
        stream.seek(start)
        text = stream.read().decode(errors="replace")
    return text.partition("\n")[2] if start else text


def read_versions() -> dict[str, Any]:
    """Return the versions of Greenroom, Python and all installed distributions."""
    installed = {distribution.name: distribution.version for distribution in metadata.distributions()}
    return {"greenroom": version(), "python": sys.version, "prefix": sys.prefix, "distributions": installed}


def host_facts(data: Path) -> dict[str, Any]:
    """Return the size and load of this host, and the disk of DATA."""
    folder = next(folder for folder in (data, *data.parents) if folder.exists())
    return {
        "kernel": platform.uname()._asdict(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
        "uptime_s": round(time.clock_gettime(time.CLOCK_BOOTTIME)),
        "disk": {"folder": str(folder), **shutil.disk_usage(folder)._asdict()},
        "is_root": os.geteuid() == 0,
    }


def environment_facts(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings in the environment, and only the names of all other variables."""
    known_names = known_variables()
    settings = {name: environment[name] for name in sorted(environment) if name in known_names}
    return {"settings": settings, "other_variables": sorted(name for name in environment if name not in known_names)}


def known_secrets(layout: Layout, environment: Mapping[str, str]) -> set[str]:
    """Return the values of secrets that this account can read: those in DATA, in the environment and in the files that
    it names. Unreadable files are omitted, because their content cannot be in the archive."""
    secrets = {value for name, value in environment.items() if is_secret_name(name)}
    files = [Path(value) for name, value in environment.items() if name.startswith(PREFIX) and name.endswith("_FILE")]
    secret_files = [layout.key_file, layout.gateway_credential, *(file for file in files if is_secret_name(file.name))]
    secrets |= set(map(_read_or_empty, secret_files))
    for text in (_read_or_empty(layout.credentials), _read_or_empty(layout.instance), *environment.values()):
        secrets |= set(_secrets_in(text))
    return secrets


def _secrets_in(text: str) -> Iterator[str]:
    """Yield the secrets of a JSON object or a database address."""
    if text.startswith("{"):
        try:
            value = json.loads(text)
        except ValueError:
            return
        for name, part in _leaves(value):
            if is_secret_name(name):
                yield part
            yield from _secrets_in(part)
    elif "://" in text or "password=" in text:
        try:
            yield str(conninfo_to_dict(text).get("password") or "")
        except ProgrammingError:
            return


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, part in cast("dict[str, object]", value).items():
            yield from _leaves(part, key)
    elif isinstance(value, str):
        yield name, value


def _read_or_empty(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The parts of the archive from the database, and the texts in the database that no file of it may contain."""

    facts: dict[str, Any]
    log_rows: list[dict[str, Any]]
    hidden: tuple[str, ...]


def read_database(layout: Layout, environment: Mapping[str, str]) -> DatabaseFacts:
    """Read the database of the running instance, or the database in GREENROOM_DATABASE_URL. Raises SetupError: no
    instance is running, and the variable is not set."""
    if running_pid(layout) is not None:
        return asyncio.run(_read_database(site_of(layout).dsn, layout.key_file))
    if url := environment.get(f"{PREFIX}DATABASE_URL"):
        return asyncio.run(_read_database(url, Path(environment.get(f"{PREFIX}SECRET_KEY_FILE", layout.key_file))))
    raise SetupError(f"No instance is running on {layout.data}, and GREENROOM_DATABASE_URL is not set.")


async def _read_database(dsn: str, key_file: Path) -> DatabaseFacts:
    db = Database(dsn, application_name="greenroom support-bundle", max_size=1)
    await db.open()
    try:
        key = Secrets.from_file(key_file)
        secrets = [key.decrypt(value) for value in await encrypted_values(db)]
        hidden = (*secrets, *await private_texts(db))
        return DatabaseFacts(await support_facts(db), await recent_log_rows(db), hidden)
    finally:
        await db.close()


def create_archive(layout: Layout, file: Path, environment: Mapping[str, str], now: datetime) -> SupportArchive:
    """Create the support archive of an installation, and return it with the names of its files. Raises SetupError: the
    file exists, or cannot be written."""
    known_values, reason = known_secrets(layout, environment), ""
    database = DatabaseFacts({}, [], ())
    try:
        database = read_database(layout, environment)
    except Exception as error:  # noqa: BLE001 -- as in `SupportArchive.add`
        reason = summary(error)
    with new_archive(file, TextMask(known_values | set(database.hidden))) as archive:
        archive.write("README.txt", README.format(version=version(), time=f"{now:%Y-%m-%d %H:%M:%S} UTC"))
        for name, source in sources(layout, environment):
            archive.add(name, source)
        if reason:
            archive.missing["database/"] = archive.mask.mask_text(reason)
        else:
            archive.write("database/facts.json", database.facts)
            archive.write("database/log.json", database.log_rows)
        archive.write("missing.json", archive.missing)
    return archive

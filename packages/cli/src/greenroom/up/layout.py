"""The files in DATA, their owners, and the lock that excludes a second instance."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from greenroom.core.errors import SetupError
from greenroom.up.account import Account, Accounts, blocked_folder
from greenroom.up.instance_folders import find_instance_folders

FORMAT: Final = 1
"""The version of the layout. A folder with another version is refused."""

SOCKET_PATH_BYTES: Final = 107
"""The maximum length of the path of a unix socket on Linux."""


class _PathInData:
    """The path of a file or folder in DATA."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __get__(self, layout: Layout, _: type[Layout]) -> Path:
        return layout.data / self._path


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of an instance.

    The mode of DATA is 0711. A subfolder belongs to the account that uses it and has the mode 0700, except for three
    folders that other accounts traverse. `tmp` (0755) contains the sentinel files, which nginx reads, and the socket of
    the database, whose server checks the account of each client. `web-filter` is read by the account of the filters,
    and `runtime` by the accounts of the services.
    """

    data: Path

    @property
    def backups(self) -> Path:
        """The default folder of the backups of upgrades, beside DATA."""
        return self.data.with_name(f"{self.data.name}-backups")

    lock = _PathInData("lock")
    """Locked (flock) by the running `up`; contains its pid."""
    instance = _PathInData("instance.json")
    """The settings of the last start. A folder with this file is an instance."""
    ports = _PathInData("ports.json")
    """Name of a listener → port."""
    credentials = _PathInData("credentials.json")
    """API key, its secret and the initial password, 0600."""
    ca_file = _PathInData("ca.pem")
    """The certificate of the instance's own certificate authority, readable by all."""
    installation_id = _PathInData("installation_id")
    """The installation's id, which is also in the database and in a label of each container."""
    restored = _PathInData("restored.json")
    """The time of the last restore, and the time of the restored backup."""
    state = _PathInData("run/state.json")
    """The state of the supervisor."""
    control = _PathInData("run/control")
    """The socket for requests to the running `up`."""
    tls = _PathInData("tls")
    """The folder with the key of the authority, readable only by the caller."""
    keys = _PathInData("keys")
    """The folder with the installation's key, for api and Managers."""
    key_file = _PathInData("keys/installation.key")
    """32 random bytes (kit.secrets)."""
    postgres = _PathInData("postgres")
    sockets = _PathInData("tmp/postgres")
    api = _PathInData("api")
    gateway = _PathInData("gateway")
    """The prefix of nginx, its plan and certificates."""
    gateway_credential = _PathInData("gateway/credential")
    logs = _PathInData("logs")
    runtime = _PathInData("runtime")
    """Copies of programs that the service accounts cannot read in their installed location."""

    @property
    def certificate(self) -> tuple[Path, Path]:
        """The certificate and key of the gateway."""
        return self.gateway / "server.pem", self.gateway / "server.key"

    @property
    def custom_certificate(self) -> tuple[Path, Path]:
        """Copies of the administrator's certificate and key for the host name."""
        return self.gateway / "given.pem", self.gateway / "given.key"

    def manager(self, name: str) -> Path:
        """Return the permanent folder of a Manager, with its instance id."""
        return self.data / "manager" / name

    def agent(self, name: str) -> Path:
        """Return the folder with the identity and journal of an Agent."""
        return self.data / "agent" / name

    def web_filter(self, name: str) -> Path:
        """Return the folder with the files of the web filters of an Agent, which the account of the filters reads."""
        return self.data / "web-filter" / name

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def sentinel(self, instance_id: str) -> Path:
        """Return the path of the sentinel file of a Manager. While it exists, the gateway responds with 503 for the
        Manager, because the Manager is disabled."""
        return self.data / "tmp" / "manager" / instance_id / "kasm_manager_draining"

    def stored_installation_id(self) -> str:
        """Return the id of the installation; "" before the first start."""
        return self.installation_id.read_text().strip() if self.installation_id.exists() else ""

    def create_data(self) -> None:
        """Create the folder DATA, if it is missing.

        Raises:
            SetupError: this account cannot create DATA here.
        """
        try:
            self.data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"This account cannot create the folder {self.data} ({error.strerror}); specify another --data."
            ) from error

    def create(self, accounts: Accounts) -> None:
        """Create the folders in DATA, and correct modes and owners of existing folders."""
        self.create_data()
        self.data.chmod(0o711)
        for folder in (self.keys, self.api, self.data / "manager"):
            create_folder(folder, 0o700, accounts.services)
        create_folder(self.gateway, 0o700, accounts.gateway)
        create_folder(self.postgres, 0o700, accounts.database)
        for folder in (self.tls, self.logs, self.state.parent, self.data / "agent"):
            create_folder(folder, 0o700)
        create_folder(self.data / "web-filter", 0o711)
        for folder in (self.data / "tmp", self.data / "tmp" / "manager"):
            create_folder(folder, 0o755)
        create_folder(self.sockets, 0o711, accounts.database)


def create_folder(folder: Path, mode: int, account: Account | None = None) -> None:
    """Create one folder with this mode, owned by the caller or `account`."""
    folder.mkdir(exist_ok=True)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(mode)


def write_text(path: Path, text: str, mode: int, account: Account | None = None) -> None:
    """Replace a small file atomically, so that no reader or crash can observe half of it."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), mode)
        if account is not None:
            os.fchown(file.fileno(), account.uid, account.gid)
        os.fsync(file.fileno())
    part.replace(path)


def write_once(path: Path, text: str, account: Account | None = None) -> None:
    """Write a secret or an id with `write_text`, unless the file exists."""
    if not path.exists():
        write_text(path, text, 0o600, account)


def write_json(path: Path, value: Any, mode: int, account: Account | None = None) -> None:
    """Write a value as JSON with `write_text`."""
    write_text(path, json.dumps(value, indent=2) + "\n", mode, account)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; empty if there is no file.

    Raises:
        SetupError: the file cannot be read, or is not a JSON object.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise SetupError(f"This account cannot read {path}; run the command as its owner, with sudo.") from error
    except (OSError, ValueError) as error:
        raise SetupError(f"{path} cannot be read ({error}); restore it from a backup.") from error
    if not isinstance(value, dict):
        raise SetupError(f"{path} does not contain a JSON object; restore it from a backup.")
    return value  # pyright: ignore[reportUnknownVariableType] -- JSON objects have string keys


def check_folder(layout: Layout) -> None:
    """Check that DATA is missing, empty, or an instance of this version. Nothing is changed.

    Raises:
        SetupError: DATA is none of these, or cannot be read; the message contains the problem and its solution.
    """
    data = layout.data
    try:
        if not data.exists():
            return
    except PermissionError as error:
        raise SetupError(f"This account cannot access {data}; specify another --data, or use sudo.") from error
    if not data.is_dir():
        raise SetupError(f"{data} is not a folder; specify another --data.")
    if not layout.instance.exists():
        if any(entry.name != "lock" for entry in data.iterdir()):
            if (pid := running_pid(layout)) is not None:
                raise _already_running(layout, pid)
            raise SetupError(f"{data} is not empty and contains no Greenroom instance; specify another --data.")
        return
    stored_format = read_json(layout.instance).get("format")
    if stored_format != FORMAT:
        raise SetupError(
            f"{data} belongs to another version of Greenroom (format {stored_format}, this version reads {FORMAT}); "
            "use the version that created it, or specify another --data."
        )


def missing_instance_error(layout: Layout) -> SetupError:
    """Return the error for a folder that is not an instance."""
    remedy = _options_of_running_instances() or "the --data of an instance"
    return SetupError(f"There is no Greenroom instance in {layout.data}; specify {remedy}.")


def _options_of_running_instances() -> str:
    """Return the options that select the running instances of this machine, such as that of a service whose settings
    name another folder; empty if there is none."""
    running = [folder for folder in find_instance_folders() if Layout(folder).instance.exists()]
    return " or ".join(f"--data {shlex.quote(str(folder))}" for folder in running)


def check_reachable(layout: Layout, accounts: Accounts) -> None:
    """Check that every account can reach DATA. Modes of parent folders are never changed.

    Raises:
        SetupError: a parent folder blocks an account, or the path of DATA is too long.
    """
    for account in accounts.all:
        blocked = blocked_folder(account, layout.data.parent)
        if blocked is not None:
            raise SetupError(
                f"The account {account.user} cannot traverse {blocked}, a parent of {layout.data}; specify a --data "
                f"elsewhere, or allow access with: chmod o+x {shlex.quote(str(blocked))}"
            )
    socket = layout.sockets / ".s.PGSQL.65535"
    if len(os.fsencode(socket)) > SOCKET_PATH_BYTES:
        raise SetupError(
            f"The path {layout.data} is too long for the socket of the database; specify a shorter --data."
        )


ATTEMPTS: Final = 20
"""The maximum number of attempts to lock DATA, which failed starts of other processes may remove at the same time."""


class DataLock:
    """The lock on DATA, which is released at the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def take(cls, layout: Layout) -> Self:
        """Lock DATA, which is created if it is missing.

        Raises:
            SetupError: another process holds the lock, or this account cannot create DATA.
        """
        for _ in range(ATTEMPTS):
            layout.create_data()
            try:
                descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
            except FileNotFoundError:  # DATA was removed in the meantime
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                pid = os.read(descriptor, 32).decode().strip()
                os.close(descriptor)
                raise _already_running(layout, pid) from error
            if _is_same_file(layout.lock, descriptor):
                os.fchmod(descriptor, 0o600)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                return cls(descriptor)
            os.close(descriptor)  # a failed start removed its DATA before this process locked the file
        raise SetupError(
            f"Other processes repeatedly create and remove {layout.data}; stop them, or specify another --data."
        )

    def release(self) -> None:
        os.close(self.descriptor)


@contextmanager
def exclusive_lock(layout: Layout, file: Path, action: str) -> Generator[None]:
    """Hold the exclusive lock on a file of DATA for the duration of the block. `action` is a noun for the work of the
    block, such as `backup`.

    Raises:
        SetupError: another process holds the lock, or this account cannot write to DATA.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError as error:
        raise SetupError(f"This account cannot write to {layout.data}; run the command as its owner.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SetupError(f"Another {action} of {layout.data} is running; wait until it ends.") from error
        yield
    finally:
        os.close(descriptor)


def _is_same_file(path: Path, descriptor: int) -> bool:
    """True if the open file is still the file at this path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _already_running(layout: Layout, pid: object) -> SetupError:
    return SetupError(
        f"Another greenroom (pid {pid or 'unknown'}) is running on {layout.data}; "
        f"stop it with: greenroom down --data {shlex.quote(str(layout.data))}"
    )


def running_pid(layout: Layout) -> int | None:
    """Return the pid of the process that holds the lock on DATA, or None."""
    try:
        descriptor = os.open(layout.lock, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(descriptor, 32).decode().strip() or 0) or None
    finally:
        os.close(descriptor)
    return None


POLL_S: Final = 0.1


def wait_for_end(layout: Layout, pid: int, within_s: float) -> bool:
    """Wait until the process has released the lock on DATA. Return False if it holds the lock after `within_s`."""
    end_s = time.monotonic() + within_s
    while running_pid(layout) == pid:
        if time.monotonic() > end_s:
            return False
        time.sleep(POLL_S)
    return True


def running_layout(data: Path) -> Layout:
    """Return the layout of a running instance.

    Raises:
        SetupError: no instance is running on `data`.
    """
    layout = Layout(data)
    check_folder(layout)
    if running_pid(layout) is None:
        options = _options_of_running_instances()
        start = f"start it with: greenroom up --data {shlex.quote(str(data))}"
        remedy = f"specify the running instance: {options}" if options else start
        raise SetupError(f"No instance is running on {data}; {remedy}")
    return layout


def mounts_below(folder: Path, table: Path = Path("/proc/self/mountinfo")) -> list[Path]:
    """Return the mounts below a folder, the innermost first. `table` lists all mounts of this machine; in its paths,
    special characters are octal numbers."""
    points = (line.split()[4] for line in table.read_text().splitlines())
    mounts = (Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)) for point in points)
    return sorted((mount for mount in mounts if folder in mount.parents), key=lambda m: len(m.parts), reverse=True)

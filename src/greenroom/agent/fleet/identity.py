"""The identity of an Agent: its id, and the credential that a Manager issued for it.

The folder of the Agent contains `agent_id` (written by `greenroom up` or by this module), `identity.json` (mode 0600,
with the credential), and `lock`, which a running Agent locks so that no other Agent uses the folder. An Agent with a
copy of the folder would remove the containers of the first one, because both have the same id in the same installation:
it does not start beside it on the same machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

from greenroom.core.errors import SetupError
from greenroom.wire.messages import Registered

log = structlog.get_logger(__name__)

_LOCKS: Final = Path("/proc/locks")


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    agent_id: str
    credential: str
    machine_id: str
    installation_id: str
    db_epoch: str
    zone_id: str


class AgentIdentity:
    """The identity of this Agent. The values from a Manager (credential, incarnation, …) are empty at first."""

    def __init__(self, folder: Path, machine_id: str, hostname: str) -> None:
        self._folder = folder
        self.share: Callable[[bytes], Awaitable[None]] | None = None
        """Stores the identity for other replicas of this Agent."""
        self.place_id = ""
        """Identifies the folder or the store with the identity, to detect copies: `place_id_of` the folder, or
        `ReplicaStore.place_id`."""
        self.machine_id = machine_id
        self.hostname = hostname
        self.agent_id = ""
        self.credential: str | None = None
        self.installation_id = ""
        self.db_epoch = ""
        """Identifies the database; it changes when the database is replaced or restored from a backup."""
        self.zone_id = ""
        self.incarnation = 0
        """The number of the last registration; 0 = none. Managers refuse messages with an earlier number."""
        self._lock_descriptor = -1

    @classmethod
    def load(cls, folder: Path, place_id: str = "", name: str = "") -> AgentIdentity:
        """Lock the folder, and read or create the identity in it. Processes that share an identity pass their common
        `place_id` and their own `name`. Raises SetupError: another Agent uses the folder or has its id, or the folder
        cannot be used."""
        identity = cls(folder, place_id or machine_id(), name or socket.gethostname())
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            identity._take_lock()
            identity.place_id = place_id or place_id_of(folder)
            identity._read()
            if not place_id:
                identity._check_only_agent()
        except BlockingIOError as error:
            raise SetupError(f"Another Agent is running with the folder {folder}; stop it first.") from error
        except OSError as error:
            raise SetupError(f"The Agent's folder {folder} cannot be used: {error.strerror}.") from error
        return identity

    def _take_lock(self) -> None:
        self._lock_descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        os.close(self._lock_descriptor)

    def _read(self) -> None:
        proposed = self._folder / "agent_id"
        if not proposed.exists():
            write_private(proposed, f"{uuid.uuid4()}\n".encode())
        self.agent_id = _read_uuid(proposed)
        stored = self._read_stored()
        if stored is not None and stored.agent_id == self.agent_id:
            self.credential = stored.credential or None
            self.installation_id = stored.installation_id
            self.db_epoch = stored.db_epoch
            self.zone_id = stored.zone_id

    def _check_only_agent(self) -> None:
        """Raises SetupError: another running Agent of this machine has the same id in the same installation."""
        if not self.installation_id:  # it joins first
            return
        for locked, visible in _locked_folders():
            try:
                other = None if visible.samefile(self._folder) else _stored_in(visible)
            except OSError as error:  # the process has ended, or belongs to another account
                log.debug("the folder of a process cannot be read", folder=str(visible), reason=error.strerror)
                continue
            if other and (other.agent_id, other.installation_id) == (self.agent_id, self.installation_id):
                raise SetupError(
                    f"An Agent with the id {self.agent_id} is running with the folder {locked}; {self._folder} is a"
                    f" copy of it. Stop that Agent, or delete agent_id and identity.json in {self._folder} and join"
                    " with a new token."
                )

    def _read_stored(self) -> _Stored | None:
        path = self._folder / "identity.json"
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Stored)
        except msgspec.MsgspecError as error:
            raise SetupError(
                f"{path} is damaged ({error}). Move the file away and register the Agent again with a join token."
            ) from error

    @property
    def route(self) -> str:
        """The first 8 hex digits of the agent id. They identify the Agent in the path of a stream."""
        return self.agent_id.replace("-", "")[:8]

    @property
    def bearer(self) -> str:
        """The Authorization header of every request to a Manager or the api."""
        return f"Bearer {self.agent_id}.{self.credential or ''}"

    async def store_shared(self) -> None:
        """Store the identity for the other replicas of this Agent, if there are any. Raises Unavailable: the identity
        cannot be stored."""
        if self.share is not None:
            await self.share(msgspec.json.encode(self._record()))

    def load_shared(self, content: bytes) -> bool:
        """Load the identity that another replica of this Agent stored. Return True if its id or credential is new."""
        stored = msgspec.json.decode(content, type=_Stored)
        is_changed = (stored.agent_id, stored.credential) != (self.agent_id, self.credential)
        self.agent_id, self.credential = stored.agent_id, stored.credential
        return is_changed

    def _record(self) -> _Stored:
        return _Stored(
            agent_id=self.agent_id,
            credential=self.credential or "",
            machine_id=self.machine_id,
            installation_id=self.installation_id,
            db_epoch=self.db_epoch,
            zone_id=self.zone_id,
        )

    def use_id(self, agent_id: str) -> None:
        """Use the id of an existing Agent. The file `agent_id` has the previous id until a Manager admits the Agent."""
        self.agent_id = agent_id

    def store(self, registered: Registered) -> None:
        """Store the answer to a registration, and wait until it is on disk."""
        self.agent_id = registered.agent_id
        self.credential = registered.credential or self.credential
        self.installation_id = registered.installation_id
        self.db_epoch = registered.db_epoch
        self.zone_id = registered.zone_id
        self.incarnation = registered.incarnation
        write_private(self._folder / "agent_id", f"{self.agent_id}\n".encode())
        write_private(self._folder / "identity.json", msgspec.json.encode(self._record()))


def machine_id() -> str:
    """Return the id of this machine, or its host name if it has no id. Machines with copies of one disk may have the
    same id."""
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        if path.exists() and (text := path.read_text().strip()):
            return text
    return socket.gethostname()


def place_id_of(folder: Path) -> str:
    """Return a digest of the boot id of the machine and of the device and inode of the folder. A copied machine has
    another boot id, and a copied folder has another inode. A new container with the same folder has the same digest.
    """
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    status = folder.stat()
    return hashlib.sha256(f"{boot_id}|{status.st_dev}|{status.st_ino}".encode()).hexdigest()[:32]


def _stored_in(folder: Path) -> _Stored | None:
    """Return the identity in the folder of a process; None = the process is no Agent, or has not joined yet."""
    try:
        return msgspec.json.decode((folder / "identity.json").read_bytes(), type=_Stored)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _locked_folders() -> Iterator[tuple[Path, Path]]:
    """Return the folders with a file `lock` that a process of this machine has locked: the path in that process, and a
    path for this process, because a container has other folders."""
    lines = map(str.split, _LOCKS.read_text().splitlines())
    for pid in {line[4] for line in lines if line[1] == "FLOCK"}:
        for target in _open_files(pid):
            if target.name == "lock":
                yield target.parent, Path(f"/proc/{pid}/root{target.parent}")


def _open_files(pid: str) -> list[Path]:
    """Return the paths of the open files of a process; none if it has ended or belongs to another account."""
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, PermissionError):
        return []
    targets = list[Path]()
    for link in links:
        with suppress(FileNotFoundError):  # the file was closed
            targets.append(link.readlink())
    return targets


def write_private(
    path: Path, content: bytes, owner: os.stat_result | None = None, *, survives_power_cut: bool = True
) -> None:
    """Replace a file with one that only its owner can read. After a crash the file has the old or the new content.

    An existing temporary file is removed first, because another account may have created it in the folder. `owner` is
    the status of a path with the required owner; None = this account. Without `survives_power_cut`, the call does not
    wait for the disk, and the file may be empty after a power cut.
    """
    part = path.with_name(path.name + ".new")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if owner is not None:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(content)
        file.flush()
        if survives_power_cut:
            os.fsync(file.fileno())
    part.replace(path)


def _read_uuid(path: Path) -> str:
    text = path.read_text().strip()
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise SetupError(
            f"{path} contains {text[:60]!r} instead of a UUID; delete the file to create another id."
        ) from error

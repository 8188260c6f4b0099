"""Folders of the host in Docker's containers: prepared, compared after the start, restricted.

A running container's folders are made `nosuid,nodev`: Docker does not support these flags for a folder. A separate
thread enters the container's mount namespace, makes two system calls, and ends there. That needs CAP_SYS_ADMIN and
CAP_SYS_CHROOT, which an Agent that is unrestricted root has. A container that writes to a folder of the host runs no
process as root (`core.workspace.exec_config`).
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
import tarfile
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

import aiodocker
import structlog
from aiodocker.containers import DockerContainer

from greenroom.core.workspace.exec_config import is_root, root_problem
from greenroom.core.workspace.session_spec import Mount, SessionFile, SessionSpec
from greenroom.runtimes.contract import StartError
from greenroom.runtimes.docker.daemon import DockerJson
from greenroom.runtimes.host_folders import HostFolders, Identity, mounted
from greenroom.runtimes.host_homes import HostHomes

_MOUNT_SETATTR: Final = 442
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_NOSUID_NODEV: Final = 0x2 | 0x4
_CLONE_FS: Final = 0x200
_CLONE_NEWNS: Final = 0x20000

_libc: Final = ctypes.CDLL(None, use_errno=True)


def forbid_set_user_id(pid: int, targets: Sequence[str]) -> str | None:
    """Make the mounts at `targets` inside the container of process `pid`, and all mounts below them, `nosuid,nodev`.
    Returns the reason why this Agent cannot, in few words; None = done, or that process has ended.

    Raises:
        StartError: it has the capabilities, but the call failed.
    """
    try:
        namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except PermissionError:
        return "cannot open namespaces"
    work = _Work(namespace, targets)
    try:
        thread = threading.Thread(target=work.run, name="mount-flags")
        thread.start()
        thread.join()
    finally:
        os.close(namespace)
    if work.failed:
        raise StartError(work.failed)
    return work.cannot


class _Work:
    """The work of the thread. The thread never returns to this process's namespace, so it does nothing else."""

    def __init__(self, namespace: int, targets: Sequence[str]) -> None:
        self.namespace = namespace
        self.targets = targets
        self.cannot: str | None = None
        self.failed = ""

    def run(self) -> None:
        if _libc.unshare(_CLONE_FS) or _libc.setns(self.namespace, _CLONE_NEWNS):
            self.cannot = f"cannot enter the namespace of the session: {os.strerror(ctypes.get_errno())}"
            return
        attributes = struct.pack("QQQQ", _NOSUID_NODEV, 0, 0, 0)
        for target in self.targets:
            where = ctypes.c_char_p(os.fsencode(target))
            size = len(attributes)
            if _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, where, _AT_RECURSIVE, ctypes.c_char_p(attributes), size):
                self._note(ctypes.get_errno(), target)
                return

    def _note(self, number: int, target: str) -> None:
        if number in {errno.EPERM, errno.ENOSYS}:
            self.cannot = f"cannot change the flags of mounts: {os.strerror(number)}"
        else:
            self.failed = f"{target} cannot be mounted nosuid,nodev in the session: {os.strerror(number)}."


log = structlog.get_logger(__name__)

THREADS: Final = 16
"""The number of threads that wait for file systems: a network file system may never answer, and blocks its thread."""

Result = TypeVar("Result")


class DockerMounts:
    """Mounts of containers. No method waits for a file system on the event loop, or in a thread with other work."""

    def __init__(self, folders: HostFolders) -> None:
        self._folders = folders
        self._said = False
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="folders")

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def never(self, folder: str) -> None:
        self._folders.private.add(folder)

    @property
    def homes(self) -> HostHomes:
        return self._folders.homes

    def placed(self, spec: SessionSpec) -> list[Mount]:
        """The mounts of a specification with their folders on this host."""
        return [self._folders.placed(mount) for mount in spec.mounts]

    async def prepare(self, mounts: Sequence[Mount], session_id: str) -> None:
        await self._in_thread(partial(self._folders.prepare, mounts, session_id))

    async def put_files(self, found: DockerJson, files: Sequence[SessionFile]) -> list[SessionFile]:
        """Write the files that belong into a mounted folder; returns the others.

        The daemon would resolve the folder's path again, before anything can be compared.

        Raises:
            StartError: a folder is mounted read-only, does not exist or was exchanged; or nothing is mounted there, and
                the root of the container is read-only.
        """
        places = {bind["Target"]: bind for bind in binds(found)}
        others: list[SessionFile] = []
        inside: dict[str, dict[str, SessionFile]] = defaultdict(dict)
        for file in files:
            place = max((place for place in places if file.path.startswith(f"{place}/")), key=len, default=None)
            if place is None:
                others.append(file)
            elif places[place].get("ReadOnly"):
                raise StartError(f"{file.path} cannot be copied into the session: {place} is mounted read-only.")
            else:
                inside[places[place]["Source"]][file.path.removeprefix(f"{place}/")] = file
        if others and found["HostConfig"].get("ReadonlyRootfs"):
            raise StartError(
                f"{others[0].path} cannot be copied into the session: its root is read-only (`read_only` of the run"
                " config), and no folder of the host is mounted there. Give the user a persistent profile."
            )
        for source, own in inside.items():
            await self._in_thread(partial(self._folders.put_files, source, own))
        return others

    async def checked(self, found: DockerJson) -> dict[str, Identity]:
        """The expected identity at each place in the container `found` (Docker's inspection), read just before its
        start.

        Raises:
            StartError: a folder is gone, or may not be mounted (any more).
        """
        places = _places(found)
        if not places or found["State"]["Running"]:
            return {}
        identities = await self._in_thread(partial(self._folders.identities, sorted(set(places.values()))))
        return {place: identities[source] for place, source in places.items()}

    async def problem(self, found: DockerJson, expected: Mapping[str, Identity]) -> str | None:
        """The reason why the started container must be stopped, as a sentence; None = none. Something other than
        `expected` was mounted, or a mount cannot be inspected or made `nosuid,nodev`."""
        try:
            problem = await self._exchanged(found, expected)
            if problem is None and expected:
                await self._forbid_set_user_id(int(found["State"]["Pid"]), sorted(expected))
        except StartError as error:
            return error.message
        return problem

    async def _forbid_set_user_id(self, pid: int, targets: Sequence[str]) -> None:
        cannot = await self._in_thread(partial(forbid_set_user_id, pid, targets)) if pid else None
        if cannot and not self._said:
            self._said = True
            log.warning("folders of the host are not nosuid,nodev in sessions", reason=f"the Agent {cannot}")

    async def _exchanged(self, found: DockerJson, expected: Mapping[str, Identity]) -> str | None:
        places, pid = _places(found), int(found["State"]["Pid"])
        for place, identity in expected.items():
            seen = await self._in_thread(partial(mounted, pid, place)) if pid else None
            if seen is not None and seen != identity:
                return f"{places[place]} was replaced during the start of the session; the session was stopped."
        return None


def _places(found: DockerJson) -> dict[str, str]:
    """Place in the container → folder of the host."""
    return {bind["Target"]: bind["Source"] for bind in binds(found)}


def binds(found: DockerJson) -> list[DockerJson]:
    """The requested host folders of the container `found` (Docker's inspection)."""
    mounts: list[DockerJson] = found["HostConfig"].get("Mounts") or []
    return [mount for mount in mounts if mount["Type"] == "bind"]


USERS_FILE: Final = "/etc/passwd"
USERS_MAX_BYTES: Final = 1 << 20


async def refuse_root(container: DockerContainer, found: DockerJson, user: str | None, who: str) -> None:
    """Refuse a process that would run as root in a container that writes to a folder of the host.

    `found` is Docker's inspection of the container, `user` the user of the process (None = the container's own), `who`
    the subject of the sentence, like "The session".

    Raises:
        StartError: the process would run as root.
    """
    if all(bind.get("ReadOnly") for bind in binds(found)):
        return
    named = user or found["Config"].get("User") or ""
    if is_root(named, await _users(container)):
        raise StartError(root_problem(named, who))


async def _users(container: DockerContainer) -> str:
    """The container's users file; empty if it has none.

    Raises:
        StartError: the file cannot be read in the way Docker would.
    """
    try:
        with await container.get_archive(USERS_FILE) as archive:
            entry = archive.next()
            content = archive.extractfile(entry) if entry is not None and entry.isfile() else None
            if entry is None or content is None or entry.size > USERS_MAX_BYTES:
                raise StartError(
                    f"{USERS_FILE} of the container is a link or too large, so the accounts of the container are"
                    " unknown: make it a regular file in the image, or mount the folder with the mode ro."
                )
            return content.read().decode(errors="replace")
    except aiodocker.DockerError as error:
        if error.status == 404:
            return ""
        raise
    except tarfile.TarError as error:
        raise StartError(f"{USERS_FILE} of the container cannot be read: {error}.") from error

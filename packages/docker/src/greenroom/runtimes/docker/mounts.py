"""Folders of the host that are mounted in containers: their preparation before a start, and checks after the start.

Docker cannot mount a folder with the flags `nosuid,nodev`. Therefore a separate thread enters the mount namespace of
the running container and sets them. This requires CAP_SYS_ADMIN and CAP_SYS_CHROOT, which an Agent with unrestricted
root has. A container that writes to a folder of the host runs no process as root (`core.workspace.exec_config`).
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
from greenroom.runtimes.host_folders import FolderIdentity, HostFolders, mounted_identity
from greenroom.runtimes.host_homes import HostHomes

_MOUNT_SETATTR: Final = 442
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_NOSUID_NODEV: Final = 0x2 | 0x4
_CLONE_FS: Final = 0x200
_CLONE_NEWNS: Final = 0x20000

_libc: Final = ctypes.CDLL(None, use_errno=True)


def forbid_set_user_id(pid: int, targets: Sequence[str]) -> str | None:
    """Set `nosuid,nodev` on the mounts at `targets` and below them, in the container of the process `pid`.

    Return the reason why this Agent cannot set the flags, as the end of a sentence with the subject "the Agent"; None =
    the flags are set, or the process has ended.

    Raises:
        StartError: this Agent has the capabilities, but the system call failed.
    """
    try:
        namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except PermissionError:
        return "cannot open namespaces"
    change = _MountChange(namespace, targets)
    try:
        thread = threading.Thread(target=change.run, name="mount-flags")
        thread.start()
        thread.join()
    finally:
        os.close(namespace)
    if change.error:
        raise StartError(change.error)
    return change.unsupported


class _MountChange:
    """The change of the flags. `run` needs a separate thread, because the thread stays in the container's namespace."""

    def __init__(self, namespace: int, targets: Sequence[str]) -> None:
        self.namespace = namespace
        self.targets = targets
        self.unsupported: str | None = None
        self.error = ""

    def run(self) -> None:
        if _libc.unshare(_CLONE_FS) or _libc.setns(self.namespace, _CLONE_NEWNS):
            self.unsupported = f"cannot enter the namespace of the session: {os.strerror(ctypes.get_errno())}"
            return
        attributes = struct.pack("QQQQ", _NOSUID_NODEV, 0, 0, 0)
        for target in self.targets:
            path = ctypes.c_char_p(os.fsencode(target))
            size = len(attributes)
            if _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, path, _AT_RECURSIVE, ctypes.c_char_p(attributes), size):
                self._record_error(ctypes.get_errno(), target)
                return

    def _record_error(self, number: int, target: str) -> None:
        if number in {errno.EPERM, errno.ENOSYS}:
            self.unsupported = f"cannot change the flags of mounts: {os.strerror(number)}"
        else:
            self.error = f"{target} cannot be mounted nosuid,nodev in the session: {os.strerror(number)}."


log = structlog.get_logger(__name__)

THREAD_COUNT: Final = 16
"""The number of threads that access folders. A network file system that does not answer blocks a thread."""

Result = TypeVar("Result")


class DockerMounts:
    """The mounts of containers. All methods access file systems in separate threads."""

    def __init__(self, folders: HostFolders) -> None:
        self._folders = folders
        self._has_warned = False
        self._threads = ThreadPoolExecutor(THREAD_COUNT, thread_name_prefix="folders")

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def forbid(self, folder: str) -> None:
        """Forbid mounts of this folder."""
        self._folders.private.add(folder)

    @property
    def permitted(self) -> tuple[str, ...]:
        return self._folders.permitted

    @property
    def homes(self) -> HostHomes:
        return self._folders.homes

    def resolve(self, spec: SessionSpec) -> list[Mount]:
        """Return the mounts of a specification with their folders on this host."""
        return [self._folders.resolve(mount) for mount in spec.mounts]

    async def prepare(self, mounts: Sequence[Mount], session_id: str) -> None:
        await self._in_thread(partial(self._folders.prepare, mounts, session_id))

    async def put_files(self, inspection: DockerJson, files: Sequence[SessionFile]) -> list[SessionFile]:
        """Write the files whose paths are in a mounted folder. Return the other files.

        The daemon must not write into a mounted folder, because it would resolve the path of the folder again.

        Raises:
            StartError: a folder is mounted read-only, does not exist or was replaced; or a file is in no mounted folder
                and the root of the container is read-only.
        """
        mounts = {bind["Target"]: bind for bind in bind_mounts(inspection)}
        others: list[SessionFile] = []
        files_by_folder: dict[str, dict[str, SessionFile]] = defaultdict(dict)
        for file in files:
            target = max((target for target in mounts if file.path.startswith(f"{target}/")), key=len, default=None)
            if target is None:
                others.append(file)
            elif mounts[target].get("ReadOnly"):
                raise StartError(f"{file.path} cannot be copied into the session: {target} is mounted read-only.")
            else:
                files_by_folder[mounts[target]["Source"]][file.path.removeprefix(f"{target}/")] = file
        if others and inspection["HostConfig"].get("ReadonlyRootfs"):
            raise StartError(
                f"{others[0].path} cannot be copied into the session: its root is read-only (`read_only` of the run"
                " config), and no folder of the host is mounted there. Give the user a persistent profile."
            )
        for source, folder_files in files_by_folder.items():
            await self._in_thread(partial(self._folders.put_files, source, folder_files))
        return others

    async def expected_identities(self, inspection: DockerJson) -> dict[str, FolderIdentity]:
        """Return the mounts: path in the container → identity of the folder, read immediately before the start.
        `inspection` is Docker's inspection of the container. The result is empty if the container runs already.

        Raises:
            StartError: a folder does not exist, or may not be mounted.
        """
        sources_by_target = _sources_by_target(inspection)
        if not sources_by_target or inspection["State"]["Running"]:
            return {}
        identities = await self._in_thread(partial(self._folders.identities, sorted(set(sources_by_target.values()))))
        return {target: identities[source] for target, source in sources_by_target.items()}

    async def problem_after_start(self, inspection: DockerJson, expected: Mapping[str, FolderIdentity]) -> str | None:
        """Return the reason why the started container must be stopped, or None. Reasons are a mounted folder that is
        not the `expected` one, and a mount that cannot be inspected or restricted to `nosuid,nodev`.
        """
        try:
            problem = await self._folder_problem(inspection, expected)
            if problem is None and expected:
                await self._forbid_set_user_id(int(inspection["State"]["Pid"]), sorted(expected))
        except StartError as error:
            return error.message
        return problem

    async def _forbid_set_user_id(self, pid: int, targets: Sequence[str]) -> None:
        unsupported = await self._in_thread(partial(forbid_set_user_id, pid, targets)) if pid else None
        if unsupported and not self._has_warned:
            self._has_warned = True
            log.warning("folders of the host are not nosuid,nodev in sessions", reason=f"the Agent {unsupported}")

    async def _folder_problem(self, inspection: DockerJson, expected: Mapping[str, FolderIdentity]) -> str | None:
        sources, pid = _sources_by_target(inspection), int(inspection["State"]["Pid"])
        for target, identity in expected.items():
            actual = await self._in_thread(partial(mounted_identity, pid, target)) if pid else None
            if actual is not None and actual != identity:
                return f"{sources[target]} was replaced during the start of the session; the session was stopped."
        return None


def _sources_by_target(inspection: DockerJson) -> dict[str, str]:
    """Return the mounts: path in the container → folder of the host."""
    return {bind["Target"]: bind["Source"] for bind in bind_mounts(inspection)}


def bind_mounts(inspection: DockerJson) -> list[DockerJson]:
    """Return the requested bind mounts of a container. `inspection` is Docker's inspection of it."""
    mounts: list[DockerJson] = inspection["HostConfig"].get("Mounts") or []
    return [mount for mount in mounts if mount["Type"] == "bind"]


ACCOUNTS_FILE: Final = "/etc/passwd"
MAX_ACCOUNTS_BYTES: Final = 1 << 20


async def refuse_root(container: DockerContainer, inspection: DockerJson, user: str | None, subject: str) -> None:
    """Refuse a process that would run as root in a container that can write to a folder of the host.

    `inspection` is Docker's inspection of the container. `user` is the user of the process; None = the user of the
    container. `subject` is the subject of the error sentence, such as "The session".

    Raises:
        StartError: the process would run as root.
    """
    if all(bind.get("ReadOnly") for bind in bind_mounts(inspection)):
        return
    user_name = user or inspection["Config"].get("User") or ""
    if is_root(user_name, await _read_accounts(container)):
        raise StartError(root_problem(user_name, subject))


async def _read_accounts(container: DockerContainer) -> str:
    """Return the content of /etc/passwd in the container; empty if it does not exist.

    Raises:
        StartError: the file is a link, too large or damaged, so Docker may read other accounts.
    """
    try:
        with await container.get_archive(ACCOUNTS_FILE) as archive:
            entry = archive.next()
            content = archive.extractfile(entry) if entry is not None and entry.isfile() else None
            if entry is None or content is None or entry.size > MAX_ACCOUNTS_BYTES:
                raise StartError(
                    f"{ACCOUNTS_FILE} of the container is a link or too large, so the accounts of the container are"
                    " unknown: make it a regular file in the image, or mount the folder with the mode ro."
                )
            return content.read().decode(errors="replace")
    except aiodocker.DockerError as error:
        if error.status == 404:
            return ""
        raise
    except tarfile.TarError as error:
        raise StartError(f"{ACCOUNTS_FILE} of the container cannot be read: {error}.") from error

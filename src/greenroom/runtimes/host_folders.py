"""The folders of this host that sessions mount. Before a mount they are checked, created, and emptied for a profile
reset.

Every part of a path is opened without following links, because the user of a session may create links in a mounted
folder. The container daemon resolves the path again. Therefore the mounted folder is compared with the checked folder,
and a container with another folder does not run.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from greenroom.core.workspace.homes import home_of
from greenroom.core.workspace.session_spec import Mount, SessionFile
from greenroom.core.workspace.volumes import VOLUMES_FOLDER, is_within, source_problem
from greenroom.runtimes.contract import StartError
from greenroom.runtimes.host_homes import HostHomes

log = structlog.get_logger(__name__)

TRASH_PREFIX: Final = ".greenroom-reset-"
"""The prefix of a profile that was renamed for removal. No folder of a user begins with a dot."""

FolderIdentity = tuple[int, int]
"""Device and inode of a folder."""

_OPENAT2: Final = 437  # the number of the system call
_RESOLVE_IN_ROOT: Final = 0x10
_FOLDER_FLAGS: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class HostFolders:
    """The folders of this host that may be mounted. All methods block; a network file system may delay them.

    Only folders below `allowed` or `volumes_folder` are mounted, and none of `private` or
    `core.workspace.volumes.FORBIDDEN`. `volumes_folder` contains the data that sessions keep, and is created when first
    needed. The folders of `homes` are mounted only for sessions with a kept home: a volume mapping of an administrator
    cannot name them.
    """

    def __init__(
        self,
        *,
        private: Iterable[str] = (),
        allowed: Iterable[str] = (),
        volumes_folder: str = VOLUMES_FOLDER,
        homes: HostHomes | None = None,
    ) -> None:
        self.homes = homes or HostHomes()
        self.private = {self.homes.folder, *map(str, private)}
        self.volumes_folder = str(volumes_folder)
        self.allowed = [str(folder).rstrip("/") for folder in allowed]

    @property
    def permitted(self) -> tuple[str, ...]:
        """The folders below which sessions may mount folders."""
        return tuple(dict.fromkeys((*self.allowed, self.volumes_folder)))

    def resolve(self, mount: Mount) -> Mount:
        """Return the mount with its folder on this host."""
        home = home_of(mount.source)
        return mount if home is None else replace(mount, source=self.homes.path_of(home))

    def prepare(self, mounts: Sequence[Mount], session_id: str) -> None:
        """Create missing folders, and empty the folders of profiles to reset. The call may be repeated before the
        start. Raises StartError: a folder may not be mounted, does not exist or cannot be created."""
        for mount in mounts:
            if (resolved := self.resolve(mount)) is mount:
                self._check_source(mount.source)
            else:
                self.homes.create_folder()
            _prepare_folder(resolved, session_id)

    def identities(self, sources: Iterable[str]) -> dict[str, FolderIdentity]:
        """Return folder → identity. Raises StartError: a folder does not exist, is a link, or may not be mounted."""
        identities: dict[str, FolderIdentity] = {}
        for source in sources:
            self._check_mounted_source(source)
            parent, name = _open_parent(source, makes_missing=False)
            try:
                identities[source] = _identity_of(_stat_entry(parent, name, source))
            finally:
                os.close(parent)
        return identities

    def put_files(self, source: str, files: Mapping[str, SessionFile]) -> None:
        """Write files into the folder `source`, each at its relative path. Existing links are replaced, never followed.
        Raises StartError: the folder does not exist, is a link, or may not be mounted; or a file cannot be written."""
        self._check_mounted_source(source)
        parent, name = _open_parent(source, makes_missing=False)
        try:
            folder = _open(parent, name)
        except OSError as error:
            raise _start_error(error, source) from error
        finally:
            os.close(parent)
        try:
            for path, file in files.items():
                _put_file(folder, path, file)
        except OSError as error:
            raise StartError(f"Files of the session's user cannot be copied to {source}: {error.strerror}.") from error
        finally:
            os.close(folder)

    def _check_mounted_source(self, source: str) -> None:
        """Check a folder that a container mounts. A home needs no check, because only `resolve` returns its path."""
        if self.homes.home_at(source) is None:
            self._check_source(source)

    def _check_source(self, source: str) -> None:
        if problem := source_problem(source, self.private, self.volumes_folder):
            raise StartError(problem)
        if not any(is_within(source, folder) for folder in self.permitted):
            raise StartError(
                f"{source} cannot be mounted: this host allows only folders below {', '.join(self.permitted)}. Its"
                " administrator names others in the Agent's setting GREENROOM_VOLUME_FOLDERS."
            )


def mounted_identity(pid: int, target: str) -> FolderIdentity | None:
    """Return the identity of the folder at `target` in the container whose first process is `pid`; None = this process
    has ended. Raises StartError: the folder cannot be inspected."""
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    open_how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
    opened: int = _libc.syscall(
        _OPENAT2, root, ctypes.c_char_p(os.fsencode(target)), ctypes.c_char_p(open_how), len(open_how)
    )
    problem = os.strerror(ctypes.get_errno())
    os.close(root)
    if opened < 0:
        raise StartError(f"The mount at {target} cannot be inspected: {problem}.")
    try:
        return _identity_of(os.fstat(opened))
    finally:
        os.close(opened)


_libc: Final = ctypes.CDLL(None, use_errno=True)


def _identity_of(status: os.stat_result) -> FolderIdentity:
    return status.st_dev, status.st_ino


def _prepare_folder(mount: Mount, session_id: str) -> None:
    parent, name = _open_parent(mount.source, makes_missing=not mount.required)
    try:
        if mount.profile == "Reset" and _exists(parent, name):
            os.rename(name, f"{TRASH_PREFIX}{session_id}-{time.time_ns()}", src_dir_fd=parent, dst_dir_fd=parent)
        if not mount.required:
            _make_folder(parent, name, mount)
        _stat_entry(parent, name, mount.source)
        if mount.profile == "Reset":
            _empty_trash(parent)
    except OSError as error:
        raise _start_error(error, mount.source) from error
    finally:
        os.close(parent)


def _open_parent(source: str, *, makes_missing: bool) -> tuple[int, str]:
    """Open the parent folder of a path without following links. Return its descriptor and the last part of the path."""
    *folders, name = [part for part in source.split("/") if part]
    descriptor, path = os.open("/", os.O_PATH | _FOLDER_FLAGS), ""
    for folder in folders:
        path += f"/{folder}"
        try:
            inner = _open_or_make(descriptor, folder, makes_missing=makes_missing)
        except OSError as error:
            raise _start_error(error, path) from error
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor, name


def _open_or_make(parent: int, name: str, *, makes_missing: bool) -> int:
    try:
        return _open(parent, name)
    except FileNotFoundError:
        if not makes_missing:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    return _open(parent, name)


def _open(parent: int, name: str) -> int:
    """Open a folder. Opening for reading triggers an automount. If root may not read the folder, as on some network
    shares, it is opened with O_PATH."""
    try:
        return os.open(name, os.O_RDONLY | _FOLDER_FLAGS, dir_fd=parent)
    except PermissionError:
        return os.open(name, os.O_PATH | _FOLDER_FLAGS, dir_fd=parent)


def _exists(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _make_folder(parent: int, name: str, mount: Mount) -> None:
    """Create the folder if it is missing, and set its owner. Also set the owner of an existing empty folder of this
    account with mode 0700: another start created it, and was interrupted or has not set the owner yet."""
    if not _exists(parent, name):
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    is_private_folder = stat.S_ISDIR(status.st_mode) and status.st_mode & 0o777 == 0o700
    if status.st_uid != os.geteuid() or not is_private_folder:
        return
    descriptor = os.open(name, os.O_RDONLY | _FOLDER_FLAGS, dir_fd=parent)
    try:
        if not os.listdir(descriptor):  # noqa: PTH208 -- by descriptor, because the path may have changed
            os.fchown(descriptor, mount.uid, mount.gid)
    finally:
        os.close(descriptor)


def _stat_entry(parent: int, name: str, source: str) -> os.stat_result:
    """Return the status of the last part of a path, which must be a folder or a regular file."""
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            folder = _open(parent, name)
            try:
                return os.fstat(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise _start_error(error, source) from error
    if stat.S_ISLNK(status.st_mode):
        raise _start_error(OSError(errno.ELOOP, ""), source)
    if not stat.S_ISREG(status.st_mode):
        raise StartError(f"{source} is neither a folder nor a file; only folders and files can be mounted.")
    return status


def _put_file(folder: int, path: str, file: SessionFile) -> None:
    *folders, name = path.split("/")
    descriptor = os.dup(folder)
    try:
        for part in folders:
            inner = _open_or_replace(descriptor, part)
            os.close(descriptor)
            descriptor = inner
            os.fchown(descriptor, file.uid, file.gid)
        if folders:
            os.fchmod(descriptor, file.folder_mode)
        _write_file(descriptor, name, file)
    finally:
        os.close(descriptor)


def _open_or_replace(parent: int, name: str) -> int:
    """Open the folder with this name, or create it. A file or link with this name is removed."""
    try:
        return os.open(name, os.O_RDONLY | _FOLDER_FLAGS, dir_fd=parent)
    except FileNotFoundError:
        pass  # it is created below
    except OSError as error:
        if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
            raise
        os.unlink(name, dir_fd=parent)
    os.mkdir(name, 0o700, dir_fd=parent)
    return os.open(name, os.O_RDONLY | _FOLDER_FLAGS, dir_fd=parent)


def _write_file(parent: int, name: str, file: SessionFile) -> None:
    part = f".{name}.part"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part, dir_fd=parent)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as written:
        written.write(file.content)
        os.fchmod(descriptor, file.mode)
        os.fchown(descriptor, file.uid, file.gid)
    os.rename(part, name, src_dir_fd=parent, dst_dir_fd=parent)


def _empty_trash(parent: int) -> None:
    """Remove the profiles that this start or an interrupted one renamed for removal."""
    listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
    try:
        for name in os.listdir(listing):  # noqa: PTH208 -- by descriptor, because the path may have changed
            if name.startswith(TRASH_PREFIX):
                _remove_tree(parent, name)
    finally:
        os.close(listing)


def _remove_tree(parent: int, name: str) -> None:
    try:
        shutil.rmtree(name, dir_fd=parent, onerror=_log_removal_error)
    except RecursionError:  # the Agent must not end because a user nested folders deeply
        log.warning("a reset profile is nested too deeply; remove it by hand", path=name)


def _log_removal_error(function: object, path: str, error: tuple[type[BaseException], BaseException, object]) -> None:
    """Log the error. The new profile is empty nevertheless, and the next reset removes the remaining files."""
    del function
    if not isinstance(error[1], FileNotFoundError):
        log.warning("a part of a reset profile could not be removed", path=path, reason=str(error[1]))


def _start_error(error: OSError, path: str) -> StartError:
    if error.errno in {errno.ENOTDIR, errno.ELOOP}:
        return StartError(f"{path} is a link or not a folder; a mapping must name a folder.")
    if error.errno == errno.ENOENT:
        return StartError(f"{path} does not exist on this host.")
    return StartError(f"{path} cannot be prepared on this host: {error.strerror}.")

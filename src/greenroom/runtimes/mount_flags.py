"""Folders of the host in a running container are made `nosuid,nodev`: no daemon takes these flags for a folder.

A thread of its own enters the container's mount namespace, where nothing but two system calls is done, and ends there.
That needs CAP_SYS_ADMIN and CAP_SYS_CHROOT, which an Agent that is root without restrictions has.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import threading
from collections.abc import Sequence
from typing import Final

from greenroom.runtimes.base import StartError

_MOUNT_SETATTR: Final = 442
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_NOSUID_NODEV: Final = 0x2 | 0x4
_CLONE_FS: Final = 0x200
_CLONE_NEWNS: Final = 0x20000

_libc: Final = ctypes.CDLL(None, use_errno=True)


def forbid_set_user_id(pid: int, targets: Sequence[str]) -> str | None:
    """Make what is mounted at `targets` inside the container of process `pid` `nosuid,nodev`, with all below it.

    Returns:
        Why this Agent cannot, in few words; None = done, or that process has ended.

    Raises:
        StartError: it may, and could not all the same.
    """
    try:
        namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except PermissionError:
        return "may not look into namespaces"
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
    """What the thread does; it never returns to this process's namespace, so it does nothing else."""

    def __init__(self, namespace: int, targets: Sequence[str]) -> None:
        self.namespace = namespace
        self.targets = targets
        self.cannot: str | None = None
        self.failed = ""

    def run(self) -> None:
        """Enter the namespace and change the flags."""
        if _libc.unshare(_CLONE_FS) or _libc.setns(self.namespace, _CLONE_NEWNS):
            self.cannot = f"may not enter its namespace: {os.strerror(ctypes.get_errno())}"
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
            self.cannot = f"may not change the flags of mounts: {os.strerror(number)}"
        else:
            self.failed = f"{target} cannot be made nosuid,nodev in the session: {os.strerror(number)}."

"""Hides the memory of this process, which has the password of the session's page, from other programs of the same user."""

import ctypes

PR_SET_DUMPABLE = 4


def hide_memory() -> None:
    """Raises OSError: the kernel does not hide it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the memory of the page cannot be hidden")

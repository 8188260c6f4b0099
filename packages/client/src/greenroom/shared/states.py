"""The statuses of a session."""

from __future__ import annotations

from enum import Enum
from typing import Final


class SessionStatus(str, Enum):
    """The status of a session row, in the words of all interfaces."""

    REQUESTED = "requested"
    STARTING = "starting"
    RUNNING = "running"
    ASSIGNING = "assigning"
    STOPPING = "stopping"
    STOPPED = "stopped"
    PAUSING = "pausing"
    PAUSED = "paused"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    LOST = "lost"

    __str__ = str.__str__  # as in StrEnum, which Python 3.10 does not have


OVER: Final = frozenset({SessionStatus.DELETING, SessionStatus.DELETED, SessionStatus.FAILED})
"""Statuses of a session that is no longer used."""

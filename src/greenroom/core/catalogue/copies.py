"""Which Agents an image is copied from, and whether a host has room for it.

Agents that built an image for themselves may have different ones under its name. One of them is copied: the one that
most Agents have, so that a single host cannot bring its own among the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from greenroom.core.sizes import size

MOST_SOURCES: Final = 3
"""So many are tried before the next way is."""
COPIES: Final = 2
"""Of an image are on the disk while it arrives: the archive, and what is made of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """An Agent that has an image; `digest` is the image's own id, `edge_url` where the Agent is reached."""

    agent_id: str
    hostname: str
    edge_url: str
    digest: str
    size_bytes: int
    sessions: int


def sources(holders: Iterable[Holder]) -> list[Holder]:
    """Those to copy from, all of the same image, the least busy one first."""
    known = sorted(holders, key=lambda one: (one.sessions, one.agent_id))
    counted = Counter(one.digest for one in known)
    most = min(counted, key=lambda digest: (-counted[digest], digest), default="")
    return [one for one in known if one.digest == most][:MOST_SOURCES]


def room_problem(name: str, size_bytes: int, free_bytes: int | None, kept_bytes: int) -> str:
    """Why the image cannot be copied to a host with so much free disk, as a sentence; empty = it can, or the room is
    not known. `kept_bytes` stay free for sessions.
    """
    needed = COPIES * size_bytes + kept_bytes
    if free_bytes is None or free_bytes >= needed:
        return ""
    return (
        f"The image {name} could not be copied: that takes {size(needed)} of the disk, with what is kept free"
        f" for sessions, and {size(free_bytes)} are free. Make room on this host."
    )

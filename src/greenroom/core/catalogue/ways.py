"""How an Agent gets an image: from a registry, built from its recipe, or copied from another Agent, and from which.

Agents that built an image for themselves may have different ones under its name. One of them is copied: the one that
most Agents have, so that a single host cannot bring its own among the others.

An image whose name or workspace names a registry comes from there, as its administrator said. Any other is of this
installation: a copy is the same bytes and costs no host its CPU, so it is preferred to a second build. What cannot be
built here, and what nothing else has, is asked of Docker's default registry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from greenroom.core.text import size
from greenroom.core.workspace.definition import DEFAULT_REGISTRY, registry_of

MOST_SOURCES: Final = 3
"""So many are tried before the next way is."""
COPIES: Final = 2
"""Of an image are on the disk while it arrives: the archive, and what is made of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProgress:
    """How far an Agent is with an image; `how` it is on its way and `progress`, 0-100, while it is `pulling`."""

    state: Literal["present", "pulling", "absent", "failed"]
    how: Way
    reason: str
    size_bytes: int
    progress: int
    error: str


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


Way = Literal["", "pulling", "building", "copying"]
"""How an image is on its way; empty = it is not."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to get an image, and why it is that one, as a sentence."""

    way: Way
    reason: str


def ways(name: str, docker_registry: str, *, elsewhere: bool, buildable: bool) -> tuple[Choice, ...]:
    """The ways to get the image, the best one first; at least one. `elsewhere`: another Agent can give it; `buildable`:
    this Agent knows its recipe, and its host can build.
    """
    if names_registry(name, docker_registry):
        return (Choice("pulling", "The image or its workspace names a registry, so it comes from there."),)
    copied = "Another Agent has it: a copy is the same bytes, and costs no build."
    without = "It could not be copied from another Agent" if elsewhere else "No other Agent can give it"
    last = (
        Choice("building", f"{without}, and its recipe is known here.")
        if buildable
        else Choice("pulling", f"{without}, and no recipe of it is known here: Docker's default registry is asked.")
    )
    return (Choice("copying", copied), last) if elsewhere else (last,)


def choice(choices: tuple[Choice, ...], failures: int) -> Choice:
    """The one to try after so many failures in a row: each in turn, so that a closed way does not hide another."""
    return choices[failures % len(choices)]


def names_registry(name: str, docker_registry: str) -> bool:
    """Whether the workspace says which registry its image comes from."""
    return bool(docker_registry) or registry_of(name) != DEFAULT_REGISTRY or name.startswith(f"{DEFAULT_REGISTRY}/")

"""The ways in which an Agent gets an image: from a registry, by a build from its recipe, or as a copy from another
Agent.

Agents that each built an image may have different images under its name. The image that most Agents have is copied, so
that a single host cannot spread its own image.

An image whose name or workspace names a registry comes from that registry, as its administrator requested. Any other
image is local to this installation. A copy has the same bytes and uses no CPU for a build, so it is preferred to a
second build. An image that cannot be built here, and that no other Agent has, is requested from Docker's default
registry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from greenroom.core.text import size
from greenroom.core.workspace.definition import DEFAULT_REGISTRY, registry_of

MOST_SOURCES: Final = 3
"""The number of sources that are tried before the next way."""
COPIES: Final = 2
"""Copies of an image on the disk while it arrives: the archive and the image itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProgress:
    """The progress of an image on an Agent: the way, and the percentage while it is `pulling`."""

    state: Literal["present", "pulling", "absent", "failed"]
    how: Way
    reason: str
    size_bytes: int
    progress: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """An Agent that has an image. `digest` is the image's own id, `edge_url` the address of the Agent."""

    agent_id: str
    hostname: str
    edge_url: str
    digest: str
    size_bytes: int
    sessions: int


def sources(holders: Iterable[Holder]) -> list[Holder]:
    """Return the Agents to copy from, all with the same image, the least busy one first."""
    known = sorted(holders, key=lambda one: (one.sessions, one.agent_id))
    counted = Counter(one.digest for one in known)
    most = min(counted, key=lambda digest: (-counted[digest], digest), default="")
    return [one for one in known if one.digest == most][:MOST_SOURCES]


def room_problem(name: str, size_bytes: int, free_bytes: int | None, kept_bytes: int) -> str:
    """The reason why the image cannot be copied to a host with this much free disk, as a sentence; empty if it can be,
    or if the free disk is not known. `kept_bytes` stay free for sessions.
    """
    needed = COPIES * size_bytes + kept_bytes
    if free_bytes is None or free_bytes >= needed:
        return ""
    return (
        f"The image {name} could not be copied: the copy and the reserve for sessions need {size(needed)} "
        f"of disk space, and {size(free_bytes)} are free. Free disk space on this host."
    )


Way = Literal["", "pulling", "building", "copying"]
"""The way by which an image is arriving; empty = it is not arriving."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to get an image, with the reason for it as a sentence."""

    way: Way
    reason: str


def ways(name: str, docker_registry: str, *, elsewhere: bool, buildable: bool) -> tuple[Choice, ...]:
    """Return the ways to get the image, the best one first; at least one. `elsewhere`: another Agent can provide it;
    `buildable`: this Agent has its recipe, and its host can build.
    """
    if names_registry(name, docker_registry):
        return (
            Choice(
                "pulling",
                "The name of the image or its workspace contains a registry, so the image is pulled from there.",
            ),
        )
    copied = "Another Agent has the image: a copy is identical and needs no build."
    without = "It could not be copied from another Agent" if elsewhere else "No other Agent can provide it"
    last = (
        Choice("building", f"{without}, and this Agent has its recipe.")
        if buildable
        else Choice(
            "pulling", f"{without}, and this Agent has no recipe for it: it is pulled from Docker's default registry."
        )
    )
    return (Choice("copying", copied), last) if elsewhere else (last,)


def choice(choices: tuple[Choice, ...], failures: int) -> Choice:
    """Return the way to try after this number of failures in a row. The ways alternate, so that all are tried."""
    return choices[failures % len(choices)]


def names_registry(name: str, docker_registry: str) -> bool:
    """True if the workspace names the registry of its image."""
    return bool(docker_registry) or registry_of(name) != DEFAULT_REGISTRY or name.startswith(f"{DEFAULT_REGISTRY}/")

"""The methods with which an Agent fetches an image: a pull from a registry, a build from its recipe, or a copy from
another Agent.

An Agent pulls an image from the registry that the name of the image or its workspace contains. Any other image is local
to this installation. An Agent prefers a copy to a build, because a copy has the same bytes and needs little CPU. If the
Agent cannot build the image, and no other Agent has it, it pulls the image from Docker's default registry.

Two Agents that each built an image may have different images with the same name. The Agent copies the image that most
Agents have, so that one host cannot distribute a different image to the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from greenroom.core.text import size
from greenroom.core.workspace.definition import DEFAULT_REGISTRY, registry_of

MAX_SOURCES: Final = 3
"""The maximum number of Agents from which a copy is tried, before the image is built or pulled."""
COPIES: Final = 2
"""The number of copies on the disk while an image is received: the archive and the image itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProgress:
    """The state of an image on an Agent. In the state `pulling`, `how` is the method with which the Agent fetches the
    image, `reason` is the reason for the method as a sentence, and `progress` is a percentage, 0 to 100."""

    state: Literal["present", "pulling", "absent", "failed"]
    how: FetchMethod
    reason: str
    size_bytes: int
    progress: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHolder:
    """An Agent that has an image. `digest` is the id of the image, `edge_url` the address of the Agent's edge gateway,
    `sessions` the number of its sessions.
    """

    agent_id: str
    hostname: str
    edge_url: str
    digest: str
    size_bytes: int
    sessions: int


def copy_sources(holders: Iterable[ImageHolder]) -> list[ImageHolder]:
    """Return the Agents from which the image is copied, the Agent with the fewest sessions first. All have the same
    digest, which is the most frequent one."""
    least_busy_first = sorted(holders, key=lambda holder: (holder.sessions, holder.agent_id))
    counts_by_digest = Counter(holder.digest for holder in least_busy_first)
    most_frequent = min(counts_by_digest, key=lambda digest: (-counts_by_digest[digest], digest), default="")
    return [holder for holder in least_busy_first if holder.digest == most_frequent][:MAX_SOURCES]


def room_problem(name: str, size_bytes: int, free_bytes: int | None, kept_bytes: int) -> str:
    """Return the reason why the image cannot be copied to a host with `free_bytes` of free disk, as a sentence; empty
    if it can, or if `free_bytes` is None (unknown). `kept_bytes` must stay free for sessions.
    """
    needed = COPIES * size_bytes + kept_bytes
    if free_bytes is None or free_bytes >= needed:
        return ""
    return (
        f"The image {name} could not be copied: the copy and the reserve for sessions need {size(needed)} "
        f"of disk space, and {size(free_bytes)} are free. Free disk space on this host."
    )


FetchMethod = Literal["", "pulling", "building", "copying"]
"""The method with which an Agent fetches an image now; empty = the Agent does not fetch it."""


@dataclass(frozen=True, slots=True)
class FetchChoice:
    """A method to fetch an image, and the reason for the method as a sentence."""

    method: FetchMethod
    reason: str


def fetch_methods(name: str, docker_registry: str, *, elsewhere: bool, buildable: bool) -> tuple[FetchChoice, ...]:
    """Return the methods to fetch an image in the order of preference, at least one. `elsewhere`: another Agent can
    provide the image. `buildable`: this Agent has the recipe of the image, and its host can build images.
    """
    if names_registry(name, docker_registry):
        return (
            FetchChoice(
                "pulling",
                "The name of the image or its workspace contains a registry, so the image is pulled from there.",
            ),
        )
    copy_reason = "Another Agent has the image: a copy is identical and needs no build."
    why_not_copied = "It could not be copied from another Agent" if elsewhere else "No other Agent can provide it"
    other_method = (
        FetchChoice("building", f"{why_not_copied}, and this Agent has its recipe.")
        if buildable
        else FetchChoice(
            "pulling",
            f"{why_not_copied}, and this Agent has no recipe for it: it is pulled from Docker's default registry.",
        )
    )
    return (FetchChoice("copying", copy_reason), other_method) if elsewhere else (other_method,)


def method_after_failures(choices: tuple[FetchChoice, ...], failures: int) -> FetchChoice:
    """Return the method to try after this number of failures in a row. The methods alternate, so that all are tried."""
    return choices[failures % len(choices)]


def names_registry(name: str, docker_registry: str) -> bool:
    """True if the workspace names the registry of its image."""
    return bool(docker_registry) or registry_of(name) != DEFAULT_REGISTRY or name.startswith(f"{DEFAULT_REGISTRY}/")

"""How an Agent gets an image: from a registry, copied from an Agent that has it, or built from its recipe.

An image whose name or workspace names a registry comes from there, as its administrator said. Any other is of this
installation: a copy is the same bytes and costs no host its CPU, so it is preferred to a second build. What cannot be
built here, and what nothing else has, is asked of Docker's default registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from greenroom.core.workspace.definition import DEFAULT_REGISTRY, registry_of

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

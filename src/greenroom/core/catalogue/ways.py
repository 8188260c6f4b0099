"""How an Agent gets an image: from a registry, copied from an Agent that has it, or built from its recipe.

An image whose name or workspace names a registry comes from there, as its administrator said. Any other is of this
installation: a copy is the same bytes and costs no host its CPU, so it is preferred to a second build. What neither is
to be had elsewhere nor can be built is asked of Docker's default registry.
"""

from __future__ import annotations

from typing import Literal

from greenroom.core.workspace.definition import DEFAULT_REGISTRY, registry_of

Way = Literal["", "pulling", "building", "copying"]
"""How an image is on its way; empty = it is not."""


def ways(name: str, docker_registry: str, *, elsewhere: bool, buildable: bool) -> tuple[Way, ...]:
    """The ways to get the image, the best one first; at least one. `elsewhere`: another Agent can give it; `buildable`:
    this Agent knows its recipe, and its host can build.
    """
    if names_registry(name, docker_registry):
        return ("pulling",)
    own: list[Way] = [*(["copying"] if elsewhere else []), *(["building"] if buildable else [])]
    return tuple(own) or ("pulling",)


def way(choices: tuple[Way, ...], failures: int) -> Way:
    """The way to try after so many failures in a row: each in turn, so that a closed one does not hide another."""
    return choices[failures % len(choices)]


def names_registry(name: str, docker_registry: str) -> bool:
    """Whether the workspace says which registry its image comes from."""
    return bool(docker_registry) or registry_of(name) != DEFAULT_REGISTRY or name.startswith(f"{DEFAULT_REGISTRY}/")

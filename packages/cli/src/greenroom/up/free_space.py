"""The disk and memory that an instance needs for its start."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """An amount of disk and of memory, in bytes."""

    disk: int
    memory: int


def shortages(folder: str, needed: Space, free: Space) -> list[str]:
    """Return a sentence for each resource of which too little is free. `folder` contains DATA, or will contain it."""
    sentences: list[str] = []
    if needed.disk > free.disk:
        sentences.append(
            f"DATA needs about {_size_text(needed.disk)} free, and {folder} has {_size_text(free.disk)}. Free some "
            "space, or pass another --data."
        )
    if needed.memory > free.memory:
        sentences.append(
            f"The processes of an instance need about {_size_text(needed.memory)} of memory without any desktop, and"
            f" this machine has {_size_text(free.memory)} free; end other programs, or use a machine with more."
        )
    return sentences


def _size_text(count: int) -> str:
    return f"{ceil(count / 1e6)} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"

"""Whether a machine has the disk and memory that an instance needs for its start."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Bytes of disk, and of memory."""

    disk: int
    memory: int


def shortages(folder: str, needed: Space, free: Space) -> list[str]:
    """A sentence for each that is too small. `folder` holds DATA, or will hold it."""
    found: list[str] = []
    if needed.disk > free.disk:
        found.append(
            f"DATA needs about {_shown(needed.disk)} free, and {folder} has {_shown(free.disk)}; free some space, or"
            " give another --data."
        )
    if needed.memory > free.memory:
        found.append(
            f"The processes of an instance need about {_shown(needed.memory)} of memory without any desktop, and this"
            f" machine has {_shown(free.memory)} free; end other programs, or use a machine with more."
        )
    return found


def _shown(count: int) -> str:
    return f"{ceil(count / 1e6)} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"

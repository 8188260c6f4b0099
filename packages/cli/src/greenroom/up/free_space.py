"""The disk and memory that an instance needs for its start."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from math import ceil
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """An amount of disk space and an amount of memory."""

    disk_bytes: int
    memory_bytes: int


def shortages(folder: str, needed: Space, free: Space) -> list[str]:
    """Return a sentence for each resource of which too little is free. `folder` contains DATA, or will contain it."""
    sentences: list[str] = []
    if needed.disk_bytes > free.disk_bytes:
        sentences.append(
            f"DATA needs about {_size_text(needed.disk_bytes)} free, and {folder} has {_size_text(free.disk_bytes)}."
            " Free some space, or pass another --data."
        )
    if needed.memory_bytes > free.memory_bytes:
        sentences.append(
            f"The processes of an instance need about {_size_text(needed.memory_bytes)} of memory without any desktop,"
            f" and this machine has {_size_text(free.memory_bytes)} free; end other programs, or use a machine with"
            " more."
        )
    return sentences


def free_disk(path: Path) -> tuple[Path, int]:
    """Return the path, or its first parent that exists, and the free bytes of its disk."""
    folder = next(each for each in (path, *path.parents) if each.exists())
    return folder, shutil.disk_usage(folder).free


def low_disk_warning(folder: str, free_bytes: int, kept_bytes: int) -> str:
    """Return a warning if no session starts, because less than `kept_bytes` of the disk with `folder` is free; else
    ""."""
    if free_bytes >= kept_bytes:
        return ""
    return (
        f"No session can start: the disk of {folder} has {_size_text(free_bytes)} free, and {_size_text(kept_bytes)}"
        " must stay free. Free some space."
    )


def _size_text(size_bytes: int) -> str:
    return f"{ceil(size_bytes / 1e6)} MB" if size_bytes < 1e9 else f"{size_bytes / 1e9:.1f} GB"

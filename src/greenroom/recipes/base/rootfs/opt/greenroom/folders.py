"""The two folders of a session that its viewers see, and the names that may stand in an address of them."""

import os
from collections.abc import Callable
from pathlib import Path

LISTED_MAX = 2000
"""A folder with more shows those that come first."""


def folder(name: str) -> Path:
    """A folder in the home of the session's user."""
    return Path(os.environ.get("HOME", "/")) / name


def is_name(name: str) -> bool:
    """Whether it names a file or folder in a folder, and nothing else."""
    return not name.startswith(".") and "/" not in name and name.isprintable() and 0 < len(name.encode()) <= 240


def place(root: str, names: list[str]) -> Path | None:
    """What these names lead to in ~/`root`; None where one of them is no name."""
    return folder(root).joinpath(*names) if all(is_name(name) for name in names) else None


def listing(path: Path, shows: Callable[[os.DirEntry[str]], bool] | None = None) -> dict[str, object]:
    """What lies in a folder, by name, as far as `shows` says; for viewers unfinished downloads of browsers and hidden files
    are left out.
    """
    shows = shows or is_shown
    try:
        entries = sorted((each for each in os.scandir(path) if shows(each)), key=lambda each: each.name.lower())
    except OSError:
        entries = []
    files: list[dict[str, object]] = []
    folders: list[dict[str, object]] = []
    for entry in entries[:LISTED_MAX]:
        facts = entry.stat()
        if entry.is_dir():
            folders.append({"name": entry.name, "modified": facts.st_mtime})
        else:
            files.append({"name": entry.name, "size_bytes": facts.st_size, "modified": facts.st_mtime})
    return {"files": files, "folders": folders, "left_out": max(0, len(entries) - LISTED_MAX)}


def is_shown(entry: os.DirEntry[str]) -> bool:
    """Whether viewers see it: a file that is complete, or a folder."""
    if not is_name(entry.name):
        return False
    return entry.is_dir() or (entry.is_file() and not entry.name.endswith((".part", ".crdownload")))

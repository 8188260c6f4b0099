"""Finds the folders of the instances that run on this machine. Errors name them, so this module imports quickly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

INSTANCE_VARIABLE: Final = "GREENROOM_INSTANCE_DATA"
"""The environment variable that marks the processes of an instance, to find them after its `up` was killed."""


def find_instance_folders() -> list[Path]:
    """Return the folders DATA in the environments of all processes that the caller can read."""
    return sorted({Path(folder) for file in Path("/proc").glob("[0-9]*/environ") if (folder := _read_folder(file))})


def _read_folder(environment: Path) -> str | None:
    mark = f"{INSTANCE_VARIABLE}=".encode()
    try:
        variables = environment.read_bytes().split(b"\0")
    except OSError:  # the process has ended, or belongs to another account
        return None
    return next((os.fsdecode(one.removeprefix(mark)) for one in variables if one.startswith(mark)), None)

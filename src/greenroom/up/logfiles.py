"""Keeps the log files of an instance small; Diagnostics has its own rows and its own limit."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

LARGEST_BYTES: Final = 20 << 20
LOOK_EVERY_S: Final = 60.0


async def keep_small(folder: Path) -> None:
    """Cut large logs until cancelled."""
    while True:
        try:
            await asyncio.to_thread(cut_large, folder, LARGEST_BYTES)
        except OSError as error:
            log.warning("a large log could not be cut", folder=str(folder), reason=str(error), next_try_s=LOOK_EVERY_S)
        await asyncio.sleep(LOOK_EVERY_S)


def cut_large(folder: Path, largest_bytes: int) -> list[Path]:
    """Move what is in a log of more than `largest_bytes` to `<name>.log.1`, in place of what was there.

    The writers append, so they go on at the beginning of the emptied file; what one writes at this very moment may be
    lost. Returns the logs that were cut.
    """
    large = [file for file in folder.glob("*.log") if file.stat().st_size > largest_bytes]
    for file in large:
        shutil.copyfile(file, file.with_suffix(".log.1"))
        os.truncate(file, 0)
    return large

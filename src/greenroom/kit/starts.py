"""The starts of a process, in a file of its folder: a process that ends again and again knows that, and why."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from greenroom.core.errors import reason_of
from greenroom.core.fleet.restarts import HEALTHY_S, crash_loop

log = structlog.get_logger(__name__)

MOST: Final = 20
"""Starts that are kept."""


class _Starts(msgspec.Struct):
    at_s: list[float] = []
    """Seconds since 1970."""
    error: str = ""
    """Of the last process that ended with one."""


class StartLog:
    """The starts of the processes that used `file` one after the other. A file that cannot be read or written is
    logged, and counts as empty."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._loop = ""
        self._begun_s = time.monotonic()

    @property
    def crash_loop(self) -> str:
        """Why this process counts as crash-looping, as a sentence; empty if it does not, or has run long enough."""
        return "" if time.monotonic() - self._begun_s >= HEALTHY_S else self._loop

    @contextmanager
    def noted(self) -> Generator[None]:
        """Note the start, and the error that ends the block. After an end without an error the file is deleted."""
        starts = self._read()
        starts.at_s = [*starts.at_s, time.time()][-MOST:]
        self._loop = crash_loop(starts.at_s, starts.error)
        starts.error = ""
        self._write(starts)
        try:
            yield
        except Exception as error:
            starts.error = reason_of(error)
            self._write(starts)
            raise
        else:
            self._write(None)

    def _read(self) -> _Starts:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Starts)
        except FileNotFoundError:
            return _Starts()
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("the starts of this process cannot be read", file=str(self._file), reason=reason_of(error))
            return _Starts()

    def _write(self, starts: _Starts | None) -> None:
        try:
            if starts is None:
                self._file.unlink(missing_ok=True)
            else:
                self._file.write_bytes(msgspec.json.encode(starts))
        except OSError as error:
            log.warning("the starts of this process cannot be noted", file=str(self._file), reason=reason_of(error))

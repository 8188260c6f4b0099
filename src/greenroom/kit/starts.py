"""The file in which a process records its starts. The process and `greenroom status` find out from this file if the
process is crash-looping, and the reason.
"""

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

MAX_STARTS: Final = 20
"""The maximum number of starts in the file."""


class _Starts(msgspec.Struct):
    """The content of the file."""

    at_s: list[float] = []
    """The times of the starts, in seconds since 1970."""
    error: str = ""
    """The error that ended the last process; empty while the process runs, or if it was killed."""
    error_before: str = ""
    """The error that ended the process before the last one."""

    @property
    def crash_loop(self) -> str:
        return crash_loop(self.at_s, self.error or self.error_before)


class StartLog:
    """Records the starts of the successive processes that use `folder`; None = no starts are recorded. A file that
    cannot be read counts as empty. An error of a read or a write is logged.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = folder / "starts.json" if folder is not None else None
        self._crash_loop = ""
        self._created_at_s = time.monotonic()

    @property
    def crash_loop(self) -> str:
        """The reason why this process counts as crash-looping, as a sentence; empty if it does not, or has run for
        `HEALTHY_S`.
        """
        return "" if time.monotonic() - self._created_at_s >= HEALTHY_S else self._crash_loop

    def read_crash_loop(self) -> str:
        """Return the reason why the process that uses the folder counts as crash-looping; empty if it does not, or if
        its last start was more than `HEALTHY_S` ago. Other processes call this method.
        """
        starts = self._read()
        return starts.crash_loop if starts.at_s and time.time() - starts.at_s[-1] < HEALTHY_S else ""

    @contextmanager
    def record_start(self) -> Generator[None]:
        """Record the start, and the error that ends the block. If the block ends without an error, delete the file."""
        starts, now_s = self._read(), time.time()
        booted_s = now_s - time.clock_gettime(time.CLOCK_BOOTTIME)
        since_boot = [at_s for at_s in starts.at_s if at_s >= booted_s]  # a restart of the machine is no crash
        starts = _Starts([*since_boot, now_s][-MAX_STARTS:], error_before=starts.error)
        self._crash_loop = starts.crash_loop
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
        if self._file is None:
            return _Starts()
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Starts)
        except FileNotFoundError:
            return _Starts()
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("the starts of this process cannot be read", file=str(self._file), reason=reason_of(error))
            return _Starts()

    def _write(self, starts: _Starts | None) -> None:
        if self._file is None:
            return
        try:
            if starts is None:
                self._file.unlink(missing_ok=True)
            else:
                self._file.write_bytes(msgspec.json.encode(starts))
        except OSError as error:
            log.warning("the starts of this process cannot be written", file=str(self._file), reason=reason_of(error))

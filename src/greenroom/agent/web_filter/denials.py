"""Converts the denials of web filters to a limited number of log rows.

A denial is a request that a filter refused. The first denial of a host for a session is a row. Further denials of the
host within `REPEAT_INTERVAL_S` are only counted. If one reading has more than `MAX_ROWS` rows, one row summarizes the
rest. Rows contain no paths and no queries.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from greenroom.core.web_filter import Denial, FilterPolicy, decision, parse_denial

log = structlog.get_logger(__name__)

REPEAT_INTERVAL_S: Final = 60.0
MAX_ROWS: Final = 20
MAX_COUNTS: Final = 5_000
"""The maximum number of hosts of which denials are counted."""
MAX_READING_BYTES: Final = 1 << 20
"""The maximum size of one reading. Older denials are skipped."""
MAX_FILE_BYTES: Final = 8 << 20
"""The size above which the log of a Squid is removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenialRow:
    """A log row about the denials of one host for one session since the last row about this host."""

    session_id: str | None
    sentence: str
    details: dict[str, object]


class DenialLog:
    """Reads the lines that are added to the log of one Squid.

    The account of Squid can change the folder, so only a regular file is read. A large file is removed; then `reopen`
    must make Squid create the file again.
    """

    def __init__(self, file: Path, reopen: Callable[[], None]) -> None:
        self._file = file
        self._reopen = reopen
        self._offset = self._size()
        self.skipped_bytes = 0

    def read(self) -> list[Denial]:
        size = self._size()
        if size < self._offset:
            self._offset = 0
        if size - self._offset > MAX_READING_BYTES:
            self.skipped_bytes += size - MAX_READING_BYTES - self._offset
            self._offset = size - MAX_READING_BYTES
        data = self._bytes() if size > self._offset else b""
        complete_lines = data[: data.rfind(b"\n") + 1]
        self._offset += len(complete_lines)
        if self._offset > MAX_FILE_BYTES:
            self._file.unlink(missing_ok=True)
            self._reopen()
            self._offset = 0
        denials = (parse_denial(line) for line in complete_lines.decode("ascii", "replace").splitlines())
        return [denial for denial in denials if denial is not None]

    def _size(self) -> int:
        try:
            status = self._file.lstat()
        except FileNotFoundError:
            return 0
        return status.st_size if stat.S_ISREG(status.st_mode) else 0

    def _bytes(self) -> bytes:
        try:
            descriptor = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            log.warning("the log of a web filter cannot be read", file=str(self._file), reason=error.strerror)
            return b""
        with os.fdopen(descriptor, "rb") as source:
            source.seek(self._offset)
            return source.read(MAX_READING_BYTES) or b""


@dataclass(slots=True)
class Denials:
    """Selects the denials that are reported. Keys are the source address, the refused host and its port."""

    _reported: dict[tuple[str, str, int], float] = field(default_factory=dict[tuple[str, str, int], float])
    _unreported_counts: Counter[tuple[str, str, int]] = field(default_factory=Counter[tuple[str, str, int]])

    def rows(
        self, policy: FilterPolicy, denials: Iterable[Denial], session_of: Callable[[str], str | None], now_s: float
    ) -> list[DenialRow]:
        """Return the rows for new denials of a filter. `session_of` returns the session id at a source address."""
        self._reported = {key: at_s for key, at_s in self._reported.items() if now_s - at_s < REPEAT_INTERVAL_S}
        first: dict[tuple[str, str, int], Denial] = {}
        for denial in denials:
            key = (denial.source, denial.host, denial.port)
            self._unreported_counts[key] += 1
            if key not in self._reported:
                first.setdefault(key, denial)
        reported = list(first.items())[:MAX_ROWS]
        rows = [self._row(policy, denial, self._unreported_counts.pop(key), session_of) for key, denial in reported]
        self._reported |= dict.fromkeys(first, now_s)
        if omitted := list(first)[MAX_ROWS:]:
            count = sum(self._unreported_counts.pop(key) for key in omitted)
            sentence = f"Web filter {policy.name}: {count} more requests to {len(omitted)} hosts were refused."
            rows.append(DenialRow(session_id=None, sentence=sentence, details={"policy": policy.name, "count": count}))
        self._drop_oldest()
        return rows

    def _row(
        self, policy: FilterPolicy, denial: Denial, count: int, session_of: Callable[[str], str | None]
    ) -> DenialRow:
        verdict = decision(policy, denial.host, denial.port)
        reason = verdict.reason if verdict.action == "deny" else "it leads to a private network or to this host."
        address = denial.host if denial.port in {80, 443} else f"{denial.host}:{denial.port}"
        times = f" ({count} times since the last row about it)" if count > 1 else ""
        return DenialRow(
            session_id=session_of(denial.source),
            sentence=f"Web filter {policy.name}: {denial.method} {address} was refused: {reason}{times}",
            details={
                "policy": policy.name,
                "filter_policy_id": policy.filter_policy_id,
                "host": denial.host,
                "port": denial.port,
                "method": denial.method,
                "count": count,
            },
        )

    def _drop_oldest(self) -> None:
        """Remove the oldest entries above `MAX_COUNTS`."""
        for table in (self._reported, self._unreported_counts):
            for key in list(table)[: max(0, len(table) - MAX_COUNTS)]:
                del table[key]

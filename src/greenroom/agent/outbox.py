"""What the Manager has yet to hear: the newest observation of each session, and log rows.

Every message carries all observations above the acknowledged one, so a message that is lost loses nothing: the next
one that is committed covers it (PROTOCOLS §2). Log rows travel in one message and come back when it failed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from greenroom.wire.messages import LogLine, Observed

MAX_LOG_LINES: Final = 1000
"""Log rows kept while no Manager can be reached; older ones are dropped and counted."""
LONGEST_SENTENCE: Final = 2000
"""Characters of a row. Some quote what came from outside, and all rows that wait must fit into one message."""
DROPPED: Final = "log-rows-dropped"


@dataclass(slots=True)
class _Entry:
    """The newest observation of a session and the first message that carried it."""

    observed: Observed
    first_seq: int | None = None
    acknowledged: bool = False


class Outbox:
    """Observations and log rows on their way. `speak` is set when there is something no message carried yet."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._log_lines: list[LogLine] = []
        self._asked = False
        self.log_lines_dropped = 0
        self._told = 0
        self._notes: dict[float, int] = {}
        self.speak = asyncio.Event()

    def put(self, observed: Observed) -> None:
        """The newest observation of a session; one that says the same as the last is not sent again."""
        before = self._entries.get(observed.session_id)
        if before is None or before.observed != observed:
            self._entries[observed.session_id] = _Entry(observed)
            self.speak.set()

    def drop(self, session_id: str) -> None:
        """The session is no longer this Agent's."""
        self._entries.pop(session_id, None)

    def unacknowledged(self, seq: int) -> list[Observed]:
        """All observations that are not committed yet; they travel in message `seq`."""
        self._asked = False
        waiting = [entry for entry in self._entries.values() if not entry.acknowledged]
        for entry in waiting:
            entry.first_seq = seq if entry.first_seq is None else entry.first_seq
        return [entry.observed for entry in waiting]

    def has_unsent(self) -> bool:
        """Whether there is something that no message carried yet."""
        return self._asked or any(entry.first_seq is None for entry in self._entries.values())

    def is_waiting(self) -> bool:
        """Whether something that a message carried is not committed yet."""
        return any(entry.first_seq is not None and not entry.acknowledged for entry in self._entries.values())

    def speak_up(self) -> None:
        """Something beside sessions is new and should be told soon."""
        self._asked = True
        self.speak.set()

    def acknowledge(self, acked_seq: int) -> list[Observed]:
        """Message `acked_seq` and those before it are committed; returns what became acknowledged.

        Results of commands, which may be large, are then let go: a later Manager need not hear them again.
        """
        done = [e for e in self._entries.values() if not e.acknowledged and e.first_seq and e.first_seq <= acked_seq]
        acknowledged = [entry.observed for entry in done]
        for entry in done:
            entry.acknowledged = True
            entry.observed = replace(entry.observed, commands=[])
        return acknowledged

    def start_again(self) -> None:
        """A new incarnation: its Manager has heard nothing yet."""
        for entry in self._entries.values():
            entry.first_seq, entry.acknowledged = None, False
        self.speak.set()

    def add_log_line(self, line: LogLine) -> None:
        """Queue a log row; of a sentence that is too long the rest is left out."""
        too_long = len(line.message) > LONGEST_SENTENCE
        self._log_lines.append(replace(line, message=f"{line.message[: LONGEST_SENTENCE - 1]}…") if too_long else line)
        self.return_log_lines([])

    def take_log_lines(self) -> list[LogLine]:
        """The log rows to send; give them back with `return_log_lines` if the message failed.

        How many were dropped since it was last said is said too.
        """
        lines, self._log_lines = self._log_lines, []
        if number := self.log_lines_dropped - self._told:
            self._told = self.log_lines_dropped
            message = f"{number} log rows of this Agent were lost: too many waited for a Manager."
            note = LogLine(at=time.time(), level="WARNING", code=DROPPED, message=message)
            self._notes[note.at] = number
            lines.append(note)
        return lines

    def return_log_lines(self, lines: list[LogLine]) -> None:
        """Log rows whose message failed; beyond `MAX_LOG_LINES` the oldest are dropped and counted."""
        self._told -= sum(self._notes.pop(line.at, 0) for line in lines if line.code == DROPPED)
        self._log_lines = [*(line for line in lines if line.code != DROPPED), *self._log_lines]
        excess = len(self._log_lines) - MAX_LOG_LINES
        if excess > 0:
            self.log_lines_dropped += excess
            del self._log_lines[:excess]

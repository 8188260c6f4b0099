"""The reports that no Manager has committed yet: the newest observation of each session, log rows, and results of
commands.

Each message contains all unacknowledged observations, so that a later message replaces a lost one
(docs/explanation/protocols.md §2). Log rows are sent in one message, and return to the queue if it failed. The result
of a command is in the journal until a Manager has committed it, because a command runs at most once. A screenshot is
only in memory: after a restart of the Agent, the Manager requests another one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from greenroom.agent.session.journal import CommandRecord, Journal
from greenroom.core.log_codes import Level, LogCode, LogDetails
from greenroom.core.session.reconcile import RequestedCommand
from greenroom.wire.messages import CommandReport, LogLine, Observed, SessionCommand

log = structlog.get_logger(__name__)

MAX_LOG_LINES: Final = 1000
"""The maximum number of log rows that wait for a Manager. Above it, the oldest rows are dropped and counted."""
MAX_SENTENCE_CHARACTERS: Final = 2000
"""The maximum length of a log sentence, which may quote external text. All waiting rows must fit into one message."""
DROPPED: Final = str(LogCode.LOG_ROWS_DROPPED)


@dataclass(slots=True)
class _Entry:
    """The newest observation of a session, and the number of the first message that contains it. `may_wait`: the report
    need not be sent immediately."""

    observed: Observed
    may_wait: bool = False
    first_seq: int | None = None


class Outbox:
    """Observations and log rows to send. `unsent` is set if there is data that was not sent yet, and `urgent` if this
    data must be sent immediately.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._waiting: dict[str, _Entry] = {}
        """The entries that no Manager has committed yet. A check-in sends only these entries."""
        self._log_lines: list[LogLine] = []
        self._is_requested = False
        self.log_lines_dropped = 0
        self._drops_reported = 0
        self._drop_rows: dict[float, int] = {}
        """Time of a log row about dropped rows → the number in it, which is reported again if the message fails."""
        self.unsent = asyncio.Event()
        self.urgent = asyncio.Event()

    def set_observation(self, observed: Observed, *, has_user: bool = True) -> None:
        """Set the newest observation of a session; an unchanged one is not sent again."""
        entry = self._entries.get(observed.session_id)
        before = entry.observed if entry else None
        if before != observed:
            entry = _Entry(observed, may_wait=not has_user and _is_step_of_start(before, observed))
            self._entries[observed.session_id] = self._waiting[observed.session_id] = entry
            self.unsent.set()
            if not entry.may_wait:
                self.urgent.set()

    def drop_session(self, session_id: str) -> None:
        self._entries.pop(session_id, None)
        self._waiting.pop(session_id, None)

    def unacknowledged(self, seq: int, *, with_steps: bool = True) -> list[Observed]:
        """Return all uncommitted observations for message `seq`. An observation stays in all later messages until one
        of them is acknowledged. With `with_steps=False`, new observations that contain only a step of a start are
        omitted."""
        self._is_requested = False
        entries = [e for e in self._waiting.values() if with_steps or not e.may_wait or e.first_seq is not None]
        for entry in entries:
            entry.first_seq = seq if entry.first_seq is None else entry.first_seq
        return [entry.observed for entry in entries]

    def has_unsent(self) -> bool:
        """Return True if there is an observation that was not sent yet, or a report was requested."""
        return self._is_requested or any(entry.first_seq is None for entry in self._waiting.values())

    def is_waiting(self) -> bool:
        """Return True if an observation was sent that no Manager has committed yet."""
        return any(entry.first_seq is not None for entry in self._waiting.values())

    def request_report(self) -> None:
        """Request an immediate message, to report a change that does not concern sessions."""
        self._is_requested = True
        self.unsent.set()
        self.urgent.set()

    def acknowledge(self, acked_seq: int) -> list[Observed]:
        """Remove the observations up to message `acked_seq`, which a Manager committed, and return them."""
        done = {k: e for k, e in self._waiting.items() if e.first_seq is not None and e.first_seq <= acked_seq}
        acknowledged = [entry.observed for entry in done.values()]
        for session_id, entry in done.items():
            del self._waiting[session_id]
            entry.observed = replace(entry.observed, commands=[], steps=[])
        return acknowledged

    def resend_all(self) -> None:
        """Send all observations again, because the Manager has no reports of a new incarnation."""
        for entry in self._entries.values():
            entry.first_seq = None
        self._waiting = dict(self._entries)
        self.unsent.set()
        self.urgent.set()

    def log_line(
        self,
        code: LogCode,
        message: str,
        session_id: str | None = None,
        user_id: str | None = None,
        *,
        level: Level | None = None,
        details: LogDetails | None = None,
    ) -> None:
        """Print a log row and queue it for Diagnostics. `level` overrides the level of the code."""
        row = LogLine(
            at=time.time(),
            level=level or code.level,
            code=str(code),
            message=message.encode(errors="replace").decode(),
            session_id=session_id,
            user_id=user_id,
            details=details or {},
        )
        getattr(log, row.level.lower())(message, code=row.code, session_id=session_id)
        self.add_log_line(row)

    def add_log_line(self, line: LogLine) -> None:
        """Queue a log row. A sentence over the limit is shortened."""
        too_long = len(line.message) > MAX_SENTENCE_CHARACTERS
        self._log_lines.append(
            replace(line, message=f"{line.message[: MAX_SENTENCE_CHARACTERS - 1]}…") if too_long else line
        )
        self.return_log_lines([])

    def take_log_lines(self) -> list[LogLine]:
        """Remove and return the log rows to send, with a row about the number of dropped rows. If the message failed,
        the caller must pass them to `return_log_lines`."""
        lines, self._log_lines = self._log_lines, []
        if number := self.log_lines_dropped - self._drops_reported:
            self._drops_reported = self.log_lines_dropped
            message = f"{number} log rows of this Agent were lost because too many waited for a Manager."
            drop_row = LogLine(at=time.time(), level="WARNING", code=DROPPED, message=message)
            self._drop_rows[drop_row.at] = number
            lines.append(drop_row)
        return lines

    def return_log_lines(self, lines: list[LogLine]) -> None:
        """Put back log rows whose message failed. Above `MAX_LOG_LINES`, the oldest rows are dropped and counted."""
        self._drops_reported -= sum(self._drop_rows.pop(line.at, 0) for line in lines if line.code == DROPPED)
        self._log_lines = [*(line for line in lines if line.code != DROPPED), *self._log_lines]
        excess = len(self._log_lines) - MAX_LOG_LINES
        if excess > 0:
            self.log_lines_dropped += excess
            del self._log_lines[:excess]


def _is_step_of_start(before: Observed | None, now: Observed) -> bool:
    """Return True if the change is only a step of a start: the session is neither usable nor broken."""
    was_usable = before is not None and before.usable
    return now.state in {"creating", "running"} and not (was_usable or now.usable or now.broken or now.commands)


RESULT_MARGIN_S: Final = 10.0
"""The time after the deadline of a command for which the api waits for the result. Afterwards the Agent does not begin
the command."""
MAX_WAITING_BYTES: Final = 2 << 20
"""The maximum encoded size of all results that wait for a Manager, because one message contains all reports."""
SHORT_OUTPUT: Final = 2000
"""The number of characters of an output that are stored if `MAX_WAITING_BYTES` is reached."""
NO_ROOM: Final = "[most of the output was dropped: the Agent has too many results to report]\n"


class PendingCommands:
    """The commands that a Manager requested, and their results until they are reported. `journal` must be open."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._commands: dict[str, SessionCommand] = {}
        self._awaited_until_s: dict[str, float] = {}
        """command_id → the time until which the api waits for the result (time.monotonic())."""
        self._screenshots: dict[str, CommandReport] = {}

    def accept(self, commands: Iterable[SessionCommand], sessions: Container[str]) -> None:
        """Store the new commands of an answer, for sessions in the desired list."""
        for command in commands:
            if command.session_id in sessions and command.command_id not in self._commands:
                self._commands[command.command_id] = command
                self._awaited_until_s[command.command_id] = time.monotonic() + command.deadline_s + RESULT_MARGIN_S

    def get(self, command_id: str) -> SessionCommand | None:
        """Return a command whose result is not reported yet, or None."""
        return self._commands.get(command_id)

    def all(self) -> tuple[RequestedCommand, ...]:
        """Remove overdue commands, and return all others for the plan."""
        now_s = time.monotonic()
        self._keep_only(k for k in self._commands if self._awaited_until_s[k] > now_s)
        return tuple(
            RequestedCommand(command_id=c.command_id, session_id=c.session_id) for c in self._commands.values()
        )

    def begun_ids(self) -> frozenset[str]:
        """Return the ids of the commands that have begun and must not begin again."""
        return frozenset(self._journal.state.commands) | self._screenshots.keys()

    def drop_session(self, session_id: str) -> None:
        """Drop the commands of a session that is not in the desired list any more."""
        self._keep_only(k for k, command in self._commands.items() if command.session_id != session_id)

    def _keep_only(self, command_ids: Iterable[str]) -> None:
        ids = frozenset(command_ids)
        self._commands = {k: v for k, v in self._commands.items() if k in ids}
        self._awaited_until_s = {k: v for k, v in self._awaited_until_s.items() if k in ids}
        self._screenshots = {k: v for k, v in self._screenshots.items() if k in ids}

    def has_room(self) -> bool:
        """Return True if the waiting results are smaller than `MAX_WAITING_BYTES`."""
        outputs = (c.output for c in self._journal.state.commands.values() if c.state != "reported")
        pictures = sum(len(report.picture) for report in self._screenshots.values())
        # the encoded sizes are compared, because an encoded text can be six times as long
        return pictures + sum(len(msgspec.json.encode(output)) for output in outputs) < MAX_WAITING_BYTES

    def shorten_if_full(self, output: str) -> str:
        """Return the output; if too many results wait, its end with the note `NO_ROOM`."""
        return output if len(output) <= SHORT_OUTPUT or self.has_room() else NO_ROOM + output[-SHORT_OUTPUT:]

    def store_screenshot(self, report: CommandReport) -> None:
        """Store a screenshot, or the reason for its failure, until the Manager has it. An overdue one is dropped."""
        if report.command_id in self._commands:
            self._screenshots[report.command_id] = report

    def reports(self, session_id: str) -> list[CommandReport]:
        journalled = [
            CommandReport(
                command_id=c.command_id,
                state=c.state,
                exit_code=c.exit_code,
                output=c.output,
                output_complete=c.output_complete,
            )
            for c in self._journal.state.commands.values()
            if c.session_id == session_id and c.state != "reported"
        ]
        own_ids = [k for k, command in self._commands.items() if command.session_id == session_id]
        return journalled + [self._screenshots[k] for k in own_ids if k in self._screenshots]

    def reported(self, session_id: str, report: CommandReport) -> None:
        """Drop the result in a report that a Manager has committed."""
        if report.state == "started":
            return
        self._keep_only(self._commands.keys() - {report.command_id})
        if report.command_id in self._journal.state.commands:
            self._journal.append(CommandRecord(command_id=report.command_id, session_id=session_id, state="reported"))

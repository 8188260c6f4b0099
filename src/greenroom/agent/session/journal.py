"""The journal of an Agent: an append-only file with the facts that a crash must not lose, one JSON record per line.

Commands and hand-overs run at most once (docs/explanation/protocols.md §2): their record `started` is on disk before
they run. After a restart, a command without a result is `unknown`, and a hand-over without a result is `failed`. The
journal also contains the highest known term, and whether each session ran, was stopped by order, or failed. An
incomplete last line after a crash is removed.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec
import structlog

from greenroom.core.errors import SetupError, Unavailable
from greenroom.wire.messages import AssignmentReport

log = structlog.get_logger(__name__)

COMPACT_ABOVE_BYTES: Final = 1 << 20
"""The size above which the file is rewritten if later records replace most of its records."""

COMPACT_EVERY_S: Final = 60.0
SHARE_RETRY_S: Final = 0.5


class JournalRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """The base of the records. A later record about the same subject replaces an earlier one."""


class TermRecord(JournalRecord, frozen=True, kw_only=True, tag="term"):
    """The highest known term of a Primary, and its database."""

    term: int
    db_epoch: str


class SessionRecord(JournalRecord, frozen=True, kw_only=True, tag="session"):
    """The facts about a session (`core.session.reconcile.JournalFacts`) and the details of its failure. `first_launch`
    is the state of the command `first_launch`, which runs once in the life of a container. `low_cpu_share`: the
    container has a small share of a busy CPU, because it starts without a user.
    """

    session_id: str
    ran: bool = False
    stopped: bool = False
    failure: str = ""
    exit_code: int | None = None
    log_tail: str = ""
    first_launch: Literal["", "started", "ended"] = ""
    low_cpu_share: bool = False


class CommandRecord(JournalRecord, frozen=True, kw_only=True, tag="command"):
    """A command. In the state `reported`, the Manager has the result, and the record only prevents a second run."""

    command_id: str
    session_id: str
    state: Literal["started", "done", "unknown", "reported"]
    exit_code: int | None = None
    output: str = ""
    output_complete: bool = True


class HandoverRecord(JournalRecord, frozen=True, kw_only=True, tag="handover"):
    """A hand-over. `received`: the session was probed, and `assign` has not begun. `started`: `assign` has begun,
    without a result. `slow`: the hand-over failed after a timeout, so the session may have no defect."""

    assignment_id: str
    session_id: str
    state: Literal["received", "started", "assigned", "failed"]
    exit_code: int | None = None
    error: str = ""
    slow: bool = False


class ForgetRecord(JournalRecord, frozen=True, kw_only=True, tag="forget"):
    """Removes all facts of a session that does not exist any more. It is written after the Manager has received the
    report of its end.
    """

    session_id: str


AnyRecord = TermRecord | SessionRecord | CommandRecord | HandoverRecord | ForgetRecord


@dataclass(slots=True)
class JournalState:
    """The latest record about each subject of the journal."""

    term: TermRecord | None = None
    sessions: dict[str, SessionRecord] = field(default_factory=dict[str, SessionRecord])
    commands: dict[str, CommandRecord] = field(default_factory=dict[str, CommandRecord])
    handovers: dict[str, HandoverRecord] = field(default_factory=dict[str, HandoverRecord])

    def apply(self, record: AnyRecord) -> None:
        if isinstance(record, TermRecord):
            self.term = record
        elif isinstance(record, SessionRecord):
            self.sessions[record.session_id] = record
        elif isinstance(record, CommandRecord):
            self.commands[record.command_id] = record
        elif isinstance(record, HandoverRecord):
            self.handovers[record.assignment_id] = record
        else:
            self._forget(record.session_id)

    def _forget(self, session_id: str) -> None:
        self.sessions.pop(session_id, None)
        self.commands = {k: v for k, v in self.commands.items() if v.session_id != session_id}
        self.handovers = {k: v for k, v in self.handovers.items() if v.session_id != session_id}

    def records(self) -> list[AnyRecord]:
        term: list[AnyRecord] = [self.term] if self.term else []
        return [*term, *self.sessions.values(), *self.commands.values(), *self.handovers.values()]

    def results_of_interrupted_work(self) -> list[AnyRecord]:
        """Return records with the results of commands and hand-overs that a crash interrupted."""
        commands: list[AnyRecord] = [
            CommandRecord(command_id=c.command_id, session_id=c.session_id, state="unknown")
            for c in self.commands.values()
            if c.state == "started"
        ]
        handovers: list[AnyRecord] = [
            HandoverRecord(
                assignment_id=h.assignment_id,
                session_id=h.session_id,
                state="failed",
                error="The Agent was restarted while `assign` ran; whether it took effect is unknown.",
            )
            for h in self.handovers.values()
            if h.state == "started"
        ]
        return commands + handovers


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyRecord)


def replay(content: bytes, name: str = "journal") -> tuple[JournalState, int]:
    """Return the state that `content` produces, and the number of bytes that are whole records. Raises SetupError: a
    record before the last cannot be read, so that commands might run twice.
    """
    state, valid_bytes = JournalState(), 0
    lines = content.split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            state.apply(_decoder.decode(line))
        except msgspec.MsgspecError as error:
            if number == len(lines) - 1 and not lines[-1]:
                break
            raise SetupError(
                f"The Agent's journal {name} is damaged in line {number} ({error}). Move the file away; commands "
                "without a reported result may then run a second time."
            ) from error
        valid_bytes += len(line) + 1
    return state, valid_bytes


class Journal:
    """The journal file. `state` is the result of all records."""

    def __init__(self, path: Path, share: Callable[[bytes], Awaitable[None]] | None = None) -> None:
        """`share` stores a copy for other replicas of this Agent; None = there are none."""
        self._path = path
        self._share = share
        self._changes = 0
        self._shared_changes = 0
        self._share_lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._descriptor = -1
        self._written_bytes = 0
        self._synced_bytes = 0
        self._sync_lock = asyncio.Lock()
        self.state = JournalState()

    def open(self) -> None:
        """Read the file, remove an incomplete last line, and append results for work that a crash interrupted. Raises
        SetupError: the journal is damaged before its end, or cannot be opened."""
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            content = self._path.read_bytes()
        except OSError as error:
            raise SetupError(f"The Agent's journal {self._path} cannot be opened: {error.strerror}.") from error
        self.state, valid_bytes = replay(content, str(self._path))
        if valid_bytes < len(content):
            log.warning(
                "the last record of the journal is incomplete after a crash and is removed",
                bytes=len(content) - valid_bytes,
            )
            os.ftruncate(self._descriptor, valid_bytes)
        self._written_bytes = valid_bytes
        for record in self.state.results_of_interrupted_work():
            self.append(record)
        os.fsync(self._descriptor)
        self._synced_bytes = self._written_bytes

    def close(self) -> None:
        os.close(self._descriptor)

    def append(self, record: AnyRecord) -> None:
        """Append a record. It survives a crash of the process, but a power cut may lose it."""
        line = _encoder.encode(record) + b"\n"
        if os.write(self._descriptor, line) != len(line):
            os.ftruncate(self._descriptor, self._written_bytes)
            raise OSError(errno.ENOSPC, "the journal cannot be written because the disk is full", str(self._path))
        self._written_bytes += len(line)
        self.state.apply(record)
        self._changes += 1
        self._changed.set()

    async def append_durably(self, record: AnyRecord) -> None:
        """Append a record and wait until it is on disk. Concurrent calls share one fsync."""
        self.append(record)
        own_end = self._written_bytes
        async with self._sync_lock:
            if self._synced_bytes < own_end:
                target = self._written_bytes
                await asyncio.to_thread(os.fsync, self._descriptor)
                self._synced_bytes = target

    async def wait_for_shared_copy(self) -> None:
        """Wait until the shared copy contains all records; return immediately if there are no replicas. Raises
        RuntimeUnavailable: the copy cannot be stored, so that work that must run only once must not begin."""
        if self._share is None:
            return
        own_changes = self._changes
        async with self._share_lock:
            if self._shared_changes < own_changes:
                target = self._changes
                await self._share(self._content())
                self._shared_changes = target

    async def share_changes(self) -> None:
        """Update the shared copy after each change, forever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.wait_for_shared_copy()
            except Unavailable as error:
                log.warning("other processes of this Agent do not have the latest records", reason=error.message)
                self._changed.set()
                await asyncio.sleep(SHARE_RETRY_S)

    def _content(self) -> bytes:
        """Return the current records, encoded."""
        return b"".join(_encoder.encode(record) + b"\n" for record in self.state.records())

    async def compact_at_intervals(self) -> None:
        """Compact the file at intervals, forever."""
        while True:
            await asyncio.sleep(COMPACT_EVERY_S)
            await self.compact()

    async def compact(self) -> None:
        """Rewrite the file with the current records, if it is large and later records replace most of its records.
        After a crash, the old or the new file exists."""
        async with self._sync_lock:
            content = self._content()
            if self._written_bytes < max(COMPACT_ABOVE_BYTES, 4 * len(content)):
                return
            new = self._path.with_suffix(".new")
            descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            if os.write(descriptor, content) != len(content):
                os.close(descriptor)
                log.warning("the journal cannot be compacted because the disk is full", file=str(new))
                return
            os.fsync(descriptor)
            new.replace(self._path)
            _sync_folder(self._path.parent)
            os.close(self._descriptor)
            self._descriptor, self._written_bytes, self._synced_bytes = descriptor, len(content), len(content)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def assignment_report(record: HandoverRecord) -> AssignmentReport:
    """Return the report of a hand-over. The state `started` is reported as `received`."""
    return AssignmentReport(
        assignment_id=record.assignment_id,
        state="received" if record.state == "started" else record.state,
        exit_code=record.exit_code,
        error=record.error,
        slow=record.slow,
    )

"""Checks messages from outside before they are used."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from greenroom.core.errors import Invalid
from greenroom.wire.fields import HomeReport
from greenroom.wire.messages import VERSION, CheckIn, CommandReport, LogLine, Observed

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

MAX_SESSIONS: Final = 2_000
MAX_TERM: Final = 2**53
MAX_HOMES: Final = 20_000
MAX_BYTES: Final = 2**62
MAX_TEXT: Final = 64_000
MAX_DETAILS: Final = 4_000
"""Maximum bytes of JSON."""
MAX_PICTURE_BYTES: Final = 256 << 10
JPEG: Final = b"\xff\xd8\xff"


def checked(message: CheckIn) -> CheckIn:
    """Return the message without values that PostgreSQL cannot store. Raises Invalid: an id is invalid, a value is too
    large, or the message has another version."""
    if message.v != VERSION:
        raise Invalid(f"The message has version {message.v}; this Manager has version {VERSION}.")
    ids = [message.agent_id, *(o.session_id for o in message.sessions), *message.unknown]
    ids += [o.assignment.assignment_id for o in message.sessions if o.assignment]
    for home in message.homes or ():
        ids += [home.user_id, home.image_id, *([home.removal_id] if home.removal_id else [])]
    ids += [report.command_id for o in message.sessions for report in o.commands]
    if invalid := [value for value in ids if not _UUID.fullmatch(value)]:
        raise Invalid(f"{invalid[0][:80]!r} is not a UUID.")
    is_large = len(message.sessions) + len(message.unknown) > MAX_SESSIONS or len(message.homes or ()) > MAX_HOMES
    if is_large or not 0 <= message.term_seen < MAX_TERM:
        raise Invalid("The message has too many sessions or homes, or an invalid term.")
    homes = None if message.homes is None else [_clean_home(home) for home in message.homes]
    sessions = [_clean(observed) for observed in message.sessions]
    logs = [_clean_line(line) for line in message.logs]
    crash_loop = _text(message.crash_loop)
    return msgspec.structs.replace(message, sessions=sessions, homes=homes, logs=logs, crash_loop=crash_loop)


def _clean_home(home: HomeReport) -> HomeReport:
    size_bytes = None if home.size_bytes is None else min(max(home.size_bytes, 0), MAX_BYTES)
    return msgspec.structs.replace(home, size_bytes=size_bytes, problem=_text(home.problem))


def _clean(observed: Observed) -> Observed:
    report = observed.assignment
    return msgspec.structs.replace(
        observed,
        log_tail=_text(observed.log_tail),
        error=_text(observed.error),
        probe_error=_text(observed.probe_error),
        assignment=report and msgspec.structs.replace(report, error=_text(report.error)),
        commands=[_clean_result(report) for report in observed.commands],
    )


def _clean_result(report: CommandReport) -> CommandReport:
    """Check a result: a screenshot must be a JPEG within the size limit."""
    picture = report.picture if len(report.picture) <= MAX_PICTURE_BYTES else b""
    picture = picture if picture.startswith(JPEG) else b""
    return msgspec.structs.replace(report, output=_text(report.output), picture=picture)


def _clean_line(line: LogLine) -> LogLine:
    """Clean a log line: a session id that is no UUID and large details are removed."""
    is_named = line.session_id is not None and _UUID.fullmatch(line.session_id)
    is_large = len(msgspec.json.encode(line.details)) > MAX_DETAILS
    return msgspec.structs.replace(
        line,
        message=_text(line.message),
        session_id=line.session_id if is_named else None,
        details={} if is_large else line.details,
    )


def _text(value: str) -> str:
    """Clean text from inside a container: remove NUL, which PostgreSQL cannot store, and all but its last
    `MAX_TEXT` characters."""
    return value.replace("\0", "")[-MAX_TEXT:]

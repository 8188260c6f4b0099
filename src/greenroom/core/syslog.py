"""Events of the audit as messages of syslog (RFC 5424), framed by their length (RFC 6587, octet counting)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from greenroom.core.audit import ChainedEvent, read_details, timestamp

FACILITY: Final = 13
"""The facility "log audit"."""
_NOTICE: Final = 5
_WARNING: Final = 4
_BOM: Final = "\ufeff"


@dataclass(frozen=True, slots=True)
class SyslogTarget:
    """The address of a server. `encrypted`: by TLS, with a verified certificate."""

    host: str
    port: int
    encrypted: bool

    @classmethod
    def parse(cls, url: str) -> SyslogTarget:
        """Return the target of `tls://HOST:PORT` or `tcp://HOST:PORT`. Raises ValueError: the text has another form."""
        parts = urlsplit(url)
        if parts.scheme not in ("tls", "tcp") or not parts.hostname or not parts.port or parts.path or parts.query:
            raise ValueError("specify tls://HOST:PORT or tcp://HOST:PORT")
        return cls(parts.hostname, parts.port, parts.scheme == "tls")


def checked_target(url: str) -> str:
    """Return the address of a server, or an empty text. Raises ValueError: it has another form."""
    if url:
        SyslogTarget.parse(url)
    return url


def event_object(event: ChainedEvent) -> dict[str, Any]:
    """Return an event as the JSON object of exports and messages."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    return fields | {
        "time": timestamp(event.time),
        "details": read_details(event.details),
        "hash": event.hash.hex(),
    }


def syslog_frame(event: ChainedEvent, hostname: str) -> bytes:
    """Return the message of an event, after its length. The text of the message is a JSON object."""
    severity = _NOTICE if event.result == "done" else _WARNING
    header = f"<{8 * FACILITY + severity}>1 {timestamp(event.time)} {hostname or '-'} greenroom - audit - "
    message = (header + _BOM).encode() + msgspec.json.encode(event_object(event))
    return f"{len(message)} ".encode() + message

"""The log of a process, on stderr.

Under a supervisor, it is one JSON object per line; on a terminal, colored text. The records of libraries that use
`logging` and the warnings of Python have the same form.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO, cast

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

LIBRARY_LOG_LEVEL: Final = logging.WARNING


def configure(level: str, process_name: str) -> None:
    """Set up structlog and `logging` for this process."""
    import structlog  # noqa: PLC0415 -- most commands of the command line use no structlog

    level_number = getattr(logging, level.upper(), logging.INFO)
    output = LogStream(sys.stderr)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level_number),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", output)),  # structlog calls only `write` and `flush`
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process_name)
    _configure_library_logs(output, max(level_number, LIBRARY_LOG_LEVEL), shared, renderer)


class LogStream:
    """A stream that drops lines while they cannot be written. After the next successful write, it writes the number of
    failures.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._failures = 0

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._failures += 1
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
            if self._failures:
                self._stream.write(self._missing_lines_event())
                self._stream.flush()
                self._failures = 0
        except OSError:
            self._failures += 1

    def _missing_lines_event(self) -> str:
        event = "lines of this log are missing: it could not be written"
        fields = {"failures": self._failures, "event": event, "level": "warning"}
        return json.dumps({**fields, "timestamp": datetime.now(UTC).isoformat()}) + "\n"


def _configure_library_logs(output: LogStream, level: int, shared: list[Processor], renderer: Processor) -> None:
    import structlog  # noqa: PLC0415 -- see `configure`

    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _on_one_line, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)


def _on_one_line(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Return the event on one line, because some libraries log several lines."""
    return {**event, "event": " ".join(str(event.get("event", "")).split())}

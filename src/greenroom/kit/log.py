"""Structured logs on stderr: one JSON object a line under a supervisor, coloured text on a terminal.

Libraries that log with Python's `logging`, and its warnings, are written in the same way: nothing else writes a line.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor

LIBRARIES: Final = logging.WARNING
"""What of libraries is worth a line."""


def configure(level: str, process_name: str) -> None:
    """Set up structlog and `logging` for this process."""
    number = getattr(logging, level.upper(), logging.INFO)
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
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process_name)
    _route_libraries(max(number, LIBRARIES), shared, renderer)


def _route_libraries(level: int, shared: list[Processor], renderer: Processor) -> None:
    handler = logging.StreamHandler(sys.stderr)
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
    """Some libraries write several lines, of which the first is the message."""
    return {**event, "event": " ".join(str(event.get("event", "")).split())}

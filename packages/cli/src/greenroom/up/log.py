"""The log of commands. The log is off by default, because commands print their errors."""

from __future__ import annotations

import logging
import os
import sys

from greenroom.kit.log import configure


def configure_for_command(process_name: str) -> None:
    """Disable the log of this process, or enable it completely with GREENROOM_LOG_LEVEL=DEBUG.

    Code that imports structlog later must call this function again.
    """
    if os.environ.get("GREENROOM_LOG_LEVEL", "").upper() == "DEBUG":
        configure("DEBUG", process_name)
        return
    if "structlog" in sys.modules:
        _silence()
    root = logging.getLogger()
    root.handlers[:] = [logging.NullHandler()]
    logging.captureWarnings(capture=True)


def _silence() -> None:
    import structlog  # noqa: PLC0415 -- structlog is already imported

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )

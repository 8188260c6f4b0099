"""The sentinel file: while it exists nginx answers for this Manager with 503 and sends it no Agent (CONTRACT)."""

from __future__ import annotations

from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


def match(file: Path, enabled: bool) -> None:
    """Make the file's existence follow the flag, in both directions.

    Raises:
        OSError: the file cannot be written or removed.
    """
    if enabled and file.exists():
        file.unlink(missing_ok=True)
        log.info("sentinel removed", file=str(file))
    elif not enabled and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o644)
        log.info("sentinel written", file=str(file))

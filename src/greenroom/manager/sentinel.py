"""The sentinel file: while it exists nginx answers for this Manager with 503 and sends it no Agent (CONTRACT)."""

from __future__ import annotations

from pathlib import Path

import structlog

from greenroom.core.errors import SetupError

log = structlog.get_logger(__name__)


def match(file: Path, enabled: bool) -> None:
    """Make the file's existence follow the flag, in both directions.

    Raises:
        SetupError: the file cannot be written or removed.
    """
    try:
        if enabled and file.exists():
            file.unlink(missing_ok=True)
            log.info("sentinel removed", file=str(file))
        elif not enabled and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o644)
            log.info("sentinel written", file=str(file))
    except OSError as error:
        done, seen = ("removed", "enabled") if enabled else ("written", "disabled")
        raise SetupError(
            f"The sentinel file {file} cannot be {done} ({error.strerror}), so nginx does not see that this Manager is"
            f" {seen}; let it write in that folder (GREENROOM_SENTINEL_FILE)."
        ) from error

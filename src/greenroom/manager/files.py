"""The files of a Manager: its instance id, and the sentinel, a file that exists while the Manager is disabled.

The instance id is in a folder that survives the container, so that restart, update and recreation do not change it.
While the file exists, nginx answers for this Manager with 503 and sends it no requests (docs/reference/managers.md).
"""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

import structlog

from greenroom.core.errors import SetupError

log = structlog.get_logger(__name__)

_INSTANCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def instance_id(folder: Path) -> str:
    """Read `instance_id` in `folder`; write a random one if it does not exist. Raises SetupError: the folder cannot be
    used, or the file has other content."""
    file = folder / "instance_id"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            _create(file, f"manager-{uuid.uuid4().hex[:12]}")
        text = file.read_text().strip()
    except OSError as error:
        raise SetupError(f"The Manager's folder {folder} cannot be used: {error.strerror}") from error
    if not _INSTANCE_ID.fullmatch(text):
        raise SetupError(f"{file} contains no instance id; restore it, or delete it to register as a new Manager.")
    return text


def _create(file: Path, text: str) -> None:
    """Write the file atomically. If another process writes it at the same time, the first content is kept."""
    temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}")
    with temporary.open("w") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(temporary, file)
    except FileExistsError:
        return
    finally:
        temporary.unlink()


def update_sentinel(file: Path, enabled: bool) -> None:
    """Create or remove the file according to the flag. Raises SetupError: the file cannot be written or removed."""
    try:
        if enabled and file.exists():
            file.unlink(missing_ok=True)
            log.info("sentinel removed", file=str(file))
        elif not enabled and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o644)
            log.info("sentinel written", file=str(file))
    except OSError as error:
        verb, state = ("deleted", "enabled") if enabled else ("created", "disabled")
        raise SetupError(
            f"The sentinel file {file} cannot be {verb} ({error.strerror}), so nginx does not detect that this Manager"
            f" is {state}; give it write access to the folder (GREENROOM_SENTINEL_FILE)."
        ) from error

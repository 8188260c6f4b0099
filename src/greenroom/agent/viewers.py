"""The viewers this Agent let in: kept in a file, so that they may come back although Agent, api or database went away.

Of a token only its hash is kept. A viewer is forgotten when who may view the session changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from greenroom.agent.identity import write_private
from greenroom.core.streams import Grant, still_holds

log = structlog.get_logger(__name__)

FILE: Final = "viewers.json"


class Viewer(msgspec.Struct, kw_only=True):
    """One token that was found good for a session.

    `shows` is the session whose desktop it shows: the session itself, or the one that took its place. `address` is
    where its page was last passed to; `path` is where its stream is if another Agent runs it; `confirmed_at` and
    `ttl_s` are seconds (time.monotonic, of this boot).
    """

    session_id: str
    token_hash: str
    shows: str
    user_id: str
    epoch: int
    confirmed_at: float
    ttl_s: float
    address: str
    path: str = ""

    @property
    def grant(self) -> Grant:
        """What was granted."""
        return Grant(user_id=self.user_id, epoch=self.epoch)


def token_hash(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


class Viewers:
    """The table, on the disk after every change of who is in it if that can be written.

    Args:
        folder: the Agent's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._viewers: dict[tuple[str, str], Viewer] = {}
        for viewer in self._stored():
            self._viewers[viewer.session_id, viewer.token_hash] = viewer

    def _stored(self) -> list[Viewer]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=list[Viewer])
        except (FileNotFoundError, msgspec.DecodeError):  # the worst that follows is that a viewer is asked about again
            return []

    def get(self, session_id: str, token: str) -> Viewer | None:
        """The viewer with this token."""
        return self._viewers.get((session_id, token_hash(token)))

    def add(self, viewer: Viewer) -> None:
        """Remember one."""
        self._viewers[viewer.session_id, viewer.token_hash] = viewer
        self._save()

    def moved(self, viewer: Viewer, address: str) -> None:
        """The viewer's desktop is at another address now."""
        viewer.address = address
        self._save()

    def keep(self, wanted: Callable[[Viewer], bool]) -> None:
        """Forget all others; on the disk with the next change."""
        self._viewers = {key: viewer for key, viewer in self._viewers.items() if wanted(viewer)}

    def forget_revoked(self, session_id: str, authorised: Grant | None) -> list[Viewer]:
        """Forget and return those who see `session_id` without being allowed to any more."""
        revoked = [v for v in self._viewers.values() if v.shows == session_id and not still_holds(v.grant, authorised)]
        for viewer in revoked:
            del self._viewers[viewer.session_id, viewer.token_hash]
        if revoked:
            self._save()
        return revoked

    def _save(self) -> None:
        """A full disk keeps nobody out, and above all nobody in: who is revoked is cut all the same."""
        try:
            write_private(self._file, msgspec.json.encode(list(self._viewers.values())))
        except OSError as error:
            log.warning("who was let in cannot be kept for a restart", file=str(self._file), reason=str(error))

"""Access to recordings.

A recording is for the user of the session, the API key that held the lease, and callers with `recordings_view`. The
token of the lease is not sufficient: a recording also contains the actions of people, and untrusted programs have the
token.
"""

from __future__ import annotations

import time
from typing import Any, Final
from uuid import UUID

from fastapi import Depends, Request

from greenroom.api.lease.access import FOR_OTHERS
from greenroom.api.security import Caller, Declared, Requires
from greenroom.api.session.authorized import asking_of, kind_of
from greenroom.core.access.permissions import USER
from greenroom.core.errors import NotFound
from greenroom.core.log_codes import LogCode
from greenroom.core.session.authorization import Act, Kind, SessionFacts, decide
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.recordings import LeaseRecording, get_recording

VIEW: Final = "recordings_view"
VIEWED_S: Final = 600.0
"""A caller's access to another user's recording is logged once in this time, not for each picture."""


class SeesRecording(Declared):
    """A dependency that returns the recording of the path, for callers who may see it.

    It logs access to recordings of others.
    """

    acts = (Act.SEE_RECORDING,)

    def __init__(self) -> None:
        self._requires = Requires(one_of=(USER, "users_auth_session", FOR_OTHERS, VIEW))
        self.codes = self._requires.codes
        self.one_of = self._requires.one_of

    async def __call__(self, request: Request, lease_id: UUID) -> LeaseRecording:
        """Authenticate and authorize.

        Raises:
            Unauthenticated: there is no valid credential; the token of a lease is not one here.
            NotFound: the recording does not exist, or the caller may not see it.
        """
        caller = await self._requires(request)
        recording = await get_recording(request.app.state.db, str(lease_id))
        kind = kind_of(caller, recording.user_id, recording.key_id)
        verdict = decide(Act.SEE_RECORDING, asking_of(caller, recording.user_id, kind), SessionFacts())
        if verdict.refused:
            raise NotFound(f"There is no recording of lease {lease_id}; it may have been deleted.")
        if kind is Kind.OTHER:
            request.app.state.recordings_viewed.note(caller, recording)
        return recording


def is_own(caller: Caller, recording: LeaseRecording) -> bool:
    """True if this API key held the lease, or its session belonged to this user."""
    return kind_of(caller, recording.user_id, recording.key_id) is not Kind.OTHER


class Viewed:
    """Log rows about access to recordings of others; one instance per process."""

    def __init__(self, logs: LogWriter) -> None:
        self._logs = logs
        self._looked: dict[tuple[str, str], float] = {}

    def note(self, caller: Caller, recording: LeaseRecording) -> None:
        """Write a row, unless the last one is less than `VIEWED_S` old."""
        now_s, who = time.monotonic(), (caller.name, recording.lease_id)
        if now_s - self._looked.get(who, float("-inf")) < VIEWED_S:
            return
        self._looked = {k: at for k, at in self._looked.items() if now_s - at < VIEWED_S}
        self._looked[who] = now_s
        write(self._logs, LogCode.RECORDING_VIEWED, f"{caller.name} viewed", recording)


def write(logs: LogWriter, code: LogCode, words: str, recording: LeaseRecording) -> None:
    """Write a row about another user's recording. It is stored before the answer."""
    logs.write(
        code,
        f"{words} the recording of lease {recording.lease_id} of {recording.username or recording.holder}",
        session_id=recording.session_id,
        user_id=recording.user_id,
        username=recording.username,
        details={"lease_id": recording.lease_id},
        pressing=True,
    )


def sees_recording() -> Any:
    """Return the dependency of a route about one recording; its value is a `LeaseRecording`."""
    return Depends(SeesRecording())

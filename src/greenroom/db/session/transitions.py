"""The columns that a status change of a session writes: for each new status, the assignments of `UPDATE sessions SET`.

Statements add their own columns (a reason, a user, time limits) and their conditions. `change_statuses` of
`db.session.observations` writes the changes that Agents report, with the status as a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from greenroom.core.session.states import SessionStatus

_S = SessionStatus

_CHANGED: Final[LiteralString] = "status_changed = clock_timestamp(), deadline = NULL"
_INSTRUCT_AGENT: Final[LiteralString] = "generation = generation + 1"
"""The change is sent to the Agent, and observations of the previous generation are ignored."""
_REVOKE_VIEWERS: Final[LiteralString] = "auth_epoch = auth_epoch + 1"
"""Tokens of the stream become invalid, and Agents close open streams."""

CHANGE_TO: Final[dict[SessionStatus, LiteralString]] = {
    _S.ASSIGNING: f"status = 'assigning', {_CHANGED}, {_INSTRUCT_AGENT}",
    _S.STARTING: f"status = 'starting', want = 'running', stopped_reason = NULL, error = NULL, {_CHANGED},"
    f" {_INSTRUCT_AGENT}",
    _S.STOPPING: f"status = 'stopping', want = 'stopped', {_CHANGED}, {_INSTRUCT_AGENT}",
    _S.PAUSING: f"status = 'pausing', want = 'paused', {_CHANGED}, {_INSTRUCT_AGENT}",
    _S.DELETING: f"status = 'deleting', want = 'absent', {_CHANGED}, {_INSTRUCT_AGENT}, {_REVOKE_VIEWERS}",
    _S.DELETED: f"status = 'deleted', want = 'absent', ended = clock_timestamp(), {_CHANGED}, {_INSTRUCT_AGENT},"
    f" {_REVOKE_VIEWERS}",
    _S.FAILED: f"status = 'failed', {_CHANGED}",
    _S.UNREACHABLE: f"status = 'unreachable', {_CHANGED}, {_INSTRUCT_AGENT}",
    _S.LOST: f"status = 'lost', {_CHANGED}",
}
"""New status → the assignments of SET. `claimable` is computed by the database; `retired` is set separately."""

DETACH_USER: Final[LiteralString] = (
    "set_aside_for = user_id, user_id = NULL, idempotency_key = NULL, idempotency_body = NULL"
)
"""The assignments of SET that remove the user, who waits for another session. `set_aside_for` stores the user's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedSession:
    """A session with a new status, and its Agent, user and config. `agent_id`: None = the Agent need not act."""

    session_id: str
    status: SessionStatus
    agent_id: str | None = None
    user_id: str | None = None
    staging_config_id: str | None = None


CHANGED_SESSION: Final[LiteralString] = (
    " RETURNING session_id::text, status, agent_id::text, user_id::text, staging_config_id::text"
)
"""The end of an `UPDATE sessions` that returns `ChangedSession`."""

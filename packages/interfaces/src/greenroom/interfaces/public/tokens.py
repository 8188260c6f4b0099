"""The calls of the published interface for session tokens (`greenroom.api.access.session_tokens`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends

from greenroom.api.access import session_tokens
from greenroom.api.access.session_tokens import SessionToken
from greenroom.api.deps import Db, Logs, SecretsDep, SettingsSnapshot
from greenroom.api.installation import Snapshot
from greenroom.db.database import Database
from greenroom.interfaces.public.calls import Answer, CallBody, date, requires_key
from greenroom.kit.secrets import Secrets

router = APIRouter(include_in_schema=False)

FOR_USERS: Final = requires_key("users_auth_session")


@dataclass(frozen=True, slots=True)
class _Parts:
    db: Database
    secrets: Secrets
    snapshot: Snapshot


async def _parts(db: Db, secrets: SecretsDep, snapshot: SettingsSnapshot) -> _Parts:
    return _Parts(db, secrets, snapshot)


Parts = Annotated[_Parts, Depends(_parts)]


@router.post("/create_session_token")
async def create_session_token(parts: Parts, logs: Logs, call: Annotated[CallBody, FOR_USERS]) -> Answer:
    """Begin a log-in of a user, and return its token."""
    user_id = call.part("target_user").id("user_id")
    made = await session_tokens.create(parts.db, parts.secrets, parts.snapshot, call.caller, user_id, logs=logs)
    return {"session_token": _shape(made)}


@router.post("/get_session_token")
async def get_session_token(parts: Parts, call: Annotated[CallBody, FOR_USERS]) -> Answer:
    """Return one token, as long as it is valid."""
    return {"session_token": _shape(await _found(parts, call))}


@router.post("/get_session_tokens")
async def get_session_tokens(parts: Parts, call: Annotated[CallBody, FOR_USERS]) -> Answer:
    """List the valid tokens of a user that programs created, oldest first. Log-ins of browsers are not included."""
    return {"session_tokens": [_shape(token) for token in await _of_user(parts, call)]}


@router.post("/update_session_token")
async def update_session_token(parts: Parts, call: Annotated[CallBody, FOR_USERS]) -> Answer:
    """Extend a token to the lifetime of a new one."""
    token = _sent(call)
    prolonged = await session_tokens.prolong(parts.db, parts.secrets, parts.snapshot, call.caller, token)
    return {"session_token": _shape(prolonged)}


@router.post("/delete_session_token")
async def delete_session_token(parts: Parts, logs: Logs, call: Annotated[CallBody, FOR_USERS]) -> Answer:
    """End a token, and cut the streams of its user; their sessions continue."""
    await session_tokens.end(parts.db, logs, call.caller, await _found(parts, call))
    return {}


@router.post("/delete_session_tokens")
async def delete_session_tokens(parts: Parts, logs: Logs, call: Annotated[CallBody, FOR_USERS]) -> Answer:
    """End all tokens of a user that programs created; `logout_user` also ends log-ins of browsers."""
    for token in await _of_user(parts, call):
        await session_tokens.end(parts.db, logs, call.caller, token)
    return {}


async def _found(parts: _Parts, call: CallBody) -> SessionToken:
    return await session_tokens.find(parts.db, parts.secrets, parts.snapshot, call.caller, _sent(call))


async def _of_user(parts: _Parts, call: CallBody) -> list[SessionToken]:
    user_id = call.part("target_user").id("user_id")
    return await session_tokens.of_user(parts.db, parts.secrets, parts.snapshot, call.caller, user_id)


def _sent(call: CallBody) -> str:
    return call.part("target_session_token").text("session_token")


def _shape(token: SessionToken) -> Answer:
    """Return a token in the published shape. There is no JWT: the token itself is the credential."""
    return {
        "session_token": token.token,
        "session_token_date": date(token.created),
        "expires_at": date(token.ends),
        "session_jwt": None,
        "user_id": token.user_id,
    }

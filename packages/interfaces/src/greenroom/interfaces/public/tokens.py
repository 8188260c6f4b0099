"""Published calls for session tokens: log-ins that programs begin, extend and end for users.

A token is a value for the console's cookie, and opens the streams of the user's sessions, as the `session_token` of a
launch does. A token consists of the id of the log-in and a signature. Therefore the tokens of a user can be listed,
although only their hashes are stored. The tokens of browsers are random values, and are never listed here.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Final

from greenroom.api.access.user_routes import end_user_login
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.session.service import login_of_token
from greenroom.core.errors import NotFound
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode
from greenroom.db.access import users
from greenroom.db.access.credentials import TokenLogin
from greenroom.interfaces.public import statements
from greenroom.interfaces.public.calls import Answer, CallBody, format_time, public_router, requires_key
from greenroom.interfaces.public.users import require_log_in_by_programs
from greenroom.kit.secrets import secret_digest

router = public_router()

ACT_FOR_USERS: Final = requires_key("users_auth_session")


@router.post("/create_session_token")
async def create_session_token(call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """Begin a log-in of a user, and return its token."""
    change, login_id = call.change, str(uuid.uuid4())
    token = change.secrets.session_token(login_id)
    async with change.db.transaction() as connection:
        user = await users.lock_user(connection, call.nested("target_user").id("user_id"))
        change.caller.require_right_over(user.permissions)
        require_log_in_by_programs(user)
        await statements.insert_token_login(
            connection,
            login_id,
            secret_digest(token),
            user.user_id,
            lifetime_s=change.installation.session_lifetime_s,
            created_by=change.caller.name,
        )
    await change.db.notify(ChangeEvent(Topic.USERS))
    change.logs.write(
        LogCode.SESSION_TOKEN_CREATED,
        f"{change.caller.name} got a session token of {user.username}",
        user_id=user.user_id,
        username=user.username,
    )
    return {"session_token": _token_shape(await _find_login(change, token), token)}


@router.post("/get_session_token")
async def get_session_token(call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """Return one token if it is valid."""
    token = _token_of_call(call)
    return {"session_token": _token_shape(await _find_login(call.change, token), token)}


@router.post("/get_session_tokens")
async def get_session_tokens(call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """List the valid tokens of a user that programs created, oldest first. Log-ins of browsers are not included."""
    return {"session_tokens": [_token_shape(login, token) for login, token in await _tokens_of_user(call)]}


@router.post("/update_session_token")
async def update_session_token(call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """Extend a token to the lifetime of a new one."""
    change, token = call.change, _token_of_call(call)
    login = await _find_login(change, token)
    await statements.extend_login(change.db, login.login_id, change.installation.session_lifetime_s)
    return {"session_token": _token_shape(await _find_login(change, token), token)}


@router.post("/delete_session_token")
async def delete_session_token(call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """End a token, and cut the streams of its user; their sessions continue."""
    await _end_login(call.change, await _find_login(call.change, _token_of_call(call)))
    return {}


@router.post("/delete_session_tokens")
async def delete_session_tokens(call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """End all tokens of a user that programs created; `logout_user` also ends log-ins of browsers."""
    for login, _ in await _tokens_of_user(call):
        await _end_login(call.change, login)
    return {}


async def _find_login(change: CallerChange, token: str) -> TokenLogin:
    """Return the log-in of a valid token.

    Raises:
        NotFound: the token does not exist, or its log-in has ended.
        Forbidden: the user of the token has more permissions than the caller.
    """
    login = await login_of_token(change.db, change.secrets, token, change.installation.session_idle_s)
    if login is None:
        raise NotFound("There is no such session token; it may have ended.")
    change.caller.require_right_over((await users.get_user(change.db, login.user_id)).permissions)
    return login


async def _tokens_of_user(call: CallBody) -> list[tuple[TokenLogin, str]]:
    """Return the log-ins that programs created for the user of the call, each with its token, oldest first."""
    change = call.change
    user = await users.get_user(change.db, call.nested("target_user").id("user_id"))
    change.caller.require_right_over(user.permissions)
    logins = await statements.list_token_logins(change.db, user.user_id, change.installation.session_idle_s)
    logins_and_tokens = [(login, change.secrets.session_token(login.login_id)) for login in logins]
    return [(login, token) for login, token in logins_and_tokens if secret_digest(token) == login.token_hash]


async def _end_login(change: CallerChange, login: TokenLogin) -> None:
    await end_user_login(uuid.UUID(login.user_id), uuid.UUID(login.login_id), change)


def _token_of_call(call: CallBody) -> str:
    return call.nested("target_session_token").text("session_token")


def _token_shape(login: TokenLogin, token: str) -> Answer:
    """Return a token in the published shape. There is no JWT: the token itself is the credential."""
    return {
        "session_token": token,
        "session_token_date": format_time(login.created),
        "expires_at": format_time(login.ends),
        "session_jwt": None,
        "user_id": login.user_id,
    }

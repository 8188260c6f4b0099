"""The token of a log-in at the console: a random value in a cookie, which only the browser and the api see.

A user who proves their identity again gets a new token. A token that was stolen before is then refused.
"""

from __future__ import annotations

from fastapi import Response

from greenroom.api.hardening import LOGIN_COOKIE
from greenroom.api.security import Caller
from greenroom.core.errors import Unauthenticated
from greenroom.db.access import credentials
from greenroom.db.database import Connection
from greenroom.kit.secrets import new_secret, secret_digest


def set_login_cookie(response: Response, token: str, lifetime_s: int) -> None:
    """Give the browser the token of its log-in."""
    response.set_cookie(LOGIN_COOKIE, token, max_age=lifetime_s, path="/", secure=True, httponly=True, samesite="lax")


def delete_login_cookie(response: Response) -> None:
    """Delete the token of the log-in from the browser."""
    response.delete_cookie(LOGIN_COOKIE, path="/", secure=True, httponly=True, samesite="lax")


async def renew_token(response: Response, connection: Connection, caller: Caller, *, is_confirmed: bool) -> bytes:
    """Replace the token of the log-in of the request. `is_confirmed`: its user has proven their identity now. Return
    the hash of the new token. Raises Unauthenticated: the log-in has ended."""
    token = new_secret()
    new_hash = secret_digest(token)
    remaining_s = await credentials.renew_login(
        connection, caller.token_hash or b"", new_hash, is_confirmed=is_confirmed
    )
    if remaining_s is None:
        raise Unauthenticated("Your log-in has ended; please log in again.")
    set_login_cookie(response, token, remaining_s)
    return new_hash

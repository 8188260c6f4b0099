"""Attempts: log-ins that have begun. A cookie stores an attempt until the provider sends the user back to the callback.

The cookie is encrypted, is valid for `VALID_S`, and belongs to one `state`, the random value that the provider returns.
A callback without this cookie is refused, so that an attacker cannot send a user a link that completes the log-in of
another person (session fixation, CSRF).
"""

from __future__ import annotations

import hmac
from secrets import token_urlsafe
from typing import Final

import msgspec
from fastapi import Request, Response

from greenroom.core.errors import Invalid
from greenroom.identity.statements import SignOnProvider
from greenroom.kit.secrets import Secrets

COOKIE_PREFIX: Final = "__Host-greenroom-sign-on-"
VALID_S: Final = 600
MAX_OPEN_ATTEMPTS: Final = 5
"""The maximum number of attempts of one browser, for example in several tabs."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A log-in through a provider that has begun. `issuer` is the issuer of the provider at the beginning, `verifier`
    the code verifier of PKCE, and `next` the page to show afterwards. If the user links an identity instead of logging
    in, `link_to` is the hash of the token of their current log-in, in hexadecimal."""

    provider: str
    issuer: str
    state: str
    nonce: str
    verifier: str
    origin: str
    next: str = "/"
    link_to: str | None = None

    @property
    def redirect_uri(self) -> str:
        return redirect_uri(self.origin, self.provider)


def redirect_uri(origin: str, provider: str) -> str:
    """Return the address to which a provider sends the user back. The address contains the name of the provider, so
    that the answer of one provider cannot be used for another provider (mix-up attack)."""
    return f"{origin}/api/v1/sign-on/{provider}/callback"


def new_attempt(provider: SignOnProvider, origin: str, *, path: str, link_to: str | None = None) -> Attempt:
    """Return a new attempt. `path` is the page to show afterwards. Raises Invalid: `path` is not a page of this
    console."""
    state, nonce, verifier = (token_urlsafe(32) for _ in range(3))
    return Attempt(
        provider=provider.name,
        issuer=provider.issuer,
        state=state,
        nonce=nonce,
        verifier=verifier,
        origin=origin,
        next=local_path(path),
        link_to=link_to,
    )


def local_path(path: str) -> str:
    """Return the path of a page of this console. Raises Invalid: the path could lead to another site."""
    is_local = path.startswith("/") and not path.startswith(("//", "/api/")) and "\\" not in path
    if not is_local or not path.isascii() or not path.isprintable():
        raise Invalid("`next` must be the path of a page of this console, such as /account.")
    return path


def store_attempt(request: Request, response: Response, secrets: Secrets, attempt: Attempt) -> None:
    """Store an attempt in the browser. If the browser already has `MAX_OPEN_ATTEMPTS` attempts, these are deleted."""
    earlier = [name for name in request.cookies if name.startswith(COOKIE_PREFIX)]
    for name in earlier if len(earlier) >= MAX_OPEN_ATTEMPTS else []:
        _delete_cookie(response, name)
    response.set_cookie(
        _cookie_name(attempt.state),
        secrets.attempt_ticket(msgspec.json.encode(attempt)),
        max_age=VALID_S,
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )


def find_attempt(request: Request, secrets: Secrets, provider: str, state: str) -> Attempt | None:
    """Return the attempt of the browser with this provider and this state; None if the browser has no such attempt."""
    ticket = secrets.read_attempt(request.cookies.get(_cookie_name(state), ""), VALID_S)
    try:
        attempt = msgspec.json.decode(ticket, type=Attempt) if ticket else None
    except msgspec.MsgspecError:
        return None
    if (
        attempt is None
        or attempt.provider != provider
        or not hmac.compare_digest(attempt.state.encode(), state.encode())
    ):
        return None
    return attempt


def delete_attempt(response: Response, state: str) -> None:
    """Delete an attempt from the browser, so that it cannot be used again."""
    _delete_cookie(response, _cookie_name(state))


def _delete_cookie(response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")


def _cookie_name(state: str) -> str:
    return COOKIE_PREFIX + "".join(character for character in state[:12] if character.isascii() and character.isalnum())

"""Who asks, and may they? Every route says what it needs; one that says nothing is not served.

`requires(…)` = all of these permissions; `requires_one_of(…)` = at least one of them, the route checks for which things
it is; `requires_own_or(…)` = the same for one's own session or anybody's; `public_route(…)` = no credential.

Two kinds of callers: a person with the console's cookie, and a program with an API key (HTTP Basic). Cross-site
requests were refused before (`greenroom.api.hardening`).

    @router.get("/zones")
    async def list_zones(db: Db, caller: Annotated[Caller, requires("zones_view")]) -> list[Zone]: …
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from fastapi import Depends, FastAPI, Request
from fastapi.routing import iter_route_contexts

from greenroom.api.hardening import COOKIE
from greenroom.core.access.permissions import USER, above, allows, beyond, bounded, expanded, read_only
from greenroom.core.errors import Forbidden, PasswordChangeRequired, Unauthenticated
from greenroom.db.access.credentials import find_key, find_login, touch_key, touch_login
from greenroom.db.database import Database
from greenroom.kit.secrets import hashed


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. A person has `user_id` and `username`, a program has `key_id`."""

    kind: Literal["user", "key"]
    permissions: frozenset[str]
    user_id: str | None = None
    username: str | None = None
    key_id: str | None = None
    token_hash: bytes | None = None
    """Hash of the log-in cookie."""
    owner_id: str | None = None
    """The responsible user: the caller, or the user who made the API key; None = the installation's own key."""
    expires: datetime | None = None
    """When the API key ends."""
    must_change_password: bool = False
    """They logged in with a one-time password, and may do nothing else before (setting `require_password_change`)."""

    @property
    def name(self) -> str:
        """As the log names the caller."""
        return self.username or f"API key {self.key_id}"

    def may(self, *codes: str) -> bool:
        """Whether the caller has all these permissions."""
        return allows(self.permissions, codes)

    def require(self, *codes: str) -> None:
        """Refuse a caller without all these permissions.

        Raises:
            Forbidden: names what is missing.
        """
        if not self.may(*codes):
            missing = [code for code in codes if code not in self.permissions]
            raise Forbidden(f"This needs the permission {', '.join(missing)}.", required=list(codes))

    def require_one_of(self, *codes: str) -> None:
        """Refuse a caller without any of these permissions.

        Raises:
            Forbidden: names them.
        """
        if codes and not any(self.may(code) for code in codes):
            raise Forbidden(f"This needs one of the permissions {', '.join(codes)}.", required=list(codes))

    def require_not_above(self, permissions: Iterable[str]) -> None:
        """Refuse to change a user with `permissions` that the caller does not have, except with `users_modify_admin`.

        Raises:
            Forbidden: names the missing permission.
        """
        if above(self.permissions, permissions):
            self.require("users_modify_admin")

    def require_to_have(self, codes: Iterable[str]) -> None:
        """Refuse to hand on permissions that the caller does not have.

        Raises:
            Forbidden: names them.
        """
        if missing := beyond(self.permissions, codes):
            names = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            raise Forbidden(f"You cannot give permissions that you do not have: {names}.", required=missing)

    def own_user_id(self) -> str:
        """The user who calls.

        Raises:
            Forbidden: an API key is nobody.
        """
        if self.user_id is None:
            raise Forbidden("An API key has no account of its own; log in as a user.")
        return self.user_id


class Declared:
    """A dependency that says who may use a route; `codes` None = everybody, without a credential."""

    codes: tuple[str, ...] | None = None
    """All of them are needed."""
    one_of: tuple[str, ...] = ()
    """At least one of them is needed."""


class Requires(Declared):
    """Authenticates the caller and requires permissions."""

    def __init__(self, *codes: str, one_of: tuple[str, ...] = (), with_one_time_password: bool = False) -> None:
        self.codes = codes
        self.one_of = one_of
        self._with_one_time_password = with_one_time_password

    async def __call__(self, request: Request) -> Caller:
        """The caller.

        Raises:
            Unauthenticated: no valid credential came with the request.
            Forbidden: a permission is missing, or a password of their own.
        """
        request.state.caller = caller = await authenticated(request)
        if caller.must_change_password and not self._with_one_time_password:
            raise PasswordChangeRequired
        caller.require(*(self.codes or ()))
        caller.require_one_of(*self.one_of)
        return caller


class Open(Declared):
    """Marks a route that needs no credential, or checks one of its own (named in `why`)."""

    def __init__(self, why: str) -> None:
        self.why = why

    async def __call__(self) -> None:
        """Let everybody pass."""


def requires(*codes: str, with_one_time_password: bool = False) -> Any:
    """Dependency of a route: a valid credential and all of `codes`; gives the `Caller`.

    `with_one_time_password`: it is served before a one-time password was changed, too.
    """
    return Depends(Requires(*codes, with_one_time_password=with_one_time_password))


def requires_one_of(*codes: str) -> Any:
    """Dependency of a route: a valid credential and at least one of `codes`; gives the `Caller`."""
    return Depends(Requires(one_of=codes))


def requires_own_or(code: str) -> Any:
    """Dependency of a route about a session: the caller's own one (with `user`), or anybody's with `code`."""
    return requires_one_of(USER, code)


def public_route(why: str) -> Any:
    """Dependency of a route that checks no credential here, with the reason."""
    return Depends(Open(why))


def client_address(request: Request) -> str:
    """The address the request came from; the gateway, on loopback, is believed about it (uvicorn)."""
    return request.client.host if request.client else "an unknown address"


async def authenticated(request: Request) -> Caller:
    """The caller, by API key or by cookie.

    Raises:
        Unauthenticated: neither came, or it is not valid (any more).
    """
    authorization = request.headers.get("authorization", "")
    if authorization:
        key_id, secret = basic_credentials(authorization)
        return await key_caller(request, key_id, secret)
    token = request.cookies.get(COOKIE)
    if not token:
        raise Unauthenticated
    return await login_caller(request, hashed(token))


async def login_caller(request: Request, token_hash: bytes) -> Caller:
    """The person whose log-in has this hash.

    Raises:
        Unauthenticated: it has ended.
    """
    db: Database = request.app.state.db
    settings = request.app.state.snapshot.installation
    login = await find_login(db, token_hash, settings.session_idle_s)
    if login is None:
        raise Unauthenticated("Your log-in has ended; please log in again.")
    if login.stale:
        await touch_login(db, token_hash)
    return Caller(
        "user",
        expanded(login.permissions),
        login.user_id,
        login.username,
        token_hash=token_hash,
        owner_id=login.user_id,
        must_change_password=login.password_once and settings.require_password_change,
    )


async def key_caller(request: Request, key_id: str, secret: str) -> Caller:
    """The program with this API key. It may what the key says, and never more than the user who made it may now.

    Raises:
        Unauthenticated: there is no such key, the secret is another, or it is disabled or expired.
        TooManyRequests: the same, after too many wrong ones from there; the right one is never refused.
    """
    db: Database = request.app.state.db
    key = await find_key(db, key_id)
    expected = key.secret_hash if key else hashed("")
    if not hmac.compare_digest(hashed(secret), expected) or key is None or not key.valid:
        request.app.state.guesses.admit(request, "key", "by API key")
        request.app.state.guesses.failed(request, "key")
        if key is not None:
            request.app.state.refusals.wrong_key(request, key_id)
        raise Unauthenticated(
            "The API key is not valid: check key and secret, that it is enabled and not expired, and that the user who"
            " made it is neither disabled nor locked."
        )
    if key.stale:
        await touch_key(db, key_id)
    granted = read_only(key.permissions) if key.read_only else expanded(key.permissions)
    if key.created_by is not None:
        granted = bounded(granted, key.owner_permissions)
    return Caller("key", granted, key_id=key.key_id, owner_id=key.created_by, expires=key.expires)


def basic_credentials(authorization: str) -> tuple[str, str]:
    """Name and password of an HTTP Basic header.

    Raises:
        Unauthenticated: the header is of another kind or cannot be read.
    """
    scheme, _, encoded = authorization.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError(scheme)
        name, separator, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (ValueError, binascii.Error) as error:
        raise Unauthenticated("The Authorization header must be HTTP Basic with API key and secret.") from error
    if not separator or "\0" in name:
        raise Unauthenticated("The Authorization header must be HTTP Basic with API key and secret.")
    return name, password


@dataclass(frozen=True, slots=True)
class RouteAccess:
    """One route and what it says about access; `declared` is None where it says nothing."""

    method: str
    path: str
    declared: Declared | None


def access_of(app: FastAPI) -> Iterator[RouteAccess]:
    """All routes of `app` with their declarations."""
    for context in iter_route_contexts(app.routes):
        declared = _declared(getattr(context, "dependant", None))
        for method in sorted(context.methods or ()):
            yield RouteAccess(method, context.path or "", declared)


def check_declared(app: FastAPI) -> None:
    """Refuse to serve an app in which a route does not say who may use it: deny by default."""
    silent = [f"{route.method} {route.path}" for route in access_of(app) if route.declared is None]
    if silent:
        raise AssertionError(f"routes without requires(…) or public_route(…): {', '.join(silent)}")


def _declared(dependant: Any) -> Declared | None:
    for dependency in getattr(dependant, "dependencies", ()):
        if isinstance(dependency.call, Declared):
            return dependency.call
        if found := _declared(dependency):
            return found
    return None

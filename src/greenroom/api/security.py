"""Authentication and permissions of routes: a user with the console's cookie, or a program with an API key.

Every route declares its requirements; otherwise the api does not start. `requires(…)` = all of these permissions;
`requires_one_of(…)` = at least one, and the route checks the object; `requires_own_or(…)` = the caller's own session,
or every session with the permission; `public_route(…)` = no credential. Cross-site requests are refused earlier
(`greenroom.api.hardening`).

    @router.get("/zones")
    async def list_zones(db: Db, caller: Annotated[Caller, requires("zones_view")]) -> list[Zone]: …

A code that the caller has only in the scope of a role counts on routes with a `scope` (`greenroom.api.scopes`).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import iter_route_contexts

from greenroom.api.diagnostics.audit_events import begin_operation
from greenroom.api.hardening import LOGIN_COOKIE, host_name
from greenroom.api.scopes import ListScope, ObjectScope
from greenroom.core.access.networks import are_within, is_inside
from greenroom.core.access.permissions import (
    USER,
    allows,
    implied_codes,
    missing_admin_codes,
    missing_codes,
)
from greenroom.core.access.roles import PlaceKind, codes_in, places_with
from greenroom.core.errors import Forbidden, NotFound, PasswordChangeRequired, SecondFactorRequired, Unauthenticated
from greenroom.core.fleet.addresses import HTTPS_PORT
from greenroom.db.access.api_keys import ApiKey, touch_key
from greenroom.db.access.credentials import find_login, touch_login
from greenroom.db.database import Database
from greenroom.kit.concurrency import CoalescedReads
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import secret_digest


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request. A user has `user_id` and `username`, and a program has `key_id`. A SCIM client has
    `key_id`, its id, and `label`. `permissions` also contains codes with a place (`core.access.roles`), which `may`
    does not count."""

    kind: Literal["user", "key", "scim"]
    permissions: frozenset[str]
    user_id: str | None = None
    username: str | None = None
    key_id: str | None = None
    token_hash: bytes | None = None
    owner_id: str | None = None
    """The responsible user: the caller, or the owner of the API key; None = the first key of the installation."""
    expires: datetime | None = None
    max_leases: int | None = None
    """The limit of leases of the API key at the time of authentication; None = no limit."""
    max_lease_s: int | None = None
    networks: tuple[str, ...] = ()
    """The networks from which the API key may be used; empty = anywhere."""
    label: str | None = None
    """The name of the caller in sentences, if the caller is neither a user nor an API key."""
    local: frozenset[str] = frozenset()
    """The codes that count for the object of the request because of the scope of a role."""
    must_change_password: bool = False
    """True if the user logged in with an initial password and must change it first (`require_password_change`)."""
    must_enroll: bool = False
    """True if the user must enroll a second factor first (`require_second_factor`)."""

    @property
    def name(self) -> str:
        return self.label or self.username or f"API key {self.key_id}"

    @property
    def counted(self) -> frozenset[str]:
        """The codes that count for the object of the request."""
        return self.permissions | self.local

    def may(self, *codes: str) -> bool:
        return allows(self.counted, codes)

    def ids_in_scope(self, code: str, kind: PlaceKind) -> list[str] | None:
        """Return the ids of the zones or groups in which the caller has the code; None = everywhere."""
        if allows(self.permissions, (code,)):
            return None
        places = places_with(self.permissions, code)
        return sorted(place.partition(":")[2] for place in places if place.startswith(f"{kind}:"))

    def in_places(self, codes: Iterable[str], places: Iterable[str]) -> Caller:
        """Return the caller with those of `codes` that the caller has in one of these places."""
        return replace(self, local=codes_in(self.permissions, places) & frozenset(codes))

    def require(self, *codes: str) -> None:
        """Require all of these permissions. Raises Forbidden: the error contains the missing permissions."""
        if not self.may(*codes):
            missing = [code for code in codes if code not in self.counted]
            raise Forbidden(f"This needs the permission {', '.join(missing)}.", required=list(codes))

    def require_one_of(self, *codes: str) -> None:
        """Require at least one of these permissions. Raises Forbidden: the error contains them."""
        if codes and not any(self.may(code) for code in codes):
            raise Forbidden(f"This needs one of the permissions {', '.join(codes)}.", required=list(codes))

    def require_right_over(self, permissions: Iterable[str]) -> None:
        """Without `users_modify_admin`, refuse to change a user with `permissions` that the caller lacks. Raises
        Forbidden: the error contains the missing permission."""
        if missing_admin_codes(self.permissions, permissions):
            self.require("users_modify_admin")

    def require_right_to_grant(self, codes: Iterable[str]) -> None:
        """Refuse to grant permissions that the caller lacks. Raises Forbidden: the error contains them."""
        if missing := missing_codes(self.permissions, codes):
            names = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            raise Forbidden(f"You cannot grant permissions that you do not have: {names}.", required=missing)

    def require_earlier_expiration(self, expires: datetime | None) -> None:
        """Refuse a credential that is valid longer than the API key of the request. Raises Forbidden: it would be."""
        if self.expires is not None and (expires is None or expires > self.expires):
            raise Forbidden(
                f"The API key of the request expires at {self.expires:%Y-%m-%d %H:%M} UTC. Set an earlier time."
            )

    def require_within_networks(self, networks: Sequence[str]) -> None:
        """Refuse a credential that may be used from more `networks` than the API key of the request (empty = anywhere).
        Raises Forbidden: it may."""
        if not are_within(networks, self.networks):
            raise Forbidden(
                f"The API key of the request may only be used from {', '.join(self.networks)}. It cannot create a "
                "credential for other networks."
            )

    def own_user_id(self) -> str:
        """Return the id of the calling user. Raises Forbidden: the caller is an API key."""
        if self.user_id is None:
            raise Forbidden("An API key has no account; log in as a user.")
        return self.user_id


class AccessDeclaration:
    """A dependency that declares the requirements of a route; `codes` None = it needs no credential."""

    codes: tuple[str, ...] | None = None
    one_of: tuple[str, ...] = ()
    scope: ObjectScope | ListScope | None = None
    """How the places of the object are found; None = codes in the scope of a role do not count."""
    credentials: tuple[str, ...] = ("apiKey", "logIn")
    """The security schemes of the OpenAPI document, each of which is sufficient."""


class Requires(AccessDeclaration):
    """Authenticates the caller and requires permissions."""

    def __init__(
        self,
        *codes: str,
        one_of: tuple[str, ...] = (),
        with_one_time_password: bool = False,
        scope: ObjectScope | ListScope | None = None,
        before_enrollment: bool = False,
    ) -> None:
        self.codes = codes
        self.one_of = one_of
        self.scope = scope
        self._with_one_time_password = with_one_time_password
        self._before_enrollment = before_enrollment or with_one_time_password

    async def __call__(self, request: Request) -> Caller:
        """Authenticate and authorize the caller.

        Raises:
            Unauthenticated: the request has no valid credential.
            Forbidden: a permission is missing, the initial password must be changed first, or a second factor must be
                enrolled first.
            NotFound: the object is outside of the scope of the caller's role, and not visible to the caller.
        """
        request.state.caller = caller = await authenticate(request)
        if caller.must_change_password and not self._with_one_time_password:
            raise PasswordChangeRequired
        if caller.must_enroll and not self._before_enrollment:
            raise SecondFactorRequired
        counted, hidden, hint = caller, "", ""
        needed = [code for code in (*(self.codes or ()), *self.one_of) if not caller.may(code)]
        if isinstance(self.scope, ListScope):
            counted = replace(caller, local=frozenset(code for code in needed if places_with(caller.permissions, code)))
        elif self.scope is not None:
            found = await self.scope.count(request, caller.permissions, needed)
            hidden, hint = found.hidden, found.hint
            request.state.caller = caller = counted = replace(caller, local=found.codes)
        try:
            counted.require(*(self.codes or ()))
            counted.require_one_of(*self.one_of)
        except Forbidden as error:
            if hidden:
                raise NotFound(f"There is no such {hidden}; it may have been deleted.") from error
            raise Forbidden(f"{error.message} {hint}".strip(), required=needed) from error
        await begin_operation(request)
        return caller


class PublicAccess(AccessDeclaration):
    """Marks a route that needs no credential, or checks another credential, for this `reason`."""

    credentials = ()

    def __init__(self, reason: str) -> None:
        self.reason = reason

    async def __call__(self, request: Request) -> None:
        """Allow every request."""
        await begin_operation(request)


def requires(
    *codes: str,
    with_one_time_password: bool = False,
    before_enrollment: bool = False,
    scope: ObjectScope | ListScope | None = None,
) -> Any:
    """Return the dependency of a route that needs a valid credential and all of `codes`; its value is the `Caller`.

    `with_one_time_password`: a user who must change an initial password or enroll a second factor first may call the
    route, too. `before_enrollment`: only a user who must enroll a second factor first may call it, too. `scope`: codes
    in the scope of a role count for objects in this scope.
    """
    return Depends(
        Requires(
            *codes, with_one_time_password=with_one_time_password, before_enrollment=before_enrollment, scope=scope
        )
    )


def requires_one_of(*codes: str, scope: ObjectScope | ListScope | None = None) -> Any:
    """Return the dependency of a route that needs a valid credential and at least one of `codes`."""
    return Depends(Requires(one_of=codes, scope=scope))


def requires_own_or(code: str, scope: ObjectScope | ListScope | None = None) -> Any:
    """Return the dependency of a route about sessions: the caller's own sessions with the permission `user`, or all
    sessions with the permission `code`."""
    return requires_one_of(USER, code, scope=scope)


def public_route(reason: str) -> Any:
    """Return the dependency of a route that needs no credential, or checks another credential, for this `reason`."""
    return Depends(PublicAccess(reason))


def client_address(request: Request) -> str:
    """Return the address of the client, as the gateway on loopback reports it to uvicorn."""
    return request.client.host if request.client else "an unknown address"


def origin_of(request: Request) -> str:
    """Return the origin (scheme and host) at which the caller addressed the console; the host was checked before."""
    return f"https://{request.headers['host']}"


def console_origin(request: Request) -> str:
    """Return the origin of the console at the requested host: its port is that of the public address, because pages of
    sessions and of other programs may be at all other ports of the host."""
    config: ApiConfig = request.app.state.config
    port = urlsplit(config.public_url).port or HTTPS_PORT
    return f"https://{host_name(request.headers['host'])}{'' if port == HTTPS_PORT else f':{port}'}"


async def authenticate(request: Request) -> Caller:
    """Return the caller, by API key or by cookie. Raises Unauthenticated: there is no credential, or it is not
    valid."""
    authorization = request.headers.get("authorization", "")
    if authorization:
        key_id, secret = basic_credentials(authorization)
        return await key_caller(request, key_id, secret)
    token = request.cookies.get(LOGIN_COOKIE)
    if not token:
        raise Unauthenticated
    return await login_caller(request, secret_digest(token))


async def login_caller(request: Request, token_hash: bytes) -> Caller:
    """Return the user whose log-in has this hash. Raises Unauthenticated: the log-in has ended."""
    db: Database = request.app.state.db
    settings = request.app.state.snapshot.installation
    login = await find_login(db, token_hash, settings.session_idle_s)
    if login is None:
        raise Unauthenticated("Your log-in has ended; please log in again.")
    if login.needs_touch:
        await touch_login(db, token_hash)
    return Caller(
        "user",
        implied_codes(login.permissions),
        login.user_id,
        login.username,
        token_hash=token_hash,
        owner_id=login.user_id,
        must_change_password=login.password_once and settings.require_password_change,
        must_enroll=login.must_enroll,
    )


async def key_caller(request: Request, key_id: str, secret: str) -> Caller:
    """Return the program with this API key. It has those permissions of the key that the owner has, too.

    Raises:
        Unauthenticated: the key does not exist, the secret is wrong, or the key is disabled or expired.
        TooManyRequests: the key is wrong, and there were too many wrong keys from this address.
    """
    db: Database = request.app.state.db
    keys: CoalescedReads[ApiKey | None] = request.app.state.keys
    key = await keys.get(key_id)
    if (
        not _is_secret_of(key, secret)
        or key is None
        or not key.valid
        or not is_inside(client_address(request), key.networks)
    ):
        request.app.state.failed_attempts.count_wrong_key(request, "by API key")
        if key is not None:
            request.app.state.refusals.log_wrong_key(request, key_id)
        raise Unauthenticated(
            "The API key is not valid. Check the key and the secret. The key must be enabled and not expired. Its "
            "owner must not be disabled, locked or expired, and the networks of the owner must contain your address."
        )
    if key.needs_touch:
        await touch_key(db, key_id)
    return Caller(
        "key",
        key.effective_codes,
        key_id=key.key_id,
        owner_id=key.created_by,
        expires=key.ends,
        max_leases=key.max_leases,
        max_lease_s=key.max_lease_s,
        networks=tuple(key.networks),
    )


def _is_secret_of(key: ApiKey | None, secret: str) -> bool:
    """Compare a secret with the secrets of a key. The comparison takes the same time if there is no key."""
    present, old = (key.secret_hash, key.old_secret_hash) if key else (secret_digest(""), None)
    digest = secret_digest(secret)
    is_old = hmac.compare_digest(digest, old or bytes(len(digest))) and old is not None
    return hmac.compare_digest(digest, present) or is_old


def basic_credentials(authorization: str) -> tuple[str, str]:
    """Return the name and the password of an HTTP Basic header. Raises Unauthenticated: the header has another scheme
    or cannot be parsed."""
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
    """One route and its declaration of access; `declared` is None if there is none."""

    method: str
    path: str
    declared: AccessDeclaration | None


def access_of(app: FastAPI | APIRouter) -> Iterator[RouteAccess]:
    """Yield all routes of `app` with their declarations."""
    for context in iter_route_contexts(app.routes):
        declared = _find_declaration(getattr(context, "dependant", None))
        for method in sorted(context.methods or ()):
            yield RouteAccess(method, context.path or "", declared)


def check_access_declared(app: FastAPI | APIRouter) -> None:
    """Check that every route declares its access. Raises AssertionError: a route does not declare it."""
    undeclared = [f"{route.method} {route.path}" for route in access_of(app) if route.declared is None]
    if undeclared:
        raise AssertionError(f"routes without requires(…) or public_route(…): {', '.join(undeclared)}")


def _find_declaration(dependant: Any) -> AccessDeclaration | None:
    for dependency in getattr(dependant, "dependencies", ()):
        if isinstance(dependency.call, AccessDeclaration):
            return dependency.call
        if declared := _find_declaration(dependency):
            return declared
    return None

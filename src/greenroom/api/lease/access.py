"""Authentication and authorization of the callers of routes about one lease."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from fastapi import Depends, Request

from greenroom.api.diagnostics.audit_events import begin_operation
from greenroom.api.security import AccessDeclaration, Caller, Requires
from greenroom.api.session.authorized import authorize, kind_of, session_caller_of
from greenroom.core.access.permissions import USER
from greenroom.core.errors import NotFound, Unauthenticated
from greenroom.core.session.authorization import TABLE, Act, Kind, SessionCaller, is_other_user
from greenroom.core.session.states import OVER
from greenroom.db.database import Database
from greenroom.db.lease.leases import LeaseRow, get_lease
from greenroom.db.session.commands import mark_screenshot
from greenroom.kit.secrets import Secrets, is_same

_REFUSAL_MESSAGE = "This token is not valid for this lease, or the lease is over."
LEASE_FOR_OTHERS: Final = "leases_create_for_others"
"""Permission to lease sessions for other users."""


@dataclass(frozen=True, slots=True)
class AuthorizedLease:
    """A lease on which the caller may do the declared act. `caller` is None if the request has the token of the
    lease."""

    lease: LeaseRow
    caller: Caller | None


class AuthorizesLease(AccessDeclaration):
    """A dependency that returns the lease of the path if the caller may do `act` on its session.

    It logs the access if the authorization table requires that. A program sends the lease token (`Authorization:
    Bearer`).
    """

    credentials = ("apiKey", "logIn", "leaseToken")

    def __init__(self, act: Act) -> None:
        self.acts = (act,)
        self._requires = Requires(one_of=(USER, "users_auth_session", LEASE_FOR_OTHERS, *TABLE[act].others_need))
        self.codes = self._requires.codes
        self.one_of = self._requires.one_of

    async def __call__(self, request: Request, lease_id: UUID) -> AuthorizedLease:
        """Authenticate and authorize.

        Raises:
            Unauthenticated: there is no valid credential, or the token belongs to another lease or to a lease that is
                over.
            Forbidden: a permission is missing, or the session or its user's groups do not allow the act.
            errors.Held: a person has control, and the act is not allowed to the program meanwhile.
            NotFound: the lease does not exist, or the caller may not see it.
        """
        db: Database = request.app.state.db
        (act,) = self.acts
        token = bearer_token(request)
        if token is not None:
            lease = await _lease_of_valid_token(request, str(lease_id), token)
            await authorize(db, act, SessionCaller(kind=Kind.PROGRAM), lease, held_by=lease.held_by)
            await begin_operation(request)
            return AuthorizedLease(lease, None)
        caller = await self._requires(request)
        lease = await get_lease(db, str(lease_id))
        session_caller = session_caller_of(caller, lease.user_id, kind_of(caller, lease.user_id, lease.key_id))
        verdict = await authorize(db, act, session_caller, lease, held_by=lease.held_by)
        if verdict.logged and is_other_user(session_caller):
            request.app.state.act_log.record(caller, act, lease)
        if verdict.informs_user:
            await mark_screenshot(db, lease.session_id)
        return AuthorizedLease(lease, caller)


class AuthenticatesControl(Requires):
    """A dependency that returns the caller of a request for control. `control.person_of` authorizes the caller."""

    acts = (Act.CONTROL,)

    def __init__(self) -> None:
        super().__init__(one_of=(USER, "users_auth_session", LEASE_FOR_OTHERS))


def bearer_token(request: Request) -> str | None:
    """Return the token in `Authorization: Bearer`; None if the request has no such header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def lease_of_token(request: Request, token: str) -> LeaseRow:
    """Return the lease of a token, which contains the id of the lease.

    Raises:
        Unauthenticated: the token is not valid.
        TooManyRequests: there were too many wrong tokens from this address.
    """
    return await _lease_of_valid_token(request, token.partition(".")[0], token)


async def _lease_of_valid_token(request: Request, lease_id: str, token: str) -> LeaseRow:
    secrets: Secrets = request.app.state.secrets
    try:
        lease = await get_lease(request.app.state.db, str(UUID(lease_id)))
    except (NotFound, ValueError):
        lease = None
    expected = secrets.lease_token(lease.lease_id, lease.auth_epoch) if lease is not None else ""
    if lease is None or not is_same(token, expected) or lease.status in OVER:
        request.app.state.failed_attempts.count_wrong_key(request, "by the token of a lease")
        raise Unauthenticated(_REFUSAL_MESSAGE)
    request.state.lease_id = lease.lease_id  # the actor of the audit
    return lease


def is_holder(caller: Caller, lease: LeaseRow) -> bool:
    """True if the API key of the caller created the lease, or its session belongs to the caller."""
    return kind_of(caller, lease.user_id, lease.key_id) is not Kind.OTHER


def lease_for(act: Act) -> Any:
    """Return the dependency of a route that does `act` on the session of one lease. Its value: `AuthorizedLease`."""
    return Depends(AuthorizesLease(act))

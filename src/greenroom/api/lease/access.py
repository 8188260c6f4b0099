"""Who may act on a lease: the one who has its token, who holds it, and callers with a permission for all sessions."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from fastapi import Depends, Request

from greenroom.api.security import Caller, Declared, Requires
from greenroom.core.access.permissions import USER
from greenroom.core.errors import NotFound, Unauthenticated
from greenroom.core.session.states import SessionStatus
from greenroom.db.lease.leases import Lease, get_lease
from greenroom.kit.secrets import Secrets

_REFUSAL = "This token opens no lease here: it is another lease's, or the lease is over."
FOR_OTHERS: Final = "leases_create_for_others"
"""Permission to lease sessions for other users."""
_OVER = frozenset({SessionStatus.DELETING, SessionStatus.DELETED, SessionStatus.FAILED})


class HoldsLease(Declared):
    """Gives the lease of the path to its token (`Authorization: Bearer`), its holder, and callers with `code`."""

    credentials = ("apiKey", "logIn", "leaseToken")

    def __init__(self, code: str) -> None:
        self._code = code
        self._requires = Requires(one_of=(USER, "users_auth_session", FOR_OTHERS, code))
        self.codes = self._requires.codes
        self.one_of = self._requires.one_of

    async def __call__(self, request: Request, lease_id: UUID) -> Lease:
        """Authenticate and authorize.

        Raises:
            Unauthenticated: no valid credential came, or a token that is not this lease's or whose lease is over.
            Forbidden: a permission is missing.
            NotFound: there is no such lease, or the caller may not see it.
        """
        token = bearer_token(request)
        if token is not None:
            return await _by_token(request, str(lease_id), token)
        caller = await self._requires(request)
        lease = await get_lease(request.app.state.db, str(lease_id))
        if not is_holder(caller, lease) and not caller.may(self._code):
            raise NotFound(f"There is no lease {lease_id}; it may have been deleted.")
        return lease


def bearer_token(request: Request) -> str | None:
    """The token in `Authorization: Bearer`; None = the caller shows something else, or nothing."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def lease_of_token(request: Request, token: str) -> Lease:
    """The lease that a token opens; its id is in it. Raises Unauthenticated: it opens none."""
    try:
        lease_id = str(UUID(token.partition(".")[0]))
    except ValueError as error:
        raise Unauthenticated(_REFUSAL) from error
    return await _by_token(request, lease_id, token)


async def _by_token(request: Request, lease_id: str, token: str) -> Lease:
    secrets: Secrets = request.app.state.secrets
    refusal = Unauthenticated(_REFUSAL)
    try:
        lease = await get_lease(request.app.state.db, lease_id)
    except NotFound as error:
        raise refusal from error
    if not secrets.is_lease_token(token, lease_id, lease.auth_epoch) or lease.status in _OVER:
        raise refusal
    return lease


def is_holder(caller: Caller, lease: Lease) -> bool:
    """Whether the lease was made with this API key, or its session is this user's."""
    if caller.key_id is not None:
        return caller.key_id == lease.key_id
    return caller.user_id is not None and caller.user_id == lease.user_id


def holds_lease(code: str) -> Any:
    """Dependency of a route about one lease (`HoldsLease`); gives the `Lease`."""
    return Depends(HoldsLease(code))

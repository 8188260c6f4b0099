"""Who may use `/mcp`: a program with an API key, or with a lease's token, then for that lease alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request

from greenroom.api.csrf import foreign_origin_reason
from greenroom.api.lease.access import bearer_token, lease_of_token
from greenroom.api.security import Declared, basic_credentials, key_caller
from greenroom.core.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Asker:
    """The caller. `lease_id` is that of the token that was shown; None = an API key was."""

    lease_id: str | None


class ShowsKeyOrToken(Declared):
    """Requires a credential that no browser adds by itself; what it permits is checked by the route of each tool."""

    codes = ()

    async def __call__(self, request: Request) -> Asker:
        """Authenticate the caller.

        Raises:
            Forbidden: a page of another site asks, as it could after DNS rebinding.
            Unauthenticated: no valid API key or token of a lease came.
        """
        if reason := foreign_origin_reason(request.headers):
            raise Forbidden(reason, reason="cross-site")
        token = bearer_token(request)
        if token is not None:
            return Asker((await lease_of_token(request, token)).lease_id)
        key_id, secret = basic_credentials(request.headers.get("authorization", ""))
        request.state.caller = await key_caller(request, key_id, secret)
        return Asker(None)


def shows_key_or_token() -> Any:
    """Dependency of `/mcp`; gives the `Asker`."""
    return Depends(ShowsKeyOrToken())

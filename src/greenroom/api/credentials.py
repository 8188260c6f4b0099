"""The credentials of both OpenAPI documents: their schemes, and which of them each operation takes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from greenroom.api.hardening import COOKIE
from greenroom.api.security import RouteAccess

Json = dict[str, Any]

SERVERS: Final[list[dict[str, str | Any]]] = [{"url": "/", "description": "This deployment."}]
LICENSE: Final = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
API_KEY: Final[Json] = {"type": "http", "scheme": "basic", "description": "An API key and its secret."}
SCHEMES: Final[Json] = {
    "apiKey": API_KEY,
    "logIn": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "The cookie of `POST /api/v1/login`. A request that changes something also has the header"
        " `Origin` or `Sec-Fetch-Site: same-origin`.",
    },
    "leaseToken": {"type": "http", "scheme": "bearer", "description": "The token of one lease, for that lease."},
}

_CONVERTER: Final = re.compile(r":\w+}")


def add_credentials(document: Json, routes: Iterable[RouteAccess]) -> None:
    """Add the schemes, and to each operation those that open it; none to an operation that needs no credential."""
    document["components"]["securitySchemes"] = SCHEMES
    taken = {(route.method.lower(), _CONVERTER.sub("}", route.path)): route.declared for route in routes}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            declared = taken[method, path]
            operation["security"] = [{name: []} for name in declared.credentials] if declared else []
    for hook in document["webhooks"].values():
        hook["post"]["security"] = []

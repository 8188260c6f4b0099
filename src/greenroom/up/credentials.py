"""`DATA/credentials.json`: the one-time password and the API key of a new instance (CONTRACT, "greenroom up")."""

from __future__ import annotations

from typing import Any, Final

from greenroom.db.database import Database
from greenroom.db.instance import password_is_one_time
from greenroom.up.layout import Layout, read_json

ADMIN: Final = "admin@greenroom.local"


async def read_credentials(db: Database, layout: Layout) -> dict[str, Any]:
    """`admin`, `api_key` and `api_key_secret` of the object of `--json`; the password is null once it was changed."""
    stored = read_json(layout.credentials)
    password = stored.get("admin_password") if await password_is_one_time(db, ADMIN) else None
    return {
        "admin": {"username": ADMIN, "password": password},
        "api_key": stored.get("api_key"),
        "api_key_secret": stored.get("api_key_secret"),
    }

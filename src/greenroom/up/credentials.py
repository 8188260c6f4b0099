"""`DATA/credentials.json`: the one-time password and the API key of a new instance (CONTRACT, "greenroom up")."""

from __future__ import annotations

import asyncio
import secrets
import string
from pathlib import Path
from typing import Any

from greenroom.db import first_data
from greenroom.db.database import Database
from greenroom.db.first_data import ADMIN
from greenroom.db.instance import password_is_one_time
from greenroom.kit.passwords import hash_password
from greenroom.kit.secrets import hashed, new_secret
from greenroom.up.layout import Layout, read_json, write_json


async def ensure_first_data(db: Database, file: Path, image: str, *, reachable: bool) -> None:
    """Make the first data of a new installation, with a password and a key that are in `file` before.

    A database that has data already (one's own, used before) keeps it, and the file is not written.
    """
    stored = read_json(file)
    fresh = not stored
    if fresh:
        stored = {"api_key": new_key_id(), "api_key_secret": new_secret(), "admin_password": secrets.token_urlsafe(12)}
        write_json(file, stored, 0o600)
    made = await first_data.ensure_first_data(
        db,
        image=image,
        admin_password_hash=hash_password(stored["admin_password"]),
        key_id=stored["api_key"],
        key_secret_hash=hashed(stored["api_key_secret"]),
        reachable=reachable,
    )
    if fresh and not made:
        await asyncio.to_thread(file.unlink)


def new_key_id() -> str:
    """The public half of an API key: 12 letters and digits."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(12))


async def read_credentials(db: Database, layout: Layout) -> dict[str, Any]:
    """`admin`, `api_key` and `api_key_secret` of the object of `--json`; the password is null once it was changed."""
    stored = read_json(layout.credentials)
    password = stored.get("admin_password") if await password_is_one_time(db, ADMIN) else None
    return {
        "admin": {"username": ADMIN, "password": password},
        "api_key": stored.get("api_key"),
        "api_key_secret": stored.get("api_key_secret"),
    }

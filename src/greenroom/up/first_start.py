"""What an instance needs once: ids, the installation's key, migrations, first data, and its credentials.

`DATA/credentials.json` has the one-time password and the API key of a new instance (CONTRACT, "greenroom up").
"""

from __future__ import annotations

import asyncio
import secrets
import string
import uuid
from pathlib import Path
from typing import Any

from greenroom.db import installation
from greenroom.db.database import Database
from greenroom.db.installation import (
    ADMIN,
    ensure_zones,
    installation_id,
    let_join,
    password_is_one_time,
    zone_of_agent,
)
from greenroom.kit.passwords import hash_password
from greenroom.kit.secrets import Secrets, hashed, new_secret
from greenroom.up.account import Accounts
from greenroom.up.endpoints import Endpoints
from greenroom.up.layout import Layout, own, read_json, write_json, write_text
from greenroom.up.options import Settings


async def ensure_first_data(db: Database, file: Path, image: str, *, reachable: bool) -> None:
    """Insert the first data of a new installation; `file` gets its password and API key before that. A database with
    data (an external one, used before) keeps it, and the file is not written."""
    stored = read_json(file)
    fresh = not stored
    if fresh:
        stored = {"api_key": new_key_id(), "api_key_secret": new_secret(), "admin_password": secrets.token_urlsafe(12)}
        write_json(file, stored, 0o600)
    made = await installation.ensure_first_data(
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


JOIN_HOURS = 1
"""An Agent that has not joined by then needs another `up`."""


def ensure_files(layout: Layout, settings: Settings, accounts: Accounts) -> None:
    """Make folders and ids of Managers and Agents, sentinel folders and the installation's key; what exists is kept."""
    account = accounts.services
    for name, _ in settings.manager_names:
        folder = layout.manager(name)
        own(folder, 0o700, account)
        if not (folder / "instance_id").exists():
            write_text(folder / "instance_id", f"{name}-{uuid.uuid4().hex[:8]}\n", 0o600, account)
        own(layout.sentinel((folder / "instance_id").read_text().strip()).parent, 0o755, account)
    for name, _ in settings.agent_names:
        own(layout.agent(name), 0o700)
        if not (layout.agent(name) / "agent_id").exists():
            write_text(layout.agent(name) / "agent_id", f"{uuid.uuid4()}\n", 0o600)
    if not layout.key_file.exists():
        Secrets.create_file(layout.key_file)
        write_text(layout.key_file, layout.key_file.read_text(), 0o600, account)
    credential = Secrets.from_file(layout.key_file).gateway_credential()
    write_text(layout.gateway_credential, credential, 0o600, accounts.gateway)


async def ensure_rows(db: Database, layout: Layout, settings: Settings, here: Endpoints) -> None:
    """Insert zones, and a join token for each Agent that the database does not know or that lost its credential; write
    the installation's id to a file."""
    write_text(layout.installation_id, await installation_id(db) + "\n", 0o644)
    origins = ",".join(dict.fromkeys(["127.0.0.1", "localhost", settings.host]))
    await ensure_zones(db, settings.zones, origins, f"127.0.0.1:{settings.port}", here.stream_port)
    for agent in here.agents:
        zone_id, identity = await zone_of_agent(db, agent.agent_id), layout.agent(agent.name) / "identity.json"
        if zone_id is not None and identity.exists():
            continue
        token = new_secret()
        await let_join(db, hashed(token), agent.zone, JOIN_HOURS, agent.agent_id if zone_id else None)
        write_text(layout.agent(agent.name) / "join_token", f"{token}\n", 0o600)
        identity.unlink(missing_ok=True)

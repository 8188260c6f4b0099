"""The rows that an instance needs in its database at the start: first data, zones, join tokens; and its credentials.

`DATA/credentials.json` contains the initial password and the API key of a new instance.
"""

from __future__ import annotations

import asyncio
import secrets
import string
from dataclasses import dataclass
from pathlib import Path

from greenroom.core.access.accounts import ADMIN
from greenroom.core.fleet.addresses import LOCAL_HOSTS
from greenroom.db.database import Database
from greenroom.db.installation import installation_id
from greenroom.kit.passwords import hash_password
from greenroom.kit.secrets import new_secret, secret_digest
from greenroom.up import installation
from greenroom.up.installation import allow_join, ensure_zones, has_one_time_password, zone_of_agent
from greenroom.up.layout import Layout, read_json, write_json, write_text
from greenroom.up.progress import AdminLogin
from greenroom.up.site import Site


async def ensure_first_data(db: Database, file: Path, image: str, *, reachable: bool) -> None:
    """Write the password and the API key of a new installation to `file`, then insert the first data. A database with
    data (an external database that was used before) is not changed, and `file` is deleted if this call created it.
    `reachable`: other machines can reach the installation.
    """
    is_new = not read_json(file)
    stored = prepare_credentials(file)
    inserted = await installation.ensure_first_data(
        db,
        image=image,
        admin_password_hash=hash_password(stored["admin_password"]),
        key_id=stored["api_key"],
        key_secret_hash=secret_digest(stored["api_key_secret"]),
        reachable=reachable,
    )
    if is_new and not inserted:
        await asyncio.to_thread(file.unlink)


def prepare_credentials(file: Path) -> dict[str, str]:
    """Return the password and API key in `file`. Create them if the file does not contain them."""
    stored = read_json(file)
    if not stored:
        stored = {"api_key": new_key_id(), "api_key_secret": new_secret(), "admin_password": secrets.token_urlsafe(12)}
        write_json(file, stored, 0o600)
    return stored


def new_key_id() -> str:
    """Return the id of a new API key: 12 letters and digits. The id is not secret."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(12))


@dataclass(frozen=True, slots=True)
class FirstCredentials:
    """The credentials that `up` created for the first administrator. The values are None if the file was removed."""

    admin: AdminLogin
    api_key: str | None
    api_key_secret: str | None


async def read_credentials(db: Database, layout: Layout) -> FirstCredentials:
    """Return the first credentials. The password is None after the administrator has replaced it."""
    stored = read_json(layout.credentials)
    password = stored.get("admin_password") if await has_one_time_password(db, ADMIN) else None
    return FirstCredentials(AdminLogin(ADMIN, password), stored.get("api_key"), stored.get("api_key_secret"))


async def ensure_rows(db: Database, site: Site) -> None:
    """Insert zones, and a join token for each Agent that is not in the database or that lost its credential. Write the
    installation's id to a file.
    """
    settings = site.settings
    write_text(site.layout.installation_id, await installation_id(db) + "\n", 0o644)
    origins = ",".join(dict.fromkeys([*LOCAL_HOSTS, *settings.named_hosts]))
    await ensure_zones(db, settings.zones, origins, f"127.0.0.1:{settings.port}", site.ports["stream"])
    for agent in site.agents:
        identity = agent.folder / "identity.json"
        if identity.exists() and await zone_of_agent(db, agent.agent_id) is not None:
            continue
        token = new_secret()
        await allow_join(db, secret_digest(token), agent.zone, agent.agent_id)
        write_text(agent.folder / "join_token", f"{token}\n", 0o600)
        identity.unlink(missing_ok=True)

"""What an instance needs once: ids of its Managers and Agents, the installation's key, migrations and first data."""

from __future__ import annotations

import uuid

from greenroom.db.database import Database
from greenroom.db.instance import ensure_zones, installation_id, let_join, zone_of_agent
from greenroom.kit.secrets import Secrets, hashed, new_secret
from greenroom.up.account import Accounts
from greenroom.up.endpoints import Endpoints
from greenroom.up.layout import Layout, own, write_text
from greenroom.up.options import Settings

JOIN_HOURS = 1
"""An Agent that has not joined by then needs another `up`."""


def ensure_files(layout: Layout, settings: Settings, accounts: Accounts) -> None:
    """Folders and ids of Managers and Agents, sentinel folders and the installation's key; what exists is kept."""
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
    """Zones, a join token for each Agent the database does not know or that lost its credential, and the installation's
    id as a file."""
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

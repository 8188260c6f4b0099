"""The rows that no role can read, as `greenroom doctor` names them; their work is left undone meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from greenroom.db.access.groups import list_groups
from greenroom.db.access.users import list_users
from greenroom.db.catalogue.lists import list_catalogues
from greenroom.db.database import Database
from greenroom.db.fleet.machine_orders import list_orders
from greenroom.db.fleet.machine_pools import list_pools
from greenroom.db.fleet.views import list_agents
from greenroom.db.pool.configs import list_configs
from greenroom.db.session.views import SessionFilter, list_sessions
from greenroom.db.unreadable import collected
from greenroom.db.workspace.homes import HomeFilter, list_homes
from greenroom.db.workspace.images import list_images

_READS: Final[Mapping[str, Callable[[Database], Awaitable[object]]]] = {
    "Agent": list_agents,
    "group": list_groups,
    "home folder": lambda db: list_homes(db, HomeFilter()),
    "list of workspaces": list_catalogues,
    "machine order": list_orders,
    "machine pool": list_pools,
    "session": lambda db: list_sessions(db, SessionFilter()),
    "staging config": list_configs,
    "user": list_users,
    "workspace": list_images,
}


async def unreadable(db: Database) -> list[str]:
    """Each row that cannot be read, as a sentence with its ids.

    Raises:
        Unavailable: the database cannot be reached.
    """
    found = list[str]()
    for noun, read in _READS.items():
        with collected() as rows:
            await read(db)
        found += [f"a {noun} cannot be read, {row}" for row in rows]
    return found

"""Where a session is, for what acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from greenroom.core.errors import found
from greenroom.core.session.states import SessionStatus
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.workspace.session_spec import Service
from greenroom.db.database import Database
from greenroom.db.fleet.zones import PROXY_JSON
from greenroom.db.session.views import STATUS


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedSession:
    """A session, mostly of a lease. `auth_epoch` is that of the lease's token.
    `upstream_auth` is the `host[:port]` of a gateway, empty of rows of others."""

    session_id: str
    status: SessionStatus
    auth_epoch: int
    image_friendly_name: str
    agent_id: str | None
    proxy: ProxyFacts
    upstream_auth: str
    services: list[Service]


_SELECT: Final[LiteralString] = (
    "SELECT s.session_id::text, " + STATUS + " AS status, coalesce(l.auth_epoch, s.auth_epoch) AS auth_epoch,"
    " coalesce(i.friendly_name, '') AS image_friendly_name, s.agent_id::text, "
    + PROXY_JSON
    + " || jsonb_build_object('edge_url', coalesce(a.edge_url, '')) AS proxy,"
    " coalesce(s.spec->>'upstream_auth', '') AS upstream_auth, coalesce(s.spec->'services', '[]') AS services"
    " FROM sessions s LEFT JOIN leases l USING (session_id) LEFT JOIN images i USING (image_id)"
    " LEFT JOIN zones z ON z.zone_id = s.zone_id LEFT JOIN agents a ON a.agent_id = s.agent_id"
)


async def leased_session(db: Database, lease_id: str) -> LeasedSession:
    """Raises NotFound: there is no such lease."""
    return found(
        await db.fetch_one_as(LeasedSession, _SELECT + " WHERE l.lease_id = %s", (lease_id,)), "lease", lease_id
    )


async def session_to_reach(db: Database, session_id: str) -> LeasedSession:
    """Raises NotFound: there is no such session."""
    row = await db.fetch_one_as(LeasedSession, _SELECT + " WHERE s.session_id = %s", (session_id,))
    return found(row, "session", session_id)

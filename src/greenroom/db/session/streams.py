"""The api's look-ups for an Agent that asks about a viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from greenroom.core.session.states import SessionStatus
from greenroom.core.session.streams import ProxyFacts
from greenroom.db.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingAgent:
    """An Agent by its id."""

    agent_id: str
    credential_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSession:
    """The session asked about, after following `superseded_by` to the session that replaced it.

    `asked_agent_id` runs the session asked about, `agent_id` the one found; `family`: ids of this session and of all
    that it replaced, whose connect tokens stay valid (docs/explanation/protocols.md §3). `lease_id`: the lease that
    holds it, `lease_epoch` that of its token.
    """

    session_id: str
    asked_agent_id: str | None
    agent_id: str | None
    proxy_connections: bool
    proxy_path: str
    family: list[str]
    status: SessionStatus
    zone_name: str
    user_id: str | None
    auth_epoch: int
    lease_id: str | None
    lease_epoch: int | None
    username: str | None
    user_enabled: bool

    @property
    def path(self) -> str | None:
        """Where its stream is behind the web gateway; None without Proxy Connections."""
        if not self.proxy_connections or self.agent_id is None:
            return None
        return ProxyFacts(proxy_path=self.proxy_path).path_of(self.agent_id, self.session_id) + "/"


async def find_asking_agent(db: Database, agent_id: str) -> AskingAgent | None:
    """The Agent, or None if there is none with this id."""
    return await db.fetch_one_as(
        AskingAgent, "SELECT agent_id::text, credential_hash FROM agents WHERE agent_id::text = %s", (agent_id,)
    )


_STREAM_SESSION: Final[LiteralString] = """
WITH RECURSIVE forward AS (
    SELECT session_id, superseded_by, 0 AS depth FROM sessions WHERE session_id = %(session_id)s
    UNION ALL
    SELECT s.session_id, s.superseded_by, depth + 1
      FROM forward f JOIN sessions s ON s.session_id = f.superseded_by WHERE depth < 16
), family AS (
    (SELECT session_id, 0 AS depth FROM forward ORDER BY forward.depth DESC LIMIT 1)
    UNION ALL
    SELECT s.session_id, depth + 1
      FROM family f JOIN sessions s ON s.superseded_by = f.session_id WHERE depth < 16
)
SELECT s.session_id::text, s.agent_id::text, z.proxy_connections, z.proxy_path, s.status, z.zone_name,
       s.user_id::text, s.auth_epoch, u.username,
       l.lease_id::text, l.auth_epoch AS lease_epoch,
       coalesce(NOT u.disabled AND NOT u.locked, false) AS user_enabled,
       ARRAY(SELECT session_id::text FROM family) AS family,
       (SELECT agent_id::text FROM sessions WHERE session_id = %(session_id)s) AS asked_agent_id
  FROM family f
  JOIN sessions s ON s.session_id = f.session_id
  JOIN zones z ON z.zone_id = s.zone_id
  LEFT JOIN users u ON u.user_id = s.user_id
  LEFT JOIN leases l ON l.session_id = s.session_id
 WHERE f.depth = 0
"""


async def find_stream_session(db: Database, session_id: str) -> StreamSession | None:
    """The session that a stream of `session_id` leads to, or None if there is no such session."""
    return await db.fetch_one_as(StreamSession, _STREAM_SESSION, {"session_id": session_id})

"""What a round of the Primary did: log rows at once, notifications together at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenroom.db.database import Database
from greenroom.db.logs import Level, LogWriter


class News:
    """Collects the notifications of one round; `send` after the commits."""

    def __init__(self, logs: LogWriter, zone_name: str) -> None:
        self._logs = logs
        self._zone_name = zone_name
        self._events: set[str] = set()

    def log(self, level: Level, code: str, sentence: str, **fields: Any) -> None:
        """One row of Diagnostics."""
        self._logs.write(level, code, sentence[:1].upper() + sentence[1:], zone_name=self._zone_name, **fields)

    def add(self, *events: str) -> None:
        """Notifications `topic:id`."""
        self._events.update(events)

    def moved(self, row: Mapping[str, Any], reason: str, level: Level = "INFO") -> None:
        """A session changed; `row` has session_id and status, and whom else it concerns."""
        session_id, status = row["session_id"], row["status"]
        self.log(
            level,
            f"session-{status}",
            f"session {session_id} is {status}: {reason}",
            session_id=session_id,
            user_id=row.get("user_id"),
            staging_config_id=row.get("staging_config_id"),
        )
        self.add(f"session:{session_id}")
        if row.get("agent_id"):
            self.add(f"agent:{row['agent_id']}")
        if row.get("staging_config_id"):
            self.add(f"staging:{row['staging_config_id']}")

    async def send(self, db: Database) -> None:
        """Tell everybody."""
        if self._events:
            await db.notify(*self._events)
            self._events.clear()

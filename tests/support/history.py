"""The writes of the Primaries of a zone, and a check that they were allowed (docs/explanation/protocols.md §1).

`record` gives the zone an Agent with an offer that is never right: every Primary corrects it in each of its rounds, and
a trigger reverts the correction and records its author and leadership. The table `history` thus contains guarded writes
and every TAKE, ordered by the lock on the leadership row. `problems` checks it afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from greenroom.db.database import Database

PROBE: Final = "history-probe"
"""The hostname of the Agent with the wrong offer; it is pending forever."""

_SCHEMA: Final = """
CREATE TABLE history (
    history_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid        xid NOT NULL DEFAULT pg_current_xact_id()::xid,
    writer     text NOT NULL,
    term       bigint NOT NULL,
    holder     text NOT NULL,
    manager    text NOT NULL
);
CREATE FUNCTION history_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO history (kind, writer, term, holder, manager)
    SELECT 'write', replace(current_setting('application_name'), 'greenroom manager ', ''), l.term, l.holder,
           m.instance_id
      FROM agents a JOIN zones z USING (zone_id) JOIN zone_leases l USING (zone_key)
      JOIN managers m ON m.manager_id = l.manager_id
     WHERE a.agent_id = NEW.agent_id AND a.hostname = 'history-probe';
    IF FOUND THEN RETURN NULL; END IF;  -- not corrected: there is something to write again in the next round
    RETURN NEW;
END $$;
CREATE TRIGGER history_written BEFORE UPDATE ON agent_capacity FOR EACH ROW EXECUTE FUNCTION history_written();
CREATE FUNCTION history_taken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO history (kind, writer, term, holder, manager)
    SELECT 'take', replace(current_setting('application_name'), 'greenroom leadership ', ''), NEW.term, NEW.holder,
           m.instance_id FROM managers m WHERE m.manager_id = NEW.manager_id;
    RETURN NULL;
END $$;
CREATE TRIGGER history_taken AFTER UPDATE ON zone_leases FOR EACH ROW
    WHEN (NEW.backend_pid IS DISTINCT FROM OLD.backend_pid OR NEW.term <> OLD.term) EXECUTE FUNCTION history_taken()
"""
_AGENT: Final = """
WITH a AS (INSERT INTO agents (zone_id, hostname, credential_hash, status)
           SELECT zone_id, 'history-probe', '', 'pending' FROM zones WHERE zone_name = %s RETURNING agent_id)
INSERT INTO agent_capacity (agent_id, cores_reported) SELECT agent_id, 1 FROM a"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A guarded write or a TAKE. `writer` is the Manager whose connection executed it; `term`, `holder` (uuid of a
    process) and `manager` are those of the leadership at the same instant."""

    kind: Literal["write", "take"]
    writer: str
    term: int
    holder: str
    manager: str


async def record(db: Database, zone_name: str = "default") -> None:
    """Record the history of a zone, in the database of a single test."""
    await db.write(_SCHEMA)
    await db.write(_AGENT, (zone_name,))


async def read(db: Database) -> list[Entry]:
    """All entries, oldest first."""
    rows = await db.fetch("SELECT kind, writer, term, holder, manager FROM history ORDER BY history_id")
    return [Entry(**row) for row in rows]


def problems(entries: Iterable[Entry]) -> list[str]:
    """The violations as sentences: stale writes, terms out of order, terms with two holders."""
    found: list[str] = []
    holders: dict[int, str] = {}
    newest = 0
    for number, entry in enumerate(entries):
        what = f"entry {number}: {entry.kind} by {entry.writer} under term {entry.term}"
        if entry.writer != entry.manager:
            found.append(f"{what}, which {entry.manager} held")
        if entry.term < newest:
            found.append(f"{what} after one under term {newest}")
        if holders.setdefault(entry.term, entry.holder) != entry.holder:
            found.append(f"{what} by a second holder of this term")
        newest = max(newest, entry.term)
    return found

"""Operations that have begun and have no event of the audit yet, so that a killed process loses no event.

The record of an operation is stored before its change and deleted with its event. It is committed without waiting for
the disk: PostgreSQL writes its log in order, so the later commit of the change also stores the record. The process
confirms its running operations. If it ends, another process replaces their records with events of the result `unknown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final, LiteralString

import msgspec

from greenroom.core.audit import AuditEvent, bounded, event_of_ended_process, operation_signature
from greenroom.db.database import Connection, Database
from greenroom.db.diagnostics.batches import storable
from greenroom.kit.secrets import Secrets

CONFIRM_INTERVAL_S: Final = 10.0
ABANDONED_AFTER_S: Final = 40.0
"""The process of an operation has ended if it did not confirm the operation for this time."""
MAX_ABANDONED: Final = 500
"""The maximum number of abandoned operations in a transaction."""

_BEGIN: Final[LiteralString] = (
    "WITH without_sync AS (SELECT set_config('synchronous_commit', 'off', true))"
    " INSERT INTO audit_operations (operation_id, event, signature)"
    " SELECT %(operation_id)s::uuid, %(event)s, %(signature)s FROM without_sync"
)
_TAKE: Final[LiteralString] = (
    "DELETE FROM audit_operations WHERE operation_id = ANY(ARRAY(SELECT operation_id FROM audit_operations"
    " WHERE alive < clock_timestamp() - make_interval(secs => %(after_s)s) ORDER BY alive LIMIT %(limit)s"
    " FOR UPDATE SKIP LOCKED)) RETURNING operation_id::text, event, signature"
)


def storable_event(event: AuditEvent) -> AuditEvent:
    """Return an event with limited fields, without characters that cannot be stored."""
    event = bounded(AuditEvent(**storable(asdict(event), None)))
    return replace(event, message=storable(event.message))


class BegunOperations:
    """The operations of this process that have begun and have no event yet."""

    def __init__(self, db: Database, secrets: Secrets) -> None:
        self._db = db
        self._secrets = secrets
        self._ids: set[str] = set()
        self.number_begun = 0
        """The number of operations since the start of the process."""

    async def begin(self, operation_id: str, event: AuditEvent) -> None:
        """Store that an operation begins. `event` is its event if this process ends without a result. Raises
        Unavailable: the database cannot be reached, so the operation must not begin."""
        text = msgspec.json.encode(storable_event(event)).decode()
        signature = operation_signature(self._secrets.audit_signature, operation_id, text)
        await self._db.write(_BEGIN, {"operation_id": operation_id, "event": text, "signature": signature})
        self._ids.add(operation_id)
        self.number_begun += 1

    def forget(self, *operation_ids: str) -> None:
        """Confirm these operations no more: their events are stored, or will never be."""
        self._ids.difference_update(operation_ids)

    async def confirm(self) -> None:
        """Store that this process still runs its operations. Raises Unavailable: the database cannot be reached."""
        if self._ids:
            await self._db.write(
                "UPDATE audit_operations SET alive = clock_timestamp() WHERE operation_id = ANY(%s::uuid[])",
                (sorted(self._ids),),
            )


async def delete_operations(connection: Connection, operation_ids: Sequence[str]) -> None:
    """Delete the records of operations, in the transaction that stores their events."""
    await connection.execute(
        "DELETE FROM audit_operations WHERE operation_id = ANY(%s::uuid[])", (sorted(operation_ids),)
    )


async def take_abandoned(connection: Connection, secrets: Secrets) -> list[AuditEvent]:
    """Delete the records of operations whose processes have ended, and return their events."""
    cursor = await connection.execute(_TAKE, {"after_s": ABANDONED_AFTER_S, "limit": MAX_ABANDONED})
    return [
        event_of_ended_process(secrets.audit_signature, row["operation_id"], row["event"], bytes(row["signature"]))
        for row in await cursor.fetchall()
    ]

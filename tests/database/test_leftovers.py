"""The rows to which objects found in a runtime may belong."""

from __future__ import annotations

import uuid

import pytest
from tests.support.system import System

from greenroom.core.errors import GreenroomError
from greenroom.core.session.leftovers import KnownRows, RuntimeObject
from greenroom.core.workspace.homes import HomeId
from greenroom.db.database import Database
from greenroom.db.diagnostics.views import read_known_rows


def thing(session_id: str = "", home: HomeId | None = None) -> RuntimeObject:
    return RuntimeObject(kind="thing", name="a", ref="a", age_s=99.0, session_id=session_id, home=home)


async def test_rows_of_things_are_found_and_ended_sessions_are_none(db: Database):
    system = await System.populate(db, desired=2)
    living, over = await system.staged(2)
    await system.end(over)
    kept, lost = HomeId(system.user_id, system.image_id), HomeId(str(uuid.uuid4()), system.image_id)
    await db.write(
        "INSERT INTO homes (agent_id, user_id, image_id) VALUES (%s, %s, %s)",
        (system.agent_id, kept.user_id, kept.image_id),
    )
    things = [thing(living), thing(over), thing("is no id"), thing(home=kept), thing(home=lost), thing()]
    assert await read_known_rows(db, things) == KnownRows(
        sessions={living: system.agent_id},
        agents=frozenset({system.agent_id}),
        homes=frozenset({kept}),
        users=frozenset({system.user_id}),
    )


async def test_without_the_database_nothing_is_known(db: Database):
    await db.close()
    with pytest.raises(GreenroomError):
        await read_known_rows(db, [thing()])

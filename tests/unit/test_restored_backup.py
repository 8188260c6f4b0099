"""The Agent's list is from another database than the admission of its viewers: a backup was restored."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from tests.unit.test_stream_authorizer import PATH, SPEC, A, Agent

from greenroom.agent.session.journal import Journal
from greenroom.agent.session.sessions import Sessions
from greenroom.agent.stream.session_cache import SessionCache
from greenroom.core.session.reconcile import ContainerState, ObservedContainer
from greenroom.wire.messages import Answer, Authorised, Desired

ADDRESS = "127.0.0.1:32768"


class Listed(Agent):
    """An Agent whose sessions are those of its desired list."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        journal = Journal(folder / "journal.jsonl")
        journal.open()
        self.sessions = Sessions(journal)
        self.table = SessionCache(self.sessions, folder)
        self.sessions.desired.changed.subscribe(self.table.list_changed)
        seen = ObservedContainer(session_id=A, container_id="c", state=ContainerState.RUNNING, address=ADDRESS)
        self.sessions.observed.store_inventory([seen])
        self.restart()

    def lists(self, epoch: int, database: str, generation: int = 1) -> None:
        """A complete list arrives, with the session's epoch in this database."""
        if database != self.sessions.desired.database:
            self.sessions.desired.invalidate()
        authorised = Authorised(user_id="u", epoch=epoch)
        one = Desired(session_id=A, generation=generation, want="running", spec=asdict(SPEC), authorised=authorised)
        self.sessions.accept(
            Answer(db_epoch=database, zone_id="z", term=1, answered_by="m", fresh=True, acked_seq=0, desired=[one])
        )

    async def lets_in(self, epoch: int) -> None:
        """The viewer with the token arrives; the api answers with this epoch."""
        self.api.epoch = epoch
        assert await self.status(uri=PATH) == 200


@pytest.fixture
def agent(tmp_path: Path) -> Listed:
    return Listed(tmp_path)


@pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "not yet listed"])
async def test_who_was_let_in_after_a_log_out_that_the_backup_does_not_know_is_cut(agent: Listed, is_listed: bool):
    agent.lists(2 if is_listed else 1, "before")
    await agent.lets_in(2)
    agent.lists(1, "restored")
    await agent.streams_closed(A)
    assert agent.cuts.cut == [(A, ADDRESS)], "the next log-out would be of epoch 2, and would not reach them"
    agent.api.away = True
    assert await agent.status(uri=PATH) == 503, "and they are asked about again"


async def test_they_are_cut_too_when_the_agent_was_restarted_with_the_database(agent: Listed):
    agent.lists(2, "before")
    await agent.lets_in(2)
    again = Listed(agent.folder)
    again.lists(1, "restored")
    assert again.cuts.cut == [(A, ADDRESS)]


async def test_a_promotion_cuts_no_viewer_and_a_log_out_after_it_does(agent: Listed):
    agent.lists(2, "before")
    await agent.lets_in(2)
    agent.lists(2, "promoted")
    assert agent.cuts.cut == []
    agent.lists(3, "promoted", generation=2)
    await agent.streams_closed(A)
    assert agent.cuts.cut == [(A, ADDRESS)]


async def test_who_comes_before_the_list_says_so_stays_while_the_database_is_the_same(agent: Listed):
    agent.lists(1, "one")
    await agent.lets_in(2)
    agent.lists(1, "one", generation=2)
    agent.lists(2, "one", generation=3)
    assert agent.cuts.cut == []

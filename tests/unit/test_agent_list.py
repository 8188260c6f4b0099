"""The Agent's desired list when only changes arrive, and the sessions that its rounds plan."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from tests.support.scripted_manager import spec

from greenroom.agent.session.desired import ListChange
from greenroom.agent.session.journal import Journal
from greenroom.agent.session.sessions import Sessions
from greenroom.core.session.reconcile import ContainerState, ObservedContainer
from greenroom.wire.messages import Answer, Desired, DesiredChanges, SessionCommand


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    """The sessions a, b and c of an Agent that has planned its first round."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.open()
    made = Sessions(journal)
    made.accept(answer(desired=[desired("a"), desired("b"), desired("c")]))
    made.observed.store_inventory([])
    made.due.take()
    return made


def desired(session_id: str, generation: int = 1) -> Desired:
    return Desired(session_id=session_id, generation=generation, want="running", spec=asdict(spec()))


def answer(
    *commands: SessionCommand, desired: list[Desired] | None = None, changes: DesiredChanges | None = None
) -> Answer:
    return Answer(
        db_epoch="e",
        zone_id="z",
        term=1,
        answered_by="m",
        fresh=True,
        acked_seq=0,
        desired=desired,
        changes=changes,
        commands=list(commands),
    )


def changes(since: str) -> DesiredChanges:
    return DesiredChanges(since=since, changed=[desired("b", 2), desired("d")], left=["a"])


def test_changes_of_the_list_it_holds_are_applied(sessions: Sessions):
    before = sessions.desired.entries["c"]
    sessions.accept(answer(changes=changes(sessions.desired.digest)))
    assert {k: entry.generation for k, entry in sessions.desired.entries.items()} == {"b": 2, "c": 1, "d": 1}
    assert sessions.desired.entries["c"] is before
    assert sessions.desired.spec("a") is None


def test_changes_of_another_list_are_ignored(sessions: Sessions):
    digest = sessions.desired.digest
    sessions.accept(answer(changes=changes("of another list")))
    assert sessions.desired.digest == digest, "so that the next answer brings the whole list"


def test_a_round_plans_the_sessions_to_which_something_happened(sessions: Sessions):
    sessions.accept(answer(changes=changes(sessions.desired.digest)))
    assert sessions.due.take() == {"a", "b", "d"}
    sessions.observed.store_container(
        "c", ObservedContainer(session_id="c", container_id="c1", state=ContainerState.RUNNING)
    )
    sessions.accept(answer(SessionCommand(command_id="k", session_id="b", generation=2, argv=["true"])))
    assert sessions.due.take() == {"b", "c"}
    snapshot = sessions.snapshot({"b", "c"})
    assert (snapshot.desired.keys(), snapshot.observed.keys(), len(snapshot.commands)) == ({"b", "c"}, {"c"}, 1)


def test_an_answer_without_news_plans_nothing(sessions: Sessions):
    sessions.accept(answer())
    assert not sessions.due.event.is_set()


def test_a_whole_inventory_is_followed_by_a_whole_round(sessions: Sessions):
    sessions.observed.store_inventory([])
    assert sessions.due.take() is None


def test_a_promoted_standby_cuts_no_viewer_that_its_list_permits(sessions: Sessions):
    found: list[ListChange] = []
    sessions.desired.changed.subscribe(found.append)
    sessions.desired.invalidate()
    assert found == [], "until the next list nothing is concluded"
    assert sessions.desired.digest == Sessions(Journal(Path("none"))).desired.digest, "so that a whole list comes"
    sessions.accept(answer(desired=[desired("a"), desired("b", 0)]))
    (change,) = found
    assert change.is_first
    assert change.with_changed_viewers == ["c"]
    assert {k: entry.generation for k, entry in sessions.desired.entries.items()} == {"a": 1, "b": 0}

"""The journal survives a crash at any byte, and an action that was begun is never begun again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from greenroom.agent.session import journal as agent_journal
from greenroom.agent.session.journal import (
    AnyRecord,
    CommandRecord,
    ForgetRecord,
    HandoverRecord,
    Journal,
    JournalState,
    SessionRecord,
    TermRecord,
    replay,
)
from greenroom.core.errors import SetupError

IDS = st.sampled_from(["s1", "s2"])
RECORDS = st.one_of(
    st.builds(TermRecord, term=st.integers(0, 9), db_epoch=st.just("e")),
    st.builds(SessionRecord, session_id=IDS, ran=st.booleans(), stopped=st.booleans(), failure=st.text(max_size=5)),
    st.builds(
        CommandRecord,
        command_id=st.sampled_from(["c1", "c2", "c3"]),
        session_id=IDS,
        state=st.sampled_from(["started", "done", "unknown", "reported"]),
        output=st.text(max_size=5),
    ),
    st.builds(
        HandoverRecord,
        assignment_id=st.sampled_from(["a1", "a2"]),
        session_id=IDS,
        state=st.sampled_from(["received", "started", "assigned", "failed"]),
    ),
    st.builds(ForgetRecord, session_id=IDS),
)


def folded(records: list[AnyRecord]) -> JournalState:
    memory = JournalState()
    for record in records:
        memory.apply(record)
    return memory


def lines(records: list[AnyRecord]) -> bytes:
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


@given(st.lists(RECORDS, max_size=6), st.data())
def test_cut_at_any_byte_it_says_what_the_whole_records_say(records: list[AnyRecord], data: st.DataObject):
    content = lines(records)
    cut = data.draw(st.integers(0, len(content)))
    memory, whole = replay(content[:cut])
    count = content[:cut].count(b"\n")
    assert memory == folded(records[:count])
    assert whole == len(lines(records[:count]))


@given(st.lists(RECORDS, max_size=12))
def test_the_fewest_records_say_the_same(records: list[AnyRecord]):
    memory = folded(records)
    assert folded(memory.records()) == memory


def nothing_begun_is_lost(records: list[AnyRecord], interrupted: list[AnyRecord]) -> None:
    """After a restart nothing is `started`, and everything begun before is still known."""
    before, after = folded(records), folded(records)
    for record in interrupted:
        after.apply(record)
    states = [record.state for record in (*after.commands.values(), *after.handovers.values())]
    assert "started" not in states
    assert after.commands.keys() == before.commands.keys()
    assert after.handovers.keys() == before.handovers.keys()


@given(st.lists(RECORDS, max_size=12))
def test_a_restart_settles_what_was_begun(records: list[AnyRecord]):
    nothing_begun_is_lost(records, folded(records).results_of_interrupted_work())


def test_that_property_catches_a_journal_that_settles_commands_only():
    @settings(max_examples=1000, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @given(st.lists(RECORDS, max_size=12))
    def run(records: list[AnyRecord]) -> None:
        nothing_begun_is_lost(
            records, [r for r in folded(records).results_of_interrupted_work() if isinstance(r, CommandRecord)]
        )

    with pytest.raises(AssertionError):
        run()


async def test_a_command_that_was_started_is_unknown_after_a_restart(tmp_path: Path):
    journal = opened(tmp_path)
    await journal.append_durably(CommandRecord(command_id="c1", session_id="s1", state="started"))
    journal.close()
    again = opened(tmp_path)
    assert again.state.commands["c1"].state == "unknown"
    again.close()


async def test_a_received_hand_over_goes_on_and_a_started_one_failed(tmp_path: Path):
    journal = opened(tmp_path)
    await journal.append_durably(HandoverRecord(assignment_id="a1", session_id="s1", state="received"))
    await journal.append_durably(HandoverRecord(assignment_id="a2", session_id="s2", state="started"))
    journal.close()
    again = opened(tmp_path)
    assert again.state.handovers["a1"].state == "received"
    assert again.state.handovers["a2"].state == "failed"
    assert "restarted while `assign` ran" in again.state.handovers["a2"].error
    again.close()


def test_a_torn_last_line_is_cut_off_and_the_journal_goes_on(tmp_path: Path):
    journal = opened(tmp_path)
    journal.append(TermRecord(term=3, db_epoch="e"))
    journal.close()
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"kind":"term","te')
    again = opened(tmp_path)
    again.append(TermRecord(term=4, db_epoch="e"))
    again.close()
    memory, _ = replay((tmp_path / "journal.jsonl").read_bytes())
    assert memory.term == TermRecord(term=4, db_epoch="e")


def test_damage_in_the_middle_is_refused_with_the_line(tmp_path: Path):
    term = lines([TermRecord(term=3, db_epoch="e")])
    (tmp_path / "journal.jsonl").write_bytes(term + b"\0\0\0\n" + term)
    with pytest.raises(SetupError, match="damaged in line 2"):
        opened(tmp_path)


async def test_compaction_keeps_what_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agent_journal, "COMPACT_ABOVE_BYTES", 100)
    journal = opened(tmp_path)
    for term in range(50):
        journal.append(TermRecord(term=term, db_epoch="e"))
    await journal.append_durably(CommandRecord(command_id="c1", session_id="s1", state="done", output="x"))
    before = journal.state
    await journal.compact()
    assert (tmp_path / "journal.jsonl").stat().st_size < 300
    journal.append(SessionRecord(session_id="s1", ran=True))
    journal.close()
    again = opened(tmp_path)
    assert again.state == before
    assert again.state.sessions["s1"].ran
    again.close()


async def test_a_full_disk_leaves_the_long_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agent_journal, "COMPACT_ABOVE_BYTES", 100)
    journal = opened(tmp_path)
    for term in range(50):
        journal.append(TermRecord(term=term, db_epoch="e"))
    journal.append(SessionRecord(session_id="s1", ran=True))
    before = (tmp_path / "journal.jsonl").read_bytes()
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda _descriptor, content: len(content) // 2)
        await journal.compact()
    assert (tmp_path / "journal.jsonl").read_bytes() == before
    journal.append(SessionRecord(session_id="s2", ran=True))
    journal.close()


def test_a_new_journal_is_empty():
    with tempfile.TemporaryDirectory() as folder:
        journal = opened(Path(folder))
        assert journal.state == JournalState()
        journal.close()


def opened(folder: Path) -> Journal:
    journal = Journal(folder / "journal.jsonl")
    journal.open()
    return journal

"""The content that waits for a Manager fits into a message, with any escaping."""

from __future__ import annotations

from pathlib import Path

import msgspec

from greenroom.agent.session.journal import Journal
from greenroom.agent.session.outbox import MAX_LOG_LINES, MAX_SENTENCE_CHARACTERS, Outbox
from greenroom.agent.session.sessions import Sessions
from greenroom.core.fleet.addresses import refusal_of_origin
from greenroom.wire.messages import Answer, Desired, LogLine

MOST_OF_A_MESSAGE = 10 << 20
"""The size limit of a gateway (`client_max_body_size`)."""


def test_log_rows_that_wait_never_outgrow_a_message():
    outbox = Outbox()
    refusal = refusal_of_origin(f"https://{'a' * 16_000}", ["desk.example"], websocket=True)
    assert refusal is not None
    for _ in range(MAX_LOG_LINES):
        outbox.add_log_line(LogLine(at=0.0, level="WARNING", code="stream-refused", message=refusal))
    lines = outbox.take_log_lines()
    assert len(lines) == MAX_LOG_LINES
    assert len(msgspec.json.encode(lines)) < MOST_OF_A_MESSAGE / 2
    assert lines[0].message.startswith("The Origin https://aaa")
    assert lines[0].message.endswith("…")


def test_a_sentence_of_usual_length_is_sent_as_it_is():
    outbox = Outbox()
    outbox.add_log_line(LogLine(at=0.0, level="INFO", code="c", message="x" * MAX_SENTENCE_CHARACTERS))
    assert [line.message for line in outbox.take_log_lines()] == ["x" * MAX_SENTENCE_CHARACTERS]


def test_a_step_that_was_committed_is_not_reported_again(tmp_path: Path):
    journal = Journal(tmp_path / "journal")
    journal.open()
    sessions, desired = Sessions(journal), [Desired(session_id="s", generation=1, want="running")]
    sessions.observed.store_inventory([])
    sessions.accept(
        Answer(db_epoch="e", zone_id="z", term=1, answered_by="m", fresh=True, acked_seq=0, desired=desired)
    )
    reports = list[list[str]]()
    for seq, step in enumerate(("created", "started"), start=1):
        sessions.observed.record_step("s", step)
        reports.append([one.name for observed in sessions.outbox.unacknowledged(seq) for one in observed.steps])
        sessions.acknowledge(seq)
    journal.close()
    assert reports == [["received", "created"], ["started"]]

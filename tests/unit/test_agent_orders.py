"""PendingCommands of the Manager that are executed once, and results that wait for the Manager."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from greenroom.agent.session.journal import CommandRecord, Journal
from greenroom.agent.session.outbox import MAX_WAITING_BYTES, NO_ROOM, RESULT_MARGIN_S, PendingCommands
from greenroom.runtimes.contract import CUT_NOTICE, MAX_OUTPUT_CHARACTERS, cut_output
from greenroom.wire.messages import JPEG, CommandReport, ScreenshotSize, SessionCommand

SESSION = "s"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "journal")
    journal.open()
    return journal


def screenshot(command_id: str, session_id: str = SESSION) -> SessionCommand:
    return SessionCommand(
        command_id=command_id,
        session_id=session_id,
        generation=1,
        argv=[],
        screenshot=ScreenshotSize(width=9, height=9),
    )


def taken(command_id: str, picture: bytes = JPEG) -> CommandReport:
    return CommandReport(command_id=command_id, state="done", picture=picture)


def test_a_picture_stays_in_memory_until_sent_and_leaves_no_trace(journal: Journal, tmp_path: Path):
    orders = PendingCommands(journal)
    orders.accept([screenshot("c")], {SESSION})
    orders.store_screenshot(taken("c"))
    assert orders.reports(SESSION) == [taken("c")]
    assert orders.begun_ids() == {"c"}
    orders.reported(SESSION, taken("c"))
    assert (orders.reports(SESSION), orders.begun_ids(), orders.all()) == ([], frozenset(), ())
    assert (tmp_path / "journal").read_bytes() == b""


def test_orders_of_other_sessions_and_pictures_of_past_ones_drop_out(journal: Journal):
    orders = PendingCommands(journal)
    orders.accept([screenshot("c"), screenshot("d", "elsewhere")], {SESSION})
    assert [order.command_id for order in orders.all()] == ["c"]
    orders.store_screenshot(taken("c"))
    orders.drop_session(SESSION)
    orders.store_screenshot(taken("c"))
    assert (orders.reports(SESSION), orders.begun_ids()) == ([], frozenset())


def test_what_is_no_longer_waited_for_is_forgotten(journal: Journal):
    orders = PendingCommands(journal)
    late = SessionCommand(
        command_id="late", session_id=SESSION, generation=1, argv=["true"], deadline_s=-RESULT_MARGIN_S
    )
    orders.accept([late, screenshot("c")], {SESSION})
    assert [order.command_id for order in orders.all()] == ["c"]
    assert orders.get("late") is None


def test_results_that_wait_never_outgrow_a_message(journal: Journal):
    orders = PendingCommands(journal)
    worst = "\x01" * MAX_OUTPUT_CHARACTERS  # six bytes each in JSON
    for number in range(100):
        output = orders.shorten_if_full(worst)
        journal.append(CommandRecord(command_id=f"{number}", session_id=SESSION, state="done", output=output))
    assert not orders.has_room()
    assert journal.state.commands["99"].output.startswith(NO_ROOM)
    assert orders.shorten_if_full("short") == "short"
    assert len(msgspec.json.encode(orders.reports(SESSION))) < 2 * MAX_WAITING_BYTES


def test_what_was_cut_off_an_output_is_said():
    assert cut_output("a" * MAX_OUTPUT_CHARACTERS) == "a" * MAX_OUTPUT_CHARACTERS
    cut = cut_output("a" * MAX_OUTPUT_CHARACTERS + "end")
    assert len(cut) == MAX_OUTPUT_CHARACTERS
    assert cut.startswith(CUT_NOTICE)
    assert cut.endswith("end")

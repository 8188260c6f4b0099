"""Loops that continue to run, and errors of single items."""

from __future__ import annotations

import asyncio

import pytest

from greenroom.core.errors import (
    Invalid,
    RestartRequired,
    SetupError,
    StatementCanceled,
    Unavailable,
    Unexpected,
    reason_of,
)
from greenroom.core.rate_limits import Backoff
from greenroom.kit import concurrency
from greenroom.kit.concurrency import Loop, LoopEndedError, convert_item_error, keep_running, log_item_error


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(concurrency, "BACKOFF", Backoff(first_s=0.0, max_s=0.0))


def _failing(*errors: Exception) -> tuple[Loop, asyncio.Event]:
    """A loop that raises these errors one after the other and then works; the event is set when it works."""
    left, works = list(errors), asyncio.Event()

    async def loop() -> None:
        if left:
            raise left.pop(0)
        works.set()
        await asyncio.Event().wait()

    return loop, works


async def test_a_loop_that_fails_is_started_again_and_the_failure_is_shown():
    said = list[str]()
    loop, works = _failing(ValueError("bad row"), OSError(28, "No space left on device"))
    task = asyncio.create_task(keep_running("images", loop, said.append))
    await asyncio.wait_for(works.wait(), 5)
    task.cancel()
    assert said == [
        "The loop images failed, and is started again in 0 s: ValueError: bad row.",
        "The loop images failed, and is started again in 0 s: OSError: [Errno 28] No space left on device.",
    ]


async def test_a_loop_that_fails_again_and_again_ends_its_process():
    loop, _ = _failing(*[ValueError("bad row")] * concurrency.MAX_FAILURES)
    with pytest.raises(LoopEndedError, match=r"The loop images failed: ValueError: bad row\."):
        await keep_running("images", loop)


@pytest.mark.parametrize(
    "error",
    [SetupError("no folder"), RestartRequired(), ExceptionGroup("of a task group", [RestartRequired(), ValueError()])],
)
async def test_what_only_a_new_process_can_mend_ends_the_process_at_once(error: Exception):
    loop, works = _failing(error)
    with pytest.raises(LoopEndedError):
        await keep_running("host", loop)
    assert not works.is_set()


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (Invalid("It is wrong."), Invalid, "It is wrong."),
        (ValueError("x\ny"), Unexpected, "ValueError: x."),
        (KeyError(), Unexpected, "KeyError: no reason was given."),
        (ExceptionGroup("two", [ValueError("x"), Invalid("It is wrong.")]), Unexpected, "ValueError: x. It is wrong."),
        (OSError("caf\udce9"), Unexpected, "OSError: caf?."),
    ],
)
def test_the_error_of_an_item_is_a_sentence(error: Exception, kind: type[Exception], reason: str):
    with pytest.raises(kind) as raised, convert_item_error("image", "a/b:1"):
        raise error
    assert reason_of(raised.value) == reason


@pytest.mark.parametrize(
    "error", [ValueError("bad row"), Invalid("It is wrong."), StatementCanceled("It took too long.")]
)
def test_a_logged_item_keeps_its_error_to_itself(error: Exception):
    with log_item_error("pool", "eu"):
        raise error


def test_a_database_that_is_away_concerns_all_items():
    with pytest.raises(Unavailable), log_item_error("pool", "eu"):
        raise Unavailable("The database cannot be reached.")


async def test_an_item_that_is_cancelled_did_not_fail():
    with pytest.raises(asyncio.CancelledError), convert_item_error("image"):
        raise asyncio.CancelledError

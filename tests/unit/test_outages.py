"""The errors of a database that is away: one sentence for users of the api, and the cause once in the log."""

import json

import pytest
from structlog.testing import capture_logs

from greenroom.api.problems import error_response
from greenroom.core.errors import DatabaseUnavailable
from greenroom.db.database import Database
from greenroom.db.outages import LOG_AGAIN_S, Outages

DRIVER_TEXT = (
    'connection to server at "db.example.org" (192.0.2.7), port 5432 failed: Connection refused\n'
    "\tIs the server running on that host and accepting TCP/IP connections?\n"
)
ON_ONE_LINE = (
    'connection to server at "db.example.org" (192.0.2.7), port 5432 failed: Connection refused '
    "Is the server running on that host and accepting TCP/IP connections?"
)


@pytest.mark.parametrize(("path", "field"), [("/api/v1/zones", "detail"), ("/api/public/get_zones", "error_message")])
def test_the_answer_of_the_api_has_no_text_of_the_driver(path: str, field: str):
    answer = error_response(path, Outages().unavailable(DRIVER_TEXT))
    assert answer.status_code == 503
    document = json.loads(bytes(answer.body))
    assert document[field] == "The database cannot be reached at the moment; try again later."
    assert "192.0.2.7" not in str(document)


def test_the_answer_for_a_canceled_statement_has_no_text_of_the_driver():
    error = Outages().canceled("canceling statement due to lock timeout\nCONTEXT: while locking tuple (0,1)")
    assert error.message == (
        "The database canceled a statement that took too long, waited for others, or lacked disk space or memory; "
        "repeat the request."
    )


def test_a_cause_is_logged_on_one_line_and_once_a_minute():
    now_s = 0.0
    outages = Outages(lambda: now_s)
    with capture_logs() as lines:
        outages.unavailable(DRIVER_TEXT)
        now_s = LOG_AGAIN_S - 1
        assert outages.unavailable(DRIVER_TEXT).cause == ON_ONE_LINE
        outages.unavailable("another cause")
        now_s = LOG_AGAIN_S
        outages.unavailable(DRIVER_TEXT)
    assert [line["reason"] for line in lines] == [ON_ONE_LINE, "another cause", ON_ONE_LINE]


async def test_a_pool_without_a_server_raises_the_error_with_the_cause():
    db = Database("host=127.0.0.1 port=1 user=none", application_name="away", acquire_timeout_s=0.2)
    await db.open()
    try:
        with pytest.raises(DatabaseUnavailable) as caught:
            await db.fetch("SELECT 1", retry=False)
    finally:
        await db.close()
    assert "127.0.0.1" not in caught.value.message
    assert caught.value.cause

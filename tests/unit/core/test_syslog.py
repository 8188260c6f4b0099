"""Events of the audit as messages of RFC 5424."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import pytest

from greenroom.core.audit import ChainedEvent, Result
from greenroom.core.syslog import SyslogTarget, checked_target, syslog_frame

NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)


def stored(result: Result) -> ChainedEvent:
    return ChainedEvent(
        code="group-changed",
        result=result,
        message="Zoë changed group A\nB",
        interface="api",
        actor_kind="user",
        details='{"after":{"x":1}}',
        event_id=7,
        time=NOON,
        hash=b"\x01\xff",
    )


@pytest.mark.parametrize(("result", "priority"), [("done", 109), ("refused", 108), ("failed", 108)])
def test_a_message_has_its_length_priority_and_json(result: Result, priority: int):
    length, _, message = syslog_frame(stored(result), "desk.example.org").partition(b" ")
    assert int(length) == len(message)
    header, _, text = message.decode().partition("\ufeff")
    assert header == f"<{priority}>1 2026-03-02T12:00:00.000000+00:00 desk.example.org greenroom - audit - "
    assert "\n" not in text
    event = json.loads(text)
    assert (event["event_id"], event["details"], event["hash"]) == (7, {"after": {"x": 1}}, "01ff")
    assert event["message"] == "Zoë changed group A\nB"


def test_a_host_without_a_name_is_a_hyphen():
    assert b" - greenroom - audit - " in syslog_frame(stored("done"), "")


def test_a_target_is_read_from_its_address():
    assert SyslogTarget.parse("tls://log.example.org:6514") == SyslogTarget("log.example.org", 6514, encrypted=True)
    assert SyslogTarget.parse("tcp://[::1]:601") == SyslogTarget("::1", 601, encrypted=False)


@pytest.mark.parametrize(
    "url", ["log.example.org:6514", "udp://x:1", "tls://x", "tls://:1", "tls://x:1/a", "tcp://x:0"]
)
def test_another_form_of_a_target_is_refused(url: str):
    with pytest.raises(ValueError, match="specify tls://HOST:PORT"):
        checked_target(url)


def test_no_target_is_allowed():
    assert [checked_target(url) for url in ("", "tcp://x:1")] == ["", "tcp://x:1"]


def test_details_that_cannot_be_decoded_are_sent_as_their_text():
    frame = syslog_frame(replace(stored("done"), details='{"after":{"x"'), "")
    assert json.loads(frame.decode().partition("\ufeff")[2])["details"] == {"unreadable": '{"after":{"x"'}

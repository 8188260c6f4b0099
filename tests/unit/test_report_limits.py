"""The limits of reports of Agents: ids and numbers are checked at decoding, and texts are cleaned."""

import json
from typing import Any

import msgspec
import pytest

from greenroom.wire.fields import MAX_HOME_BYTES, MAX_SHORT_TEXT, MAX_TEXT
from greenroom.wire.messages import JPEG, MAX_DETAILS, MAX_PICTURE_BYTES, MAX_SESSIONS, CheckIn, CommandReport

ID = "0c7f0f3e-58f5-4a35-9d2c-6f0f5d1f7a01"
AGENT = {
    "agent_id": ID,
    "installation_id": "i",
    "db_epoch": "e",
    "incarnation": 1,
    "seq": 1,
    "hold_s": 0.0,
    "term_seen": 0,
    "have_digest": "",
    "capacity": {"cores": 1.0, "memory_bytes": 1},
}
SESSION = {"session_id": ID, "generation": 1, "state": "failed"}
HANDOVER = {"assignment_id": ID, "state": "failed"}
HOME = {"user_id": ID, "image_id": ID}
LINE = {"at": 0.0, "level": "INFO", "code": "c", "message": "m"}


def decoded(**fields: Any) -> CheckIn:
    return msgspec.json.decode(json.dumps({**AGENT, **fields}), type=CheckIn)


@pytest.mark.parametrize(
    "fields",
    [
        {"agent_id": f"{ID}\n"},
        {"sessions": [{**SESSION, "session_id": ID.upper()}]},
        {"sessions": [{**SESSION, "assignment": {**HANDOVER, "assignment_id": "x"}}]},
        {"sessions": [{**SESSION, "commands": [{"command_id": "x", "state": "done"}]}]},
        {"homes": [{**HOME, "user_id": "x"}]},
        {"homes": [{**HOME, "image_id": "x"}]},
        {"homes": [{**HOME, "removal_id": "x"}]},
        {"term_seen": -1},
        {"term_seen": 2**53},
        {"sessions": [SESSION] * 2_001},
        {"homes": [HOME] * 20_001},
    ],
)
def test_an_invalid_id_or_number_is_refused(fields: dict[str, Any]):
    with pytest.raises(msgspec.ValidationError):
        decoded(**fields)


def test_invalid_ids_of_containers_and_those_over_the_limit_are_removed():
    assert decoded(unknown=["test", ID, f"{ID}\n", ""]).unknown == [ID]
    assert len(decoded(unknown=[ID] * (MAX_SESSIONS + 1)).unknown) == MAX_SESSIONS
    assert decoded(usage={"sessions": {"test": {"cpu": 1.0}, ID: {"cpu": 2.0}}}).usage.sessions.keys() == {ID}


def test_texts_lose_nul_and_all_but_their_end():
    texts = dict.fromkeys(("error", "log_tail", "probe_error"), "a\0b" + "x" * MAX_TEXT)
    (session,) = decoded(sessions=[{**SESSION, **texts, "assignment": {**HANDOVER, "error": "a\0b"}}]).sessions
    assert (session.error, session.log_tail, session.probe_error) == ("x" * MAX_TEXT,) * 3
    assert session.assignment is not None
    assert session.assignment.error == "ab"
    message = decoded(crash_loop="a\0b", homes=[{**HOME, "problem": "a\0b"}], logs=[{**LINE, "message": "a\0b"}])
    assert message.homes is not None
    assert (message.crash_loop, message.homes[0].problem, message.logs[0].message) == ("ab", "ab", "ab")


@pytest.mark.parametrize(("size_bytes", "stored"), [(-1, 0), (2**63 - 1, MAX_HOME_BYTES), (5, 5), (None, None)])
def test_the_size_of_a_home_is_limited(size_bytes: int | None, stored: int | None):
    homes = decoded(homes=[{**HOME, "size_bytes": size_bytes}]).homes
    assert homes is not None
    assert homes[0].size_bytes == stored


def test_a_log_line_loses_an_invalid_session_and_large_details():
    odd, good = decoded(
        logs=[
            {**LINE, "session_id": "x", "details": {"text": "x" * MAX_DETAILS}},
            {**LINE, "session_id": ID, "details": {"text": "x"}},
        ]
    ).logs
    assert (odd.session_id, odd.details) == (None, {})
    assert (good.session_id, good.details) == (ID, {"text": "x"})


def test_only_the_ends_of_ids_and_names_over_their_limit_are_kept():
    long = "a\0" + "x" * 4000
    places = dict.fromkeys(("container_id", "spec_hash", "address"), long)
    message = decoded(
        sessions=[{**SESSION, **places}],
        logs=[{**LINE, "code": long}],
        images=[{"name": long, "state": "failed", "digest": long, "error": long}],
        runtime_error=long,
    )
    (session,), (line,), (image,) = message.sessions, message.logs, message.images or []
    short = (session.container_id, session.spec_hash, session.address, line.code, image.name, image.digest)
    assert set(short) == {"x" * MAX_SHORT_TEXT}
    assert image.error == message.runtime_error == "a" + "x" * 4000


@pytest.mark.parametrize(
    ("picture", "stored"), [(JPEG, JPEG), (b"<script>", b""), (JPEG + bytes(MAX_PICTURE_BYTES), b"")]
)
def test_a_picture_is_a_jpeg_within_the_limit(picture: bytes, stored: bytes):
    assert CommandReport(command_id=ID, state="done", output="a\0b", picture=picture).picture == stored

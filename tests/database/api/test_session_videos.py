"""Videos of sessions: who is recorded, who may send and see segments, and what a verification finds."""

from __future__ import annotations

import base64
import os
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from cryptography import fernet
from tests.database.api.client import ADA, Client, MakeClient
from tests.database.api.sharing import Shared
from tests.database.api.staging import Stage

from greenroom.core.recording.session_video import MAX_REQUEST_BYTES, MAX_SEGMENT_BYTES
from greenroom.db import session_videos
from greenroom.db.database import Database
from greenroom.db.diagnostics.retention import RetentionLimits, prune
from greenroom.db.fleet.checkin import read_desired

FIRST, SECOND = b"first segment", b"second segment"
PATH = "/api/v1/session-videos"


@dataclass(frozen=True)
class Recorded:
    """A session of ada that must be recorded; `auditor` may see videos."""

    session: Shared
    auditor: Client

    @property
    def path(self) -> str:
        return f"{PATH}/{self.session.session_id}"

    @property
    def db(self) -> Database:
        return self.session.db

    async def send(self, data: bytes = b"", status: int = 204, **fields: Any) -> None:
        """Let the Agent send a segment."""
        body = {
            "session_id": self.session.session_id,
            "segment_id": str(uuid.uuid4()),
            "began": time.time(),
            "duration_ms": 30_000,
            "data": base64.b64encode(data).decode(),
            **fields,
        }
        headers = self.session.as_agent
        answer = await self.session.anonymous.post("/api/internal/session-video", json=body, headers=headers)
        assert answer.status_code == status, answer.text

    async def complete(self) -> None:
        await self.send(FIRST)
        await self.send(SECOND)
        await self.send(is_last=True)

    async def viewing(self, client: Client | None = None) -> dict[str, Any]:
        return await (client or self.auditor).make(f"{self.path}/viewings")

    async def problems(self) -> list[str]:
        found = await self.auditor.read(f"{self.path}/verification")
        assert found["ok"] is not bool(found["problems"])
        return found["problems"]


@pytest.fixture
async def recorded(shared: Shared, with_key: MakeClient) -> Recorded:
    await shared.db.write("UPDATE sessions SET client_settings = client_settings || '{\"record_sessions\": true}'")
    return Recorded(shared, await with_key("session_videos_view"))


@pytest.mark.parametrize("by", ["group", "workspace", "nothing"])
async def test_a_group_or_a_workspace_demands_the_recording_of_a_session(stage: Stage, ada: Client, by: str):
    if by == "group":
        await stage.everybody(record_sessions=True)
    await stage.admin.change(f"/api/v1/images/{stage.image_id}", record_sessions=by == "workspace")
    session_id = await stage.launched(ada)
    connection = await ada.read(f"/api/v1/sessions/{session_id}/connection")
    assert connection["recorded"] is (by != "nothing")
    (desired,) = await read_desired(stage.db, stage.agent_id)
    assert desired.client_settings.record_sessions is (by != "nothing")


async def test_a_viewer_of_a_share_reads_that_the_session_is_recorded(recorded: Recorded, user: Client):
    share = await recorded.session.share(guest=False)
    assert (await recorded.session.join(user, share))["recorded"] is True


async def test_segments_are_stored_encrypted_and_played_in_their_order(recorded: Recorded):
    await recorded.complete()
    rows = await recorded.db.fetch("SELECT data FROM session_video_segments ORDER BY number")
    assert not any(b"segment" in row["data"] for row in rows)
    viewing = await recorded.viewing()
    assert [(each["number"], each["duration_ms"]) for each in viewing["segments"]] == [(1, 30_000), (2, 30_000)]
    for number, content in ((1, FIRST), (2, SECOND)):
        params = {"viewing": viewing["viewing"]}
        answer = await recorded.auditor.get(f"{recorded.path}/segments/{number}", params=params)
        assert (answer.content, answer.headers["content-type"]) == (content, "video/mp4")
    (video,) = await recorded.auditor.read(PATH)
    assert (video["username"], video["segments"], video["duration_ms"]) == (ADA, 2, 60_000)
    assert video["ended"] is not None


async def test_a_repeated_request_stores_a_segment_once(recorded: Recorded):
    segment_id = str(uuid.uuid4())
    for _ in range(2):
        await recorded.send(FIRST, segment_id=segment_id)
    await recorded.send(is_last=True)
    await recorded.send(is_last=True)
    assert await recorded.problems() == []
    assert (await recorded.auditor.read(recorded.path))["segments"] == 1


async def test_the_segment_of_a_screen_that_moves_is_stored_in_any_size(recorded: Recorded):
    largest = os.urandom(MAX_SEGMENT_BYTES)
    await recorded.send(largest)
    viewing = (await recorded.viewing())["viewing"]
    answer = await recorded.auditor.get(f"{recorded.path}/segments/1", params={"viewing": viewing})
    assert answer.content == largest
    await recorded.send(bytes(MAX_REQUEST_BYTES), status=413)


async def test_a_lost_segment_is_a_part_of_the_video_without_pictures(recorded: Recorded):
    await recorded.send(began=time.time() - 60)
    await recorded.send(FIRST)
    await recorded.send(is_last=True)
    (video,) = await recorded.auditor.read(PATH)
    assert (video["segments"], video["duration_ms"], video["lost_ms"]) == (2, 30_000, 30_000)
    viewing = await recorded.viewing()
    assert [segment["is_lost"] for segment in viewing["segments"]] == [True, False]
    assert await recorded.problems() == ["Segment 1 could not be stored, and is lost."]
    (row,) = await recorded.session.logged("session-video-ended")
    assert row.endswith("has ended, and 30 s of it are lost: 2 segments")


async def test_a_session_of_which_nothing_is_stored_needs_attention(recorded: Recorded):
    async def entries() -> list[dict[str, Any]]:
        today = await recorded.session.admin.read("/api/v1/today")
        return [entry for entry in today["attention"] if entry["code"] == "recording"]

    assert await entries() == [], "it began a moment ago"
    await recorded.db.write("UPDATE sessions SET status_changed = now() - interval '151 seconds'")
    await recorded.send()
    ((sentence, people),) = [(entry["sentence"], entry["people"]) for entry in await entries()]
    assert (sentence, people) == ("1 session must be recorded, but no video was stored recently.", 1)
    await recorded.send(FIRST, began=time.time() - 30)
    assert await entries() == []


async def test_the_end_of_a_session_of_which_nothing_was_recorded_is_no_video(recorded: Recorded):
    await recorded.send(is_last=True)
    assert await recorded.auditor.read(PATH) == []
    assert await recorded.session.logged("session-video-ended") == []


async def test_a_video_with_a_time_in_the_future_is_not_kept_longer(recorded: Recorded):
    await recorded.send(FIRST, began=time.time() + 86_400)
    (row,) = await recorded.db.fetch("SELECT latest <= clock_timestamp() AS is_past FROM session_videos")
    assert row["is_past"]


async def test_a_long_video_is_verified_in_parts(recorded: Recorded, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session_videos, "VERIFIED_AT_ONCE", 1)
    await recorded.complete()
    assert await recorded.problems() == []
    await recorded.db.write("UPDATE session_video_segments SET data = data || 'x' WHERE number = 2")
    (problem,) = await recorded.problems()
    assert problem.startswith("Segment 2 was changed")


async def test_an_ended_video_gets_no_further_segment(recorded: Recorded):
    await recorded.complete()
    await recorded.send(FIRST, status=409)


async def test_only_the_agent_of_a_recorded_session_sends_segments(recorded: Recorded):
    await recorded.db.write("UPDATE sessions SET client_settings = '{}'")
    await recorded.send(FIRST, status=403)
    headers = {"Authorization": f"Bearer {recorded.session.stage.agent_id}.guessed"}
    answer = await recorded.session.anonymous.post("/api/internal/session-video", json={}, headers=headers)
    assert answer.status_code == 401
    assert await recorded.auditor.read(PATH) == []


async def test_each_viewing_is_one_event_and_only_its_caller_can_use_it(recorded: Recorded, with_key: MakeClient):
    await recorded.complete()
    await recorded.auditor.read(PATH)
    await recorded.auditor.read(recorded.path)
    assert await recorded.session.logged("session-video-viewed") == []
    viewing = (await recorded.viewing())["viewing"]
    for _ in range(3):
        assert (
            await recorded.auditor.get(f"{recorded.path}/segments/1", params={"viewing": viewing})
        ).status_code == 200
    (row,) = await recorded.session.logged("session-video-viewed")
    assert row.endswith(f"viewed the video of session {recorded.session.session_id} of {ADA}")
    events = await recorded.db.fetch("SELECT object_id FROM audit_events WHERE code = 'session-video-viewed'")
    assert [event["object_id"] for event in events] == [recorded.session.session_id]
    other = await with_key("session_videos_view")
    for client, ticket in ((other, viewing), (recorded.auditor, "guessed")):
        answer = await client.get(f"{recorded.path}/segments/1", params={"viewing": ticket})
        assert answer.status_code == 403


async def test_a_viewing_ends_15_minutes_after_its_last_segment(recorded: Recorded, monkeypatch: pytest.MonkeyPatch):
    await recorded.complete()
    minutes = 0
    monkeypatch.setattr(fernet, "time", SimpleNamespace(time=lambda: time.time() + 60 * minutes))

    async def load(ticket: str) -> httpx2.Response:
        return await recorded.auditor.get(f"{recorded.path}/segments/1", params={"viewing": ticket})

    ticket = first = (await recorded.viewing())["viewing"]
    for minutes in (14, 28):
        answer = await load(ticket)
        assert answer.status_code == 200, minutes
        ticket = answer.headers["x-viewing"]
    assert (await load(first)).status_code == 403
    minutes = 44
    assert (await load(ticket)).status_code == 403
    assert len(await recorded.session.logged("session-video-viewed")) == 1


async def test_videos_need_their_permission(recorded: Recorded, with_key: MakeClient):
    await recorded.complete()
    other = await with_key("recordings_view", "sessions_view", "audit_view")
    for client in (other, recorded.session.ada):
        for request in (
            f"GET {PATH}",
            f"GET {recorded.path}",
            f"POST {recorded.path}/viewings",
            f"GET {recorded.path}/verification",
            f"GET {recorded.path}/segments/1?viewing=x",
        ):
            await client.refused(403, request)


@pytest.mark.parametrize(
    ("tampering", "problem"),
    [
        ("UPDATE session_video_segments SET data = data || 'x' WHERE number = 2", "Segment 2 was changed"),
        ("DELETE FROM session_video_segments WHERE number = 1", "Segment 1 is missing."),
        (
            (
                "UPDATE session_video_segments a SET data = b.data, sha256 = b.sha256 FROM session_video_segments b"
                " WHERE a.number = 1 AND b.number = 2"
            ),
            "Segment 1 was replaced",
        ),
        (
            "UPDATE session_video_segments SET began = began - interval '1 day' WHERE number = 2",
            "Segment 2 was replaced",
        ),
        ("UPDATE session_videos SET ended = NULL, seal = NULL", "The end of the video is missing"),
    ],
)
async def test_tampering_is_named(recorded: Recorded, tampering: Any, problem: str):
    await recorded.complete()
    await recorded.session.becomes("deleted")
    assert await recorded.problems() == []
    await recorded.db.write(tampering)
    found = await recorded.problems()
    assert any(sentence.startswith(problem) for sentence in found), found


async def test_the_player_gets_no_changed_segment(recorded: Recorded):
    await recorded.complete()
    viewing = (await recorded.viewing())["viewing"]
    await recorded.db.write("UPDATE session_video_segments SET data = data || 'x'")
    answer = await recorded.auditor.get(f"{recorded.path}/segments/1", params={"viewing": viewing})
    assert answer.status_code == 409
    assert "was changed after it was recorded" in answer.text


async def test_the_list_is_filtered_by_user_workspace_and_time(recorded: Recorded):
    await recorded.complete()
    (video,) = await recorded.auditor.read(PATH)
    for query, number in (
        (f"username={ADA}", 1),
        ("username=bob", 0),
        ("workspace=Desktop", 1),
        ("workspace=Other", 0),
        ("since=2020-01-01T00:00:00Z&until=2100-01-01T00:00:00Z", 1),
        ("since=2100-01-01T00:00:00Z", 0),
        ("until=2020-01-01T00:00:00Z", 0),
        (f"session_id={video['session_id']}", 1),
        (f"session_id={uuid.uuid4()}", 0),
        (f"q=user:{ADA.upper()}", 1),
        (f"q=workspace:{ADA}", 0),
    ):
        assert len(await recorded.auditor.read(f"{PATH}?{query}")) == number, query
    assert video["session_id"] == recorded.session.session_id


async def test_the_list_has_pages_and_separates_ended_recordings(recorded: Recorded):
    await recorded.send(FIRST)
    await recorded.db.write(
        "INSERT INTO session_videos SELECT older.* FROM session_videos v, jsonb_populate_record(v, jsonb_build_object("
        " 'session_id', gen_random_uuid(), 'begun', v.begun - interval '1 day')) AS older"
    )
    first = await recorded.auditor.get(PATH, params={"limit": 1, "count": True})
    second = await recorded.auditor.get(first.links["next"]["url"])
    assert (first.headers["x-total-count"], "next" in second.links) == ("2", False)
    assert [(video["session_id"] == recorded.session.session_id, video["is_over"]) for video in first.json()] == [
        (True, False)
    ]
    for is_over, page in ((False, first), (True, second)):
        assert await recorded.auditor.read(f"{PATH}?is_over={is_over}") == page.json()


async def test_a_video_without_its_segments_is_marked_as_not_stored(recorded: Recorded):
    await recorded.complete()
    assert (await recorded.auditor.read(recorded.path))["is_stored"] is True
    await recorded.db.write("DELETE FROM session_video_segments")
    assert (await recorded.auditor.read(recorded.path))["is_stored"] is False
    assert (await recorded.viewing())["segments"] == []
    assert await recorded.problems() == ["Segments 1 to 2 are missing."]


async def test_videos_are_deleted_after_their_retention_unless_they_are_held(recorded: Recorded):
    await recorded.complete()
    keep = RetentionLimits(
        log_rows=1000, log_days=1, security_rows=1000, security_days=1, launch_days=1, recording_days=14
    )
    age = timedelta(days=8)
    await recorded.db.write("UPDATE session_videos SET latest = latest - %s", (age,))
    await prune(recorded.db, keep)
    assert await recorded.problems() == []
    for days, number in ((9.0, 1), (7.0, 0)):
        limits = RetentionLimits(
            log_rows=1000,
            log_days=1,
            security_rows=1000,
            security_days=1,
            launch_days=1,
            recording_days=14,
            session_video_days=days,
        )
        await prune(recorded.db, limits)
        assert len(await recorded.auditor.read(PATH)) == number
    assert await recorded.db.fetch("SELECT 1 FROM session_video_segments") == []


async def test_a_video_remains_when_its_user_is_deleted(recorded: Recorded):
    await recorded.complete()
    await recorded.session.becomes("deleted")
    await recorded.session.admin.delete(f"/api/v1/users/{recorded.session.ada_id}")
    video = await recorded.auditor.read(recorded.path)
    assert (video["username"], video["user_id"]) == (ADA, None)
    assert await recorded.problems() == []


async def test_the_published_interface_lists_the_videos_of_sessions(recorded: Recorded):
    await recorded.complete()
    anonymous, session_id, other = recorded.session.anonymous, recorded.session.session_id, str(uuid.uuid4())
    (recording,) = (await anonymous.published("get_session_recordings", target_kasm_id=session_id))[
        "session_recordings"
    ]
    assert recording["recording_id"] == session_id
    assert recording["session_recording_url"].endswith(f"/admin/session-videos/{session_id}")
    assert recording["session_recording_download_url"] is None
    facts = recording["session_recording_metadata"]
    assert (facts["username"], facts["duration_s"]) == (ADA, 60.0)
    assert await anonymous.published("get_session_recordings", target_kasm_id=other) == {"session_recordings": []}
    ids = [session_id.replace("-", ""), other]
    found = await anonymous.published("get_sessions_recordings", target_kasm_ids=ids)
    assert found == {"kasm_sessions": {ids[0]: {"session_recordings": [recording]}, other: {"session_recordings": []}}}
    assert "not an id" in await anonymous.published_refusal("get_sessions_recordings", target_kasm_ids=["a"])

"""The actions of a program on a leased desktop are recorded, after its answers, for users who may see them."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from tests.database.api.client import ADA, KEY, Client, MakeClient
from tests.database.api.staging import Stage

from greenroom.api.desk.answers import ScreenState, ScreenStateCache
from greenroom.api.recording import recorder as recording
from greenroom.api.recording.recorder import Recorder
from greenroom.client import AsyncGreenroom
from greenroom.core.errors import GreenroomError, Invalid, NotFound, Unavailable
from greenroom.db.diagnostics.retention import RetentionLimits, prune

CLICK = {"action": "left_click", "coordinate": [640, 400]}
SECRET = {"action": "type", "text": "hunter2"}


def png(number: int, size: int = 100) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 1280, 800) + bytes([number]) * size


@dataclass
class Page:
    """Replaces the session's page: executes requests, and has a screen that counts its pictures."""

    session_id: str = ""
    refusal: GreenroomError | None = None
    looked: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    shown: asyncio.Event | None = None
    """Its pictures wait for this event."""
    screen_states: ScreenStateCache = field(default_factory=ScreenStateCache)

    async def of(self, _lease: object) -> Page:
        return self

    async def request(self, method: str, path: str, **sent: Any) -> httpx2.Response:
        if self.refusal is not None and path != "screenshot":
            raise self.refusal
        if path == "state":
            return httpx2.Response(200, json={"width": 1280, "height": 800, "pointer": [0, 0], "held": 0})
        if path == "screenshot":
            self.looked += 1
            self.asked.set()
            if self.shown is not None:
                await self.shown.wait()
            return httpx2.Response(200, content=png(self.looked))
        if path == "files":
            return httpx2.Response(200, json={"path": "a.txt"})
        results = [{"done": True, "ms": 2.0} for _ in sent["json"]["actions"]]
        done: dict[str, Any] = {
            "results": results,
            "state": {"width": 1280, "height": 800, "pointer": [0, 0], "held": 0},
        }
        if sent["json"]["screenshot"] is not None:
            done["screenshot"] = base64.b64encode(png(200)).decode()
        return httpx2.Response(200, json=done)

    @asynccontextmanager
    async def stream(self, _method: str, path: str, **_: Any) -> AsyncIterator[httpx2.Response]:
        assert path == "exec"
        lines = b'{"stdout": "hi"}\n{"exit_code": 3}\n'
        yield httpx2.Response(200, content=lines)


@dataclass(frozen=True)
class Leased:
    """A running session of ada's, which a program has leased to be recorded."""

    stage: Stage
    ada: Client
    program: Client
    page: Page
    lease: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/api/v1/leases/{self.lease['lease_id']}"

    @property
    def recorder(self) -> Recorder:
        return self.stage.app.state.recorder

    async def acts(self, *actions: dict[str, Any], status: int = 200, **body: Any) -> None:
        answer = await self.program.post(f"{self.path}/actions", json={"actions": list(actions), **body})
        assert answer.status_code == status, answer.text
        await self.recorder.wait_until_idle()

    async def rows(self) -> list[dict[str, Any]]:
        await self.recorder.wait_until_idle()
        return await self.ada.pages(f"{self.path}/recording/rows", limit=2)

    async def said(self) -> list[str]:
        return [row["said"] for row in await self.rows()]

    async def ends(self) -> None:
        assert (await self.program.delete(self.path)).status_code == 204


async def leased_by(stage: Stage, ada: Client, program: Client, **body: Any) -> Leased:
    page = stage.app.state.desks = Page()
    name = (await stage.admin.only("/api/v1/images"))["friendly_name"]
    lease = await ada.make("/api/v1/leases", workspace=name, seconds=3600, **body)
    await stage.becomes(lease["session_id"], "running")
    program.headers["Authorization"] = f"Bearer {lease['token']}"
    page.session_id = lease["session_id"]
    page.screen_states.put(page.session_id, ScreenState(1280, 800, (0, 0), 0))
    return Leased(stage, ada, program, page, lease)


@pytest.fixture
async def leased(stage: Stage, ada: Client, anonymous: Client) -> Leased:
    return await leased_by(stage, ada, anonymous, record="pictures")


async def test_each_action_is_a_row_with_its_time_and_what_came_of_it(leased: Leased):
    assert (leased.lease["record"], leased.lease["record_text"]) == ("pictures", False)
    await leased.acts(CLICK, SECRET)
    leased.page.refusal = Invalid("actions[0]: it cannot be.")
    await leased.acts(CLICK, status=422)
    rows = await leased.rows()
    assert [(row["number"], row["what"], row["code"], row["who"]) for row in rows] == [
        (1, "granted", None, ""),
        (2, "click", None, ""),
        (3, "type", None, ""),
        (4, "click", "invalid", ""),
    ]
    assert rows[0]["said"] == f"The lease was granted to {ADA}."
    assert rows[1]["said"] == "Left click at 640, 400."
    assert 0 < rows[1]["duration_ms"] <= 2.0, "as the page says, and no longer than the whole request"
    assert rows[1]["details"] == {"at": [640, 400], "screen": [1280, 800]}
    assert rows[2]["said"] == "Types 7 characters."
    assert rows[3]["error"] == "actions[0]: it cannot be."
    assert "hunter2" not in json.dumps(rows)


async def test_the_text_is_kept_where_the_lease_asks_for_it(stage: Stage, ada: Client, anonymous: Client):
    leased = await leased_by(stage, ada, anonymous, record="actions", record_text=True)
    await leased.acts(SECRET)
    assert (await leased.said())[1:] == ["Types “hunter2”."]


async def test_commands_and_files_are_rows(leased: Leased):
    body = {"command": ["curl", "-u", "me:pw"], "env": {"TOKEN": "x"}}
    assert (await leased.program.post(f"{leased.path}/exec", json=body)).json()["exit_code"] == 3
    async with leased.program.stream("POST", f"{leased.path}/exec", json=body | {"stream": True}) as answer:
        assert (await answer.aread()).endswith(b'{"exit_code": 3}\n')
    assert (await leased.program.put(f"{leased.path}/files/a.txt", content=b"x")).status_code == 201
    ran = "Runs curl with 2 arguments, which ends with exit code 3."
    assert (await leased.said())[1:] == [ran, ran, "Writes a.txt."]
    row = (await leased.rows())[1]
    assert (row["details"]["variables"], row["code"]) == (["TOKEN"], "failed")


async def test_pictures_are_the_programs_own_or_taken_behind_the_answer(leased: Leased):
    await leased.acts(CLICK)
    await leased.acts(CLICK, screenshot=True)
    assert leased.page.looked == 1, "the program took the second one itself"
    shot = await leased.program.get(f"{leased.path}/screenshot")
    rows = (await leased.rows())[1:]
    assert [row["picture"] for row in rows] == [{"width": 1280, "height": 800}] * 3
    found = [await leased.ada.get(f"{leased.path}/recording/pictures/{row['number']}") for row in rows]
    assert [one.content for one in found] == [png(1), png(200), shot.content]
    assert found[0].headers["content-type"] == "image/png"
    await leased.ada.refused(404, f"GET {leased.path}/recording/pictures/1")


async def test_a_recording_that_is_full_goes_on_without_pictures(leased: Leased):
    await leased.stage.admin.change("/api/v1/settings", recording_max_mb=0)
    await leased.acts(CLICK)
    row = (await leased.rows())[-1]
    assert row["picture"] is None
    assert "`recording_max_mb`" in row["picture_left_out"]
    shown = await leased.ada.read(f"{leased.path}/recording")
    assert (shown["rows"], shown["pictures"], shown["pictures_left_out"]) == (2, 0, 1)


async def test_required_pictures_are_stored_when_the_space_of_optional_pictures_is_full(
    stage: Stage, ada: Client, anonymous: Client
):
    await stage.admin.change("/api/v1/settings", recordings_reserved_percent=100)
    for _ in range(2):
        optional = await leased_by(stage, ada, anonymous, record="pictures")
        await optional.acts(CLICK)
        row = (await optional.rows())[-1]
        assert row["picture"] is None
        assert "reserved for members of groups whose" in row["picture_left_out"]
    (said,) = await stage.log("recordings-full")
    assert said["level"] == "WARNING"
    await stage.everybody(record_leases="pictures")
    required = await leased_by(stage, ada, anonymous)
    await required.acts(CLICK)
    assert (await required.rows())[-1]["picture"] is not None


async def test_while_a_person_has_control_no_picture_is_kept(leased: Leased):
    await leased.stage.db.write(
        "INSERT INTO lease_controls (lease_id, term, viewer, name, until, said)"
        " VALUES (%s, 1, 'user', 'ada', clock_timestamp() + interval '1 hour', 'ada took over')",
        (leased.lease["lease_id"],),
    )
    assert (await leased.program.get(f"{leased.path}/screenshot")).status_code == 409
    await leased.ada.get(f"{leased.path}/screenshot")
    control, shot = (await leased.rows())[1:]
    assert (control["what"], control["said"], control["details"]["holder"]) == ("control", "ada took over.", "person")
    assert shot["picture_left_out"].startswith("a person had control")


async def test_what_cannot_be_written_in_time_is_counted_and_said(leased: Leased, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recording, "MAX_WAITING", 2)
    monkeypatch.setattr(recording, "RETRY_PAUSE_S", 0)
    written, is_away = recording.recordings.append_rows, True

    async def append(*given: Any) -> Any:
        nonlocal is_away
        if is_away:
            for _ in range(4):
                await leased.program.get(f"{leased.path}/files/../x")
                await leased.program.get(f"{leased.path}/screenshot")
            is_away = False
            raise Unavailable("The database is away.")
        return await written(*given)

    monkeypatch.setattr(recording.recordings, "append_rows", append)
    await leased.acts(CLICK)
    rows = await leased.rows()
    assert [row["what"] for row in rows] == ["granted", "click", "screenshot", "screenshot", "gap"]
    assert rows[-1]["said"] == "2 actions are missing: there were more than could be written, or a write failed."
    assert leased.recorder.counts.rows_left_out == 2


async def test_a_failure_of_ours_is_said_with_the_next_action(leased: Leased, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as failing:
        failing.setattr(recording.recording_rows, "rows_to_store", lambda *_: 1 / 0)
        await leased.acts(CLICK)
    await leased.acts(SECRET)
    assert (await leased.said())[1:] == [
        "Types 7 characters.",
        "One action is missing: there were more than could be written, or a write failed.",
    ]


async def test_what_waits_for_a_database_that_stays_away_is_left_out_and_said(
    leased: Leased, monkeypatch: pytest.MonkeyPatch
):
    async def append(*_: Any) -> None:
        raise Unavailable("The database is away.")

    with monkeypatch.context() as away:
        away.setattr(recording, "GIVE_UP_S", 0)
        away.setattr(recording, "RETRY_PAUSE_S", 0)
        away.setattr(recording.recordings, "append_rows", append)
        await leased.acts(CLICK)
        await asyncio.wait_for(leased.recorder.wait_until_idle(), 10)
    await leased.acts(SECRET)
    assert [row["what"] for row in await leased.rows()] == ["granted", "type", "gap"]


async def test_the_recording_outlives_its_lease_until_its_time(leased: Leased):
    await leased.acts(CLICK)
    recorded = f"DELETE {leased.path}/recording"
    await leased.stage.admin.refused(409, recorded)
    await leased.ends()
    session_id = leased.lease["session_id"]
    assert (await leased.said())[-1] == "The lease is over: its lease was released."
    await leased.stage.db.write("DELETE FROM sessions WHERE session_id = %s", (session_id,))
    await leased.ada.refused(404, f"GET {leased.path}")
    shown = await leased.ada.only("/api/v1/recordings", session_id=session_id)
    assert (shown["lease_id"], shown["ended"] is None, shown["rows"]) == (leased.lease["lease_id"], False, 3)
    keep = RetentionLimits(
        log_rows=1000, log_days=1, security_rows=1000, security_days=1, launch_days=1, recording_days=14
    )
    assert await prune(leased.stage.db, keep) == {}
    await leased.stage.db.write("UPDATE recordings SET ended = ended - interval '15 days'")
    assert await prune(leased.stage.db, keep) == {"recording_pictures": 1, "recording_rows": 3, "recordings": 1}
    assert await leased.ada.read("/api/v1/recordings") == []


async def test_a_release_waits_for_rows_and_pictures(leased: Leased, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recording, "RELEASE_WAIT_S", 60)
    leased.page.shown = asyncio.Event()
    assert (await leased.program.post(f"{leased.path}/actions", json={"actions": [CLICK]})).status_code == 200
    await leased.page.asked.wait()
    release = asyncio.create_task(leased.ends())
    assert (await asyncio.wait([release], timeout=0.3))[0] == set(), "the picture is not there yet"
    leased.page.shown.set()
    await release
    rows = await leased.rows()
    assert [row["what"] for row in rows] == ["granted", "click", "ended"]
    assert rows[1]["picture"]


async def test_a_release_does_not_wait_for_long(leased: Leased, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recording, "RELEASE_WAIT_S", 0.01)
    leased.page.shown = asyncio.Event()
    assert (await leased.program.post(f"{leased.path}/actions", json={"actions": [CLICK]})).status_code == 200
    await leased.ends()
    leased.page.shown.set()
    assert [row["what"] for row in await leased.rows()] == ["granted", "ended", "click"]


async def test_its_user_exports_it(leased: Leased):
    await leased.acts(CLICK)
    answer = await leased.ada.get(f"{leased.path}/recording/export")
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert archive.namelist() == ["recording.json", "rows.jsonl", "pictures/000002.png"]
    assert json.loads(archive.read("recording.json"))["lease_id"] == leased.lease["lease_id"]
    assert [json.loads(line)["what"] for line in archive.read("rows.jsonl").splitlines()] == ["granted", "click"]
    assert archive.read("pictures/000002.png") == png(1)
    assert await leased.stage.log("recording-exported") == []


async def test_python_programs_read_it_and_take_it_away(leased: Leased, tmp_path: Path):
    await leased.acts(CLICK)
    lease_id, file = leased.lease["lease_id"], tmp_path / "recording.zip"
    transport = httpx.ASGITransport(leased.stage.app)
    async with AsyncGreenroom("https://127.0.0.1:8443", *KEY, transport=transport) as greenroom:
        (found,) = await greenroom.recordings(leased.lease["session_id"])
        assert found == await greenroom.recording(lease_id)
        assert (found.record, found.pictures, found.ended) == ("pictures", 1, None)
        rows = await greenroom.recorded_rows(lease_id)
        assert [row.what for row in rows] == ["granted", "click"]
        assert await greenroom.recorded_picture(lease_id, 2) == png(1)
        await greenroom.export_recording(lease_id, file)
        assert zipfile.ZipFile(file).testzip() is None
        await leased.ends()
        await greenroom.delete_recording(lease_id)
        await greenroom.delete_recording(lease_id)
        assert await greenroom.recordings() == []
        with pytest.raises(NotFound):
            await greenroom.export_recording(lease_id, file)
    assert list(tmp_path.iterdir()) == [file]  # noqa: ASYNC240


async def test_who_may_see_and_delete_a_recording(leased: Leased, with_key: MakeClient):
    recorded = f"{leased.path}/recording"
    assert (await leased.program.get(recorded)).status_code == 401, "the lease's token opens none"
    assert (await leased.program.delete(recorded)).status_code == 401
    await leased.ends()
    other = await with_key("user", "sessions_view", "sessions_modify")
    await other.refused(404, f"GET {recorded}")
    assert await other.read("/api/v1/recordings") == []
    await leased.ada.refused(403, f"DELETE {recorded}")
    auditor = await with_key("recordings_view")
    for _ in range(2):
        assert (await auditor.read(recorded))["username"] == ADA
    assert [one["lease_id"] for one in await auditor.read("/api/v1/recordings")] == [leased.lease["lease_id"]]
    (row,) = await leased.stage.log("recording-viewed")
    assert row["message"].endswith(f"viewed the recording of lease {leased.lease['lease_id']} of {ADA}")
    assert (await auditor.get(f"{recorded}/export")).status_code == 200
    audited = "SELECT code FROM audit_events WHERE code LIKE 'recording-%' AND actor_kind = 'key' ORDER BY code"
    codes = [row["code"] for row in await leased.stage.db.fetch(audited)]
    assert codes == ["recording-exported", "recording-viewed"]
    await auditor.refused(403, f"DELETE {recorded}")
    keeper = await with_key("recordings_delete")
    assert (await keeper.delete(recorded)).status_code == 204
    await keeper.refused(404, f"DELETE {recorded}")
    (row,) = await leased.stage.log("recording-deleted")
    assert (row["details"]["before"]["user"], row["details"]["before"]["rows"]) == (ADA, 2)
    assert await leased.stage.db.fetch("SELECT 1 FROM recording_rows") == []


async def test_groups_say_how_much_is_kept_at_least(stage: Stage, ada: Client, anonymous: Client):
    leased = await leased_by(stage, ada, anonymous)
    assert leased.lease["record"] == "none"
    await leased.acts(CLICK)
    await ada.refused(404, f"GET {leased.path}/recording")
    await stage.everybody(record_leases="actions")
    assert (await leased_by(stage, ada, anonymous)).lease["record"] == "actions"
    leased = await leased_by(stage, ada, anonymous, record="pictures")
    assert leased.lease["record"] == "pictures"
    await stage.everybody(record_leases="pictures")
    leased = await leased_by(stage, ada, anonymous, record="none")
    assert leased.lease["record"] == "pictures"


async def test_with_its_user_a_recording_is_deleted(leased: Leased):
    await leased.ends()
    await leased.stage.becomes(leased.lease["session_id"], "deleted")
    answer = await leased.stage.admin.delete(f"/api/v1/users/{await leased.ada.own_id()}")
    assert answer.status_code == 204, answer.text
    assert await leased.stage.db.fetch("SELECT 1 FROM recordings") == []

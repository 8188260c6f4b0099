"""Sessions, launches, sharing, and the resulting log rows."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from tests.database.api.examples.step import Scene, Step, Wrong, step

from greenroom.core.events import ChangeEvent
from greenroom.db.series.recording import database_now_s, record
from greenroom.kit.secrets import secret_digest

SHARING: Final = {"allow_kasm_sharing": True, "allow_shared_control": True, "allow_guest_links": True}


async def runs(scene: Scene) -> None:
    """Simulate a Manager whose Agent reports that sessions are usable."""
    await scene.db.write(
        "UPDATE sessions SET status = 'running', started = coalesce(started, clock_timestamp())"
        " WHERE status IN ('requested', 'starting', 'assigning')"
    )
    await scene.db.write(
        "INSERT INTO session_steps (session_id, name) SELECT session_id, 'painted' FROM sessions ON CONFLICT DO NOTHING"
    )


def agent_answers(**result: Any) -> Any:
    """Simulate an Agent that executes the next order."""

    async def hook(scene: Scene) -> None:
        async def answer() -> None:
            found: list[Any] = []
            while not found:
                found = await scene.db.write(
                    "UPDATE session_commands SET state = 'done', finished = clock_timestamp(), exit_code = 0,"
                    " output = %(output)s, picture = %(picture)s WHERE state = 'requested' RETURNING 1",
                    {"picture": None, "output": None, **result},
                )
                await asyncio.sleep(0.01)

        scene.ids["agent"] = asyncio.create_task(answer())

    return hook


async def reason_against_sharing(scene: Scene) -> None:
    groups = await scene.clients["admin"].read("/api/v1/groups")
    everybody = next(group["group_id"] for group in groups if group["name"] == "All Users")
    await scene.clients["admin"].change(f"/api/v1/groups/{everybody}", settings=SHARING)
    await scene.db.write("UPDATE agents SET credential_hash = %s", (secret_digest("credential"),))


async def link(scene: Scene) -> None:
    scene.ids["link_token"] = scene.ids["connect_url"].partition("#")[2]


async def watches(scene: Scene) -> None:
    """Simulate an Agent that reports the viewers of the session."""
    body = {
        "session_id": scene.ids["session_id"],
        "watchers": [{"viewer_id": scene.ids["viewer_id"], "client": "192.0.2.23"}],
    }
    headers = {"Authorization": f"Bearer {scene.ids['home_agent_id']}.credential"}
    answer = await scene.clients["anonymous"].post("/api/internal/viewers", json=body, headers=headers)
    assert answer.status_code == 204, answer.text


async def named_share(scene: Scene) -> None:
    body = {"access": "control", "user_id": scene.ids["bob_id"]}
    await scene.clients["admin"].change("/api/v1/settings", share_outside_groups=True)
    await scene.clients["ada"].make(f"/api/v1/sessions/{scene.ids['session_id']}/shares", **body)
    await scene.clients["admin"].change("/api/v1/settings", share_outside_groups=False)


async def happened(scene: Scene) -> None:
    scene.app.state.hub.publish(ChangeEvent.session(scene.ids["session_id"]))


async def newest_launch(scene: Scene) -> None:
    scene.ids["launch_id"] = (await scene.clients["admin"].read("/api/v1/launches"))[0]["launch_id"]


async def permission(scene: Scene) -> None:
    scene.ids["code"] = "agents_view"


async def managers_were_asked(scene: Scene) -> None:
    await scene.db.write(
        "INSERT INTO manager_requests (manager_instance_id, agent_id, method, path, status, duration_ms)"
        " VALUES ('manager-1', %s, 'POST', '/v1/check-in', 401, 1.5)",
        (scene.ids["home_agent_id"],),
    )


async def sampled(scene: Scene) -> None:
    """Record the present minute of the time series."""
    now_s = await database_now_s(scene.db)
    await record(scene.db, now_s)
    scene.ids["since"] = datetime.fromtimestamp(now_s - 120, UTC).isoformat()


async def recorded(scene: Scene) -> None:
    """Simulate an Agent that records the video of the session."""
    await scene.db.write("UPDATE sessions SET client_settings = client_settings || '{\"record_sessions\": true}'")
    segment = {"duration_ms": 30_000, "data": base64.b64encode(b"\0\0\0\x1cftypiso5").decode()}
    for number, content in enumerate((segment, {"is_last": True}), 1):
        body = {"session_id": scene.ids["session_id"], "segment_id": str(uuid.UUID(int=number)), "began": time.time()}
        answer = await scene.clients["anonymous"].post(
            "/api/internal/session-video",
            json=body | content,
            headers={"Authorization": f"Bearer {scene.ids['home_agent_id']}.credential"},
        )
        assert answer.status_code == 204, answer.text
    scene.ids["number"] = 1


SESSIONS: Final[list[Step]] = [
    step("list_own_images", by="ada"),
    step("get_launch_options", by="ada"),
    step(
        "launch_session",
        {"image_id": "{desktop_id}", "environment": {"COURSE": "algebra"}},
        by="ada",
        saves=("session_id", "session_token"),
        wrong=Wrong(body={"image_id": "{ada_id}"}),
    ),
    step("get_connection", by="ada"),
    step("get_session", by="ada", before=runs),
    step("list_sessions", query={"status": "running", "limit": 50}),
    step("list_own_sessions", by="ada"),
    step("get_placement", by="ada"),
    step("keep_session_alive", {"round_trip_ms": 23.5, "frames_s": 24, "kbit_s": 900}, by="ada"),
    step(
        "connect",
        {"session_id": "{session_id}", "user_id": "{ada_id}", "session_token": "{session_token}"},
        by="anonymous",
        wrong=Wrong(body={"session_token": "revoked"}),
    ),
    step(
        "keep_alive_by_token",
        {"session_id": "{session_id}", "user_id": "{ada_id}", "session_token": "{session_token}"},
        by="anonymous",
        wrong=Wrong(body={"session_token": "revoked"}),
    ),
    step(
        "run_command",
        {"command": ["df", "-h", "/home"], "deadline_s": 10},
        by="ada",
        before=agent_answers(
            output="Filesystem      Size  Used Avail Use% Mounted on\noverlay          40G  9.1G   29G  25% /\n"
        ),
        wrong=Wrong(body={"command": []}),
    ),
    step(
        "get_screenshot", query={"width": 640, "height": 400}, by="ada", before=agent_answers(picture=b"\xff\xd8\xff")
    ),
    step("go", {"kasm_url": "https://example.org/"}, by="ada", before=agent_answers(output="")),
    step("get_sharing", by="ada", before=reason_against_sharing),
    step(
        "create_share",
        {"access": "view", "guest": True, "seconds": 3600},
        by="ada",
        saves=("share_id", "connect_url"),
        wrong=Wrong(body={"username": "user@greenroom.local"}),
    ),
    step("list_shares", by="ada"),
    step("get_share", by="ada", wrong=Wrong(ids={"share_id": "00000000"})),
    step(
        "read_invitation", {"token": "{link_token}"}, by="anonymous", before=link, wrong=Wrong(body={"token": "guess"})
    ),
    step(
        "join",
        {"token": "{link_token}", "name": "Gus"},
        by="anonymous",
        saves=("viewer_id", "session_token"),
        wrong=Wrong(body={"name": ""}),
    ),
    step(
        "come_back",
        {"session_token": "{session_token}"},
        by="anonymous",
        wrong=Wrong(body={"session_token": "revoked"}),
    ),
    step("list_viewers", by="ada", before=watches),
    step("list_candidates", query={"q": "user"}, by="admin"),
    step("take_control_back", by="ada"),
    step("put_viewer_out", by="ada"),
    step("list_shared_with_me", by="bob", before=named_share),
    step("assist", {"access": "control"}, by="operator", wrong=Wrong(by="ada")),
    step("end_share", by="ada", wrong=Wrong(ids={"share_id": "00000000"})),
    step("end_shares", by="ada"),
    step("list_session_videos", before=recorded, wrong=Wrong(by="ada")),
    step("get_session_video"),
    step("view_session_video", saves=("viewing",), wrong=Wrong(by="ada")),
    step("get_video_segment", query={"viewing": "{viewing}"}, wrong=Wrong(query={"viewing": "guessed"})),
    step("verify_session_video", wrong=Wrong(by="ada")),
    step("list_launches", wrong=Wrong(by="ada")),
    step("get_launch", before=newest_launch),
    step("explain_launch"),
    step("explain_session"),
    step("explain_own_launch", by="ada"),
    step("explain_own_permission", by="ada", before=permission, wrong=Wrong(ids={"code": "unknown"})),
    step("order_lifecycle", {"command": "pause"}, wrong=Wrong(body={"command": "sleep"})),
    step("events", query={"last": 1}, by="follower", before=happened),
    step("delete_session", by="ada"),
]
LEFTOVER: Final = {
    "kind": "Secret",
    "name": "gr-4d1c9a0e-31d7-4d43-8f6a-0e54a1e7b2c5",
    "ref": "0b7a9f6e-5d0c-4b38-9f0e-6a1d2c3b4e5f",
    "age_s": 7200,
    "agent_id": "c2f4a6b8-1d3e-4f50-8a9b-0c1d2e3f4a5b",
    "session_id": "4d1c9a0e-31d7-4d43-8f6a-0e54a1e7b2c5",
}
AFTERWARDS: Final[list[Step]] = [
    step("list_logs", query={"code": "user-created", "limit": 50}, wrong=Wrong(by="ada")),
    step("get_log_histogram", query={"code": "user-created"}, wrong=Wrong(by="ada")),
    step("get_today", wrong=Wrong(by="ada")),
    step("get_stage_map", wrong=Wrong(by="ada")),
    step("search", query={"q": "desktop"}, wrong=Wrong(by="ada")),
    step("list_audit_events", query={"code": "user-created", "limit": 2}, wrong=Wrong(by="ada")),
    step("export_audit", query={"code": "setting-changed"}, wrong=Wrong(by="ada")),
    step("list_manager_requests", before=managers_were_asked, query={"refused": True}, wrong=Wrong(by="ada")),
    step("get_metrics", wrong=Wrong(by="ada")),
    step("get_series", before=sampled, query={"names": ["cores_offered"], "since": "{since}"}, wrong=Wrong(by="ada")),
    step("get_installation", wrong=Wrong(by="ada")),
    step("get_version"),
    step("find_leftovers", {"things": [LEFTOVER]}, wrong=Wrong(body={"things": [{"kind": "Pod"}]})),
]

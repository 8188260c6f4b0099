"""A person takes over a leased session and hands it back, through the api; the page runs its real code."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from control import Control  # type: ignore[import-not-found]  -- of the image
from tests.database.api.client import ADA, ADMIN, Client, MakeClient
from tests.database.api.staging import Stage
from tests.support.waiting import eventually

from greenroom.api.lease import control as service
from greenroom.core.errors import Held, Unavailable
from greenroom.core.events import ChangeEvent
from greenroom.db.database import Database
from greenroom.db.lease.controls import HeldControl
from greenroom.kit.secrets import Secrets, secret_digest


@dataclass
class Page:
    """Replaces the gateway and the container: executes signed orders; `away`: does not answer."""

    password: str = ""
    away: bool = False
    orders: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    control: Control = field(default_factory=lambda: Control("x"))

    async def of(self, _lease: object) -> Page:
        return self

    async def request(
        self, method: str, path: str, *, content: bytes, headers: dict[str, str], timeout_s: float
    ) -> object:
        assert (method, path, timeout_s) == ("PUT", "control", service.INSTRUCTION_TIMEOUT_S)
        if self.away:
            raise Unavailable("The desktop does not answer.")
        signed = hmac.digest(self.password.encode(), content, hashlib.sha256).hex()
        assert headers[service.SIGNATURE_HEADER] == signed
        order = json.loads(content)
        self.orders.append(order)
        if not self.control.apply_order(order["term"], order["viewer"], order["name"], order["lasts_s"]):
            raise Held("The control of this desktop has changed in the meantime.")
        return None


@dataclass(frozen=True)
class Leased:
    """A running session of ada's, which a program has leased."""

    stage: Stage
    ada: Client
    page: Page
    lease: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/api/v1/leases/{self.lease['lease_id']}/control"

    @property
    def as_program(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.lease['token']}"}

    async def said(self) -> list[str]:
        return [one["said"] for one in (await self.ada.read(self.path))["changes"]]


async def ordered(who: Client, path: str, **body: Any) -> dict[str, Any]:
    answer = await who.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def leased(stage: Stage, ada: Client) -> Leased:
    page = stage.app.state.desks = Page()
    name = (await stage.admin.only("/api/v1/images"))["friendly_name"]
    lease = await ada.make("/api/v1/leases", workspace=name, seconds=3600)
    await stage.becomes(lease["session_id"], "running")
    await stage.db.write("INSERT INTO session_steps (session_id, name) VALUES (%s, 'painted')", (lease["session_id"],))
    secrets: Secrets = stage.app.state.secrets
    page.password = secrets.decrypt((await stage.row(lease["session_id"]))["credential_encrypted"])
    return Leased(stage, ada, page, lease)


@asynccontextmanager
async def ending(leased: Leased) -> AsyncIterator[None]:
    """Let the api end control that has expired."""
    state = leased.stage.app.state
    parts = service.ControlParts(leased.stage.db, leased.stage.logs, state.secrets, state.hub, state.desks, 60)
    watching = asyncio.create_task(service.end_control(parts))
    await eventually(lambda: state.hub.has_subscribers)
    yield
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_without_events_control_is_read_once_per_interval(leased: Leased, monkeypatch: pytest.MonkeyPatch):
    read_at_s: list[float] = []

    async def read_held_controls(_db: Database) -> list[HeldControl]:
        read_at_s.append(time.monotonic())
        return []

    monkeypatch.setattr(service, "MAX_CHECK_INTERVAL_S", 0.2)
    monkeypatch.setattr(service.controls, "read_held_controls", read_held_controls)
    async with ending(leased):
        await eventually(lambda: len(read_at_s) == 3)
    assert read_at_s[2] - read_at_s[1] >= 0.2


async def test_its_user_takes_over_keeps_it_and_hands_back(leased: Leased, anonymous: Client):
    ada, page, path = leased.ada, leased.page, leased.path
    first = await ada.read(path)
    assert (first["holder"], first["term"], first["name"], first["away_s"]) == ("program", 0, None, 60)
    taken = await ordered(ada, path, holder="person")
    assert (taken["holder"], taken["term"], taken["name"]) == ("person", 1, ADA)
    assert page.orders == [{"term": 1, "viewer": "user", "name": ADA, "lasts_s": 60}]
    assert not page.control.may_send("program")
    kept = await ordered(ada, path, holder="person", term=1)
    assert (kept["term"], kept["until"] > taken["until"]) == (1, True)
    seen = await anonymous.get(path, headers=leased.as_program)
    assert (seen.status_code, seen.json()["holder"]) == (200, "person")
    back = await ordered(ada, path, holder="program", term=1)
    assert (back["holder"], back["term"], back["until"]) == ("program", 2, None)
    assert page.control.may_send("program")
    assert (await ordered(ada, path, holder="program"))["term"] == 2, "again is a success"
    assert await leased.said() == [f"{ADA} took over", f"{ADA} handed back"]
    ends = f": session {leased.lease['session_id']} of lease {leased.lease['lease_id']}"
    (took,) = await leased.stage.log("control-taken-over")
    (handed,) = await leased.stage.log("control-handed-back")
    assert (took["message"], handed["message"]) == (f"{ADA} took over{ends}", f"{ADA} handed back{ends}")


async def test_a_program_takes_no_control_and_strangers_see_nothing(
    leased: Leased, anonymous: Client, with_user: MakeClient
):
    refused = await anonymous.post(leased.path, json={"holder": "person"}, headers=leased.as_program)
    assert refused.status_code == 401
    eve = await with_user("eve@example.org")
    assert "Join the session first" in await eve.refused(403, f"POST {leased.path}", {"holder": "person"})
    assert (await eve.get(leased.path)).status_code == 404
    assert leased.page.orders == []


async def test_who_helps_takes_over_and_the_user_takes_it_back(leased: Leased, logged_in: MakeClient):
    ines = await logged_in()
    session = f"/api/v1/sessions/{leased.lease['session_id']}"
    await ines.make(f"{session}/assist", access="view")
    assert "A viewer without control" in await ines.refused(403, f"POST {leased.path}", {"holder": "person"})
    joined = await ines.make(f"{session}/assist", access="control")
    await ordered(ines, leased.path, holder="person")
    assert leased.page.orders[-1]["viewer"] == joined["viewer_id"]
    assert (await ordered(leased.ada, leased.path, holder="person"))["term"] == 2
    refusal = await ines.refused(409, f"POST {leased.path}", {"holder": "person", "term": 1})
    assert refusal == "held: Control of this desktop changed in the meantime. Take over again."
    assert f"{ADA} has control" in await ines.refused(409, f"POST {leased.path}", {"holder": "person"})
    assert leased.page.control.may_send("user")
    messages = [row["message"] for row in await leased.stage.log("control-taken-over")]
    assert messages[1].startswith(f"{ADA} took over from {ADMIN}:")


async def test_two_people_at_once_get_one_term_each_and_the_page_has_the_last(leased: Leased, logged_in: MakeClient):
    ines = await logged_in()
    await ines.make(f"/api/v1/sessions/{leased.lease['session_id']}/assist", access="control")
    answers = await asyncio.gather(
        *(who.post(leased.path, json={"holder": "person"}) for who in (leased.ada, ines, leased.ada, ines))
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    now = await leased.ada.read(leased.path)
    assert now["name"] == ADA, "its user is refused by no one"
    assert leased.page.control.state()["term"] == now["term"]
    assert leased.page.control.may_send("user")


async def test_a_page_that_does_not_answer_leaves_control_with_the_program(leased: Leased):
    leased.page.away = True
    assert "does not answer" in await leased.ada.refused(503, f"POST {leased.path}", {"holder": "person"})
    now = await leased.ada.read(leased.path)
    assert (now["holder"], now["term"]) == ("program", 2)
    assert (await leased.said())[-1] == f"{ADA} did not get control: The desktop does not answer."
    assert await leased.stage.log("control-taken-over") == []


async def test_who_is_away_loses_control_and_it_is_written_down(leased: Leased, monkeypatch: pytest.MonkeyPatch):
    await leased.stage.admin.change("/api/v1/settings", control_away_s=10)
    await leased.stage.app.state.snapshot.reload()
    taken = await ordered(leased.ada, leased.path, holder="person")
    assert taken["away_s"] == 10
    await leased.stage.db.write("UPDATE lease_controls SET until = since + interval '1 microsecond'")
    now = await leased.ada.read(leased.path)
    assert (now["holder"], now["term"]) == ("program", 1)
    refusal = await leased.ada.refused(409, f"POST {leased.path}", {"holder": "person", "term": 1})
    assert "Take over again" in refusal, "coming back takes nothing back by itself"
    monkeypatch.setattr(service, "MAX_CHECK_INTERVAL_S", 0.01)
    async with ending(leased):

        async def written() -> bool:
            return await leased.said() == [f"{ADA} took over", f"{ADA} was away"]

        await eventually(written)
        (row,) = await eventually(lambda: leased.stage.log("control-handed-back"))
    assert row["message"].startswith(f"{ADA} was away:")


async def withdrawn_share(leased: Leased, ines: Client, share_id: str) -> None:
    del ines
    await leased.ada.delete(f"/api/v1/sessions/{leased.lease['session_id']}/shares/{share_id}")


async def logged_out(leased: Leased, ines: Client, share_id: str) -> None:
    del leased, share_id
    await ines.post("/api/v1/logout")


async def put_out(leased: Leased, ines: Client, share_id: str) -> None:
    del ines, share_id
    viewer = leased.page.orders[-1]["viewer"]
    await leased.ada.delete(f"/api/v1/sessions/{leased.lease['session_id']}/viewers/{viewer}")


async def disabled(leased: Leased, ines: Client, share_id: str) -> None:
    del share_id
    await leased.stage.admin.change(f"/api/v1/users/{await ines.own_id()}", disabled=True)


Withdrawal = Callable[[Leased, Client, str], Awaitable[None]]


@pytest.mark.parametrize("withdrawal", [withdrawn_share, logged_out, put_out, disabled])
async def test_who_may_not_control_it_any_more_loses_control_at_once(
    leased: Leased, with_user: MakeClient, withdrawal: Withdrawal
):
    ines = await with_user("ines@example.org")
    session = f"/api/v1/sessions/{leased.lease['session_id']}"
    await leased.stage.everybody(allow_kasm_sharing=True, allow_shared_control=True)
    share = await leased.ada.make(f"{session}/shares", access="control", user_id=await ines.own_id())
    await ines.make(f"/api/v1/shares/{share['share_id']}/viewers", token=share["connect_url"].partition("#")[2])
    async with ending(leased):
        await ordered(ines, leased.path, holder="person")
        assert not leased.page.control.may_send("program")
        await withdrawal(leased, ines, share["share_id"])
        leased.stage.app.state.hub.publish(ChangeEvent.session(leased.lease["session_id"]))
        await eventually(lambda: leased.page.control.may_send("program"))
    assert (await leased.ada.read(leased.path))["holder"] == "program"
    assert (await leased.said())[-1] == "ines@example.org may not control it any more"


async def test_who_logs_out_gives_control_of_their_own_session_back(leased: Leased):
    async with ending(leased):
        await ordered(leased.ada, leased.path, holder="person")
        await leased.ada.post("/api/v1/logout")
        leased.stage.app.state.hub.publish(ChangeEvent.session(leased.lease["session_id"]))
        await eventually(lambda: leased.page.control.may_send("program"))
    rows = await leased.stage.db.fetch("SELECT said FROM lease_controls ORDER BY term")
    assert [row["said"] for row in rows] == [f"{ADA} took over", f"{ADA} may not control it any more"]


async def test_a_program_waits_for_its_turn(leased: Leased, anonymous: Client):
    await ordered(leased.ada, leased.path, holder="person")
    hub = leased.stage.app.state.hub
    waiting = asyncio.create_task(anonymous.get(leased.path, params={"wait_s": 30}, headers=leased.as_program))
    await eventually(lambda: hub.has_subscribers)
    assert not waiting.done()
    await ordered(leased.ada, leased.path, holder="program")
    hub.resync()
    assert (await waiting).json()["holder"] == "program"


async def test_who_has_the_connect_address_takes_over_as_the_user(leased: Leased, anonymous: Client):
    _, user_id, token = leased.lease["urls"]["page"].rsplit("/", 2)
    address = {"session_id": leased.lease["session_id"], "user_id": user_id, "session_token": token}
    taken = await ordered(anonymous, "/api/v1/connect/control", **address, holder="person")
    assert (taken["holder"], taken["name"], leased.page.orders[-1]["viewer"]) == ("person", ADA, "user")
    wrong = await anonymous.post("/api/v1/connect/control", json={**address, "session_token": "x", "holder": "person"})
    assert wrong.status_code == 404


async def test_the_agent_learns_that_a_session_is_leased(leased: Leased, anonymous: Client):
    await leased.stage.db.write("UPDATE agents SET credential_hash = %s", (secret_digest("credential"),))
    token = leased.lease["urls"]["page"].rsplit("/", 1)[1]
    verdict = await anonymous.post(
        "/api/internal/stream",
        json={"session_id": leased.lease["session_id"], "token": token},
        headers={"Authorization": f"Bearer {leased.stage.agent_id}.credential"},
    )
    assert (verdict.json()["allow"], verdict.json()["leased"]) == (True, True)

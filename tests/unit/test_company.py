"""Guests of sessions at the Agent: the answers to nginx, the reports about viewers, and disconnections."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.unit.test_stream_authorizer import OK_ORIGIN, PATH, A, Agent

from greenroom.agent.stream.viewers import AWAY_S, GuestPresence
from greenroom.core.session.streams import Access
from greenroom.wire.messages import Authorised
from greenroom.wire.viewers import Watcher

PORT = "40001"


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    made = Agent(tmp_path)
    made.api.guests = {"watch": ("v", "view"), "type": ("c", "control")}
    admit(made, v="view", c="control")
    return made


def admit(agent: Agent, **guests: Access) -> None:
    """Set the guests of the desired list."""
    agent.table.put(A, authorised=Authorised(user_id="u", epoch=1, idle_disconnect_s=60.0, guests=dict(guests)))


async def opened(agent: Agent, token: str, port: str = PORT) -> int:
    reply = await agent.ask(
        f"{PATH}websockify",
        cookie=f"greenroom_viewer={token}",
        websocket=True,
        origin=OK_ORIGIN,
        client=("192.0.2.9", ""),
        port=port,
    )
    return reply.status_code


async def test_the_page_learns_who_may_only_watch_and_counts_no_idle_time_for_them(agent: Agent):
    watching = await agent.ask(cookie="greenroom_viewer=watch")
    assert (watching.headers["X-Greenroom-View-Only"], watching.headers["X-Greenroom-Idle-Disconnect-S"]) == ("1", "0")
    typing = await agent.ask(cookie="greenroom_viewer=type")
    assert (typing.headers["X-Greenroom-View-Only"], typing.headers["X-Greenroom-Idle-Disconnect-S"]) == ("", "60")
    user = await agent.ask(cookie="greenroom_viewer=good")
    assert user.headers["X-Greenroom-View-Only"] == ""


async def test_who_watches_sends_nothing(agent: Agent):
    reply = await agent.ask(f"{PATH}files/a", cookie="greenroom_viewer=watch", method="PUT", length="3")
    assert (reply.status_code, reply.headers["X-Greenroom-Reason"]) == (403, "You may only watch this session.")
    assert (await agent.ask(f"{PATH}files/a", cookie="greenroom_viewer=type", method="PUT", length="3")).is_success


async def test_a_page_that_would_let_watchers_type_shows_them_nothing(agent: Agent):
    agent.pages.keep = False
    reply = await agent.ask(cookie="greenroom_viewer=watch")
    assert reply.status_code == 403
    assert "no view-only mode" in reply.headers["X-Greenroom-Reason"]
    assert (await agent.ask(cookie="greenroom_viewer=type")).is_success


async def test_the_access_of_the_list_counts_not_that_of_the_first_verdict(agent: Agent):
    assert await opened(agent, "type") == 200
    admit(agent, v="view", c="view")
    assert agent.cuts.cut == [(A, "192.0.2.9:40001")], "their page comes back"
    agent.api.guests["type"] = ("c", "view")
    reply = await agent.ask(cookie="greenroom_viewer=type")
    assert reply.headers["X-Greenroom-View-Only"] == "1"


async def test_a_revoked_guest_is_cut_alone(agent: Agent):
    assert [await opened(agent, token) for token in ("good", "watch")] == [200, 200]
    assert await opened(agent, "type", "40002") == 200
    admit(agent, c="control")
    assert agent.cuts.cut == [(A, "192.0.2.9:40001")]
    del agent.api.guests["watch"]
    assert await opened(agent, "watch") == 401
    assert await opened(agent, "type") == 200
    assert (await agent.ask(cookie="greenroom_viewer=good")).is_success


async def test_an_answer_that_lasts_is_cut_too(agent: Agent):
    assert (await agent.ask(f"{PATH}events", cookie="greenroom_viewer=type", port="40007")).is_success
    admit(agent, v="view")
    assert agent.cuts.cut == [(A, "192.0.2.7:40007")]


async def test_a_guest_is_still_cut_after_a_restart(agent: Agent):
    assert await opened(agent, "watch") == 200
    agent.restart()
    admit(agent)
    assert agent.cuts.cut == [(A, "192.0.2.9:40001")]


async def test_a_guest_waits_for_the_list_that_names_them(agent: Agent):
    admit(agent)
    asked = asyncio.create_task(opened(agent, "watch"))
    await asyncio.sleep(0.05)
    assert not asked.done()
    admit(agent, v="view")
    assert await asked == 200


async def test_a_guest_who_could_not_be_cut_is_not_let_in(agent: Agent):
    assert await opened(agent, "watch", "") == 403


async def test_the_api_learns_who_is_there_and_who_left(agent: Agent):
    there = {("192.0.2.9", 40001)}
    company = looking(agent.guest_presence, there)
    assert await opened(agent, "watch") == 200
    await company.report_guests()
    (first,) = agent.api.reported_viewers
    assert (first.session_id, first.watchers) == (A, [Watcher(viewer_id="v", client="192.0.2.9")])
    await company.report_guests()
    assert len(agent.api.reported_viewers) == 1, "nothing changed"
    there.clear()
    await company.report_guests()
    agent.now += AWAY_S - 1
    await company.report_guests()
    assert len(agent.api.reported_viewers) == 1, "a page that reconnects never left"
    agent.now += 1
    await company.report_guests()
    assert [watched.watchers for watched in agent.api.reported_viewers[1:]] == [[]]


async def test_what_could_not_be_reported_is_reported_later(agent: Agent):
    company = looking(agent.guest_presence, {("192.0.2.9", 40001)})
    assert await opened(agent, "watch") == 200
    agent.api.away = True
    await company.report_guests()
    agent.api.away = False
    await company.report_guests()
    assert len(agent.api.reported_viewers) == 1


async def test_who_left_during_a_restart_is_reported_too(agent: Agent):
    assert await opened(agent, "watch") == 200
    agent.restart()
    await looking(agent.guest_presence, set()).report_guests()
    assert [watched.watchers for watched in agent.api.reported_viewers] == [[]]


async def test_a_session_that_is_over_is_reported_no_more(agent: Agent):
    company = looking(agent.guest_presence, {("192.0.2.9", 40001)})
    assert await opened(agent, "watch") == 200
    await company.report_guests()
    del agent.table.rows[A]
    agent.table.authorised_changed.emit(A)
    await company.report_guests()
    assert len(agent.api.reported_viewers) == 1


def looking(company: GuestPresence, there: set[tuple[str, int]]) -> GuestPresence:
    company._find_existing = lambda wanted: {one for one in wanted if tuple(one) in there}
    return company

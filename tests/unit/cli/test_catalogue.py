"""`catalogue`: the entries that can be added, and the path of an image to the Agents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.unit.cli.conftest import Done, Pretended

from greenroom.cli import catalogue

Greenroom = Callable[..., Done]

IMAGE = "22222222-2222-4222-8222-222222222222"
COPYING = "two: copying: Agent one has it."
GROUP = "33333333-3333-4333-8333-333333333333"


def image(*agents: tuple[str, str, str, int, str]) -> httpx.Response:
    fields = ("hostname", "state", "how", "progress", "error")
    why = {"copying": "Agent one has it."}
    rows = [
        {
            "agent_id": agent[0],
            "size_bytes": 812_000_000,
            "reason": why.get(agent[2], ""),
            **dict(zip(fields, agent, strict=True)),
        }
        for agent in agents
    ]
    available = any(row["state"] == "present" for row in rows)
    return httpx.Response(200, json={"image_id": IMAGE, "name": "x:1", "available": available, "agents": rows})


@pytest.fixture
def offered(api: Pretended, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    monkeypatch.setattr(catalogue, "POLL_S", 0.0)
    entry: dict[str, Any] = {
        "name": "firefox",
        "friendly_name": "Firefox",
        "description": "A browser.",
        "categories": ["Browsers"],
        "size_bytes": 812_000_000,
        "first_frame_ms": 3500,
        "installed": True,
        "update_available": True,
    }
    unknown = entry | {"name": "code", "size_bytes": None, "first_frame_ms": None, "installed": False}
    api.answers = {
        ("GET", "/catalogue"): [entry, unknown | {"update_available": False}],
        ("GET", "/groups"): [{"group_id": GROUP, "name": "Students"}],
        ("POST", "/catalogue/firefox"): {"image_id": IMAGE, "friendly_name": "Firefox"},
        ("POST", "/catalogue/acme/firefox"): {"image_id": IMAGE, "friendly_name": "Firefox"},
    }
    return api


def test_the_list_says_size_first_frame_and_what_was_added(offered: Pretended, greenroom: Greenroom):
    done = greenroom("catalogue", "list")
    assert done.code == 0, done.err
    for words in ("firefox", "812 MB", "3.5 s", "update available"):
        assert words in done.out
    assert [row["name"] for row in greenroom("catalogue", "list", "--json").json] == ["firefox", "code"]


def test_groups_are_given_by_name(offered: Pretended, greenroom: Greenroom):
    assert greenroom("catalogue", "add", "firefox", "--group", "Students").code == 0
    assert offered.last[2] == {"groups": [GROUP]}
    assert greenroom("catalogue", "add", "acme/firefox").code == 0
    assert offered.last[2] == {}
    assert greenroom("catalogue", "update", "firefox").code == 0
    assert offered.last[2] == {"update": True}


def test_waiting_says_how_the_image_comes_to_each_agent_and_ends_with_the_first(
    offered: Pretended, greenroom: Greenroom
):
    offered.answers["GET", f"/images/{IMAGE}"] = [
        image(),
        image(("one", "pulling", "building", 0, ""), ("two", "failed", "", 0, "No way.")),
        image(("one", "pulling", "building", 50, ""), ("two", "failed", "", 0, "No way.")),
        image(("one", "present", "", 0, ""), ("two", "pulling", "copying", 5, "")),
    ]
    done = greenroom("catalogue", "add", "firefox", "--wait", "--json")
    assert done.code == 0, done.err
    assert done.json["available"] is True
    assert done.err.split("\n")[:-1] == ["one: building", "two: failed: No way.", "one: present", COPYING]


def test_waiting_ends_with_the_reason_when_no_agent_can_get_it(offered: Pretended, greenroom: Greenroom):
    offered.answers["GET", f"/images/{IMAGE}"] = image(
        ("one", "failed", "", 0, "No way."), ("two", "failed", "", 0, "No way.")
    )
    done = greenroom("catalogue", "add", "firefox", "--wait")
    assert (done.code, done.err.count("greenroom: No way.")) == (1, 1)


def test_waiting_ends_in_time(offered: Pretended, greenroom: Greenroom):
    offered.answers["GET", f"/images/{IMAGE}"] = image(("one", "pulling", "building", 5, ""))
    done = greenroom("catalogue", "add", "firefox", "--wait", "--within", "0s")
    assert done.code == 1
    assert "No Agent has the image x:1 after 0 s" in done.err

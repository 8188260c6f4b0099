"""`rehearse` creates nothing if it would start real containers, and other commands do not load its modules."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from ssl import create_default_context

import httpx
import pytest
from tests.unit.cli.conftest import Done, Pretended, problem

from greenroom.cli.client import Client
from greenroom.cli.rehearsal import RehearsalPlan, RehearsedVisit
from greenroom.cli.rehearse import RehearsedUsers, delete_rehearsal
from greenroom.cli.server import Server
from greenroom.client import AsyncGreenroom

IMAGE = {"image_id": "22222222-2222-4222-8222-222222222222", "friendly_name": "Desktop", "enabled": True}
AGENT = {"hostname": "host-1", "enabled": True, "draining": False, "status": "running"}


@pytest.mark.parametrize(
    ("agents", "sentence"),
    [
        ([AGENT | {"simulated": True}, AGENT | {"hostname": "host-2", "simulated": False}], "on host-2 have real"),
        ([AGENT | {"simulated": None}], "on host-1 have real containers"),
        ([AGENT | {"simulated": False, "draining": True}], "No Agent is enabled"),
        ([AGENT | {"simulated": False, "enabled": False}], "No Agent is enabled"),
    ],
)
def test_it_refuses_before_it_makes_anything(
    api: Pretended, greenroom: Callable[..., Done], agents: list[object], sentence: str
):
    group = "/groups/68d557ac-4cac-42cc-a9f3-1c7c853de0f3"
    api.answers = {("GET", "/agents"): agents, ("GET", "/images"): [IMAGE], ("GET", group): {"settings": {}}}
    done = greenroom("rehearse", "--users", "3", "--within", "1s")
    assert done.code == 1
    assert sentence in done.err
    assert {request.method for request in api.asked} == {"GET"}


def test_the_program_loads_nothing_of_a_rehearsal():
    loaded = "import sys, greenroom.cli.main; print([name for name in sys.modules if 'greenroom.cli.rehears' in name])"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_was_made_is_deleted_and_what_is_left_is_named(api: Pretended):
    made = {"group_id": "g", "name": "rehearsal-abcdef"}
    users = [{"user_id": "u1", "username": "rehearsal-abcdef-001"}, {"user_id": "u2", "username": "rehearsal-abcdef-x"}]
    api.answers = {
        ("GET", "/groups"): [made, {"group_id": "other", "name": "Staff"}],
        ("GET", "/users"): [*users, {"user_id": "ann", "username": "not-rehearsal-abcdef-001"}],
        ("GET", "/sessions"): [],
        ("DELETE", "/users/u1"): {},
        ("DELETE", "/users/u2"): problem(409, "refused", "It is locked."),
        ("DELETE", "/groups/g"): {},
    }
    with Client(
        Server("https://greenroom.example", "key", "secret", create_default_context(), is_local=False),
        httpx.MockTransport(api.answer),
    ) as client:
        assert list(delete_rehearsal(client, "rehearsal-abcdef")) == [
            "The user rehearsal-abcdef-x could not be deleted: It is locked. (refused)"
        ]
    deleted = [request.url.raw_path.decode() for request in api.asked if request.method == "DELETE"]
    assert deleted == ["/api/v1/users/u1?force=true", "/api/v1/users/u2?force=true", "/api/v1/groups/g"]


def test_each_visit_is_usable_refused_or_late(api: Pretended):
    """The second user may not launch, and the session of the third never runs."""
    launches = [
        httpx.Response(202, json={"session_id": "s1", "staged": True}),
        problem(409, "session-limit", "The limit is reached."),
        httpx.Response(202, json={"session_id": "s3", "staged": False}),
    ]
    api.answers = {
        ("POST", "/sessions"): launches,
        ("GET", "/sessions"): [{"session_id": "s1", "status": "running"}, {"session_id": "s3", "status": "starting"}],
    }
    plan = RehearsalPlan(users=3, within_s=0, usable_within_s=2, seed=0, image_id="i", workspace="Desktop")

    async def visits() -> list[RehearsedVisit]:
        transport = httpx.MockTransport(api.answer)
        async with AsyncGreenroom("https://greenroom.example", "key", "secret", transport=transport) as greenroom:
            return await RehearsedUsers(greenroom, plan, lambda _: None).run_visits(["a", "b", "c"], [0, 0.01, 0.02])

    staged, refused, late = asyncio.run(visits())
    assert (staged.outcome, staged.session_id, staged.usable_s is not None) == ("staged", "s1", True)
    assert (refused.outcome, refused.code, refused.sentence) == ("refused", "session-limit", "The limit is reached.")
    assert (late.outcome, late.session_id, late.usable_s) == ("late", "s3", None)

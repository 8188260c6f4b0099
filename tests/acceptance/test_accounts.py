"""The effect of an administrator's actions on accounts on the open desktops and log-ins of users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.acceptance.instance import Instance, wait_for
from tests.acceptance.members import Member, Running, member_of
from tests.acceptance.open_desktop import is_streamed, open_desktop

CUT_WITHIN_S = 10.0
"""A revoked viewer's stream is cut within 5 s; a machine that is busy may take longer."""
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def member(instance: Instance) -> Iterator[Member]:
    """A user."""
    with member_of(instance) as found:
        yield found


@pytest.fixture
def running(member: Member) -> Iterator[Running]:
    """A session of the member in which no stream was cut."""
    session = member.launch()
    yield session
    session.delete()


@pytest.mark.parametrize(
    ("change", "undone"),
    [
        ({"json": {"locked": True}}, {"locked": False}),
        ({"json": {"disabled": True}}, {"disabled": False}),
        ({"json": {"password": "quite another one"}}, {}),
        (None, {}),
    ],
    ids=["locked", "disabled", "new password", "logged out"],
)
def test_a_disabled_user_loses_the_streams_but_not_the_session(
    instance: Instance, member: Member, running: Running, change: dict[str, Any] | None, undone: dict[str, Any]
):
    path = f"/users/{member.user_id}"
    with open_desktop(instance, running.session_id) as desktop:
        assert desktop.goes_on()
        if change:
            instance.call("PATCH", path, **change)
        else:
            instance.call("DELETE", f"{path}/logins")
        assert desktop.is_closed_within(CUT_WITHIN_S)
    assert instance.has_status(running.session_id, "running")
    if undone:
        instance.call("PATCH", path, json=undone)
    wait_for(lambda: is_streamed(instance, running.session_id), "a new token opens it again")


def test_a_locked_user_gets_no_new_session(instance: Instance, member: Member):
    instance.call("PATCH", f"/users/{member.user_id}", json={"locked": True})
    with instance.http() as client:
        refused = client.post("/api/v1/sessions", json={"image_id": instance.desktop(), "user_id": member.user_id})
    assert (refused.status_code, "locked" in refused.json()["detail"]) == (403, True)
    instance.call("PATCH", f"/users/{member.user_id}", json={"locked": False})


def test_a_deleted_user_leaves_no_container(instance: Instance):
    leaver = Member(instance, instance.new_user(), "a user who leaves")
    session = leaver.launch()
    with instance.http() as client:
        assert client.delete(f"/api/v1/users/{leaver.user_id}").status_code == 409
    with open_desktop(instance, session.session_id) as desktop:
        instance.call("DELETE", f"/users/{leaver.user_id}?force=true")
        assert desktop.is_closed_within(CUT_WITHIN_S)
    wait_for(lambda: not instance.containers_of(session.session_id), "the container is gone")


def test_a_launch_without_a_workspace_runs_the_default_one(instance: Instance, member: Member):
    instance.call("PATCH", f"/users/{member.user_id}/attributes", json={"default_image": instance.desktop()})
    asked = instance.call("POST", "/sessions", json={"user_id": member.user_id})
    assert asked["image_id"] == instance.desktop()
    wait_for(lambda: instance.has_status(asked["session_id"], "running"), "it runs", within_s=60)
    Running(instance, asked["session_id"]).delete()


def test_a_link_logs_in_once_through_the_gateway(instance: Instance, member: Member):
    with instance.http() as program:
        target = {"target_user": {"user_id": member.user_id}}
        url: str = program.post("/api/public/get_login", json=target).json()["url"]
    assert url.startswith(f"{instance.url}/#/connect/login/")
    body = {"token": url.rpartition("/")[2]}
    with httpx2.Client(base_url=instance.url, verify=instance.ca(), timeout=15, trust_env=False) as browser:
        browser.headers.update(SAME_ORIGIN)
        assert browser.post("/api/v1/login/link", json=body).status_code == 200
        assert browser.get("/api/v1/me").json()["user"]["username"] == member.username
        assert browser.post("/api/v1/login/link", json=body).status_code == 401

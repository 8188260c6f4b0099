"""A staging config from its creation to its end, and its sessions before and after a user gets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from tests.acceptance.commands import answered, greenroom
from tests.acceptance.instance import Instance, wait_for
from tests.acceptance.members import Running, member_of, workspace

pytestmark = pytest.mark.docker


def seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def sessions_of(instance: Instance, config_id: str, **query: str) -> list[dict[str, Any]]:
    return instance.call("GET", "/sessions", params={"staging_config_id": config_id, **query})


def staged(instance: Instance, config_id: str) -> list[dict[str, Any]]:
    return [session for session in sessions_of(instance, config_id, status="running") if session["claimable"]]


@contextmanager
def config(instance: Instance, image_id: str, *options: str) -> Iterator[dict[str, Any]]:
    """A config created on the command line, deleted at the end if it still exists."""
    made = answered(
        instance, "staging", "create", "--zone", "default", "--image", image_id, "--expiration", "2", *options
    )
    try:
        yield made
    finally:
        greenroom(instance, "staging", "delete", made["staging_config_id"])
        query = "SELECT 1 FROM sessions WHERE staging_config_id = %s AND user_id IS NULL AND status <> 'deleted'"
        wait_for(lambda: not instance.sql(query, made["staging_config_id"]), "its unassigned sessions are gone")


def test_from_create_to_delete_and_the_clocks_of_its_sessions(instance: Instance):
    settings = {"keepalive_expiration": 600, "session_time_limit": 1200}
    with (
        workspace(instance) as image_id,
        member_of(instance, **settings) as ada,
        config(instance, image_id, "--num-sessions", "1") as made,
    ):
        config_id = made["staging_config_id"]
        assert (made["num_sessions"], made["expiration"], made["warning"]) == (1, 2, None)
        assert made["matching_users"] >= 1
        twice = greenroom(
            instance, "staging", "create", "--zone", "default", "--image", image_id,
            "--num-sessions", "3", "--expiration", "1",
        )  # fmt: skip
        assert (twice.returncode, "already exists" in twice.stderr) == (1, True)
        (before,) = wait_for(lambda: staged(instance, config_id), "one is staged", within_s=60)
        assert (before["user_id"], before["username"], before["assigned"]) == (None, None, None)
        assert (before["keepalive"], before["time_limit_ends"]) == (None, None), "no clock runs"
        assert seconds(before["created"], before["expires"]) == pytest.approx(2 * 3600, abs=1)
        # it has been waiting for an hour
        waited = "UPDATE sessions SET created = created - interval '1 h', started = started - interval '1 h'"
        instance.sql(f"{waited} WHERE session_id = %s", before["session_id"])
        assert answered(instance, "staging", "explain", config_id, "--user", ada.username)["would_get"] is True

        session = ada.launch(image_id)
        assert session.session_id == before["session_id"]
        (after,) = (s for s in sessions_of(instance, config_id) if s["session_id"] == session.session_id)
        assert (after["username"], after["user_id"]) == (ada.username, ada.user_id)
        assert after["staging_config_id"] == config_id
        assert seconds(after["created"], after["assigned"]) > 3600
        assert seconds(after["keepalive"], after["expires"]) == pytest.approx(600, abs=1), "the user's, not the pool's"
        assert seconds(after["assigned"], after["time_limit_ends"]) == pytest.approx(1200, abs=1)
        assert seconds(after["assigned"], after["keepalive"]) < 60

        (refill,) = wait_for(lambda: staged(instance, config_id), "the pool is full again", within_s=60)
        found = answered(instance, "staging", "history", config_id)
        assert found["windows"][0] | {"hit_rate": None} == {
            "hours": 1, "hits": 1, "misses": 0, "served_elsewhere": 0, "hit_rate": None
        }  # fmt: skip
        shown = greenroom(instance, "staging", "history", config_id)
        assert "last 24 h" in shown.stdout
        assert "100%" in shown.stdout

        answered(instance, "staging", "recycle", config_id)
        fresh = wait_for(lambda: others(instance, config_id, refill["session_id"]), "it was replaced", within_s=60)
        answered(instance, "staging", "pause", config_id)
        missed = ada.launch(image_id)
        assert missed.row()["staging_config_id"] is None
        (reason,) = answered(instance, "staging", "explain", config_id, "--user", ada.username)["reasons"]
        assert "paused" in reason["reason"]
        said = greenroom(instance, "staging", "history", config_id, "--wide").stdout
        assert "50%" in said
        assert ada.username in said
        assert [s["session_id"] for s in staged(instance, config_id)] == fresh, "a paused config keeps what it has"
        answered(instance, "staging", "resume", config_id)
        assert answered(instance, "staging", "explain", config_id, "--user", ada.username)["would_get"] is True

        assert answered(instance, "staging", "delete", config_id)["deleted"] is True
        wait_for(lambda: not any(map(instance.containers_of, fresh)), "its unassigned sessions are gone")
        assert Running(instance, session.session_id).row()["status"] == "running", "the assigned one lives on"
        assert session.shell("echo here") == "here"


def others(instance: Instance, config_id: str, session_id: str) -> list[str]:
    """Ids of the staged sessions, once this one is not among them."""
    found = [session["session_id"] for session in staged(instance, config_id)]
    return [] if session_id in found else found


def test_a_request_host_zone_stages_nothing_until_corrected(
    instance: Instance,
):
    (zone,) = instance.call("GET", "/zones")
    path, right = f"/zones/{zone['zone_id']}", {"allow_origin_domain": zone["allow_origin_domain"]}
    with workspace(instance) as image_id:
        instance.call("PATCH", path, json={"allow_origin_domain": "$request_host$"})
        try:
            with config(instance, image_id, "--num-sessions", "1") as made:
                config_id = made["staging_config_id"]
                wrong = "Allow Origin Domain of zone default contains $request_host$"
                assert wrong in made["warning"]
                shown = greenroom(instance, "staging", "update", config_id, "--expiration", "3")
                assert wrong.split(maxsplit=1)[0] in shown.stderr, "the warning is for people, too"
                short = wait_for(lambda: shortfall(instance, config_id, "zone-request-host"), "the config says why")
                assert wrong in short
                rows = {"code": "staging-shortfall", "staging_config_id": config_id}
                said = wait_for(lambda: instance.call("GET", "/logs", params=rows), "the log says why")
                assert (len(said), said[0]["zone_name"], wrong in said[0]["message"]) == (1, "default", True)
                assert sessions_of(instance, config_id) == []
                instance.call("PATCH", path, json=right)
                wait_for(lambda: staged(instance, config_id), "one is staged", within_s=60)
                wait_for(lambda: shortfall(instance, config_id) == "", "the config has no shortfall")
        finally:
            instance.call("PATCH", path, json=right)


def shortfall(instance: Instance, config_id: str, code: str | None = None) -> str:
    """The message of a config's shortfall (with this code); empty if it has none."""
    found = instance.call("GET", f"/staging-configs/{config_id}")["shortfall"]
    return found["reason"] if found and code in (None, found["code"]) else ""

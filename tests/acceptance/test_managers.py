"""Several Managers in two zones: taken out of service and back while everything runs (docs/reference/managers.md)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.acceptance.commands import answered, greenroom
from tests.acceptance.instance import Instance, running_instance, wait_for

DISABLED = {"ok": False, "status": "disabled", "enabled": False}
SOON_S = 20.0
"""The time for a round of the guardian, a second, on a busy machine; as in test_compose.py."""


@pytest.fixture(scope="module")
def managers(openbox_image: str) -> Iterator[Instance]:
    """A running instance with three Managers in each of the zones eu and us; tests leave all of them enabled."""
    with running_instance("--managers", "3", "--zones", "eu,us", GREENROOM_DESKTOP_IMAGE=openbox_image) as instance:
        yield instance


def described(instance: Instance, name: str) -> dict[str, Any]:
    """The entry of a Manager in `up --json`, e.g. eu-1."""
    return next(m for m in instance.found["managers"] if m["instance_id"].startswith(f"manager-{name}-"))


def shown(instance: Instance, name: str) -> dict[str, Any]:
    """The Manager in `GET /managers`."""
    return instance.call("GET", f"/managers/{described(instance, name)['instance_id']}")


def primary_of(instance: Instance, zone: str) -> str | None:
    """The Primary of a zone, e.g. eu-2."""
    names = [m["instance_id"] for m in instance.call("GET", "/managers") if m["is_primary"] and m["zone_name"] == zone]
    assert len(names) <= 1
    return "-".join(names[0].split("-")[1:3]) if names else None


def pid_of(instance: Instance, name: str) -> int:
    """The current pid of the Manager's process."""
    state = instance.status()
    return next(m["pid"] for m in state["managers"] if m["instance_id"] == described(instance, name)["instance_id"])


def get(instance: Instance, url: str) -> httpx2.Response:
    return httpx2.get(url, verify=instance.ca(), timeout=10, trust_env=False)


def answer_is(instance: Instance, url: str, status: int) -> Callable[[], httpx2.Response | None]:
    return lambda: answer if (answer := get(instance, url)).status_code == status else None


def switch_by_api(instance: Instance, name: str, enabled: bool) -> None:
    instance.call("PATCH", f"/managers/{described(instance, name)['manager_id']}", json={"enabled": enabled})


def switch_by_command(instance: Instance, name: str, enabled: bool) -> None:
    verb = "enable" if enabled else "disable"
    assert answered(instance, "managers", verb, described(instance, name)["instance_id"])["enabled"] is enabled


def switch_by_sql(instance: Instance, name: str, enabled: bool) -> None:
    instance.sql(
        "UPDATE managers SET enabled = %s WHERE instance_id = %s", enabled, described(instance, name)["instance_id"]
    )


@contextmanager
def disabled(instance: Instance, *names: str) -> Generator[None]:
    """Disable Managers for the duration of the block."""
    for name in names:
        switch_by_api(instance, name, enabled=False)
    try:
        yield
    finally:
        for name in names:
            switch_by_api(instance, name, enabled=True)


def test_each_zone_has_its_managers_and_one_primary(managers: Instance):
    assert [m["instance_id"].rpartition("-")[0] for m in managers.found["managers"]] == [
        f"manager-{zone}-{number}" for zone in ("eu", "us") for number in (1, 2, 3)
    ]

    def all_run() -> list[dict[str, Any]] | None:
        """A Manager is `running` once it has reported a round, which may be after its first answer."""
        rows = managers.call("GET", "/managers")
        return rows if {m["status"] for m in rows} == {"running"} else None

    rows = wait_for(all_run, "each has done a round")
    assert {(m["instance_id"], m["zone_name"]) for m in rows} == {
        (m["instance_id"], m["zone_name"]) for m in managers.found["managers"]
    }
    assert {m["enabled"] for m in rows} == {True}
    assert sorted(m["zone_name"] for m in rows if m["is_primary"]) == ["eu", "us"]
    before = shown(managers, "eu-1")
    wait_for(lambda: shown(managers, "eu-1")["last_reported"] > before["last_reported"], "it reports")
    assert shown(managers, "eu-1")["first_reported"] == before["first_reported"]


@pytest.mark.parametrize("switch", [switch_by_api, switch_by_command, switch_by_sql])
def test_the_primary_is_taken_out_and_back_without_stopping_anything(
    managers: Instance, switch: Callable[[Instance, str, bool], None]
):
    name = wait_for(lambda: primary_of(managers, "eu"), "eu has a Primary")
    here, pids = described(managers, name), managers.status()["pids"]
    health, agents = f"{here['gateway_url']}/health", f"{here['gateway_url']}/manager_api/v1/check-in"
    direct = f"http://127.0.0.1:{here['port']}/__healthcheck"
    assert get(managers, agents).status_code == 405  # of the Manager: it accepts only POST
    switch(managers, name, False)
    wait_for(Path(here["sentinel_file"]).exists, "the sentinel is written", within_s=SOON_S)
    for url in (health, agents, direct):
        answer = wait_for(answer_is(managers, url, 503), "it says that it is disabled", within_s=SOON_S)
        assert answer.json() == DISABLED
        assert answer.headers["Retry-After"] == "30"
    others = [other for other in managers.found["managers"] if other is not here]
    assert others
    for other in others:
        assert get(managers, f"{other['gateway_url']}/health").status_code == 200
    successor = wait_for(lambda: primary_of(managers, "eu"), "another one is Primary", within_s=SOON_S)
    assert successor != name
    found = shown(managers, name)
    assert (found["enabled"], found["status"]) == (False, "unknown")
    wait_for(lambda: shown(managers, name)["last_reported"] > found["last_reported"], "it goes on reporting")
    switch(managers, name, True)
    wait_for(lambda: not Path(here["sentinel_file"]).exists(), "the sentinel is removed", within_s=SOON_S)
    for url in (health, direct):
        wait_for(answer_is(managers, url, 200), "it is in service", within_s=SOON_S)
    wait_for(lambda: shown(managers, name)["status"] == "running", "it has reported a round", within_s=SOON_S)
    assert primary_of(managers, "eu") == successor
    assert managers.status()["pids"] == pids


def test_a_killed_manager_finds_its_sentinel_wrong_and_mends_it(managers: Instance):
    """Left behind by kill -9, or deleted while the Manager was dead; its identity does not change."""
    sentinel = Path(described(managers, "us-2")["sentinel_file"])
    before = shown(managers, "us-2")
    with disabled(managers, "us-2"):
        wait_for(sentinel.exists, "the sentinel is written")
        kill(managers, "us-2", and_then=sentinel.unlink)
        wait_for(sentinel.exists, "it is written again")
        assert shown(managers, "us-2")["enabled"] is False
    wait_for(lambda: not sentinel.exists(), "the sentinel is removed")
    kill(managers, "us-2", and_then=sentinel.touch)
    wait_for(lambda: not sentinel.exists(), "what was left behind is removed")
    after = wait_for(lambda: m if (m := shown(managers, "us-2"))["status"] == "running" else None, "it runs")
    for field in ("manager_id", "instance_id", "first_reported", "zone_id", "enabled"):
        assert after[field] == before[field]


def kill(instance: Instance, name: str, and_then: Callable[[], None]) -> None:
    """Kill a Manager with kill -9 during an action before the next start: it is frozen first."""
    pid = pid_of(instance, name)
    os.kill(pid, signal.SIGSTOP)
    and_then()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: pid_of(instance, name) not in (pid, None), "it is started again")


def test_the_last_enabled_one_stays_and_a_frozen_one_is_warned_of(managers: Instance):
    frozen = pid_of(managers, "us-3")
    with disabled(managers, "us-2"):
        os.kill(frozen, signal.SIGSTOP)
        try:
            wait_for(lambda: shown(managers, "us-3")["status"] == "unknown", "its silence is noticed", within_s=30)
            alone = described(managers, "us-1")["instance_id"]
            done = greenroom(managers, "managers", "disable", alone)
            assert done.returncode == 0
            assert done.stderr == (
                "Warning: No other enabled Manager of zone us is running, so its Agents have no coordinator now.\n"
            )
            refused = greenroom(managers, "managers", "disable", described(managers, "us-3")["instance_id"])
            assert (refused.returncode, refused.stdout) == (1, "")
            assert "is the last enabled Manager of zone us; enable another Manager of the zone first" in refused.stderr
            deleted = greenroom(managers, "managers", "delete", described(managers, "us-3")["instance_id"])
            assert (deleted.returncode, deleted.stdout) == (1, "")
            assert "Zone us would be left without an enabled Manager" in deleted.stderr
            assert greenroom(managers, "managers", "enable", alone).returncode == 0
            assert greenroom(managers, "managers", "disable", described(managers, "us-3")["instance_id"]).stderr == ""
            sentinel = described(managers, "us-3")["sentinel_file"]
            assert f"its sentinel file {sentinel} is missing" in " ".join(managers.broken())
        finally:
            os.kill(frozen, signal.SIGCONT)
            switch_by_api(managers, "us-1", enabled=True)
            switch_by_api(managers, "us-3", enabled=True)
    wait_for(lambda: primary_of(managers, "us"), "us has a Primary")
    assert pid_of(managers, "us-3") == frozen
    wait_for(lambda: shown(managers, "us-3")["status"] == "running", "it works again")


def test_the_record_of_a_running_manager_that_is_deleted_is_made_anew(managers: Instance):
    before, pid = shown(managers, "us-3"), pid_of(managers, "us-3")
    slip = greenroom(managers, "managers", "delete", before["instance_id"])
    assert (slip.returncode, slip.stdout) == (1, "")
    assert "would register again as a new, enabled record" in slip.stderr
    done = greenroom(managers, "managers", "delete", before["instance_id"], "--force")
    assert (done.returncode, done.stdout) == (0, f"The Manager {before['instance_id']} is deleted.\n")

    def again() -> dict[str, Any] | None:
        rows = [m for m in managers.call("GET", "/managers") if m["instance_id"] == before["instance_id"]]
        return rows[0] if rows and rows[0]["status"] == "running" else None

    after = wait_for(again, "it registers again")
    assert after["manager_id"] != before["manager_id"]
    assert after["first_reported"] > before["first_reported"]
    assert pid_of(managers, "us-3") != pid
    said = f"The record of {before['instance_id']} was deleted or moved to another zone"
    assert said in (managers.data / "logs/manager-us-3.log").read_text()


def test_an_instance_with_a_disabled_manager_starts_and_is_healthy(managers: Instance):
    """Not even the first one, which also answers on the main port."""
    before = shown(managers, "eu-1")
    switch_by_api(managers, "eu-1", enabled=False)
    try:
        managers.down()
        managers.up()
        assert Path(described(managers, "eu-1")["sentinel_file"]).exists()
        assert get(managers, f"{managers.url}/health").json() == DISABLED
        after = shown(managers, "eu-1")
        for field in ("manager_id", "instance_id", "first_reported", "zone_id", "enabled"):
            assert after[field] == before[field] or field == "enabled"
        assert after["enabled"] is False
        primary = wait_for(lambda: primary_of(managers, "eu"), "eu has a Primary")
        status = managers.status()
        parts = {part["name"]: part for part in status["parts"]}
        assert all(part["ok"] for part in parts.values()), parts
        assert parts["manager-eu-1"]["detail"] == "disabled by an administrator"
        assert (
            f"Primary of zone eu with term {shown(managers, primary)['term']}" in parts[f"manager-{primary}"]["detail"]
        )
        assert greenroom(managers, "doctor", "--data", str(managers.data)).returncode == 0
        assert parts["manager-eu-1"]["starts"] == 1
    finally:
        switch_by_api(managers, "eu-1", enabled=True)
    wait_for(answer_is(managers, f"{managers.url}/health", 200), "the main port is in service")

"""The settings of a workspace in a whole instance, each inspected in the container."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.instance import Instance, wait_for
from tests.support import registry as registries
from tests.support.registry import PASSWORD, USER, Registry

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]

ALL_USERS = "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"
HOME = "/home/kasm-user"


@pytest.fixture(scope="module", autouse=True)
def profiles(instance: Instance) -> Iterator[None]:
    """Let all users have persistent profiles; at the end the setting is restored, and `Desktop` is the only
    workspace."""
    group = f"/groups/{ALL_USERS}"
    before = instance.call("GET", group)["settings"].get("allow_persistent_profile")
    instance.call("PATCH", group, json={"settings": {"allow_persistent_profile": True}})
    yield
    instance.call("PATCH", group, json={"settings": {"allow_persistent_profile": before}})
    query = "SELECT session_id::text FROM sessions WHERE image_id <> %s AND status <> 'deleted'"
    for row in instance.sql(query, instance.desktop()):
        instance.call("DELETE", f"/sessions/{row['session_id']}")
    wait_for(lambda: not instance.sql(query, instance.desktop()), "their sessions have ended", 60)
    for image in instance.call("GET", "/images"):
        if image["image_id"] != instance.desktop():
            instance.call("DELETE", f"/images/{image['image_id']}")


@pytest.fixture(scope="module")
def folder(instance: Instance) -> Path:
    """The folder of the instance's host for data that sessions receive."""
    folder = instance.folder / "workspaces"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    registry = registries.started(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.close()


def workspace(instance: Instance, **fields: Any) -> str:
    """Create a workspace of the light desktop for all users; returns its id."""
    body = {
        "name": "greenroom/desktop:openbox",
        "friendly_name": f"W {uuid.uuid4().hex[:8]}",
        "cores": 0.1,
        "memory": 300_000_000,
        **fields,
    }
    return instance.call("POST", "/images", json=body)["image_id"]


def launch(instance: Instance, image_id: str, user_id: str, **fields: Any) -> str:
    body = {"image_id": image_id, "user_id": user_id, **fields}
    return instance.call("POST", "/sessions", json=body)["session_id"]


def running(instance: Instance, image_id: str, user_id: str, **fields: Any) -> str:
    """Launch a session and wait until it is usable; returns its id."""
    session_id = launch(instance, image_id, user_id, **fields)
    wait_for(lambda: instance.has_status(session_id, "running"), f"{instance.session(session_id)} runs", 60)
    return session_id


def ended(instance: Instance, session_id: str) -> None:
    instance.call("DELETE", f"/sessions/{session_id}")
    wait_for(lambda: not instance.containers_of(session_id), "its container is gone")


def inside(session_id: str, script: str) -> str:
    argv = ["docker", "exec", f"gr-{session_id}", "bash", "-c", script]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def inspected(session_id: str) -> dict[str, Any]:
    argv = ["docker", "inspect", f"gr-{session_id}"]
    return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)[0]


CGROUP = """
if [ -e /sys/fs/cgroup/cpu.max ]; then cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max
else cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us \
  /sys/fs/cgroup/memory/memory.limit_in_bytes; fi"""
SHARES = "cat /sys/fs/cgroup/cpu.weight /sys/fs/cgroup/cpu/cpu.shares 2>/dev/null; true"


def test_cores_memory_and_run_config_reach_the_container(instance: Instance):
    user = instance.new_user()
    image = workspace(
        instance,
        cores=0.5,
        cpu_allocation_method="Quotas",
        run_config={
            "hostname": "desk",
            "environment": {"COLOUR": "blue"},
            "shm_size": "64m",
            "tmpfs": {"/scratch": ""},
        },
    )
    session = running(instance, image, user)
    seen = inspected(session)
    assert (seen["HostConfig"]["NanoCpus"], seen["HostConfig"]["Memory"]) == (500_000_000, 300_000_000)
    quota, period, memory = inside(session, CGROUP).split()
    assert int(quota) / int(period) == 0.5
    assert 0 <= 300_000_000 - int(memory) < 4096, "whole pages"
    shown = inside(session, "hostname; echo $COLOUR; df -m --output=size /dev/shm | tail -1; stat -fc %T /scratch")
    assert shown.split() == ["desk", "blue", "64", "tmpfs"]
    ended(instance, session)
    instance.call("PATCH", f"/images/{image}", json={"cpu_allocation_method": "Inherit", "cores": 0.25})
    session = running(instance, image, user)
    seen = inspected(session)["HostConfig"]
    assert (seen["NanoCpus"], seen["CpuShares"]) == (0, 256)
    assert inside(session, SHARES) in {"256", "10"}, "weight 10 is 256 shares"
    ended(instance, session)


def test_a_hostile_username_stays_in_its_folder(instance: Instance, folder: Path):
    user = instance.new_user()
    image = workspace(instance, volume_mappings={f"{folder}/data/{{username}}": {"bind": "/mnt/data"}})
    for number, name in enumerate(("../../../../etc", "..", "a/b\nc", "ä" * 200)):
        instance.sql("UPDATE users SET username = %s WHERE user_id = %s", name, user)
        session = running(instance, image, user)
        inside(session, "echo mine > /mnt/data/file")
        made = sorted((folder / "data").iterdir())
        assert len(made) == number + 1
        (mount,) = inspected(session)["Mounts"]
        assert Path(mount["Source"]).parent == folder / "data"
        assert (Path(mount["Source"]) / "file").read_text() == "mine\n"
        ended(instance, session)


def test_a_missing_required_folder_fails_the_session_with_a_sentence(instance: Instance, folder: Path):
    image = workspace(instance, volume_mappings={f"{folder}/share": {"bind": "/mnt", "required": True}})
    session = launch(instance, image, instance.new_user())
    wait_for(lambda: instance.session(session)["error"], "the session failed")
    assert f"{folder}/share does not exist on this host." in instance.session(session)["error"]
    data = workspace(instance, volume_mappings={f"{instance.data}/keys": {"bind": "/mnt"}})
    session = launch(instance, data, instance.new_user())
    wait_for(lambda: instance.session(session)["error"], "the session failed")
    assert "belongs to the host itself" in instance.session(session)["error"]


def test_a_profile_is_kept_used_by_one_session_at_a_time_and_reset_on_request(instance: Instance, folder: Path):
    user = instance.new_user()
    image = workspace(instance, persistent_profile_path=f"{folder}/profiles/{{user_id}}")
    first = running(instance, image, user)
    assert instance.session(first)["persistent_profile_mode"] == "Enabled"
    assert inside(first, "echo kept > ~/note; stat -c %U ~; ls -d ~/.bashrc") == f"kasm-user\n{HOME}/.bashrc"
    with instance.http() as client:
        answer = client.post("/api/v1/sessions", json={"image_id": image, "user_id": user})
    assert (answer.status_code, answer.json()["code"]) == (409, "profile-in-use")
    assert "in use by another session" in answer.json()["detail"]
    without = running(instance, image, user, persistent_profile_mode="Disabled")
    assert instance.session(without)["persistent_profile_mode"] is None
    assert inside(without, "ls ~/note 2>/dev/null || echo none") == "none"
    ended(instance, without)
    ended(instance, first)
    again = running(instance, image, user)
    assert inside(again, "cat ~/note") == "kept"
    ended(instance, again)
    fresh = running(instance, image, user, persistent_profile_mode="Reset")
    assert inside(fresh, "ls ~/note 2>/dev/null || echo none; ls -d ~/.bashrc") == f"none\n{HOME}/.bashrc"
    assert not (folder / "profiles" / user / "note").exists()
    ended(instance, fresh)
    other = running(instance, image, instance.new_user())
    assert inside(other, "ls ~/note 2>/dev/null || echo none") == "none", "every user has a profile of their own"
    ended(instance, other)


def test_commands_of_a_workspace_run_in_its_sessions(instance: Instance):
    user = instance.new_user()
    image = workspace(
        instance,
        exec_config={
            "first_launch": {
                "cmd": "bash -c 'id -u > /tmp/first; pwd >> /tmp/first; echo \"$COLOUR\" >> /tmp/first'",
                "workdir": "/opt",
                "environment": {"COLOUR": "dark blue"},
            },
            "go": {"cmd": "bash -c 'echo \"$KASM_URL\" > /tmp/address'"},
        },
    )
    session = running(instance, image, user)
    assert inside(session, "cat /tmp/first") == "1000\n/opt\ndark blue"
    address = "https://example.org/?a=1&b=;touch$IFS/tmp/injected;$(id)&c=*"
    assert instance.call("POST", f"/sessions/{session}/go", json={"kasm_url": address})["exit_code"] == 0
    assert inside(session, "cat /tmp/address; ls /tmp/injected 2>/dev/null; true") == address
    assert instance.session(session)["kasm_url"] == address
    ended(instance, session)
    instance.call("PATCH", f"/images/{image}", json={"exec_config": {}})
    session = running(instance, image, user)
    with instance.http() as client:
        answer = client.post(f"/api/v1/sessions/{session}/go", json={"kasm_url": "https://example.org"})
    assert answer.status_code == 409
    assert "has no `go` command" in answer.json()["detail"]
    ended(instance, session)


def test_a_first_launch_that_fails_fails_the_session_with_its_output(instance: Instance):
    image = workspace(instance, exec_config={"first_launch": {"cmd": "bash -c 'echo no licence left; exit 3'"}})
    session = launch(instance, image, instance.new_user())
    wait_for(lambda: instance.session(session)["error"], "the session failed")
    assert "`first_launch` ended with exit code 3: no licence left" in instance.session(session)["error"]


def test_an_image_is_fetched_with_its_account_or_the_failure_is_shown(instance: Instance, registry: Registry):
    user, name = instance.new_user(), registry.push("team/office:1")
    image = workspace(
        instance, name=name, docker_registry=f"http://{registry.host}", docker_user=USER, docker_token="wrong"
    )

    def on_agent() -> dict[str, Any]:
        found = instance.call("GET", f"/images/{image}")["agents"]
        return found[0] if found else {"state": "", "error": ""}

    failed = wait_for(lambda: f if (f := on_agent())["state"] == "failed" else None, "the Agent could not fetch it")
    assert name in failed["error"]
    assert "wrong" not in failed["error"]
    (agent,) = instance.call("GET", "/agents")
    assert [i["state"] for i in agent["images"] if i["name"] == name] == ["failed"]
    with instance.http() as client:
        answer = client.post("/api/v1/sessions", json={"image_id": image, "user_id": user})
    assert (answer.status_code, answer.json()["code"]) == (409, "no-resources")
    assert f"cannot get image {name}" in answer.json()["detail"], "an administrator reads the reason"
    instance.call("PATCH", f"/images/{image}", json={"enabled": False})
    other = registry.push("team/off:1")
    off = workspace(instance, name=other, docker_user=USER, docker_token=PASSWORD, enabled=False)
    instance.call("PATCH", f"/images/{image}", json={"docker_token": PASSWORD, "enabled": True})
    wait_for(lambda: on_agent()["state"] == "present", "the Agent has fetched it")
    assert instance.call("GET", f"/images/{image}")["available"] is True
    assert instance.call("GET", f"/images/{off}")["agents"] == [], "a disabled one is not fetched"


def test_a_mapping_without_a_user_is_in_staged_containers_too(instance: Instance, folder: Path):
    image = workspace(instance, volume_mappings={f"{folder}/shared/{{image_id}}": {"bind": "/mnt/x", "mode": "ro"}})
    body = {"zone_id": instance.found["zones"][0]["zone_id"], "image_id": image, "num_sessions": 1, "expiration": 8}
    config = instance.call("POST", "/staging-configs", json=body)["staging_config_id"]
    wait_for(lambda: instance.staged(config) == 1, "the pool is full", 60)
    (folder / "shared" / image / "note").write_text("for all")
    session = instance.call("POST", "/sessions", json={"image_id": image, "user_id": instance.new_user()})
    assert session["staged"] is True
    assert inside(session["session_id"], "cat /mnt/x/note; touch /mnt/x/no 2>/dev/null || echo read-only") == (
        "for allread-only"
    )
    instance.unstage(config)


def test_a_session_that_exceeds_its_disk_limit_is_stopped_and_says_so(instance: Instance):
    image = workspace(instance, disk_limit_bytes=200_000_000)
    session = running(instance, image, instance.new_user())
    inside(session, "fallocate -l 1200M ~/film")
    # An Agent measures its sessions once a minute. DATA is in memory here, so its free disk space does not decrease.
    wait_for(lambda: instance.session(session)["error"], "the session failed", 150)
    error = instance.session(session)["error"]
    assert error.startswith("The session was stopped because it had written 1.3 GB to its disk; its workspace allows")
    wait_for(lambda: not inspected(session)["State"]["Running"], "its container has ended and is there")
    ended(instance, session)


def test_a_workspace_whose_command_is_roots_has_no_folder_to_write_to(instance: Instance, folder: Path):
    roots = {"first_launch": {"cmd": "true", "user": "root"}}
    image = workspace(instance, exec_config=roots)
    mapping = {f"{folder}/data": {"bind": "/mnt/data"}}
    with instance.http() as client:
        answer = client.patch(f"/api/v1/images/{image}", json={"volume_mappings": mapping})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert "The command first_launch would run as root" in answer.json()["detail"]
    elsewhere = workspace(instance, volume_mappings={"/opt/elsewhere": {"bind": "/mnt/x"}})
    session = launch(instance, elsewhere, instance.new_user())
    wait_for(lambda: instance.session(session)["error"], "the session failed")
    assert (
        "administrator names others in the Agent's setting GREENROOM_VOLUME_FOLDERS"
        in (instance.session(session)["error"])
    )


def test_a_home_is_kept_measured_and_deleted_with_all_its_files(instance: Instance):
    user = instance.new_user()
    image = workspace(instance, persistent_profile_path="{homes}")
    first = running(instance, image, user)
    inside(first, "mkdir -p ~/deep/er && head -c 3000000 /dev/urandom > ~/deep/er/file && ln -s / ~/root")
    (home,) = instance.call("GET", f"/homes?user_id={user}")
    assert (home["state"], home["sessions"]) == ("in_use", [first])
    with instance.http() as http:
        answer = http.delete(f"/api/v1/homes/{home['home_id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "home-in-use")
    ended(instance, first)
    second = running(instance, image, user)
    assert inside(second, "stat -c %s ~/deep/er/file") == "3000000"
    ended(instance, second)

    def homes() -> list[dict[str, Any]]:
        return instance.call("GET", f"/homes?user_id={user}")

    wait_for(lambda: (homes()[0]["size_bytes"] or 0) >= 3_000_000, "the home is measured", 180)
    folders = [*instance.data.rglob(f"{user}.{image}")]
    assert [folder.parent.stat().st_mode & 0o777 for folder in folders] == [0o700]
    assert instance.call("DELETE", f"/homes/{home['home_id']}")["state"] == "deleting"
    wait_for(lambda: homes() == [], "the home is deleted", 60)
    assert [*instance.data.rglob(f"{user}.{image}*")] == []

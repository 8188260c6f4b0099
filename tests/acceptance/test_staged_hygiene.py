"""A staged session contains no data of a user, and no data of a user reaches the next one: inspected on the host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.instance import Instance, networks, wait_for
from tests.acceptance.members import Member, Running, member_of, workspace
from tests.acceptance.open_desktop import open_desktop

MARK = "mark-of-ada"
FOLDERS = ("/home/kasm-user", "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 -- the container's
LEAVE = "".join(f"echo {MARK} > {folder}/{MARK};" for folder in FOLDERS) + (
    f"echo {MARK} | DISPLAY=:1 xclip -selection clipboard >/dev/null 2>&1;"
    f" setsid bash -c 'exec -a {MARK} sleep 600' >/dev/null 2>&1 &"
)
# Everything a program in the session can see: its files, processes with their variables, its clipboard.
SEEN_INSIDE = (
    "cd /; grep -rlIs -e '{0}' home tmp var/tmp dev/shm run etc opt 2>/dev/null; ls -aR home tmp var/tmp dev/shm run;"
    " cat proc/[0-9]*/environ proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n';"
    " DISPLAY=:1 timeout 2 xclip -o -selection clipboard 2>/dev/null;"
    " DISPLAY=:1 timeout 2 xclip -o -selection primary 2>/dev/null; cat proc/mounts"
)


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def facts(session_id: str) -> dict[str, Any]:
    """Docker's description of a session's container."""
    return json.loads(docker("inspect", f"gr-{session_id}"))[0]


def seen_inside(session_id: str, *names: str) -> str:
    """All output of the script; it is not on a command line, where it would find itself."""
    command = ["docker", "exec", "-i", f"gr-{session_id}", "bash", "-s"]
    script = SEEN_INSIDE.format("\\|".join(names)) + "; true"
    return subprocess.run(command, check=True, capture_output=True, text=True, input=script).stdout


def environment(session_id: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in facts(session_id)["Config"]["Env"])


@dataclass(frozen=True)
class Stage:
    """A pool of one session, of a workspace whose `assign` contains the user."""

    instance: Instance
    image_id: str
    config_id: str

    def staged(self) -> str:
        """The session that is currently in the pool."""
        query = "SELECT session_id::text FROM sessions WHERE staging_config_id = %s AND claimable"
        found = wait_for(lambda: self.instance.sql(query, self.config_id), "a session is staged", within_s=60)
        return found[0]["session_id"]


@pytest.fixture(scope="module")
def stage(instance: Instance) -> Iterator[Stage]:
    assign = {"assign": {"cmd": ["bash", "-c", "echo $KASM_USER $KASM_USER_ID $KASM_URL > ~/assigned"]}}
    with workspace(instance, exec_config=assign) as image_id:
        everyone = instance.sql("SELECT group_id::text FROM groups WHERE name = 'All Users'")[0]["group_id"]
        instance.call("PUT", f"/groups/{everyone}/images/{image_id}")
        body = {"zone_id": instance.found["zones"][0]["zone_id"], "image_id": image_id}
        made = instance.call("POST", "/staging-configs", json={**body, "num_sessions": 1, "expiration": 8})
        try:
            yield Stage(instance, image_id, made["staging_config_id"])
        finally:
            instance.unstage(made["staging_config_id"])


@contextmanager
def user_of(stage: Stage) -> Generator[tuple[Member, Running]]:
    """A user who was handed the staged session."""
    staged = stage.staged()
    with member_of(stage.instance) as member:
        running = member.launch(stage.image_id, kasm_url="https://mark-of-ada.example/")
        assert running.session_id == staged, "it is the staged one"
        yield member, running


def names_of_people(instance: Instance) -> list[str]:
    """Names and ids of all users, and secrets that give access in their name."""
    users = instance.sql("SELECT username, user_id::text FROM users")
    keys = [instance.found["api_key"], instance.found["api_key_secret"]]
    return [value for row in users for value in row.values()] + keys


def test_there_is_nothing_of_any_user_in_a_staged_session(stage: Stage):
    instance, session_id = stage.instance, stage.staged()
    with member_of(instance) as member:
        people = [*names_of_people(instance), member.user_id, member.username]
        inside = seen_inside(session_id, *people)
        of_docker = json.dumps(facts(session_id))
        for name in people:
            assert name not in inside
            assert name not in of_docker
    found = facts(session_id)
    assert found["Mounts"] == []
    labels = found["Config"]["Labels"]
    assert labels.pop("greenroom.chosen-variables") == "", "none was chosen"
    assert set(labels) == {
        "greenroom.installation",
        "greenroom.session",
        "greenroom.agent",
        "greenroom.spec-hash",
        "greenroom.base",  # from the image, like the next
        "greenroom.recipe",
    }
    assert [name for name in found["NetworkSettings"]["Networks"] if not name.startswith("greenroom-")] == []
    assert not {"KASM_USER", "KASM_USER_ID", "KASM_URL", "TZ", "LC_ALL"} & set(environment(session_id))
    (row,) = instance.sql("SELECT * FROM sessions WHERE session_id = %s", session_id)
    of_a_user = ("user_id", "assigned", "assignment", "assignment_id", "launch_id", "idempotency_key", "keepalive")
    assert [row[name] for name in of_a_user] == [None] * len(of_a_user)
    assert instance.call("GET", f"/sessions/{session_id}/connection")["frame_url"] is None
    with instance.http() as client:  # also an administrator's
        assert client.get(f"/desktop/{row['agent_id'].hex[:8]}/{session_id}/").status_code in {401, 403}
    assert (row["files_encrypted"], row["client_settings"], row["kasm_url"]) == (None, {}, "")


def test_nothing_of_a_used_session_reaches_the_next_or_the_host(stage: Stage):
    instance = stage.instance
    own_networks = networks(instance.label())
    with user_of(stage) as (member, used):
        expected = f"{member.username} {member.user_id} https://mark-of-ada.example/"
        # a hand-over does not wait for a slow `assign`
        wait_for(lambda: used.shell("cat ~/assigned 2>/dev/null || true") == expected, "`assign` got the user's name")
        used.shell(LEAVE)
        assert MARK in seen_inside(used.session_id, MARK)
        with open_desktop(instance, used.session_id) as desktop:
            assert desktop.goes_on()
        password = environment(used.session_id)["VNC_PW"]
        of_docker = used.facts()
        port = next(iter(of_docker["NetworkSettings"]["Ports"].values()))[0]["HostPort"]
        volumes = {mount["Name"] for mount in of_docker["Mounts"] if mount["Type"] == "volume"}
        people = [member.username, member.user_id]
        beside = stage.staged()
        inside = seen_inside(beside, MARK, used.session_id, *people)
        used.delete()
    following = stage.staged()
    inside += seen_inside(following, MARK, used.session_id, *people)
    for name in (MARK, used.session_id, *people):
        assert name not in inside
    assert password not in json.dumps(facts(following))
    assert not volumes & set(docker("volume", "ls", "-q").split())
    assert networks(instance.label()) == own_networks
    _nothing_on_the_host(instance, used.session_id, port, [MARK, *people, password])


def _nothing_on_the_host(instance: Instance, session_id: str, port: str, secrets: list[str]) -> None:
    """Assert that no container, rule, folder, or file of the Agent contains one of these."""
    assert instance.containers_of(session_id) == []
    command = [_iptables(), "-w", "-S", "-t"]
    tables = ("filter", "nat")
    rules = "".join(subprocess.run([*command, t], check=True, capture_output=True, text=True).stdout for t in tables)
    assert session_id not in rules
    assert session_id[:8] not in rules
    assert f"--dport {port} " not in rules.replace("\n", " ")
    named = [name for _, folders, files in os.walk(instance.data) for name in (*folders, *files) if session_id in name]
    assert named == []

    def holding() -> list[Path]:
        files = [Path(folder, name) for folder, _, names in os.walk(instance.data / "agent") for name in names]
        return [path for path in files if any(secret.encode() in content(path) for secret in secrets)]

    wait_for(lambda: not holding(), "the Agent keeps nothing of the user", within_s=30)


def content(file: Path) -> bytes:
    """The content of a file; empty for a file that was replaced or removed meanwhile."""
    try:
        return file.read_bytes() if file.is_file() else b""
    except FileNotFoundError:
        return b""


def _iptables() -> str:
    found = shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert found is not None
    return found


def test_each_session_has_its_own_credential_and_never_goes_back(stage: Stage):
    instance = stage.instance
    credentials = [environment(stage.staged())["VNC_PW"]]
    with user_of(stage) as (_, used):
        credentials.append(environment(stage.staged())["VNC_PW"])
        used.delete()
    assert len({*credentials}) == len(credentials)
    rows = instance.sql(
        "SELECT count(*) FROM sessions WHERE claimable AND (assigned IS NOT NULL OR user_id IS NOT NULL)"
    )
    assert rows == [{"count": 0}]
    assert instance.broken() == []

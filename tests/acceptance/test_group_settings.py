"""Every group setting that affects a container or a stream, tested on a real one."""

from __future__ import annotations

import re
import struct
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key
from tests.acceptance.instance import Instance, wait_for
from tests.acceptance.members import Running, member_of, workspace
from tests.acceptance.open_desktop import entered, open_desktop

from greenroom.core.access.group_settings import STAGED_PERMISSIONS

pytestmark = pytest.mark.docker

IDLE_MIN = 0.1
"""`idle_disconnect`; between two inputs of a viewer a busy machine may stall for half of it."""
POINTER = struct.pack(">BBHH", 5, 0, 10, 10)
"""An RFB message: the position of the pointer."""


def test_expose_user_environment_vars(instance: Instance):
    with member_of(instance, expose_user_environment_vars=True) as ada, member_of(instance) as bob:
        environment = ada.launch().environment()
        assert (environment["KASM_USER"], environment["KASM_USER_ID"]) == (ada.username, ada.user_id)
        assert not {"KASM_USER", "KASM_USER_ID"} & bob.launch().environment().keys()


def test_inject_ssh_keys(instance: Instance):
    with member_of(instance, inject_ssh_keys=True) as ada:
        public = instance.call("POST", f"/users/{ada.user_id}/ssh-key")["ssh_public_key"].strip()
        session = ada.launch()
        modes = session.shell("cd ~/.ssh && stat -c '%n %a %U' . *").splitlines()
        assert modes == [
            ". 700 kasm-user",
            "authorized_keys 600 kasm-user",
            "id_ed25519 600 kasm-user",
            "id_ed25519.pub 644 kasm-user",
        ]
        private = session.shell("cat ~/.ssh/id_ed25519").encode() + b"\n"
        derived = load_ssh_private_key(private, None).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        assert public.startswith(derived.decode())
        for name in ("id_ed25519.pub", "authorized_keys"):
            assert session.shell(f"cat ~/.ssh/{name}") == public
        assert_nowhere(instance, private.decode().splitlines()[1])


def test_without_inject_ssh_keys_there_are_none(instance: Instance):
    with member_of(instance) as ada:
        instance.call("POST", f"/users/{ada.user_id}/ssh-key")
        assert ada.launch().shell("ls -A ~/.ssh 2>/dev/null || true") == ""


def test_run_config_of_several_groups(instance: Instance):
    with member_of(instance, run_config={"hostname": "first", "environment": {"A": "1", "B": "1"}}) as ada:
        ada.join(priority=50, run_config={"hostname": "second", "shm_size": "64m", "environment": {"B": "2", "C": "2"}})
        session = ada.launch()
        assert session.shell("hostname; echo $A$B$C; df --output=size -B1M /dev/shm | tail -1").split() == [
            "first",
            "112",
            "64",
        ]
        assert session.facts()["HostConfig"]["ShmSize"] == 64 << 20


@pytest.mark.parametrize("run_config", [{"privileged": True}, {"environment": {"KASM_SVC_UPLOADS": "1"}}, {"cpus": 64}])
def test_a_run_config_that_cannot_be_used_is_refused_when_it_is_saved(instance: Instance, run_config: dict[str, Any]):
    with instance.http() as http:
        refused = http.post("/api/v1/groups", json={"name": "never", "settings": {"run_config": run_config}})
    assert refused.status_code == 422
    assert next(iter(run_config)) in refused.json()["detail"]


def test_volume_mapping(instance: Instance):
    folder = instance.folder / "volumes"
    own, shared = f"{folder}/{{username}}/{{user_id}}-{{image_id}}", folder / "shared"
    shared.mkdir(parents=True)
    (shared / "notice").write_text("read me\n")
    with (
        member_of(instance, volume_mapping={own: {"bind": "/own"}}) as ada,
        member_of(instance, volume_mapping={own: {"bind": "/own"}}) as bob,
    ):
        ada.join(priority=50, volume_mapping={f"{shared}": {"bind": "/shared", "mode": "ro"}})
        session = ada.launch()
        assert session.shell("echo mine >/own/file && cat /shared/notice; touch /shared/x 2>&1 || true").splitlines()[
            0
        ] == ("read me")
        place = Path(own.format(username=ada.username, user_id=ada.user_id, image_id=instance.desktop()))
        assert (place / "file").read_text() == "mine\n"
        assert not (shared / "x").exists()
        assert bob.launch().shell("ls /own") == ""


def test_allow_persistent_profile(instance: Instance):
    path = f"{instance.folder}/profiles/{{username}}"
    with (
        workspace(instance, persistent_profile_path=path) as image_id,
        member_of(instance, allow_persistent_profile=True, inject_ssh_keys=True) as ada,
        member_of(instance) as bob,
    ):
        instance.call("POST", f"/users/{ada.user_id}/ssh-key")
        first = ada.launch(image_id)
        first.shell("echo kept >~/file")
        first.delete()
        second = ada.launch(image_id)
        assert second.shell("cat ~/file; stat -c %a ~/.ssh/id_ed25519").split() == ["kept", "600"]
        second.delete()
        without = bob.launch(image_id)
        assert not [mount for mount in without.facts()["Mounts"] if mount["Destination"] == "/home/kasm-user"]


@pytest.mark.parametrize("allowed", [True, False])
def test_the_eight_permissions_inside_the_desktop(instance: Instance, allowed: bool):
    with member_of(instance, **dict.fromkeys(STAGED_PERMISSIONS, allowed)) as ada:
        session = ada.launch()
        environment = session.environment()
        for variable in ("AUDIO", "AUDIO_INPUT", "UPLOADS", "DOWNLOADS", "GAMEPAD", "WEBCAM"):
            assert environment[f"KASM_SVC_{variable}"] == ("1" if allowed else "0")
        # the X server's handling of the clipboard
        for parameter in ("SendCutText", "AcceptCutText"):
            assert session.shell(f"tigervncconfig -display :1 -get {parameter}") == ("1" if allowed else "0")
        # the page's handling of files, with requests like a browser's
        session.shell("mkdir -p ~/Downloads && echo out >~/Downloads/result.txt")
        with page_of(session) as page:
            uploaded = page.put("files/report.txt", content=b"in\n")
            downloaded = page.get("files/result.txt")
        assert (uploaded.status_code, downloaded.status_code) == ((201, 200) if allowed else (403, 403))
        assert session.shell("cat ~/Uploads/* 2>/dev/null || true") == ("in" if allowed else "")
        assert (downloaded.text == "out\n") is allowed


@pytest.mark.parametrize("staged", [False, True])
def test_max_upload_mb(instance: Instance, staged: bool):
    config_id = instance.stage(1) if staged else None
    try:
        if config_id:
            wait_for(lambda: instance.staged(config_id), "one is staged", within_s=60)
        with member_of(instance, max_upload_mb=1) as ada:
            session = ada.launch()
            assert session.row()["staging_config_id"] == config_id
            with page_of(session) as page:
                below = page.put("files/small", content=bytes(1_000_000))
                over = page.put("files/large", content=bytes(1_000_001))
                piece = {"Content-Range": "bytes 0-9/1000001", "X-Greenroom-Max-Upload-Mb": "9"}
                in_pieces = page.put(f"files/large?upload={'0' * 32}", content=bytes(10), headers=piece)
            assert (below.status_code, over.status_code, in_pieces.status_code) == (201, 413, 413)
            for refused in over, in_pieces:
                assert "up to 1 MB may be uploaded" in refused.json()["error_message"]
            assert session.shell("ls -A ~/Uploads") == "small"
    finally:
        if config_id:
            instance.unstage(config_id)


def test_idle_disconnect_of_a_session_on_demand(instance: Instance):
    with member_of(instance, idle_disconnect=IDLE_MIN) as ada:
        assert_idle_viewer_is_disconnected(ada.launch())


def test_idle_disconnect_of_a_staged_session(instance: Instance):
    config_id = instance.stage(1)
    try:
        wait_for(lambda: instance.staged(config_id), "one is staged", within_s=60)
        with member_of(instance, idle_disconnect=IDLE_MIN) as ada:
            session = ada.launch()
            assert session.row()["staging_config_id"] == config_id
            assert_idle_viewer_is_disconnected(session)
    finally:
        instance.unstage(config_id)


def test_idle_disconnect_0_is_never(instance: Instance):
    with member_of(instance, idle_disconnect=0) as ada:
        session = ada.launch()
        with open_desktop(instance, session.session_id) as desktop:
            assert not desktop.is_closed_within(5)


def test_keepalive_interval_reaches_the_viewer(instance: Instance):
    with member_of(instance, keepalive_interval=40, keepalive_expiration=60) as ada:
        session = ada.launch()
        assert session.row()["client_settings"]["keepalive_interval"] == 30


def test_max_kasms_per_user(instance: Instance):
    with member_of(instance, max_kasms_per_user=1) as ada:
        first = ada.launch()
        body = {"image_id": instance.desktop(), "user_id": ada.user_id}
        with instance.http() as http:
            refused = http.post("/api/v1/sessions", json=body)
        assert refused.status_code == 409
        assert "1 session is allowed for this user" in refused.json()["detail"]
        first.delete()
        ada.launch()


def test_language_and_timezone(instance: Instance):
    with member_of(instance) as ada:
        wishes = {"preferred_language": "de", "preferred_timezone": "Asia/Tokyo"}
        instance.call("PATCH", f"/users/{ada.user_id}/attributes", json=wishes)
        session = ada.launch()
        days = {"Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"}
        wait_for(lambda: session.shell("date '+%A'") in days, "the language has been made ready")
        assert session.shell("date +%Z") == "JST"


def test_staged_session_language_and_timezone_preference_override(instance: Instance):
    config_id = instance.stage(1)
    wishes = {"preferred_timezone": "Asia/Tokyo"}
    try:
        wait_for(lambda: instance.staged(config_id), "one is staged", within_s=60)
        with (
            member_of(instance) as ada,
            member_of(instance, staged_session_language_and_timezone_preference_override=True) as bob,
        ):
            for user in (ada, bob):
                instance.call("PATCH", f"/users/{user.user_id}/attributes", json=wishes)
            on_demand = ada.launch()
            assert on_demand.row()["staging_config_id"] is None
            assert on_demand.shell("date +%Z") == "JST"
            assert bob.launch().row()["staging_config_id"] == config_id
    finally:
        instance.unstage(config_id)


# Requests of the tests -------------------------------------------------------------------------------------------


def assert_idle_viewer_is_disconnected(session: Running) -> None:
    """Within `IDLE_MIN`; input keeps the viewer connected, requests for pictures do not."""
    with open_desktop(session.instance, session.session_id) as desktop:
        begin = time.monotonic()
        while time.monotonic() - begin < 1.3 * IDLE_MIN * 60:
            desktop.send(POINTER)
            desktop.look()
        assert desktop.is_closed_within(20), "asking for pictures is no input"
        assert desktop.close_code == 4408
    assert session.row()["status"] == "running"
    with open_desktop(session.instance, session.session_id) as desktop:
        assert desktop.goes_on()


def assert_nowhere(instance: Instance, secret: str) -> None:
    """Neither in the logs of the instance's processes nor in the database's text."""
    for file in (instance.data / "logs").glob("*.log"):
        assert secret not in file.read_text(errors="replace"), file
    for table in ("sessions", "logs", "launches"):
        assert instance.sql(f"SELECT 1 FROM {table} t WHERE to_jsonb(t)::text LIKE %s", f"%{secret}%") == []


def page_of(session: Running) -> httpx2.Client:
    """A client of the session's page, like a browser that entered it."""
    address, cookie = entered(session.instance, session.session_id)
    return httpx2.Client(
        base_url=re.sub(r"\?.*", "", address),
        verify=session.instance.ca(),
        headers={"Cookie": cookie},
        timeout=15,
        trust_env=False,
    )

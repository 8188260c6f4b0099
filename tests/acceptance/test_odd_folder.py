"""An instance whose folder name has spaces, letters of several alphabets and characters that programs could
misinterpret."""

from __future__ import annotations

import shlex

import httpx2
from tests.acceptance.instance import Instance, run, wait_for
from tests.acceptance.open_desktop import open_desktop


def test_an_instance_serves_a_desktop_and_ends(new_instance: Instance):
    new_instance.data = new_instance.folder / "Grüne Räume (1) & [b] 部屋 #%s;"
    new_instance.up()
    assert all(part["ok"] for part in new_instance.status()["parts"])
    session_id = new_instance.launch(new_instance.new_user())["session_id"]
    wait_for(lambda: new_instance.has_status(session_id, "running"), "the session runs", 120)
    with open_desktop(new_instance, session_id) as desktop:
        assert desktop.goes_on()
    again = run("up", "--data", str(new_instance.data), **new_instance.environment)
    assert f"greenroom down --data {shlex.quote(str(new_instance.data))}" in again.stderr
    assert new_instance.down().returncode == 0
    new_instance.up()
    assert httpx2.get(new_instance.url, verify=new_instance.ca(), trust_env=False).status_code == httpx2.codes.OK

"""Screenshots of real desktops and commands in real containers."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image
from tests.acceptance.instance import Instance, run, wait_for
from tests.acceptance.members import Running, member_of

from greenroom.runtimes.contract import CUT_NOTICE, MAX_OUTPUT_CHARACTERS

BLUE = (0x20, 0x40, 0xC0)
PAINT = (
    "DISPLAY=:1 setsid xterm +sb -b 0 -geometry 300x100+0+0 -bg '#2040c0' -fg '#2040c0' -e sleep 600 >/dev/null 2>&1 &"
)


@pytest.fixture(scope="module")
def desktop(instance: Instance) -> Iterator[Running]:
    """A running desktop of a user."""
    with member_of(instance, allow_kasm_pause=True) as member:
        yield member.launch()


def picture(instance: Instance, session_id: str, **size: int) -> Image.Image:
    """Take a screenshot like an administrator."""
    with instance.http() as client:
        answer = client.get(f"/api/v1/sessions/{session_id}/screenshot", params=size)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), answer.text
    return Image.open(BytesIO(answer.content))


def middle(shown: Image.Image) -> tuple[int, ...]:
    pixel = shown.getpixel((shown.width // 2, shown.height // 2))
    assert isinstance(pixel, tuple)
    return pixel


def is_blue(shown: Image.Image) -> bool:
    return all(abs(seen - wanted) < 16 for seen, wanted in zip(middle(shown), BLUE, strict=True))


def command(instance: Instance, session: Running, *argv: str, **options: Any) -> dict[str, Any]:
    body = {"command": argv, **options}
    return instance.call("POST", f"/sessions/{session.session_id}/commands", json=body)


def test_a_screenshot_shows_what_is_on_the_screen(instance: Instance, desktop: Running):
    assert not is_blue(picture(instance, desktop.session_id, width=200, height=200))
    command(instance, desktop, "bash", "-c", PAINT)
    wait_for(lambda: is_blue(picture(instance, desktop.session_id, width=200, height=200)), "the window is painted")
    small, large = (picture(instance, desktop.session_id, width=w, height=w) for w in (64, 1920))
    assert (small.width, small.height) == (64, 40), "it keeps the shape of the screen"
    assert (large.width, large.height) == (1280, 800), "it is never enlarged"
    assert is_blue(small)
    assert is_blue(large)


def test_the_published_calls_show_and_do_the_same(instance: Instance, desktop: Running):
    keys = {"api_key": instance.found["api_key"], "api_key_secret": instance.found["api_key_secret"]}
    with httpx2.Client(base_url=instance.url, verify=instance.ca(), timeout=15, trust_env=False) as client:
        asked = {**keys, "kasm_id": desktop.session_id, "width": 100, "height": 100}
        answer = client.post("/api/public/get_kasm_screenshot", json=asked)
        assert answer.headers["content-type"] == "image/jpeg"
        assert Image.open(BytesIO(answer.content)).size == (100, 63)
        order = {"cmd": "bash -c 'echo \"$WORD\" > /tmp/said'", "environment": {"WORD": "hello"}}
        done = client.post("/api/public/exec_command_kasm", json={**asked, "exec_config": order})
        assert set(done.json()) == {"kasm", "current_time"}
    wait_for(lambda: desktop.shell("cat /tmp/said 2>/dev/null; true") == "hello", "the command ran")


def test_a_paused_desktop_has_no_picture_and_one_that_goes_on_has(instance: Instance, desktop: Running):
    path = f"/sessions/{desktop.session_id}"
    instance.call("POST", f"{path}/lifecycle-commands", json={"command": "pause"})
    wait_for(lambda: instance.has_status(desktop.session_id, "paused"), "it is paused")
    with instance.http() as client:
        for answer in (
            client.get(f"/api/v1{path}/screenshot"),
            client.post(f"/api/v1{path}/commands", json={"command": ["true"]}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")
            assert "paused" in answer.json()["detail"]
    instance.call("POST", f"{path}/lifecycle-commands", json={"command": "resume"})
    wait_for(lambda: instance.has_status(desktop.session_id, "running"), "it goes on")
    assert picture(instance, desktop.session_id).width == 300


def test_an_administrator_sees_a_staged_desktop(instance: Instance):
    config_id = instance.stage(1)
    try:
        wait_for(lambda: instance.staged(config_id) == 1, "a staged session is ready", within_s=60)
        found = instance.call("GET", "/sessions", params={"staging_config_id": config_id, "status": "running"})
        assert picture(instance, found[0]["session_id"]).size == (300, 188)
    finally:
        instance.unstage(config_id)


@pytest.mark.parametrize(
    ("argv", "options", "result"),
    [
        (["id", "-un"], {}, (0, "kasm-user\n")),
        (["id", "-un"], {"user": "root"}, (0, "root\n")),
        (["sh", "-c", "echo $A; pwd; exit 7"], {"environment": {"A": "b c"}, "workdir": "/opt"}, (7, "b c\n/opt\n")),
        (["sh", "-c", 'echo "[$VNC_PW]"'], {}, (0, "[]\n")),
        (["sh", "-c", "no-such-program"], {}, (127, None)),
        (["sleep", "60"], {"deadline_s": 0.5}, (None, "")),
    ],
    ids=[
        "as the session's user",
        "as another",
        "with variables and folder",
        "without the page's password",
        "not found",
        "deadline",
    ],
)
def test_commands(
    instance: Instance,
    desktop: Running,
    argv: list[str],
    options: dict[str, Any],
    result: tuple[int | None, str | None],
):
    done = command(instance, desktop, *argv, **options)
    exit_code, output = result
    assert (done["state"], done["exit_code"]) == ("done", exit_code)
    assert output is None or done["output"] == output


def test_the_command_line_does_the_same(instance: Instance, desktop: Running, tmp_path: Path):
    file = tmp_path / "screen.jpg"
    data = {"GREENROOM_DATA": str(instance.data)}
    said = run("sessions", "exec", desktop.session_id, "--user", "root", "--", "sh", "-c", "id -un; exit 4", **data)
    assert (said.returncode, said.stdout) == (1, "root\n")
    assert "exit code 4" in said.stderr
    done = run("sessions", "screenshot", desktop.session_id, "-o", str(file), "--width", "160", **data)
    assert done.returncode == 0, done.stderr
    assert Image.open(file).size == (160, 100)


def test_of_a_long_output_the_end_is_kept_and_that_is_said(instance: Instance, desktop: Running):
    output = command(instance, desktop, "bash", "-c", "yes line | head -n 50000; echo the end")["output"]
    assert output.startswith(CUT_NOTICE)
    assert output.endswith("the end\n")
    assert len(output) == MAX_OUTPUT_CHARACTERS

"""The image of the workspace `Desktop`: the programs and settings for its user."""

from __future__ import annotations

import httpx2
import pytest
from tests.support.runtime_hosts import Host, shell, usable
from tests.support.waiting import eventually

from greenroom.runtimes.contract import HostRuntime

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

FIRST_WINDOW_S = 90.0
PAGE = "printf '<meta charset=utf-8><title>A local page</title>' >~/page.html"
STARTS = ("xterm -e true", "mousepad", "thunar /tmp")


async def test_the_first_desktop_opens_links_and_has_the_time_zone_of_the_browser(
    host: Host, runtime: HostRuntime, full_desktop_image: str
):
    session_id, wanted, container = await host.started(runtime, image=full_desktop_image, memory_bytes=2 << 30)
    assert container.address is not None
    await usable(runtime, container.address, wanted)

    async def output(script: str) -> str:
        return (await shell(runtime, session_id, script))[1]

    assert await output(f"{PAGE}; exo-open --launch WebBrowser ~/page.html >/dev/null 2>&1; echo $?") == "0"

    async def is_shown() -> bool:
        return "A local page" in await output("xdotool search --onlyvisible --name . getwindowname %@ 2>/dev/null")

    await eventually(is_shown, timeout_s=FIRST_WINDOW_S)
    assert await output("xdg-mime query default x-scheme-handler/https") == "firefox-esr.desktop"
    assert "Noto Color Emoji" in await output("fc-match emoji")
    assert "Noto Sans CJK" in await output("fc-match :lang=ko")

    said = {"timezone": "Asia/Tokyo", "language": "en_GB"}
    password = (wanted.auth_user, wanted.credential)
    async with httpx2.AsyncClient(verify=False, trust_env=False, auth=password) as client:
        answer = await client.put(f"https://{container.address}/region", json=said, timeout=30)
    assert answer.status_code == 200
    assert await output("date +%Z") == "JST"


@pytest.mark.parametrize("command", STARTS)
async def test_a_program_starts_in_a_terminal_without_warnings(
    host: Host, runtime: HostRuntime, full_desktop_image: str, command: str
):
    session_id, wanted, container = await host.started(runtime, image=full_desktop_image, memory_bytes=2 << 30)
    assert container.address is not None
    await usable(runtime, container.address, wanted)
    assert (await shell(runtime, session_id, f"timeout 5 {command} 2>&1"))[1] == ""

"""The video picture of a session compared with noVNC's, in a real browser."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from tests.browser.session_desk import Desk

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

ENCODERS = "pgrep -cf greenroom/[e]ncoder.py"
SHOWS = """async (wanted) => {
  const small = new OffscreenCanvas(1, 1).getContext('2d');
  for (let is = ''; is !== wanted; await new Promise(requestAnimationFrame)) {
    const canvas = document.querySelector('canvas');
    small.drawImage(canvas, canvas.width / 2, canvas.height / 2, 8, 8, 0, 0, 1, 1);
    const [red, green] = small.getImageData(0, 0, 1, 1).data;
    is = red > 150 && green < 100 ? 'red' : green > 100 && red < 100 ? 'green' : '';
  }
}"""
"""Wait until the middle of the screen has this color in the browser, within the time limit of the test."""


async def shows(desk: Desk, colour: str) -> None:
    """Fill the screen with a color inside the session, and wait for it in the browser."""
    look = f"-fa 'DejaVu Sans Mono' -fs 10 -geometry 130x45+0+0 -bg {colour}"
    await desk.shell(f"setsid xterm {look} -e sleep 1000 >/dev/null 2>&1 & sleep 0.1")
    await desk.frame.evaluate(SHOWS, colour)


async def moves(desk: Desk, geometry: str) -> None:
    """Change something on the screen all the time."""
    await desk.shell(f"setsid xterm -geometry {geometry} -e 'while :; do date +%N; sleep 0.05; done' >/dev/null 2>&1 &")


@asynccontextmanager
async def stream(desk: Desk) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """The video without the page: all messages that a program could send."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    address = f"{desk.gateway.session_url}stream/"
    async with (
        aiohttp.ClientSession(headers=desk.gateway.headers) as client,
        client.ws_connect(address, ssl=tls, max_msg_size=0) as socket,
    ):
        yield socket


async def to_video(desk: Desk) -> None:
    await desk.received("m.type === 'stream' && m.kinds.includes('video')")
    await desk.say({"type": "stream", "kind": "video"})
    await desk.received("m.type === 'stream' && m.kind === 'video'")


async def to_light(desk: Desk) -> None:
    await desk.say({"type": "stream", "kind": "light"})
    await desk.received("m.type === 'stream' && m.wanted === 'light'")
    await desk.frame.wait_for_selector("html[data-picture=light]", state="attached")


async def test_a_viewer_switches_to_video_works_in_it_and_back(desk: Desk):
    assert await desk.shell(ENCODERS) == "0", "without a viewer of it there is no encoder"
    await to_video(desk)
    await shows(desk, "red")
    await desk.page.mouse.click(640, 300)
    await desk.terminal()
    await desk.page.keyboard.type("echo hello > ~/hello\n", delay=10)
    await desk.eventually("cat ~/hello", "hello")
    await desk.page.set_viewport_size({"width": 1100, "height": 700})
    await desk.eventually("xdotool getdisplaygeometry", "1100 700")
    await shows(desk, "green")
    await moves(desk, "10x1-0-0")  # a still picture has no frames
    stats = await desk.received("m.type === 'stats' && m.kind === 'video' && m.frames_s > 0 && m.latency_ms !== null")
    assert stats["kbit_s"] > 0
    await to_light(desk)
    await shows(desk, "red")
    await desk.eventually(ENCODERS, "0")
    assert desk.complaints == []


async def stripes(socket: aiohttp.ClientWebSocketResponse, count: int) -> None:
    """Watch like a page: receive this number of stripes, and send the painted frames."""
    async with asyncio.timeout(15):
        while count:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.BINARY, message
            await socket.send_bytes(b"\x00" + message.data[2:4])
            count -= 1


async def test_several_watch_one_encoder_that_ends_after_the_last_of_them(desk: Desk):
    await to_video(desk)
    await moves(desk, "100x40")
    encoder = await desk.shell("pgrep -f greenroom/[e]ncoder.py")
    async with stream(desk) as second:
        async with stream(desk) as third:
            await asyncio.gather(stripes(second, 20), stripes(third, 20))
            assert await desk.shell(ENCODERS) == "1", "all watch the same"
        await stripes(second, 20)  # one has left
        await to_light(desk)
        await stripes(second, 20)  # the browser's own page has, too
        assert await desk.shell("pgrep -f greenroom/[e]ncoder.py") == encoder, "it went on"
    await desk.eventually(ENCODERS, "0")
    assert desk.complaints == []


async def test_the_light_picture_is_back_when_the_encoder_dies_and_video_comes_again(desk: Desk):
    await to_video(desk)
    await desk.page.evaluate("window.received.length = 0")
    await desk.shell("pkill -f greenroom/[e]ncoder.py")
    await desk.received("m.type === 'stream' && m.kind === 'light' && m.wanted === 'video'")
    await shows(desk, "red")
    await desk.received("m.type === 'stream' && m.kind === 'video'")
    await desk.state("connected")


@pytest.mark.parametrize("desk", [{"GREENROOM_PICTURE": "video"}], indirect=True)
async def test_a_workspace_may_begin_with_video(desk: Desk):
    await desk.received("m.type === 'stream' && m.kind === 'video'")


@pytest.mark.parametrize("desk", [{"KASM_SVC_ACCEPT_CUT_TEXT": "0"}], indirect=True)
async def test_nothing_can_be_put_into_a_session_by_its_video(desk: Desk):
    """Without the page: messages of Selkies' clients and bytes of RFB have no effect, and the video continues."""
    await to_video(desk)
    place = await desk.shell("xdotool getmouselocation")
    async with stream(desk) as socket:
        pointer, key, text = b"\x05\x00\x00\x10\x00\x10", b"\x04\x01\x00\x00\x00\x00\x00\x61", b"EVIL"
        for message in (pointer, key, b"\x06\x00\x00\x00\x00\x00\x00\x04" + text, b"\x01\xff", b"", b"\x00"):
            await socket.send_bytes(message)
        await socket.send_str("cw," + base64.b64encode(text).decode())
        await socket.send_str("m,600,500,0,0")
        async with asyncio.timeout(10):
            async for message in socket:
                if message.data == "m,600,500,0,0":  # texts are sent back unchanged
                    break
    assert await desk.shell("xdotool getmouselocation") == place
    assert await desk.shell("timeout 2 xclip -selection clipboard -o 2>/dev/null") != text.decode()


async def test_a_viewer_who_is_disconnected_from_the_session_does_not_see_its_video(desk: Desk):
    await to_video(desk)
    async with stream(desk) as socket:
        await desk.page.goto("about:blank")
        async with asyncio.timeout(10):
            while (await socket.receive()).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                pass
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with stream(desk):
            pass
    assert refused.value.status == 503

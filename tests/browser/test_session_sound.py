"""Sound of a desktop session in a real browser: it plays the sound of programs, and its microphone reaches the
session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Frame, Page, async_playwright
from tests.browser.fake_sound import BEEP_HZ, LISTEN, MEASURE, with_beeps
from tests.browser.session_page import SmallGateway, small_gateway
from tests.support.runtime_hosts import Host, shell, usable
from tests.support.sound import DECODER, ENCODER, Recorded, recorded, tone
from tests.support.waiting import eventually

from greenroom.runtimes.contract import Runtime

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]


@dataclass
class Desk:
    """A framed session: the browser's page around it, its frame, and the runtime it runs on."""

    page: Page
    frame: Frame
    gateway: SmallGateway
    runtime: Runtime
    session_id: str
    complaints: list[str]

    async def shell(self, script: str) -> str:
        return (await shell(self.runtime, self.session_id, script))[1]

    async def runs(self, program: str) -> bool:
        return bool(await self.shell(f"pgrep -f {program}"))

    async def ends(self, program: str) -> None:
        async def gone() -> bool:
            return not await self.runs(program)

        await eventually(gone)

    async def say(self, message: dict[str, Any]) -> None:
        await self.page.evaluate("(message) => window.say(message)", message)

    async def received(self, condition: str) -> dict[str, Any]:
        """The newest message of the session's page for which the script `condition` over `m` holds."""
        found = await self.page.wait_for_function(f"window.received.findLast((m) => {condition})", timeout=15_000)
        return await found.json_value()

    async def listens(self) -> None:
        await self.say({"type": "audio", "on": True})
        await self.page.mouse.click(640, 400)
        await self.received("m.type === 'audio' && m.on && m.connected")

    async def comes_out(self, hz: float) -> None:
        """Wait until the browser plays a sine of this frequency as loud as it was played, without gaps."""

        async def as_played() -> bool:
            out = await self.frame.evaluate(MEASURE)
            return 0.33 < out["rms"] < 0.37 and abs(out["hz"] - hz) < 10

        await eventually(as_played, 20)


@pytest.fixture(params=[{}])
async def desk(request: pytest.FixtureRequest, chromium: dict[str, Any], tmp_path: Path) -> AsyncIterator[Desk]:
    host = Host("docker", tmp_path)
    runtime = await host.open()
    session_id, spec, started = await host.started(runtime, environment=request.param)
    assert started.address is not None
    await usable(runtime, started.address, spec)
    async with small_gateway(started.address, spec) as gateway, async_playwright() as playwright:
        browser = await playwright.chromium.launch(**with_beeps(chromium, tmp_path))
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await page.add_init_script(LISTEN)
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(gateway.parent_url)
        frame = next(frame for frame in page.frames if frame.url == gateway.frame_url)
        await frame.wait_for_selector("html[data-state=connected]", state="attached", timeout=15_000)
        yield Desk(page, frame, gateway, runtime, session_id, complaints)
        await browser.close()
    await host.close()


async def test_a_sine_played_inside_comes_out_of_the_browser(desk: Desk):
    assert not await desk.runs(ENCODER)
    await desk.listens()
    await desk.shell(f"({tone(1000, 60)}) >/dev/null 2>&1 &")
    await desk.comes_out(1000)
    await desk.received("m.type === 'levels' && m.audio > 0.3 && m.audio < 0.4")

    # Volume and mute act in the browser
    await desk.say({"type": "audio", "volume": 0.25})

    async def is_softer() -> bool:
        return 0.06 < (await desk.frame.evaluate(MEASURE))["rms"] < 0.12

    await eventually(is_softer, 10)
    await desk.say({"type": "audio", "muted": True})

    async def is_silent() -> bool:
        return (await desk.frame.evaluate(MEASURE))["rms"] < 0.001

    await eventually(is_silent, 10)

    # Off: no process runs for it in the session any more
    await desk.say({"type": "audio", "on": False, "muted": False, "volume": 1})
    await desk.ends(ENCODER)
    assert desk.complaints == []


async def test_sound_comes_back_after_the_connection_was_cut(desk: Desk):
    await desk.listens()
    await desk.shell(f"({tone(600, 60)}) >/dev/null 2>&1 &")
    await desk.comes_out(600)
    await desk.gateway.cut()
    await desk.received("m.type === 'audio' && m.on && !m.connected")
    await desk.received("m.type === 'audio' && m.on && m.connected")
    await desk.comes_out(600)
    await desk.shell("pkill -f pacat")
    await desk.shell(f"({tone(1500, 60)}) >/dev/null 2>&1 &")
    await desk.comes_out(1500)


async def test_the_microphone_of_the_browser_arrives_inside(desk: Desk):
    assert not await desk.runs(DECODER)
    await desk.say({"type": "microphone", "on": True})
    await desk.received("m.type === 'microphone' && m.on && m.connected")
    await desk.received("m.type === 'levels' && m.microphone > 0.05")
    devices = await desk.received("m.type === 'devices' && m.inputs.some((one) => one.label)")

    async def arrived() -> bool:
        inside = Recorded.of(await desk.shell(recorded(2)))
        return inside.rms > 0.05 and abs(inside.hz - BEEP_HZ) < 30

    await eventually(arrived)

    # Another device, and off: the browser releases it, and no process runs for it in the session
    await desk.say({"type": "microphone", "device": devices["inputs"][-1]["id"]})
    await desk.received(f"m.type === 'microphone' && m.connected && m.device === '{devices['inputs'][-1]['id']}'")
    await desk.say({"type": "microphone", "on": False})
    await desk.received("m.type === 'microphone' && !m.on")
    await desk.ends(DECODER)
    assert desk.complaints == []


@pytest.mark.parametrize("desk", [{"KASM_SVC_AUDIO": "0", "KASM_SVC_AUDIO_INPUT": "0"}], indirect=True)
async def test_what_is_not_allowed_is_said_and_not_tried(desk: Desk):
    for kind, reason in (("audio", "Sound is not allowed"), ("microphone", "The microphone is not allowed")):
        said = await desk.received(f"m.type === '{kind}'")
        assert not said["allowed"]
        assert said["reason"].startswith(reason)
        await desk.say({"type": kind, "on": True})
        assert not (await desk.received(f"m.type === '{kind}'"))["on"]
    # The page bypassed: the session's server refuses it
    opened = """(name) => new Promise((resolve) => {
      const socket = new WebSocket(new URL(name, location.href.replace('http', 'ws')));
      socket.onopen = () => resolve(true);
      socket.onerror = () => resolve(false);
    })"""
    assert not await desk.frame.evaluate(opened, "sound")
    assert not await desk.frame.evaluate(opened, "microphone")
    assert await desk.frame.evaluate(opened, "websockify"), "it is not the way there that fails"
    assert not await desk.runs(ENCODER)


async def test_a_browser_without_decoders_is_not_offered_sound(desk: Desk):
    await desk.page.add_init_script("delete window.AudioDecoder; delete window.AudioEncoder")
    await desk.page.reload()
    for kind in ("audio", "microphone"):
        said = await desk.received(f"m.type === '{kind}'")
        assert (said["allowed"], said["reason"][:19]) == (False, "This browser cannot")

"""Sound of the desktop's page on a real container, with a client that is not a browser."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.runtime_hosts import Host, shell, usable
from tests.support.sound import DECODER, ENCODER, Recorded, recorded, tone
from tests.support.waiting import eventually
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.runtimes.contract import Runtime

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]

VIEW_ONLY = {"X-Greenroom-View-Only": "1"}


@dataclass
class Desk:
    runtime: Runtime
    session_id: str
    spec: SessionSpec
    address: str

    async def shell(self, script: str) -> str:
        return (await shell(self.runtime, self.session_id, script))[1]

    def socket(self, path: str, headers: dict[str, str] | None = None) -> connect:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        word = base64.b64encode(f"{self.spec.auth_user}:{self.spec.credential}".encode()).decode()
        sent = {"Authorization": f"Basic {word}", **(headers or {})}
        return connect(f"wss://{self.address}/{path}", ssl=trust, additional_headers=sent, proxy=None)

    async def refused(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Status and body of a websocket that is not opened."""
        with pytest.raises(InvalidStatus) as info:
            async with self.socket(path, headers):
                pass
        answer = info.value.response
        return answer.status_code, (answer.body or b"").decode()

    async def says(self, headers: dict[str, str] | None = None) -> dict[str, Any]:
        auth = (self.spec.auth_user, self.spec.credential)
        async with httpx2.AsyncClient(verify=False, auth=auth, trust_env=False) as client:
            return (await client.get(f"https://{self.address}/sound", headers=headers)).json()

    async def runs(self, program: str) -> bool:
        return bool(await self.shell(f"pgrep -f {program}"))

    async def sleeps(self, *programs: str) -> None:
        """Wait until none of these processes exists."""

        async def none() -> bool:
            return not any([await self.runs(program) for program in programs])

        await eventually(none)


@pytest.fixture(params=[{}])
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    host = Host("docker", tmp_path)
    runtime = await host.open()
    session_id, spec, started = await host.started(runtime, environment=request.param)
    assert started.address is not None
    await usable(runtime, started.address, spec)
    yield Desk(runtime, session_id, spec, started.address)
    await host.close()


async def some_packets(socket: ClientConnection, count: int) -> list[bytes]:
    packets = [await socket.recv() for _ in range(count)]
    assert all(isinstance(packet, bytes) and 0 < len(packet) < 1276 for packet in packets)
    return [packet for packet in packets if isinstance(packet, bytes)]


async def comes(packet: bytes, socket: ClientConnection) -> None:
    """Wait until this packet arrives; others that arrived before it may not have been read yet."""
    async with asyncio.timeout(30):
        while await socket.recv() != packet:
            pass


async def until_closed(socket: ClientConnection) -> list[str | bytes]:
    return [packet async for packet in socket]


async def talk(socket: ClientConnection, packets: list[bytes]) -> None:
    """Send packets like a browser: one each 20 ms."""
    begun, loop = asyncio.get_running_loop().time(), asyncio.get_running_loop()
    for number, packet in enumerate(itertools.cycle(packets)):
        await asyncio.sleep(begun + number * 0.02 - loop.time())
        await socket.send(packet)


async def test_what_is_played_comes_out_and_goes_in_again(desk: Desk):
    assert not await desk.runs("[p]ulseaudio"), "before the first program that wants sound there is no sound server"
    async with desk.socket("sound") as first:
        await desk.shell(f"({tone(1000, 60)}) >/dev/null 2>&1 &")
        packets = await some_packets(first, 100)
        async with desk.socket("sound") as second:  # another listener gets the same
            await comes((await some_packets(second, 5))[-1], first)
            assert await desk.shell(f"pgrep -fc {ENCODER}") == "1"
        await some_packets(first, 5)
    await desk.shell("pkill pacat")
    await desk.sleeps(ENCODER)
    async with desk.socket("microphone") as talking:
        for packet in packets:  # faster than real time: packets that cannot be played in time are left out
            await talking.send(packet)
        await eventually(lambda: desk.runs(DECODER))
    await desk.sleeps(DECODER, "[p]ulseaudio")


async def test_what_is_said_is_recorded(desk: Desk):
    async with desk.socket("sound") as listening:
        await desk.shell(f"({tone(1000, 60)}) >/dev/null 2>&1 &")
        packets = await some_packets(listening, 90)
    await desk.shell("pkill pacat")
    await desk.shell(f"({recorded(3)}) >/tmp/recorded 2>/dev/null &")
    async with desk.socket("microphone") as talking:
        talk_on = asyncio.create_task(talk(talking, packets[10:]))
        found = Recorded.of(await eventually(lambda: desk.shell("cat /tmp/recorded")))
        talk_on.cancel()
    assert 980 < found.hz < 1020
    assert 0.25 < found.rms < 0.45


async def test_silence_is_not_sent(desk: Desk):
    async with desk.socket("sound") as listening:
        received = asyncio.create_task(some_packets(listening, 5))
        while not received.done():  # the encoder misses what is played before it has begun
            await desk.shell(tone(1000, 0.2))
        await received
        rest = asyncio.create_task(until_closed(listening))  # unread packets would delay the end of the connection
        await desk.shell("head -c 384000 /dev/zero | pacat --playback --rate=48000 --channels=2 --format=s16le")
        await listening.close()
        assert len(await rest) < 50, "of the 2 s of silence that were played"


@pytest.mark.parametrize("desk", [{"KASM_SVC_AUDIO": "0", "KASM_SVC_AUDIO_INPUT": "0"}], indirect=True)
async def test_what_is_not_allowed_is_refused_with_a_sentence(desk: Desk):
    assert await desk.refused("sound") == (403, '{"error_message": "Sound is not allowed for your group."}')
    status, why_not = await desk.refused("microphone")
    assert status == 403
    assert "The microphone is not allowed" in why_not
    assert await desk.says() == {
        "sound": {"allowed": False, "reason": "Sound is not allowed for your group."},
        "microphone": {"allowed": False, "reason": "The microphone is not allowed for your group."},
    }
    assert "microphone" not in await desk.shell("pactl list short sources"), "programs are not offered a dead one"
    await desk.shell(tone(1000, 0.1))  # playing continues as on a machine without a listener


async def test_who_only_watches_may_listen_and_not_talk(desk: Desk):
    status, why_not = await desk.refused("microphone", VIEW_ONLY)
    assert status == 403
    assert "only view" in why_not
    said = await desk.says(VIEW_ONLY)
    assert said["sound"]["allowed"]
    assert not said["microphone"]["allowed"]
    async with desk.socket("sound", VIEW_ONLY) as listening:
        await desk.shell(f"({tone(1000, 10)}) >/dev/null 2>&1 &")
        await some_packets(listening, 5)


async def test_without_the_password_there_is_no_sound(desk: Desk):
    for path in ("sound", "microphone"):
        assert (await desk.refused(path, {"Authorization": "Basic eDp5"}))[0] == 401


async def test_an_encoder_or_a_server_that_ends_is_started_again(desk: Desk):
    for killed in (ENCODER, "[p]ulseaudio"):
        async with desk.socket("sound") as listening:
            await desk.shell(f"({tone(1000, 10)}) >/dev/null 2>&1 &")
            await some_packets(listening, 5)
            await desk.shell(f"pkill -9 -f {killed}")
            with pytest.raises(ConnectionClosed) as closed:
                _ = [packet async for packet in listening]
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1011
    async with desk.socket("sound") as listening:
        await desk.shell(f"({tone(1000, 10)}) >/dev/null 2>&1 &")
        await some_packets(listening, 5)


async def test_rubbish_into_the_microphone_ends_nothing_else(desk: Desk):
    async with desk.socket("microphone") as talking:
        for rubbish in (b"\xff" * 100, b"", b"x" * 5000, "text", b"\x00"):
            await talking.send(rubbish)
        await (await talking.ping())
        await eventually(lambda: desk.runs(DECODER))


async def test_only_so_many_talk_at_once(desk: Desk):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(desk.socket("microphone"))
        assert (await desk.refused("microphone"))[0] == 503
    await desk.sleeps(DECODER)

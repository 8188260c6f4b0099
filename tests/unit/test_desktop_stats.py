"""The measurements of the session's page about its stream (stats.py), with a simulated X server and viewers."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stats import Stats, WaitTimes  # type: ignore[import-not-found]  -- of the image
from tests.unit.desktop_pages import served

GATEWAY = SimpleNamespace(headers={"x-forwarded-prefix": "/desktop/1/s"})
AGENT = SimpleNamespace(headers={})
BEGIN = struct.pack(">HH4B3H3B3xI", 64, 32, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0, 4) + b"desk"
JPEG = struct.pack(">4Hi", 0, 0, 64, 16, 7) + b"\x90\x03abc"
FILLED = struct.pack(">4Hi", 0, 16, 64, 16, 7) + b"\x80\x01\x02\x03"
PICTURE = struct.pack(">BxH", 0, 2) + JPEG + FILLED


class Viewer:
    """The viewer's end of the connection; answers to a ping with `answers`."""

    def __init__(self, *, answers: bool = True) -> None:
        self.stream: Any = None
        self.may_take = asyncio.Event()
        self.may_take.set()
        self._answers = answers

    def get_extra_info(self, _name: str) -> tuple[str, int]:
        return ("10.0.0.9", 40000)

    def write(self, data: bytes) -> None:
        if self._answers and data[:1] == b"\x89":
            self.stream.record_pong(data[2:])

    async def drain(self) -> None:
        await self.may_take.wait()


@pytest.fixture
async def stats(tmp_path: Path) -> AsyncIterator[Any]:
    """The statistics of a desktop of 64 x 32 pixels."""

    async def display(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"RFB 003.008\n\x01\x01" + bytes(4) + BEGIN)
        await reader.readexactly(12 + 1 + 1 + 4 + 3 * 4 + 10)
        writer.write(struct.pack(">B", 2) + PICTURE)

    server = await asyncio.start_unix_server(display, tmp_path / "rfb.sock")
    async with server:
        yield Stats(str(tmp_path / "rfb.sock"), "kasm_user")


@asynccontextmanager
async def watched(stats: Any, request: Any = GATEWAY, **how: bool) -> AsyncIterator[Viewer]:
    viewer = Viewer(**how)
    with stats.counted(request, viewer) as viewer.stream:
        yield viewer


async def asked(stats: Any, path: str) -> Any:
    async with served(lambda request, _, writer: stats.answer(request, writer)) as page:
        answer = await page.get(path)
        return answer.json() if answer.status_code == 200 else answer.status_code


async def test_a_whole_picture_is_measured_with_who_watches(stats: Any):
    async with watched(stats) as viewer, watched(stats):
        measured = await asked(stats, "api/get_frame_stats?client=auto")
    frame, parts = measured["frame"], {one.pop("process_name"): one for one in measured["server_side"]}
    assert (frame["resx"], frame["resy"], frame["changed"]) == (64, 32, 100)
    assert parts["Encoding_total"]["time"] == frame["server_time"] >= 1
    assert (parts["TightJPEGEncoder"]["count"], parts["TightJPEGEncoder"]["area"]) == (1, 64 * 16)
    (client,) = measured["client_side"]
    assert (client["client"], client["ping"] >= 1) == (viewer.stream.name, True)


@pytest.mark.parametrize(("client", "number"), [("all", 2), ("none", 0), ("someone", 0)])
async def test_the_clients_are_those_asked_for(stats: Any, client: str, number: int):
    async with watched(stats), watched(stats):
        assert len((await asked(stats, f"api/get_frame_stats?client={client}"))["client_side"]) == number


async def test_a_viewer_who_takes_nothing_is_held_up_by_the_network(stats: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stats.CURRENT_S", 0.05)
    async with watched(stats) as free, watched(stats) as held:
        held.may_take.clear()
        waiting = asyncio.create_task(held.stream.drain())
        await asyncio.sleep(0)
        (numbers,) = (await asked(stats, "api/get_bottleneck_stats")).values()
        held.may_take.set()
        await waiting
    assert numbers[free.stream.name][2] == 10
    assert numbers[held.stream.name][2] < 1


def test_what_held_a_viewer_up_is_from_0_to_10():
    before = WaitTimes(100.0, 5.0, 0.0)
    assert WaitTimes(101.0, 5.25, 0.5).since(before) == (7.5, 5.0)
    assert WaitTimes(101.0, 7.0, 0.0).since(before) == (0.0, 10.0)


@pytest.mark.parametrize("name", ["get_frame_stats", "get_bottleneck_stats"])
async def test_without_a_viewer_there_is_nothing_to_measure(stats: Any, name: str):
    assert await asked(stats, f"api/{name}") == 503
    async with watched(stats, AGENT):
        assert await asked(stats, f"api/{name}") == 503, "the Agent's own looks are none"
    async with watched(stats):
        assert await asked(stats, "api/take_ownership") == 404

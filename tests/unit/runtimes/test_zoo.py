"""The simulated host and the failing runtimes."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from tests.support.failing_runtimes import FailingRuntime, HeldRuntime, ReplyLostRuntime, SlowRuntime
from tests.support.waiting import timers_set

from greenroom.core.workspace.session_spec import Exec, SessionSpec
from greenroom.runtimes.contract import ImageMissing, PullError, RuntimeUnavailable, StartError
from greenroom.runtimes.simulated import SimulatedRuntime, SimulationSettings

SPEC = SessionSpec(image="image:1", image_id="i", credential="c")


@pytest.fixture
async def runtime(tmp_path: Path) -> SimulatedRuntime:
    runtime = SimulatedRuntime("installation", "agent", folder=tmp_path)
    await runtime.open()
    return runtime


async def test_painting_takes_its_time(runtime: SimulatedRuntime):
    runtime.configure(SimulationSettings(paint_s=3600))
    await runtime.create("s", SPEC)
    address = (await runtime.start("s")).address
    assert address is not None
    assert not (await runtime.probe(address, SPEC)).usable
    runtime.configure(SimulationSettings())
    assert (await runtime.probe(address, SPEC)).usable


async def test_a_missing_image_can_be_pulled(runtime: SimulatedRuntime):
    runtime.configure(SimulationSettings(missing_images=frozenset({"image:1"})))
    with pytest.raises(ImageMissing):
        await runtime.create("s", SPEC)
    assert [percent async for percent in runtime.pull("image:1")] == [0, 50, 100]
    await runtime.create("s", SPEC)


async def test_a_broken_image(runtime: SimulatedRuntime):
    runtime.configure(SimulationSettings(broken_images=frozenset({"image:1"})))
    with pytest.raises(PullError, match="image:1"):
        _ = [percent async for percent in runtime.pull("image:1")]
    await runtime.create("s", SPEC)
    with pytest.raises(StartError, match="broken"):
        await runtime.start("s")


async def test_a_screenshot_has_the_picture_of_the_image(runtime: SimulatedRuntime, tmp_path: Path):
    Image.new("RGB", (60, 40), "red").save(tmp_path / "screen.png")
    runtime.configure(SimulationSettings(screens={"image:1": str(tmp_path / "screen.png")}))
    await runtime.create("s", SPEC)
    await runtime.start("s")
    with Image.open(BytesIO(await runtime.screenshot("", SPEC, 30, 30))) as picture:
        assert picture.size == (30, 20)
        red, green, blue = picture.convert("RGB").resize((1, 1)).tobytes()
    assert red > 240
    assert max(green, blue) < 20


async def test_configured_programs_succeed_in_sessions(runtime: SimulatedRuntime):
    await runtime.create("s", SPEC)
    await runtime.start("s")
    command = Exec(argv=("/opt/open", "page"))
    assert (await runtime.exec("s", command)).exit_code == 127
    runtime.configure(SimulationSettings(programs=frozenset({"/opt/open"})))
    assert (await runtime.exec("s", command)).exit_code == 0


async def test_the_usage_of_the_host_is_configured(runtime: SimulatedRuntime):
    runtime.configure(SimulationSettings(cpu=0.7, disk_free_bytes=5))
    usage = await runtime.host_usage()
    assert (usage.cpu, usage.disk_free_bytes) == (0.7, 5)


async def test_failing_performs_nothing(runtime: SimulatedRuntime):
    failing = FailingRuntime(runtime, "create", at={2})
    await failing.create("a", SPEC)
    with pytest.raises(RuntimeUnavailable):
        await failing.create("b", SPEC)
    await failing.create("c", SPEC)
    assert {c.session_id for c in await failing.list()} == {"a", "c"}
    assert failing.calls == {"create": 3, "list": 1}


async def test_a_lost_reply_is_performed(runtime: SimulatedRuntime):
    lossy = ReplyLostRuntime(runtime, "create")
    with pytest.raises(RuntimeUnavailable):
        await lossy.create("a", SPEC)
    assert [c.session_id for c in await lossy.list()] == ["a"]


async def test_slow_takes_longer(runtime: SimulatedRuntime, monkeypatch: pytest.MonkeyPatch):
    slow = SlowRuntime(runtime, 0.05, {"create"})
    loop = asyncio.get_running_loop()
    timers = timers_set(monkeypatch)
    await slow.list()
    assert timers == []
    begun = loop.time()
    await slow.create("a", SPEC)
    assert loop.time() - begun >= 0.05


async def test_held_waits_to_be_released(runtime: SimulatedRuntime):
    held = HeldRuntime(runtime, "create")
    task = asyncio.create_task(held.create("a", SPEC))
    await held.reached.wait()
    assert await runtime.list() == []
    held.release.set()
    await task
    assert len(await runtime.list()) == 1

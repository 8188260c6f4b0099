"""How late sound is, both ways, by clicks; and what it costs in memory and CPU.

Chromium and the container are on one machine and share its clock. Out: from the moment a program gives a click to the
sound server until the browser hands it to its output. In: from the moment the browser's input has a click until a
recording program inside has it. What devices and their drivers add is not in it; the network is that of this machine.
"""

from __future__ import annotations

import array
import asyncio
import json
import subprocess
import time
import wave
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import quote

from playwright.async_api import Page, async_playwright
from tests.browser.own_machine import chromium_options
from tests.browser.session_page import small_gateway

from bench import raw
from bench.table import Figure, median, percentile, spread
from greenroom.runtimes.probe import Prober
from greenroom.up.checks import desktop_image

CLICKS: Final = 60
FOUND_WITHIN_MS: Final = 500.0
GOAL_MS: Final = 150.0
REST_MIB: Final = 15.0
SETTLES_S: Final = 5.0
PROGRAM: Final = Path(__file__).parent / "scenes/clicks.py"
PARTS: Final = ("pulseaudio", "sound_encoder.py", "sound_decoder.py")
"""Processes that are there for sound alone."""

FIND: Final = """
const register = registerProcessor;
globalThis.registerProcessor = (name, made) => register(name, class extends made {
  process(inputs, outputs, parameters) {
    const goesOn = super.process(inputs, outputs, parameters);
    const samples = (name === 'player' ? outputs : inputs)[0][0] ?? [];
    const at = samples.findIndex((each) => Math.abs(each) > 0.1);
    if (at >= 0 && !(currentTime - this.clicked < 0.3)) {
      this.port.postMessage({ click: name, ms: Date.now() + at / 48 });
    }
    if (at >= 0) this.clicked = currentTime;
    return goesOn;
  }
});
"""
"""Before the page's own worklet: says when a click passed."""
COLLECT: Final = """
const add = AudioWorklet.prototype.addModule;
AudioWorklet.prototype.addModule = async function (url) {
  await add.call(this, %s);
  return add.call(this, url);
};
window.clicks = { player: [], recorder: [] };
const Node = AudioWorkletNode;
window.AudioWorkletNode = class extends Node {
  constructor(...rest) {
    super(...rest);
    this.port.addEventListener('message', (event) => {
      if (!event.data.click) return;
      event.stopImmediatePropagation();
      window.clicks[event.data.click].push(event.data.ms);
    });
  }
};
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of the processes for sound: MiB (PSS), and percent of a core."""

    memory: float
    cpu: float


def run() -> list[Figure]:
    """No instance is needed: a container of the desktop and chromium."""
    with chromium_options() as options, TemporaryDirectory() as folder:
        clicks = Path(folder) / "clicks.wav"
        _write(clicks)
        fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        arguments = [*options["args"], *fake, f"--use-file-for-fake-audio-capture={clicks}"]
        return asyncio.run(_run({**options, "args": arguments}))


async def _run(options: dict[str, Any]) -> list[Figure]:
    (name,) = raw.names(1)
    async with AsyncExitStack() as stack:
        stack.callback(raw.remove, [name])
        address = await raw.start(name, desktop_image())
        prober = Prober()
        await raw.painted(prober, address, is_alone=True)
        await prober.close()
        subprocess.run(["docker", "cp", "-q", PROGRAM, f"{name}:/tmp/clicks.py"], check=True)
        gateway = await stack.enter_async_context(small_gateway(address, raw.SPEC))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(**options)
        stack.push_async_callback(browser.close)
        page = await browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=True)
        await page.add_init_script(COLLECT % json.dumps(f"data:text/javascript,{quote(FIND)}"))
        await page.goto(gateway.parent_url)
        frame = next(frame for frame in page.frames if frame.url == gateway.frame_url)
        await frame.wait_for_selector("html[data-state=connected]", state="attached")

        at_rest = await _cost(name)
        await _on(page, "audio")
        silent = await _cost(name)
        played, playing = await asyncio.gather(_inside(name, "play", str(CLICKS)), _later_cost(name))
        out = _delays(played, await frame.evaluate("window.clicks.player"))
        await page.evaluate("window.say({type: 'audio', on: false})")
        await _on(page, "microphone")
        found, talking = await asyncio.gather(_inside(name, "find", limit_s=CLICKS), _later_cost(name))
        into = _delays(await frame.evaluate("window.clicks.recorder"), found)
    return [
        *_figures("sound: a click from a program to the browser's output", out),
        *_figures("sound: a click from the browser's input to a program", into),
        _cost_figure("at rest", at_rest, REST_MIB),
        _cost_figure("a viewer listens, nothing plays", silent, None),
        _cost_figure("a viewer listens, something plays", playing, None),
        _cost_figure("a viewer uses the microphone, a program records", talking, None),
    ]


async def _on(page: Page, kind: str) -> None:
    await page.evaluate(f"window.say({{type: '{kind}', on: true}})")
    await page.mouse.click(600, 500)  # browsers play nothing before
    await page.wait_for_function(f"window.received.findLast((m) => m.type === '{kind}')?.connected")
    await asyncio.sleep(SETTLES_S)


async def _inside(name: str, *arguments: str, limit_s: float = 600) -> list[float]:
    """The times that the program inside prints until it ends, or for so long."""
    command = ("docker", "exec", name, "timeout", f"{limit_s:.0f}", "python3", "/tmp/clicks.py", *arguments)  # noqa: S108 -- in the container
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    return [float(line) for line in output.split()]


def _delays(begun: list[float], found: list[float]) -> list[float]:
    """From each click until it was found; those that were not found are missing among the samples."""
    later = [[each - at for each in found if 0 <= each - at < FOUND_WITHIN_MS] for at in begun]
    return [delays[0] for delays in later if delays]


async def _later_cost(name: str) -> Cost:
    await asyncio.sleep(SETTLES_S)
    return await _cost(name)


async def _cost(name: str) -> Cost:
    before = _processes(name)
    begun = time.monotonic()
    await asyncio.sleep(10)
    after = _processes(name)
    took_s = time.monotonic() - begun
    cpu_s = sum(cpu_s - before.get(pid, (0.0, 0.0))[1] for pid, (_, cpu_s) in after.items())
    return Cost(sum(memory for memory, _ in after.values()), cpu_s * 100 / took_s)


def _processes(name: str) -> dict[str, tuple[float, float]]:
    """Process → its PSS in MiB and CPU seconds."""
    found: dict[str, tuple[float, float]] = {}
    top = subprocess.run(["docker", "top", name, "-eo", "pid,args"], check=True, capture_output=True, text=True)
    for line in top.stdout.splitlines()[1:]:
        pid, arguments = line.split(maxsplit=1)
        if not any(part in arguments for part in PARTS):
            continue
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        pss_kb = next(int(row.split()[1]) for row in rollup if row.startswith("Pss:"))
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        found[pid] = (pss_kb / 1024, (int(fields[11]) + int(fields[12])) / 100)
    return found


def _write(file: Path) -> None:
    """A click of 20 ms each second, which the browser's fake microphone takes up over and over."""
    click = [20000 if n % 48 < 24 else -20000 for n in range(960)]
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(48000)
        out.writeframes(array.array("h", click).tobytes() + bytes(2 * (48000 - 960)))


def _figures(name: str, delays: list[float]) -> list[Figure]:
    p95 = percentile(delays, 95)
    return [
        Figure(name, median(delays), GOAL_MS, "ms", "the goal", len(delays), spread(delays), delays, goal=1),
        Figure(f"{name}, p95", p95, GOAL_MS, "ms", "the goal of the median", len(delays)),
    ]  # fmt: skip


def _cost_figure(when: str, cost: Cost, limit_mib: float | None) -> Figure:
    note = f"{cost.cpu:.1f} % of a core"
    yardstick = limit_mib or REST_MIB
    goal = 1 if limit_mib else None
    return Figure(f"sound: {when}, memory", cost.memory, yardstick, "MiB", "the limit at rest", 1, note, goal=goal)

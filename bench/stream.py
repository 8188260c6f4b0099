"""The two pictures of a session compared: noVNC's (light) and H.264 (video), in a real browser.

Each scene runs in a separate container with a session's limits; chromium is on the same machine and connected to the
container's page, without a gateway. Frames are changes that chromium displays. CPU is that of the container, memory the
PSS of its processes while a viewer is connected.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page, async_playwright
from tests.browser.own_machine import chromium_options

from bench import baseline
from bench.table import Figure, percentile
from greenroom.runtimes.probe import Prober
from greenroom.up.checks import desktop_image

MEASUREMENT_S: Final = 10.0
SETTLE_S: Final = 4.0
KEYS: Final = 60
KINDS: Final = ("light", "video")
FILM: Final = Path(__file__).parent / "scenes/video.py"

TYPING: Final = r"""
field() { printf '\033[10;20H\033[%dm%30s\033[0m' $((42 + 3 * n)) ''; }
n=0; printf '\033[2J'; field
while read -rsn1; do n=$((1 - n)); field; done
"""
SCROLLING: Final = r"""
while :; do i=$((i + 1)); echo "$i $((i * 26544357 % 99991)) the quick brown fox jumps over the lazy dog $RANDOM"
sleep 0.033; done
"""
DRAGGING: Final = r"""
xdotool search --sync --class xterm >/tmp/window
while :; do for i in $(seq 0 8 400) $(seq 400 -8 0); do
xdotool windowmove "$(head -1 /tmp/window)" $((i + 40)) $((i / 2 + 60)); sleep 0.016; done; done
"""

PAGE_SCRIPT: Final = """() => {
  const small = new OffscreenCanvas(16, 16).getContext('2d', {willReadFrequently: true});
  const pixels = (x, y, w, h) => {
    small.drawImage(document.querySelector('canvas'), x, y, w, h, 0, 0, 16, 16);
    return small.getImageData(0, 0, 16, 16).data;
  };
  window.changes = (ms) => new Promise((resolve) => {
    let [count, last] = [0, ''];
    const end = performance.now() + ms;
    const look = () => {
      const now = pixels(100, 120, 800, 240).join();  // within the upper stripe of the video
      if (now !== last) count += 1;
      last = now;
      if (performance.now() < end) requestAnimationFrame(look); else resolve(count);
    };
    look();
  });
  window.delay = (x, y) => new Promise((resolve) => {
    const is_green = () => { const [r, g] = pixels(x, y, 2, 2); return g > r; };
    const before = is_green();
    addEventListener('keydown', () => {
      const begun = performance.now();
      const look = () => {
        if (is_green() !== before) resolve(performance.now() - begun);
        else if (performance.now() - begun > 2000) resolve(null);
        else setTimeout(look, 0);
      };
      look();
    }, {once: true, capture: true});
    window.armed = true;
  });
}"""


@dataclass(frozen=True, slots=True)
class Scene:
    """The measurements of a moving scene."""

    frames_s: float
    kb_s: float
    cpu_percent: float


def run() -> list[Figure]:
    """Measure every scene with each picture in turn."""
    with chromium_options() as options:
        return asyncio.run(_run(options))


async def _run(options: dict[str, Any]) -> list[Figure]:
    async def measure_kinds(measure: Callable[[_Session], Any]) -> dict[str, Any]:
        return {kind: await _run_in_session(kind, measure, options) for kind in KINDS}

    figures: list[Figure] = []
    idle = await measure_kinds(_idle)
    figures.append(_figure("a desktop at rest, one viewer", "memory", "MiB", {k: i[0] for k, i in idle.items()}))
    figures.append(_figure("a desktop at rest, one viewer", "CPU", "% of a core", {k: i[1] for k, i in idle.items()}))
    delays = await measure_kinds(_typing)
    for percent in (50, 95):
        values = {kind: percentile(samples, percent) for kind, samples in delays.items()}
        figures.append(_figure("typing", f"key to pixel p{percent}", "ms", values, delays))
    for name, measure in (("scrolling text", _scrolling), ("window drag", _dragging), ("720p video", _film)):
        scenes = await measure_kinds(measure)
        for title, unit in (("frames_s", "1/s"), ("kb_s", "kB/s"), ("cpu_percent", "% of a core")):
            values = {kind: getattr(scene, title) for kind, scene in scenes.items()}
            figures.append(_figure(name, {"frames_s": "frames", "kb_s": "data"}.get(title, "CPU"), unit, values))
    return figures


def _figure(
    scene: str, what: str, unit: str, values: dict[str, float], samples: dict[str, list[float]] | None = None
) -> Figure:
    samples = samples or {kind: [] for kind in KINDS}
    return Figure(
        name=f"picture: {scene}: {what}",
        product=values["video"],
        yardstick=values["light"],
        unit=unit,
        yardstick_name="the light picture",
        samples=len(samples["video"]) or 1,
        samples_of_product=samples["video"],
        samples_of_yardstick=samples["light"],
        more_is_better=what == "frames",
    )


class _Session:
    """A container whose page is open in chromium."""

    def __init__(self, name: str, page: Page) -> None:
        self.name = name
        self.page = page
        output = subprocess.run(
            ["docker", "inspect", "-f", "{{.Id}} {{.State.Pid}}", name], check=True, capture_output=True, text=True
        )
        self._id, self._pid = output.stdout.split()

    async def execute(self, *argv: str, script: str = "") -> None:
        """Start a program on its screen; `script` is its standard input."""
        command = ["docker", "exec", "-i", self.name, *argv]
        process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        await process.communicate(script.encode())
        assert process.returncode == 0

    async def run_in_terminal(self, script: str, size: str) -> None:
        """Run a shell script in a terminal."""
        await self.execute("bash", "-c", "cat >/tmp/scene", script=script)
        options = f"-fa 'DejaVu Sans Mono' -fs 11 -geometry {size} -bg black -fg white"
        await self.execute("bash", "-c", f"setsid xterm {options} -e bash /tmp/scene >/dev/null 2>&1 &")

    async def measure_scene(self) -> Scene:
        """Measure the scene for `MEASUREMENT_S`."""
        await asyncio.sleep(SETTLE_S)
        start_cpu_s, start_bytes, start_s = self._cpu_s(), self._sent_bytes(), time.monotonic()
        changes = await self.page.evaluate(f"changes({MEASUREMENT_S * 1000})")
        elapsed_s = time.monotonic() - start_s
        used_s, kilobytes = self._cpu_s() - start_cpu_s, (self._sent_bytes() - start_bytes) / 1000
        return Scene(changes / elapsed_s, kilobytes / elapsed_s, used_s * 100 / elapsed_s)

    def memory_mib(self) -> float:
        """The PSS of all processes."""
        output = subprocess.run(["docker", "top", self.name, "-eo", "pid"], check=True, capture_output=True, text=True)
        total = 0
        for pid in output.stdout.split()[1:]:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1024

    def _cpu_s(self) -> float:
        for folder in Path("/sys/fs/cgroup").rglob(f"*{self._id}*"):
            if (stat := folder / "cpu.stat").is_file() and "usage_usec" in stat.read_text():
                return int(stat.read_text().split("usage_usec ")[1].split()[0]) / 1e6
            if (usage := folder / "cpuacct.usage").is_file():
                return int(usage.read_text()) / 1e9
        raise AssertionError("the container has no count of its CPU")

    def _sent_bytes(self) -> int:
        lines = Path(f"/proc/{self._pid}/net/dev").read_text().splitlines()
        return next(int(line.split(":")[1].split()[8]) for line in lines if line.strip().startswith("eth0:"))


async def _run_in_session(kind: str, measure: Callable[[_Session], Any], options: dict[str, Any]) -> Any:
    name = baseline.new_names(1)[0]
    prober = Prober()
    try:
        address = await baseline.start_container(name, desktop_image(), GREENROOM_PICTURE=kind)
        await baseline.wait_until_painted(prober, address, is_alone=True)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(**options)
            context = await browser.new_context(
                ignore_https_errors=True,
                bypass_csp=True,
                viewport={"width": 1280, "height": 800},
                http_credentials={"username": baseline.SPEC.auth_user, "password": baseline.SPEC.credential},
            )
            page = await context.new_page()
            await page.goto(f"https://{address}/")
            await page.wait_for_selector("html[data-state=connected]", state="attached")
            await page.wait_for_selector(f"html[data-picture={kind}]", state="attached")
            await page.evaluate(PAGE_SCRIPT)
            result = await measure(_Session(name, page))
            await browser.close()
        return result
    finally:
        await prober.close()
        subprocess.run(["docker", "rm", "-f", name], check=False, capture_output=True)


async def _idle(session: _Session) -> tuple[float, float]:
    scene = await session.measure_scene()
    return session.memory_mib(), scene.cpu_percent


async def _typing(session: _Session) -> list[float]:
    await session.run_in_terminal(TYPING, "100x30+100+100")
    await asyncio.sleep(SETTLE_S)
    await session.page.mouse.click(400, 400)
    delays: list[float] = []
    # This position is in the colored field.
    for number in range(KEYS + 3):
        delay = asyncio.ensure_future(session.page.evaluate("delay(400, 296)"))
        await session.page.wait_for_function("window.armed")
        await session.page.evaluate("window.armed = false")
        await session.page.keyboard.press("a")
        delay_ms = await delay
        if number >= 3:
            assert delay_ms is not None, "a key changed nothing on the screen"
            delays.append(delay_ms)
        await asyncio.sleep(0.1 + number * 37 % 50 / 1000)
    return delays


async def _scrolling(session: _Session) -> Scene:
    await session.run_in_terminal(SCROLLING, "140x45+40+30")
    return await session.measure_scene()


async def _dragging(session: _Session) -> Scene:
    await session.run_in_terminal("seq 2000; sleep 1000", "80x24+40+60")
    await session.execute("bash", "-c", "cat >/tmp/drag; setsid bash /tmp/drag >/dev/null 2>&1 &", script=DRAGGING)
    return await session.measure_scene()


async def _film(session: _Session) -> Scene:
    await session.execute("bash", "-c", "cat >/tmp/film.py", script=FILM.read_text())
    await session.execute("bash", "-c", "setsid python3 -u /tmp/film.py >/tmp/film.log 2>&1 &")
    await session.execute("bash", "-c", "until grep -q playing /tmp/film.log; do sleep 0.2; done")
    return await session.measure_scene()

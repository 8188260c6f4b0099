"""From `POST /leases` of a staged Chromium to its first answer over DevTools, compared with a Chromium on this host."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
import tempfile
import time

import psutil
from websockets.asyncio.client import connect

from bench.instance import Instance, instance
from bench.line import Line
from bench.table import Figure, median, percentile, spread
from greenroom.recipes import shelf

POOL = 2
SAMPLES = 20
BUSY_PERCENT = 15.0
"""The usage of all processors below which the machine is at rest."""
POLL_S = 1.0
REST_WITHIN_S = 30.0
P50_MS, P99_MS = 30.0, 105.0
CHROMIUM = "/usr/bin/chromium"
QUESTION = '{"id": 1, "method": "Browser.getVersion"}'


def run() -> list[Figure]:
    """Lease one session after the other, each with a full pool at rest; run images/build chromium first."""
    leased_ms, answered_ms, open_ms = list[float](), list[float](), list[float]()
    with instance() as running, asyncio.Runner() as runner:
        image_id = _workspace(running)
        config = running.begin_staging(image_id, POOL)
        for user in running.many_users(SAMPLES):
            running.await_current(config, POOL)
            _await_rest()
            line = Line(running)
            line.ask("GET", "/images")
            start = time.perf_counter()
            lease = line.ask("POST", "/leases", {"workspace": image_id, "seconds": 60, "user_id": user})
            leased_ms.append((time.perf_counter() - start) * 1000)
            url = lease["urls"]["cdp"].replace("https", "wss", 1)
            answered_ms.append((runner.run(_answered_s(url, line.context)) - start) * 1000)
            begun = time.perf_counter()
            open_ms.append((runner.run(_answered_s(url, line.context)) - begun) * 1000)
            running.http.delete(f"/api/v1/leases/{lease['lease_id']}").raise_for_status()
    plain_ms = _plain(SAMPLES)
    half, most = median(answered_ms), percentile(answered_ms, 99)
    return [
        Figure(
            "POST /leases until the answer, staged Chromium, p50", median(leased_ms), median(answered_ms), "ms",
            "first answer over DevTools", len(leased_ms), spread(leased_ms), leased_ms,
        ),
        Figure(
            "POST /leases until the first answer over DevTools, p50", half, P50_MS, "ms",
            "the goal", len(answered_ms), spread(answered_ms), answered_ms, goal=1,
        ),
        Figure(
            "POST /leases until the first answer over DevTools, p99", most, P99_MS, "ms",
            "the goal", len(answered_ms), spread(answered_ms), answered_ms, goal=1,
        ),
        Figure(
            "a further DevTools connection until its first answer, p50", median(open_ms), median(plain_ms), "ms",
            "to a Chromium on this host", len(open_ms), spread(open_ms), open_ms, plain_ms,
        ),
    ]  # fmt: skip


def _await_rest() -> None:
    """Wait until the processors are idle: a browser is busy for seconds after its first frame."""
    until_s = time.monotonic() + REST_WITHIN_S
    while psutil.cpu_percent(POLL_S) > BUSY_PERCENT and time.monotonic() < until_s:
        pass


def _workspace(running: Instance) -> str:
    """Create a workspace from the recipe; returns its id."""
    recipe = shelf.find("chromium")
    made = recipe.definition(shelf.reference(recipe))
    body = {
        "name": made.name, "friendly_name": made.friendly_name, "cores": 0.5, "memory": made.memory,
        "port_map": made.port_map, "run_config": made.run_config, "exec_config": made.exec_config,
    }  # fmt: skip
    return running.post("/images", body)["image_id"]


async def _answered_s(url: str, context: ssl.SSLContext | None = None) -> float:
    """Connect, send one command, close; returns the time of the answer by time.perf_counter(). Closing takes longer.

    The threaded client of the library reads and writes on one TLS connection at the same time, which Python 3.11 does
    not protect: one of 30 connections failed.
    """
    async with connect(url, ssl=context, proxy=None, compression=None, close_timeout=0.2) as socket:
        await socket.send(QUESTION)
        answer = await asyncio.wait_for(socket.recv(), 10)
        answered_s = time.perf_counter()
        assert "product" in json.loads(answer)["result"]
    return answered_s


def _plain(samples: int) -> list[float]:
    """Milliseconds of the same with a Chromium on this host, without gateway and TLS."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # its helpers end a moment later
        words = [CHROMIUM, "--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={folder}/p"]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as chromium:
            assert chromium.stderr is not None
            found = next(filter(None, (re.search(r"ws://\S+", line) for line in chromium.stderr)))
            made: list[float] = []
            with asyncio.Runner() as runner:
                for _ in range(samples):
                    begun = time.perf_counter()
                    made.append((runner.run(_answered_s(found[0])) - begun) * 1000)
            chromium.terminate()
    return made

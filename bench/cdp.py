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

from bench.api_connection import ApiConnection
from bench.instance import Instance, run_instance
from bench.table import Figure, median, spread
from greenroom.recipes import shelf

POOL = 2
SAMPLES = 20
BUSY_PERCENT = 15.0
"""The usage of all processors below which the machine is at rest."""
POLL_S = 1.0
MAX_WAIT_FOR_REST_S = 30.0
P50_MS, MAXIMUM_MS = 30.0, 105.0
CHROMIUM = "/usr/bin/chromium"
COMMAND = '{"id": 1, "method": "Browser.getVersion"}'


def run() -> list[Figure]:
    """Lease one session after the other, each with a full pool at rest; run images/build chromium first."""
    lease_ms, answer_ms, open_ms = list[float](), list[float](), list[float]()
    with run_instance() as instance, asyncio.Runner() as runner:
        image_id = _create_workspace(instance)
        config_id = instance.create_staging_config(image_id, POOL)
        for user in instance.create_users(SAMPLES):
            instance.wait_for_claimable(config_id, POOL)
            _wait_for_rest()
            connection = ApiConnection(instance)
            connection.request("GET", "/images")
            start = time.perf_counter()
            lease = connection.request("POST", "/leases", {"workspace": image_id, "seconds": 60, "user_id": user})
            lease_ms.append((time.perf_counter() - start) * 1000)
            url = lease["urls"]["cdp"].replace("https", "wss", 1)
            answer_ms.append((runner.run(_answer_time_s(url, connection.context)) - start) * 1000)
            start = time.perf_counter()
            open_ms.append((runner.run(_answer_time_s(url, connection.context)) - start) * 1000)
            instance.http.delete(f"/api/v1/leases/{lease['lease_id']}").raise_for_status()
    local_ms = _measure_local_ms(SAMPLES)
    p50_ms = median(answer_ms)
    return [
        Figure(
            "POST /leases until the answer, staged Chromium, p50", median(lease_ms), median(answer_ms), "ms",
            "first answer over DevTools", len(lease_ms), spread(lease_ms), lease_ms,
        ),
        Figure(
            "POST /leases until the first answer over DevTools, p50", p50_ms, P50_MS, "ms",
            "the goal", len(answer_ms), spread(answer_ms), answer_ms, goal=1,
        ),
        Figure(
            "POST /leases until the first answer over DevTools, maximum", max(answer_ms), MAXIMUM_MS, "ms",
            "the goal", len(answer_ms), spread(answer_ms), answer_ms, goal=1,
        ),
        Figure(
            "a further DevTools connection until its first answer, p50", median(open_ms), median(local_ms), "ms",
            "to a Chromium on this host", len(open_ms), spread(open_ms), open_ms, local_ms,
        ),
    ]  # fmt: skip


def _wait_for_rest() -> None:
    """Wait until the processors are idle: a browser is busy for seconds after its first frame."""
    deadline_s = time.monotonic() + MAX_WAIT_FOR_REST_S
    while psutil.cpu_percent(POLL_S) > BUSY_PERCENT and time.monotonic() < deadline_s:
        pass


def _create_workspace(instance: Instance) -> str:
    """Create a workspace from the recipe; returns its id."""
    recipe = shelf.find("chromium")
    definition = recipe.definition(shelf.reference(recipe))
    body = {
        "name": definition.name, "friendly_name": definition.friendly_name, "cores": 0.5, "memory": definition.memory,
        "port_map": definition.port_map, "run_config": definition.run_config, "exec_config": definition.exec_config,
    }  # fmt: skip
    return instance.post("/images", body)["image_id"]


async def _answer_time_s(url: str, context: ssl.SSLContext | None = None) -> float:
    """Connect, send one command, close; returns the time of the answer by time.perf_counter(). Closing takes longer.

    The threaded client of the library reads and writes on one TLS connection at the same time, which Python 3.11 does
    not protect: one of 30 connections failed.
    """
    async with connect(url, ssl=context, proxy=None, compression=None, close_timeout=0.2) as socket:
        await socket.send(COMMAND)
        answer = await asyncio.wait_for(socket.recv(), 10)
        answered_s = time.perf_counter()
        assert "product" in json.loads(answer)["result"]
    return answered_s


def _measure_local_ms(samples: int) -> list[float]:
    """Milliseconds of the same with a Chromium on this host, without gateway and TLS."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # its helpers end a moment later
        options = ("--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={folder}/p")
        with subprocess.Popen([CHROMIUM, *options], stderr=subprocess.PIPE, text=True) as chromium:
            assert chromium.stderr is not None
            address = next(filter(None, (re.search(r"ws://\S+", line) for line in chromium.stderr)))
            samples_ms: list[float] = []
            with asyncio.Runner() as runner:
                for _ in range(samples):
                    start = time.perf_counter()
                    samples_ms.append((runner.run(_answer_time_s(address[0])) - start) * 1000)
            chromium.terminate()
    return samples_ms

"""kill -9 of each role of `greenroom up` until it answers again: on a quiet machine, and next to sixteen processes that
keep the cores busy, the usual condition when processes die.

A role that ends twice within a minute is restarted after a pause, so there is a minute between two rounds.
BENCH_SAMPLES sets the number of each.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from bench.instance import Instance, instance, wait
from bench.table import Figure, percentile, spread
from greenroom.core.fleet.restarts import WINDOW_S

SAMPLES: Final = int(os.environ.get("BENCH_SAMPLES", "3"))
BURNERS: Final = 16
BURN: Final = """
import os, sys, time
os.setpriority(os.PRIO_PROCESS, 0, 0)
end_s = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end_s: pass
"""
BURN_S: Final = 45.0
SETTLES_S: Final = 2.0
POLL_S: Final = 0.005
GOAL_MS: Final = {"quiet": 300.0, "busy": 1500.0}


def run() -> list[Figure]:
    """Measure both states in turn, on a simulated runtime."""
    taken: dict[tuple[str, str], list[float]] = {}
    with instance(runtime="simulated") as running:
        answers = _answers(running)
        os.setpriority(os.PRIO_PROCESS, 0, -20)  # the measuring process must not wait for the cores
        for number in range(2 * SAMPLES):
            state = "busy" if number % 2 else "quiet"
            begun_s = time.monotonic()
            with _burning() if state == "busy" else _nothing():
                time.sleep(SETTLES_S)
                for role, answer in answers.items():
                    taken.setdefault((role, state), []).append(_killed(running, role, answer))
                    print(f"    {state}, {role}: {taken[role, state][-1]:.0f} ms", flush=True)
            time.sleep(max(0.0, WINDOW_S + 1 - (time.monotonic() - begun_s)) if number < 2 * SAMPLES - 1 else 0)
    return [
        Figure(
            f"kill -9 of {role} until it answers again, {state} machine, p99",
            percentile(values, 99),
            GOAL_MS[state],
            "ms",
            "the goal",
            len(values),
            spread(values),
            samples_of_product=values,
            goal=1,
        )
        for (role, state), values in sorted(taken.items())
    ]


def _killed(running: Instance, role: str, answers: Callable[[], bool]) -> float:
    """Milliseconds from the kill until the role answers again."""
    before = _pid(running, role)
    begun_s = time.monotonic()
    os.kill(before, signal.SIGKILL)
    wait(answers, 60, POLL_S)
    took_ms = (time.monotonic() - begun_s) * 1000
    wait(lambda: _pid(running, role) != before, 60)
    return took_ms


def _pid(running: Instance, role: str) -> int:
    state = json.loads((running.data / "run/state.json").read_text())
    return next(part["pid"] or 0 for part in state["parts"] if part["role"] == role)


def _answers(running: Instance) -> dict[str, Callable[[], bool]]:
    """Role → a function that is true if a new connection to it is answered with 200; the api through the gateway, as
    for users."""
    ports = json.loads((running.data / "ports.json").read_text())
    manager, agent = running.facts["managers"][0], running.facts["agents"][0]
    context = ssl.create_default_context(cafile=running.facts["ca_file"])
    through_gateway = lambda: http.client.HTTPSConnection("127.0.0.1", ports["main"], context=context, timeout=10)  # noqa: E731
    return {
        "api": lambda: _is_ok(through_gateway(), "/api/__healthcheck"),
        "manager": lambda: _is_ok(_local(manager["port"]), "/__healthcheck"),
        "agent": lambda: _is_ok(_local(agent["port"]), "/__healthcheck"),
        "gateway": lambda: _is_ok(_local(ports["gateway-metrics"]), "/metrics"),
    }


def _local(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=10)


def _is_ok(connection: http.client.HTTPConnection, path: str) -> bool:
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def _burning() -> Iterator[None]:
    """Run processes that keep the cores busy; they end by themselves if they are not stopped."""
    command = [sys.executable, "-c", BURN, str(BURN_S)]
    burners = [subprocess.Popen(command) for _ in range(BURNERS)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@contextmanager
def _nothing() -> Iterator[None]:
    yield

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
from contextlib import contextmanager, nullcontext
from typing import Final

from bench.instance import Instance, run_instance, wait
from bench.table import Figure, spread
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
SETTLE_S: Final = 2.0
POLL_S: Final = 0.005
GOAL_MS: Final = {"quiet": 300.0, "busy": 1500.0}


def run() -> list[Figure]:
    """Measure both states in turn, on a simulated runtime."""
    samples_ms: dict[tuple[str, str], list[float]] = {}
    with run_instance(runtime="simulated") as instance:
        checks = _health_checks(instance)
        os.setpriority(os.PRIO_PROCESS, 0, -20)  # the measuring process must not wait for the cores
        for number in range(2 * SAMPLES):
            state = "busy" if number % 2 else "quiet"
            start_s = time.monotonic()
            with _busy_cores() if state == "busy" else nullcontext():
                time.sleep(SETTLE_S)
                for role, check in checks.items():
                    samples_ms.setdefault((role, state), []).append(_restart_ms(instance, role, check))
                    print(f"    {state}, {role}: {samples_ms[role, state][-1]:.0f} ms", flush=True)
            time.sleep(max(0.0, WINDOW_S + 1 - (time.monotonic() - start_s)) if number < 2 * SAMPLES - 1 else 0)
    return [
        Figure(
            f"kill -9 of {role} until it answers again, {state} machine, maximum",
            max(values),
            GOAL_MS[state],
            "ms",
            "the goal",
            len(values),
            spread(values),
            samples_of_product=values,
            goal=1,
        )
        for (role, state), values in sorted(samples_ms.items())
    ]


def _restart_ms(instance: Instance, role: str, check: Callable[[], bool]) -> float:
    """Milliseconds from the kill until the role answers again."""
    old_pid = _pid(instance, role)
    start_s = time.monotonic()
    os.kill(old_pid, signal.SIGKILL)
    wait(check, 60, POLL_S)
    elapsed_ms = (time.monotonic() - start_s) * 1000
    wait(lambda: _pid(instance, role) != old_pid, 60)
    return elapsed_ms


def _pid(instance: Instance, role: str) -> int:
    state = json.loads((instance.data / "run/state.json").read_text())
    return next(part["pid"] or 0 for part in state["parts"] if part["role"] == role)


def _health_checks(instance: Instance) -> dict[str, Callable[[], bool]]:
    """Role → a function that is true if a new connection to it is answered with 200; the api through the gateway, as
    for users."""
    ports = json.loads((instance.data / "ports.json").read_text())
    manager, agent = instance.facts["managers"][0], instance.facts["agents"][0]
    context = ssl.create_default_context(cafile=instance.facts["ca_file"])
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
def _busy_cores() -> Iterator[None]:
    """Run processes that keep the cores busy; they end by themselves if they are not stopped."""
    command = [sys.executable, "-c", BURN, str(BURN_S)]
    burners = [subprocess.Popen(command) for _ in range(BURNERS)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()

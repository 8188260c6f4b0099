"""CPU of one call of the command line, most of which is the start of Python and the import of modules.

The minimum of several calls counts: other processes on the machine only increase the CPU time of a process.
"""

from __future__ import annotations

import subprocess
import sys
from resource import RUSAGE_CHILDREN, getrusage

from bench.table import Figure, spread

ROUNDS = 9
GOAL_S = 0.3
UNREACHABLE_SERVER = ("--url", "https://127.0.0.1:1", "--key", "key", "--secret", "secret")
"""Nothing listens at this address: a call has its usual cost, without an answer to print."""
CALLS = (
    ("--version",),
    ("--help",),
    ("zones", "list", *UNREACHABLE_SERVER),
    ("sessions", "list", "--staged", *UNREACHABLE_SERVER),
)


def _cpu_s(arguments: tuple[str, ...]) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "greenroom", *arguments], capture_output=True, check=False)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run() -> list[Figure]:
    """Measure each of `CALLS`."""
    figures: list[Figure] = []
    for arguments in CALLS:
        samples = [_cpu_s(arguments) for _ in range(ROUNDS)]
        name = " ".join(argument for argument in arguments if argument not in UNREACHABLE_SERVER)
        figures.append(
            Figure(
                name=f"`greenroom {name}`: CPU time, minimum of several calls",
                product=min(samples),
                yardstick=GOAL_S,
                unit="s",
                yardstick_name="the goal",
                samples=ROUNDS,
                note=spread(samples),
                samples_of_product=samples,
                goal=1,
            )
        )
    return figures

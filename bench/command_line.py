"""CPU of one call of the command line, in which starting Python and importing modules are most of the cost.

The smallest of several calls counts: what else runs on the machine only ever adds to the CPU of a process.
"""

from __future__ import annotations

import subprocess
import sys
from resource import RUSAGE_CHILDREN, getrusage

from bench.table import Figure, spread

ROUNDS = 9
GOAL_S = 0.3
NOWHERE = ("--url", "https://127.0.0.1:1", "--key", "key", "--secret", "secret")
"""Nothing listens there: a call costs what it costs, without an answer to show."""
CALLS = (("--version",), ("--help",), ("zones", "list", *NOWHERE), ("sessions", "list", "--staged", *NOWHERE))


def _cpu_s(words: tuple[str, ...]) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "greenroom", *words], capture_output=True, check=False)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run() -> list[Figure]:
    """The figures."""
    figures: list[Figure] = []
    for words in CALLS:
        samples = [_cpu_s(words) for _ in range(ROUNDS)]
        name = " ".join(word for word in words if word not in NOWHERE)
        figures.append(
            Figure(
                name=f"`greenroom {name}`: smallest CPU of a call",
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

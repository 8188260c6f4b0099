"""The cost of lists and of a claim while the history of an installation grows from 1,000 to 100,000 ended sessions.

All history grows in proportion; the live system does not change: 100 Agents, 100 pools, 1,000 live sessions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.support.crowd import LARGE, Crowd

from bench.database import run_empty_server, run_on_api_loop
from bench.installations import open_installation
from bench.rounds import claims_ms
from bench.table import Figure, Point, median, spread
from greenroom.up.postgres import PostgresCluster

SIZES: Final = (1_000, 3_000, 10_000, 30_000, 100_000)
REPEATS: Final = 20
LISTS: Final = (
    "sessions?limit=100",
    "sessions?limit=100&ended=true",
    "sessions?limit=100&ended=true&status=failed",
    "launches?limit=100",
    "launches?limit=100&outcome=failed",
    "users?limit=100",
    "sessions?limit=100&ended=true&q=nothing",
    "launches?limit=100&q=nothing",
    "launches?limit=100&sort=duration",
    "logs?limit=100",
    "logs?limit=100&level=ERROR",
    "staging-configs?limit=100",
    "agents?limit=100",
    "metrics",
)
LIVE: Final = replace(LARGE, users=1000, images=50, pools=100, live=1500)


def _crowd_with_history(ended: int) -> Crowd:
    return replace(LIVE, ended=ended, logs=3 * ended, requests=ended)


async def _measure(cluster: PostgresCluster, ended: int) -> tuple[dict[str, float], list[float]]:
    """Milliseconds of each list, by its path, and of claims."""
    async with open_installation(cluster, _crowd_with_history(ended)) as installation:
        lists: dict[str, float] = {}
        for path in LISTS:
            cost = await installation.measure_cost(lambda path=path: installation.read(path), REPEATS)
            lists[path] = median(cost.ms)
        return lists, await claims_ms(installation)


def run() -> list[Figure]:
    """Measure one size after the other, each in a separate database; the smallest is the yardstick."""
    figures: list[Figure] = []
    smallest: tuple[dict[str, float], list[float]] | None = None
    for ended in SIZES:
        with run_empty_server() as cluster:
            lists, claims = run_on_api_loop(_measure(cluster, ended))
        smallest = smallest or (lists, claims)
        slowest = max(lists, key=lambda path: lists[path])
        for curve, product, yardstick, goal, note in (
            ("the most expensive of the lists", lists[slowest], max(smallest[0].values()), 2.0, slowest),
            ("a list in the middle", median([*lists.values()]), median([*smallest[0].values()]), 2.0, ""),
            ("a claim", median(claims), median(smallest[1]), 1.2, spread(claims)),
        ):
            figures.append(
                Figure(
                    f"{curve}, {ended} ended sessions",
                    product,
                    yardstick,
                    "ms",
                    f"with {SIZES[0]} ended sessions",
                    REPEATS,
                    note,
                    goal=goal if ended == SIZES[-1] else None,
                    point=Point(curve, ended),
                )
            )
    return figures

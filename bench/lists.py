"""Every list that console and command line offer, in a large installation against one with a page of each.

What a list costs is CPU of api and PostgreSQL for one request, the api in this process and without a socket.
"""

from __future__ import annotations

from typing import Final

from tests.support.lists import offered

from bench.database import as_the_api, empty_server
from bench.installations import Installation, installation
from bench.table import Figure, median
from greenroom.testing.crowd import LARGE, ONE_PAGE, id_of
from greenroom.up.postgres import Cluster

REPEATS: Final = 12
MOST_MS: Final = 50.0
OTHERS: Final = (f"staging-configs/{id_of('pool', 7)}", f"staging-configs/{id_of('pool', 7)}/history", "metrics")


async def _measure(small: Installation, large: Installation) -> list[Figure]:
    figures: list[Figure] = []
    for path in [*offered(of_many=100, of_few=1), *OTHERS]:
        few = await small.cost(lambda path=path: small.read(path), REPEATS)
        many = await large.cost(lambda path=path: large.read(path), REPEATS)
        note = f"{median(many.ms):.3g} ms; {many.rows} rows and {many.pages} pages, {few.rows} and {few.pages}"
        figures.append(
            Figure(path, many.cpu_ms, few.cpu_ms, "ms CPU", "with one page of each", REPEATS, note, goal=2.0)
        )
    slowest = max(figures, key=lambda figure: figure.product)
    name = f"the most expensive list, {slowest.name}"
    figures.append(Figure(name, slowest.product, MOST_MS, "ms CPU", "the goal", REPEATS, goal=1.0))
    return figures


async def _all(small: Cluster, large: Cluster) -> list[Figure]:
    async with installation(small, ONE_PAGE) as few, installation(large, LARGE) as many:
        return await _measure(few, many)


def run() -> list[Figure]:
    """One request after the other, on one connection."""
    with empty_server() as small, empty_server() as large:
        return as_the_api(_all(small, large))

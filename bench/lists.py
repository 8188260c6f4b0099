"""Every list that console and command line offer, in a large installation against one with a page of each.

What a list costs is CPU of api and PostgreSQL for one request, the api in this process and without a socket.
"""

from __future__ import annotations

import time
from typing import Final

from tests.support.lists import offered

from bench.database import as_the_api, empty_server
from bench.installations import Installation, installation
from bench.table import Figure, median
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.diagnostics.requests import RequestLog
from greenroom.manager.metrics import Metrics
from greenroom.manager.status import ManagerStatus, Wakers
from greenroom.testing.crowd import LARGE, ONE_PAGE, id_of
from greenroom.up.postgres import Cluster

REPEATS: Final = 12
MOST_MS: Final = 50.0
MOST_GROWN: Final = 2.0
OTHERS: Final = (f"staging-configs/{id_of('pool', 7)}", f"staging-configs/{id_of('pool', 7)}/history", "metrics")


async def _measure(small: Installation, large: Installation) -> list[Figure]:
    figures: list[Figure] = []
    for path in [*offered(of_many=100, of_few=1), *OTHERS]:
        few = await small.cost(lambda path=path: small.read(path), REPEATS)
        many = await large.cost(lambda path=path: large.read(path), REPEATS)
        note = f"{median(many.ms):.3g} ms; {many.rows} rows and {many.pages} pages, {few.rows} and {few.pages}"
        figures.append(Figure(path, many.cpu_ms, few.cpu_ms, "ms CPU", "with one page of each", REPEATS, note))
    slowest, grown = max(figures, key=lambda each: each.product), max(figures, key=lambda each: each.ratio)
    above = sum(figure.ratio > MOST_GROWN for figure in figures)
    return [
        *figures,
        Figure("the most expensive list", slowest.product, MOST_MS, "ms CPU", "the goal", 1, slowest.name, goal=1.0),
        Figure(
            "the list that grew most", grown.product, grown.yardstick, "ms CPU", "with one page of each", REPEATS,
            f"{grown.name}; {above} of {len(figures)} above {MOST_GROWN:g}", goal=MOST_GROWN,
        ),
    ]  # fmt: skip


def _metrics_of_manager(large: Installation) -> Figure:
    """Of a Manager that answered each of its paths with several statuses; it asks the database nothing."""
    metrics = Metrics(lambda: ManagerStatus(age_s=1.0, unhealthy_after_s=10.0), Wakers())
    logs = LogWriter(large.db, "manager")
    metrics.show_registered(lambda: None, logs, RequestLog(large.db, "manager", logs))
    for number in range(40):
        metrics.requests.labels(f"/manager_api/{number % 10}", str(200 + number // 10)).inc()
        metrics.request_seconds.labels(f"/manager_api/{number % 10}").observe(number)
        metrics.instruction_seconds.labels(f"kind-{number % 5}").observe(number)
    begun_s = time.process_time()
    for _ in range(REPEATS):
        metrics.text()
    ms = (time.process_time() - begun_s) * 1000 / REPEATS
    return Figure("metrics of a Manager", ms, MOST_MS, "ms CPU", "the goal", REPEATS, goal=1.0)


async def _all(small: Cluster, large: Cluster) -> list[Figure]:
    async with installation(small, ONE_PAGE) as few, installation(large, LARGE) as many:
        return await _measure(few, many)


def run() -> list[Figure]:
    """One request after the other, on one connection."""
    with empty_server() as small, empty_server() as large:
        return as_the_api(_all(small, large))

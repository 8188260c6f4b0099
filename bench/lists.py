"""Every list that console and command line offer, in a large installation against one with a page of each.

What a list costs is CPU of api and PostgreSQL for one request, the api in this process and without a socket.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bench.database import as_the_api, empty_server
from bench.installations import Installation, installation
from bench.table import Figure, median
from greenroom.core.session.states import SessionStatus
from greenroom.db.access.users import USERS
from greenroom.db.launch.ledger import LAUNCHES
from greenroom.db.session.views import SESSIONS
from greenroom.testing.crowd import LARGE, ONE_PAGE, id_of
from greenroom.up.postgres import Cluster

REPEATS: Final = 12
LIMIT: Final = "limit=100"
MOST_MS: Final = 50.0


def _sorted(path: str, columns: Iterable[str], more: str = "") -> list[str]:
    return [f"{path}?{LIMIT}{more}&sort={sign}{column}" for column in columns for sign in ("", "-")]


def _lists() -> list[str]:
    of = {"user_id": id_of("user", 7), "image_id": id_of("image", 7), "staging_config_id": id_of("pool", 7)}
    narrowed = [f"{name}={value}" for name, value in of.items()]
    sessions = [
        "staged=true", "staged=false", "set_aside=true", *(f"status={s}" for s in (SessionStatus.RUNNING, "failed")),
        *narrowed, f"agent_id={id_of('agent', 7)}", "q=user-77", "q=nothing", "q=zone:crowd", "count=true",
        "q=user-77&count=true",
    ]  # fmt: skip
    launches = ["outcome=failed", "outcome=on_demand", *narrowed[:2], "q=user-77", "q=nothing", "count=true"]
    since = "since=2020-01-01T00:00:00Z"
    logs = [
        *(f"level={level}" for level in ("DEBUG", "INFO", "WARNING", "ERROR")), "component=manager", "component=agent",
        "code=code-7", "code=none", "q=nothing", since, f"until={since[6:]}", "zone_name=crowd", "zone_name=none",
        f"session_id={id_of('ended', 7)}", f"user_id={id_of('user', 7)}",
        f"staging_config_id={id_of('pool', 7)}", "level=ERROR&component=agent",
    ]  # fmt: skip
    requests = [
        "status=503", "status=404", "refused=true", "refused=false", f"agent_id={id_of('agent', 7)}",
        "manager_instance_id=manager-1", "manager_instance_id=none", since, f"until={since[6:]}",
    ]  # fmt: skip
    return [
        *_sorted("sessions", SESSIONS.columns),
        *(f"sessions?{LIMIT}&{question}" for question in sessions),
        *_sorted("sessions", SESSIONS.columns, "&ended=true"),
        *(f"sessions?{LIMIT}&ended=true&{question}" for question in sessions if "set_aside" not in question),
        *_sorted("launches", LAUNCHES.columns),
        *(f"launches?{LIMIT}&{question}" for question in launches),
        *_sorted("users", USERS.columns),
        *(f"users?{LIMIT}&{question}" for question in (f"group_id={id_of('group')}", "q=user-77", "count=true")),
        f"logs?{LIMIT}",
        *(f"logs?{LIMIT}&{question}" for question in logs),
        f"diagnostics/manager-requests?{LIMIT}",
        *(f"diagnostics/manager-requests?{LIMIT}&{question}" for question in requests),
        *(f"{path}?{LIMIT}" for path in ("staging-configs", "images", "agents", "zones", "managers", "groups")),
        *(f"{path}?{LIMIT}" for path in ("join-tokens", "gateways", "api-keys", "filter-policies")),
        f"staging-configs/{id_of('pool', 7)}",
        f"staging-configs/{id_of('pool', 7)}/history",
        "metrics",
    ]


async def _measure(small: Installation, large: Installation) -> list[Figure]:
    figures: list[Figure] = []
    for path in _lists():
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

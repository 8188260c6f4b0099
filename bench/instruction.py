"""From the commit of an instruction (a session is to run) until the Agent has carried it out on its simulated host.

The Agent's part is in it: its container is created and started, which takes the simulated host no time. Beside it what
PostgreSQL alone needs to notify a listener of a commit.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import httpx
import psycopg
from tests.support.agents import ToldAgent, session
from tests.support.managers import eventually

from bench.table import Figure, percentile, spread
from bench.zone import Zone, zone
from greenroom.core.events import Event
from greenroom.runtimes.simulated import stored_containers
from greenroom.testing.history import PROBE

SAMPLES = 60


def run() -> list[Figure]:
    """One zone, eight Agents, one instruction after the other."""
    return asyncio.run(_run())


async def _run() -> list[Figure]:
    async with zone() as made:
        await made.at_work()
        yardstick = await _notified(made)
        committed: dict[str, float] = {}
        rows = await made.db.fetch("SELECT agent_id::text FROM agents WHERE hostname <> %s", (PROBE,))
        for _ in range(SAMPLES):
            await asyncio.sleep(random.uniform(0.1, 0.4))  # noqa: S311 -- anywhere in a round, all polls held again
            agent_id = random.choice(rows)["agent_id"]  # noqa: S311 -- any will do
            session_id = await session(made.db, ToldAgent(httpx.AsyncHTTPTransport(), agent_id=agent_id))
            await made.db.notify(Event.agent(agent_id))
            (row,) = await made.db.fetch(
                "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::double precision AS at"
                " FROM sessions WHERE session_id = %s",
                (session_id,),
            )
            committed[session_id] = row["at"]

        async def all_started() -> dict[str, float] | None:
            started = _started(made.folder)
            return started if committed.keys() <= started.keys() else None

        started: dict[str, float] = await eventually(all_started, 30)
    taken = [(started[session_id] - at) * 1000 for session_id, at in committed.items()]
    return [
        Figure(
            f"instruction committed until done by the Agent, p{percent}",
            percentile(taken, percent),
            percentile(yardstick, percent),
            "ms",
            "NOTIFY to a listener",
            len(taken),
            spread(taken),
            samples_of_product=taken,
            samples_of_yardstick=yardstick,
        )
        for percent in (50, 99)
    ]


def _started(folder: Path) -> dict[str, float]:
    """When each container was started."""
    found: dict[str, float] = {}
    for agent in folder.glob("agent-*"):
        found |= {name: stored.started for name, stored in stored_containers(agent).items() if stored.started}
    return found


async def _notified(made: Zone) -> list[float]:
    taken: list[float] = []
    async with await psycopg.AsyncConnection.connect(made.server.dsn, autocommit=True) as listening:
        await listening.execute("LISTEN bench")
        for _ in range(SAMPLES):
            begun = time.perf_counter()
            await made.db.write("SELECT pg_notify('bench', '')")
            await anext(listening.notifies(stop_after=1))
            taken.append((time.perf_counter() - begun) * 1000)
    return taken

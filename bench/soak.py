"""An hour of launches and ends: what must come back to where it was does, memory, open files, connections and rows.

BENCH_SOAK_S says for how long. The second sixth of the time, when all caches are warm, is compared with the last one,
under the same load; rows are compared at rest, before and after. The Agent's host is simulated.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import psutil
import psycopg
from psycopg import sql

from bench.instance import Instance, instance, wait
from bench.line import Line
from bench.table import Figure, median, spread

SOAK_S = float(os.environ.get("BENCH_SOAK_S", "3600"))
LAUNCHES_A_SECOND = 3.0
STAY_S = 20.0
"""For which a user keeps the session."""
POOL = 60
USERS = 500
SAMPLES = 120
HISTORY = frozenset({"launches", "logs", "manager_requests", "staging_events"})
"""Tables that keep what happened for days."""
ENDED_KEEP_DAYS = 0.003
"""Ended sessions are deleted after some four minutes, so that their number is level within the hour."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at all processes of an instance, with those below them."""

    pss_mib: float
    files: int
    connections: int


class Soak:
    """Launches at an even rate; each session is ended `STAY_S` after its launch."""

    def __init__(self, running: Instance) -> None:
        self._running = running
        self._line = Line(running)
        self._image_id = running.desktop()["image_id"]
        self._users = deque(running.many_users(USERS))
        self._pids = running.status()["pids"]
        self._open: deque[str] = deque()
        self.launched = 0
        self.samples: list[Sample] = []

    def run(self) -> None:
        begun = time.monotonic()
        while (elapsed_s := time.monotonic() - begun) < SOAK_S:
            if len(self.samples) < elapsed_s * SAMPLES / SOAK_S:
                self.samples.append(_sample(self._running, self._pids))
            self._launch()
            if len(self._open) > STAY_S * LAUNCHES_A_SECOND:
                self._line.ask("DELETE", f"/sessions/{self._open.popleft()}")
            time.sleep(max(0.0, begun + self.launched / LAUNCHES_A_SECOND - time.monotonic()))

    def _launch(self) -> None:
        self._users.rotate()
        launched = self._line.ask("POST", "/sessions", {"image_id": self._image_id, "user_id": self._users[0]})
        self._open.append(launched["session_id"])
        self.launched += 1


def _sample(running: Instance, pids: dict[str, list[int]]) -> Sample:
    processes = list(_processes(pids))
    with _database(running) as connection:
        (connections,) = connection.execute(
            "SELECT numbackends FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone() or (0,)
    return Sample(
        sum(process.memory_full_info().pss for process in processes) / 2**20,
        sum(process.num_fds() for process in processes),
        connections,
    )


def _processes(pids: dict[str, list[int]]) -> Iterator[psutil.Process]:
    """All but PostgreSQL's, whose memory is a cache of its own."""
    for role, ids in pids.items():
        for pid in ids:
            if role != "postgres":
                top = psutil.Process(pid)
                yield from [top] if role == "up" else [top, *top.children(recursive=True)]


@contextmanager
def _database(running: Instance) -> Iterator[psycopg.Connection]:
    with psycopg.connect(running.facts["database_url"], autocommit=True) as connection:
        yield connection


def _rows(running: Instance) -> dict[str, int]:
    """Table → rows, but for those of `HISTORY` and what an end of a session leaves for a while."""
    with _database(running) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        found: dict[str, int] = {}
        for (table,) in tables:
            if table not in HISTORY:
                count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
                (found[table],) = connection.execute(count).fetchone() or (0,)
    return found


def _are_rows_back(running: Instance, before: dict[str, int]) -> bool:
    return _rows(running) == before


def _sixth(samples: list[Sample], number: int) -> list[Sample]:
    size = len(samples) // 6
    return samples[number * size : (number + 1) * size]


def run() -> list[Figure]:
    """One instance for the whole time; its processes at the end are those of the beginning."""
    with instance(runtime="simulated", environment={"GREENROOM_ENDED_KEEP_DAYS": str(ENDED_KEEP_DAYS)}) as running:
        config = running.stage(POOL)
        soak = Soak(running)
        before, roles = _rows(running), running.status()["pids"]
        soak.run()
        assert running.status()["pids"] == roles, "a role was restarted"
        running.end_assigned()
        running.await_current(config, POOL)
        try:
            wait(partial(_are_rows_back, running, before), 900, pause_s=5)
        except TimeoutError:
            print(
                {table: (number, before[table]) for table, number in _rows(running).items() if number != before[table]}
            )
        after = _rows(running)
    warm, last = _sixth(soak.samples, 1), _sixth(soak.samples, 5)
    name = f"after {SOAK_S / 60:g} minutes and {soak.launched} launches"

    def figure(what: str, unit: str, of_warm: list[float], of_last: list[float], goal: float) -> Figure:
        note = f"{spread(of_warm)}; {spread(of_last)}"
        against = "after a sixth of it"
        return Figure(
            f"{what} {name}", median(of_last), median(of_warm), unit, against, len(of_last), note, of_last, of_warm,
            goal=goal,
        )  # fmt: skip

    return [
        figure("memory of all roles", "MiB PSS", [s.pss_mib for s in warm], [s.pss_mib for s in last], 1.05),
        figure("open files", "", [s.files for s in warm], [s.files for s in last], 1.05),
        figure(
            "connections of PostgreSQL", "", [s.connections for s in warm], [s.connections for s in last], 1.05
        ),
        Figure(f"rows {name}", sum(after.values()), sum(before.values()), "", "before", 1, goal=1.0),
    ]  # fmt: skip

"""An hour of launches and ends: what must come back to where it was does, memory, open files, connections and rows.

BENCH_SOAK_S says for how long. Memory is compared under the same load, in the second sixth of the time, when all caches
are warm, and in the last one; the others at rest, before and after. The Agent's host is simulated.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import psutil
import psycopg
from psycopg import sql

from bench.instance import Instance, instance, wait
from bench.line import Line
from bench.table import Figure, median

SOAK_S = float(os.environ.get("BENCH_SOAK_S", "3600"))
LAUNCHES_A_SECOND = 3.0
STAY_S = 20.0
"""For which a user keeps the session."""
POOL = 60
USERS = 500
SAMPLES = 120
SETTLES_S = 60.0
"""After the pool was filled, in which what that took is given back."""
RETURNS_S = 900.0
"""Within which all that the load took is back: ended sessions are kept, and idle connections stay open for a while."""
HISTORY = frozenset({"launches", "logs", "manager_requests", "staging_events"})
"""Tables that keep what happened for days."""
ENDED_KEEP_DAYS = 0.003
"""Ended sessions are deleted after some four minutes, so that their number is level within the hour."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at all processes of an instance, with those below them."""

    pss_mib: dict[str, float]
    """By role."""
    files: int
    connections: int


class Soak:
    """Launches at an even rate; each session is ended `STAY_S` after its launch."""

    def __init__(self, running: Instance) -> None:
        self._running = running
        self._image_id = running.desktop()["image_id"]
        self._users = deque(running.many_users(USERS))
        self._pids = running.status()["pids"]
        self._open: deque[str] = deque()
        self.launched = 0
        self.samples: list[Sample] = []

    def run(self) -> None:
        line, begun = Line(self._running), time.monotonic()
        while (elapsed_s := time.monotonic() - begun) < SOAK_S:
            if len(self.samples) < elapsed_s * SAMPLES / SOAK_S:
                self.samples.append(_sample(self._running, self._pids))
            self._launch(line)
            if len(self._open) > STAY_S * LAUNCHES_A_SECOND:
                line.ask("DELETE", f"/sessions/{self._open.popleft()}")
            time.sleep(max(0.0, begun + self.launched / LAUNCHES_A_SECOND - time.monotonic()))

    def _launch(self, line: Line) -> None:
        self._users.rotate()
        launched = line.ask("POST", "/sessions", {"image_id": self._image_id, "user_id": self._users[0]})
        self._open.append(launched["session_id"])
        self.launched += 1


def _sample(running: Instance, pids: dict[str, list[int]]) -> Sample:
    processes = {role: list(_processes(role, ids)) for role, ids in pids.items() if role != "postgres"}
    with _database(running) as connection:
        (connections,) = connection.execute(
            "SELECT numbackends FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone() or (0,)
    return Sample(
        {role: sum(one.memory_full_info().pss for one in those) / 2**20 for role, those in processes.items()},
        sum(one.num_fds() for those in processes.values() for one in those),
        connections,
    )


def _processes(role: str, pids: list[int]) -> Iterator[psutil.Process]:
    """Those of a role with those below them, which are the other roles for `up`."""
    for top in map(psutil.Process, pids):
        yield from [top] if role == "up" else [top, *top.children(recursive=True)]


@contextmanager
def _database(running: Instance) -> Iterator[psycopg.Connection]:
    with psycopg.connect(running.facts["database_url"], autocommit=True) as connection:
        yield connection


@dataclass(frozen=True, slots=True)
class Rest:
    """An instance to which no user comes."""

    sample: Sample
    rows: dict[str, int]


def _at_rest(running: Instance) -> Rest:
    return Rest(_sample(running, running.status()["pids"]), _rows(running))


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


def _is_back(running: Instance, before: Rest) -> bool:
    now = _at_rest(running)
    return now.rows == before.rows and now.sample.connections <= before.sample.connections


def _sixth(samples: list[Sample], number: int) -> list[Sample]:
    size = len(samples) // 6
    return samples[number * size : (number + 1) * size]


def run() -> list[Figure]:
    """One instance for the whole time; its processes at the end are those of the beginning."""
    with instance(runtime="simulated", environment={"GREENROOM_ENDED_KEEP_DAYS": str(ENDED_KEEP_DAYS)}) as running:
        config = running.stage(POOL)
        soak = Soak(running)
        time.sleep(SETTLES_S)
        before, roles = _at_rest(running), running.status()["pids"]
        soak.run()
        assert running.status()["pids"] == roles, "a role was restarted"
        running.end_assigned()
        running.await_current(config, POOL)
        with suppress(TimeoutError):
            wait(partial(_is_back, running, before), RETURNS_S, pause_s=10)
        after = _at_rest(running)
    name = f"after {SOAK_S / 60:g} minutes and {soak.launched} launches"
    others = {
        table: (before.rows[table], number) for table, number in after.rows.items() if number != before.rows[table]
    }
    return [_memory(name, _sixth(soak.samples, 1), _sixth(soak.samples, 5))] + [
        Figure(f"{what} {name}", now, then, "", "at rest before", 1, note, goal=goal)
        for what, now, then, note, goal in (
            ("open files", after.sample.files, before.sample.files, "", 1.05),
            ("connections of PostgreSQL", after.sample.connections, before.sample.connections, "", 1.0),
            ("rows", sum(after.rows.values()), sum(before.rows.values()), str(others or ""), 1.0),
        )
    ]


def _memory(name: str, warm: list[Sample], last: list[Sample]) -> Figure:
    of_warm, of_last = ([sum(each.pss_mib.values()) for each in samples] for samples in (warm, last))
    by_role = {
        role: [median([each.pss_mib[role] for each in part]) for part in (warm, last)] for role in warm[0].pss_mib
    }
    roles = ", ".join(f"{role} {then:.1f} → {now:.1f}" for role, (then, now) in by_role.items())
    return Figure(
        f"memory of all roles {name}", median(of_last), median(of_warm), "MiB PSS", "after a sixth of it", len(last),
        roles, of_last, of_warm, goal=1.05,
    )  # fmt: skip

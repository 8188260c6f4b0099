"""kill -9 of the Primary until the next term writes, against the lease that a plain lease would have to wait for."""

from __future__ import annotations

import os
import signal
import time

import psycopg

from bench.instance import instance
from bench.table import Figure, median

SAMPLES = 7
LEASE_TTL_S = 6.0


def run() -> list[Figure]:
    """Two Managers of one zone; the Primary of the moment is killed, the supervisor brings it back."""
    taken: list[float] = []
    with (
        instance("--managers", "2") as running,
        psycopg.connect(running.facts["database_url"], autocommit=True) as connection,
    ):
        for _ in range(SAMPLES):
            while len([m for m in running.get("/managers") if m["status"] == "running"]) < 2:
                time.sleep(0.1)
            time.sleep(2 * LEASE_TTL_S / 3)  # both Managers wait at the lock again
            row = connection.execute(
                "SELECT l.term, m.instance_id FROM zone_leases l JOIN managers m USING (manager_id)"
            ).fetchone()
            assert row is not None
            term, primary = row
            pid = next(m["pid"] for m in running.status()["managers"] if m["instance_id"] == primary)
            os.kill(pid, signal.SIGKILL)
            start = time.perf_counter()
            while True:
                found = connection.execute("SELECT term FROM zone_leases").fetchone()
                if found and found[0] > term:
                    break
            taken.append((time.perf_counter() - start) * 1000)
    return [
        Figure("takeover after kill -9 of the Primary", median(taken), LEASE_TTL_S * 1000, "ms", "one lease", SAMPLES)
    ]

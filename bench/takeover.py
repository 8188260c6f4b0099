"""From a fault of the Primary to the first guarded write of the next one, and until all Agents are with it.

Each figure is compared with the same leadership without the detection of dead processes. For that the function TAKE is
replaced in the figure's database: no Manager holds the zone's lock, so followers check every 50 ms whether the
leadership has ended, and wait for a dead holder as long as for a frozen one.

The measured event is the commit of the first guarded write under a later term (`pg_xact_commit_timestamp`); a trigger
ensures that a Primary has something to write in each round (tests.support.history). Everything runs on one machine with
one clock. BENCH_FAULTS (names, comma-separated) and BENCH_SAMPLES select a part of the runs, which otherwise take an
hour.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.support import history

from bench.table import Figure, spread
from bench.zone import AGENTS, CHECK_IN_S, LEASE_RENEW_S, Zone, run_zone

SAMPLES = int(os.environ.get("BENCH_SAMPLES", "20"))

_WITHOUT_DEATH_WATCH = """
CREATE OR REPLACE FUNCTION lease_take(z integer, me uuid, mgr uuid, my_term bigint, ttl interval) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE t bigint;
BEGIN
    PERFORM 1 FROM managers WHERE manager_id = mgr AND enabled FOR SHARE;
    IF FOUND THEN
        UPDATE zone_leases SET
            term = CASE WHEN holder = me AND term = my_term AND expires_at > clock_timestamp() THEN term
                        ELSE term + 1 END,
            holder = me, manager_id = mgr, expires_at = clock_timestamp() + ttl, renewed_at = clock_timestamp(),
            backend_pid = pg_backend_pid(), previous_manager_id = manager_id, previous_expires_at = expires_at
        WHERE zone_key = z AND (holder = me OR expires_at <= clock_timestamp())
        RETURNING term INTO t;
    END IF;
    RETURN t;
END $$"""


@dataclass(frozen=True, slots=True)
class Fault:
    """The action on the current Primary, and the action that makes it a working Manager again."""

    name: str
    start: Callable[[Zone, str], Awaitable[None]]
    end: Callable[[Zone, str], Awaitable[None]]
    pause_s: float = 0.0
    """The time before the next sample, so that the memory of Agents about this one does not affect it."""


@dataclass(slots=True)
class Measurement:
    """Milliseconds from the fault, one of each per sample."""

    take_ms: list[float] = field(default_factory=list[float])
    write_ms: list[float] = field(default_factory=list[float])
    agents_ms: list[float] = field(default_factory=list[float])
    agents_after_write_ms: list[float] = field(default_factory=list[float])
    stale_writes: int = 0
    """The number of writes of the old Primary that were accepted although the next term had begun."""

    def last(self) -> str:
        """The last sample as text, for progress."""
        agents = f", all Agents there after {self.agents_ms[-1]:.0f} ms" if self.agents_ms else ""
        return (
            f"taken after {self.take_ms[-1]:.1f} ms, written after {self.write_ms[-1]:.1f} ms{agents}; "
            f"load {os.getloadavg()[0]:.1f}"
        )


def run() -> list[Figure]:
    """Measure all faults, with the death-watch and without."""
    return asyncio.run(_run())


async def _run() -> list[Figure]:
    figures: list[Figure] = []
    names = os.environ.get("BENCH_FAULTS", ",".join(fault.name for fault in FAULTS)).split(",")
    async with run_zone() as zone:
        with_watch = {fault.name: await _measure(zone, fault) for fault in FAULTS if fault.name in names}
        await zone.db.write(_WITHOUT_DEATH_WATCH)
        await _drop_locks(zone)
        without_watch = {fault.name: await _measure(zone, fault, agents=0) for fault in FAULTS if fault.name in names}
        problems = history.problems(await history.read(zone.db))
    if problems:
        raise SystemExit(f"bench: the rules of leadership were violated: {'; '.join(problems[:5])}")
    for name, with_death_watch in with_watch.items():
        figures += _figures(name, with_death_watch, without_watch[name])
    return figures


async def _drop_locks(zone: Zone) -> None:
    """Close every leadership connection, so that no earlier lock remains."""
    await zone.db.write(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'greenroom leadership %'"
    )


async def _measure(zone: Zone, fault: Fault, agents: int = AGENTS) -> Measurement:
    """The samples of one fault; with 0 `agents` only until the first write."""
    measurement = Measurement()
    for number in range(SAMPLES):
        primary, term = await zone.wait_until_working(agents)
        await asyncio.sleep(1 + random.uniform(0, LEASE_RENEW_S))  # noqa: S311 -- anywhere between two renewals
        fault_s = time.time()
        await fault.start(zone, primary)
        new_term, take_s, write_s = await zone.wait_for_first_write(term)
        measurement.take_ms.append((take_s - fault_s) * 1000)
        measurement.write_ms.append((write_s - fault_s) * 1000)
        if agents:
            agents_s = await zone.wait_for_agents(new_term)
            measurement.agents_ms.append((agents_s - fault_s) * 1000)
            measurement.agents_after_write_ms.append((agents_s - write_s) * 1000)
        await fault.end(zone, primary)
        measurement.stale_writes += await zone.count_stale_writes(primary, term)
        print(f"    {fault.name} {number + 1}: {measurement.last()}", flush=True)
        await asyncio.sleep(fault.pause_s if agents else 0)
    return measurement


def _figures(name: str, with_death_watch: Measurement, without_death_watch: Measurement) -> list[Figure]:
    return [
        Figure(
            f"takeover, {name}: maximum until the next Primary's first write",
            max(with_death_watch.write_ms),
            max(without_death_watch.write_ms),
            "ms",
            "our leadership without the death-watch",
            len(with_death_watch.write_ms),
            f"{spread(with_death_watch.write_ms)}, leadership taken {spread(with_death_watch.take_ms)}; "
            f"without {spread(without_death_watch.write_ms)}; stale writes {with_death_watch.stale_writes}",
            samples_of_product=with_death_watch.write_ms,
            samples_of_yardstick=without_death_watch.write_ms,
        ),
        Figure(
            f"takeover, {name}: maximum until all Agents are with the next Primary",
            max(with_death_watch.agents_ms),
            CHECK_IN_S * 1000,
            "ms",
            "one check-in interval",
            len(with_death_watch.agents_ms),
            f"{spread(with_death_watch.agents_ms)}; "
            f"after its first write {spread(with_death_watch.agents_after_write_ms)}",
            samples_of_product=with_death_watch.agents_ms,
        ),
    ]


# The faults -----------------------------------------------------------------------------------------------------------


async def _disable(zone: Zone, name: str) -> None:
    await zone.enable(name, False)


async def _enable(zone: Zone, name: str) -> None:
    await zone.enable(name, True)


def _signal(number: int) -> Callable[[Zone, str], Awaitable[None]]:
    async def send(zone: Zone, name: str) -> None:
        zone.fleet.managers[name].kill(number)

    return send


async def _start(zone: Zone, name: str) -> None:
    await zone.fleet.managers[name].ended()
    zone.fleet.managers[name].start()


async def _disconnect(zone: Zone, name: str) -> None:
    zone.islands.pull(name)


async def _connect(zone: Zone, name: str) -> None:
    zone.islands.plug(name)


FAULTS = (
    Fault("disable", _disable, _enable, pause_s=31.0),  # Agents avoid a disabled Manager for 30 s (Retry-After)
    Fault("SIGTERM", _signal(signal.SIGTERM), _start),
    Fault("kill -9", _signal(signal.SIGKILL), _start),
    Fault("SIGSTOP", _signal(signal.SIGSTOP), _signal(signal.SIGCONT)),
    Fault("partition", _disconnect, _connect),
)

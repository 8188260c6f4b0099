"""Leadership under faults that a process cannot foresee: late answers, cut lines, freezes at named stops, wrong
clocks. The database records the writes of the Primaries, which are checked at the end
(docs/explanation/protocols.md §1).
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support import history
from tests.support.faults import BadLine, bad_line
from tests.support.managers import LONG_LEADERSHIP, Fleet, leadership, primary_is
from tests.support.processes import answers, arm_before_start
from tests.support.waiting import eventually

from greenroom.core.events import ChangeEvent, Topic
from greenroom.db.database import Database
from greenroom.db.fleet.managers import find_manager, set_enabled


@pytest.fixture
async def fleet(db: Database, dsn: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    """The Managers of a zone whose history is recorded; at the end it has no violations."""
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    await history.record(db)
    fleet = Fleet(dsn, tmp_path)
    yield fleet
    fleet.close()
    assert history.problems(await history.read(db)) == []


@pytest.fixture
async def line(fleet: Fleet, dsn: str, tmp_path: Path) -> AsyncIterator[BadLine]:
    """The connection of Manager `one` to the database."""
    (tmp_path / "line").mkdir()
    async with bad_line(dsn, tmp_path / "line") as line:
        yield line


async def one_of_two(fleet: Fleet, db: Database, line: BadLine | None = None, /, **settings: str) -> None:
    """Managers `one`, the Primary, optionally on a separate line, and `two`, its follower, whose leadership is long.
    The leadership of `one` is too long to end because of a stalled machine. On a line it is as short as the time limit
    of an answer, so that a late answer arrives after it."""
    own = {"database_url": line.dsn, "lease_ttl_s": "3"} if line else {"lease_ttl_s": "6"}
    await fleet.start("one", **(own | settings))
    await primary_is(db, "one")
    await fleet.start("two", **(LONG_LEADERSHIP | settings))


async def writes(db: Database, name: str) -> int:
    """The number of guarded writes of this Manager that were accepted so far."""
    return sum(entry.kind == "write" and entry.writer == name for entry in await history.read(db))


async def believes(fleet: Fleet, name: str) -> bool:
    """True if this Manager considers itself Primary."""
    metrics = (await answers(f"{fleet.urls[name]}/metrics", 200)).text
    return "greenroom_manager_primary 1.0" in metrics.splitlines()


def writes_more(db: Database, name: str, than: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return await writes(db, name) > than

    return look


async def provoke(db: Database, rounds: int = 10) -> None:
    """Let every Manager do some rounds: a Manager that believes that it is Primary tries to write."""
    for _ in range(rounds):
        await db.notify(ChangeEvent(Topic.ZONE))
        await asyncio.sleep(0.05)  # one round after the other


async def log_rows(db: Database, code: str) -> list[str]:
    rows = await db.fetch("SELECT message FROM logs WHERE code = %s ORDER BY log_id", (code,))
    return [str(row["message"]) for row in rows]


async def disable(db: Database, name: str, enabled: bool = False) -> None:
    manager_id = await find_manager(db, name)
    assert manager_id is not None
    await set_enabled(db, manager_id, enabled)


# Becoming Primary -----------------------------------------------------------------------------------------------------


async def test_of_four_managers_one_becomes_primary_with_term_1(fleet: Fleet, db: Database):
    names = ("one", "two", "three", "four")
    for name in names:
        fleet.make(name, **LONG_LEADERSHIP).start()
    for name in names:
        await answers(f"{fleet.urls[name]}/health", 200)
    first = await primary_is(db, *names)
    await provoke(db)
    assert (await leadership(db))["term"] == 1
    assert (await eventually(lambda: log_rows(db, "primary-elected"))) == [
        f"{first['primary']} became Primary of zone default with term 1 because the zone had no Primary before"
    ]


# Held still at named places -------------------------------------------------------------------------------------------


async def test_a_manager_frozen_before_its_first_renewal_never_acts(fleet: Fleet, db: Database):
    arm_before_start(fleet.folder, "one", "leadership.after_take")
    one = fleet.make("one")
    one.start()
    await one.stops.reached("leadership.after_take")
    one.freeze()
    await fleet.start("two", **LONG_LEADERSHIP)
    assert (await primary_is(db, "two"))["term"] == 2
    one.thaw()
    await one.stops.release("leadership.after_take")
    await eventually(lambda: says(fleet, "one", "the leadership connection failed"))
    await provoke(db)
    assert await writes(db, "one") == 0
    assert (await leadership(db))["term"] == 2


async def says(fleet: Fleet, name: str, words: str) -> bool:
    return words in fleet.managers[name].log


@pytest.mark.parametrize("place", ["leadership.before_renew", "primary.after_check", "primary.in_guard"])
async def test_a_primary_frozen_past_its_lease_writes_nothing_and_follows(fleet: Fleet, db: Database, place: str):
    await one_of_two(fleet, db)
    one = fleet.managers["one"]
    await one.stops.arm(place)
    if place != "leadership.before_renew":  # an Agent to promote, so that there is a plan
        await db.write(
            "INSERT INTO agents (zone_id, credential_hash, last_reported, complete)"
            " SELECT zone_id, '', clock_timestamp(), true FROM zones"
        )
    await one.stops.reached(place)
    one.freeze()
    assert (await primary_is(db, "two"))["term"] == 2
    before = await writes(db, "one")
    one.thaw()
    await one.stops.release(place)
    await provoke(db)
    assert await writes(db, "one") == before
    fleet.managers["two"].kill()
    assert (await primary_is(db, "one"))["term"] == 3
    await eventually(writes_more(db, "one", before))


async def test_after_repeated_kills_every_term_has_one_holder(fleet: Fleet, db: Database):
    await one_of_two(fleet, db, **LONG_LEADERSHIP)
    for term in (2, 3, 4):
        now, following = ("one", "two") if term % 2 == 0 else ("two", "one")
        fleet.managers[now].kill()
        await fleet.managers[now].ended()
        assert (await primary_is(db, following))["term"] == term
        fleet.managers[now].start()
        await answers(f"{fleet.urls[now]}/health", 200)


# A bad line -----------------------------------------------------------------------------------------------------------


async def test_a_renewal_answered_after_the_lease_does_not_extend_belief(fleet: Fleet, db: Database, line: BadLine):
    """The database executes the renewal, and its answer arrives when another term has begun."""
    await one_of_two(fleet, db, line)
    assert line.hold("greenroom leadership one", "answers") == 1
    assert (await primary_is(db, "two"))["term"] == 2
    assert not await believes(fleet, "one")
    before = await writes(db, "one")
    line.release("greenroom leadership one")
    await provoke(db)
    assert not await believes(fleet, "one")
    assert await writes(db, "one") == before
    assert (await leadership(db))["term"] == 2


async def test_a_lease_connection_that_answers_nothing_is_replaced(fleet: Fleet, db: Database, line: BadLine):
    await fleet.start("one", database_url=line.dsn)
    first = await primary_is(db, "one")
    assert line.hold("greenroom leadership one", "questions") == line.hold("greenroom leadership one", "answers") == 1

    async def on_another() -> bool:
        now = await leadership(db)
        return now["primary"] == "one" and now["backend_pid"] != first["backend_pid"]

    await eventually(on_another)
    before = await writes(db, "one")
    await eventually(writes_more(db, "one", before))
    assert await says(fleet, "one", "the database did not answer within 3 s")


async def test_a_primary_with_a_dead_line_is_replaced_after_its_lease(fleet: Fleet, db: Database, line: BadLine):
    """A partition without RST, from the view of the database and the process: all its connections are open and dead."""
    await one_of_two(fleet, db, line)
    for name in line.names():
        line.hold(name, "questions")
        line.hold(name, "answers")
    assert (await primary_is(db, "two"))["term"] == 2
    before = await writes(db, "one")
    for name in line.names():
        line.release(name)
    await provoke(db)
    assert await writes(db, "one") == before
    assert (await leadership(db))["term"] == 2


async def test_without_listen_everything_happens_at_the_next_tick(fleet: Fleet, db: Database, line: BadLine):
    await one_of_two(fleet, db, line, **LONG_LEADERSHIP)
    assert line.cut("greenroom listen one") == 1
    before = await writes(db, "one")
    await eventually(writes_more(db, "one", before + 2))  # rounds continue
    await db.write("UPDATE managers SET enabled = false WHERE instance_id = 'one'")
    await primary_is(db, "two")
    await answers(f"{fleet.urls['one']}/health", 503)
    await db.write("UPDATE managers SET enabled = true WHERE instance_id = 'one'")
    await answers(f"{fleet.urls['one']}/health", 200)
    fleet.managers["two"].kill(signal.SIGTERM)
    await primary_is(db, "one")
    assert "greenroom listen one" not in line.names()


# Clocks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", ["+1h", "-1h"])
async def test_a_manager_whose_clock_is_an_hour_off_is_like_any_other(fleet: Fleet, db: Database, offset: str):
    """As Primary it keeps its term, reports the right time and is healthy; as follower it takes over at once."""
    await fleet_with_wrong_clock(fleet, offset, lease_ttl_s="10")
    first = await primary_is(db, "one")
    await fleet.start("two")
    before = await writes(db, "one")
    await eventually(writes_more(db, "one", before + 11))  # longer than the leadership
    assert await believes(fleet, "one")
    assert (await leadership(db))["term"] == first["term"]
    (seen,) = await db.fetch(
        "SELECT abs(extract(epoch FROM clock_timestamp() - last_reported)) < 60 AS reported,"
        " abs(extract(epoch FROM clock_timestamp() - last_round)) < 60 AS did_a_round"
        " FROM managers WHERE instance_id = 'one'"
    )
    assert seen == {"reported": True, "did_a_round": True}
    await answers(f"{fleet.urls['one']}/__healthcheck", 200)
    fleet.managers["one"].kill()
    assert (await primary_is(db, "two", timeout_s=9))["term"] == 2  # before the leadership would end
    await fleet_with_wrong_clock(fleet, offset)
    fleet.managers["two"].freeze()
    assert (await primary_is(db, "one"))["term"] == 3


def wrong_clock() -> Path:
    """The library of the package `faketime`. Its command would be a process between the test and the Manager."""
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    return library


async def fleet_with_wrong_clock(fleet: Fleet, offset: str, **settings: str) -> None:
    """Start `one` with another CLOCK_REALTIME; monotonic clocks do not change."""
    wrong = ("env", f"LD_PRELOAD={wrong_clock()}", f"FAKETIME={offset}", "FAKETIME_DONT_FAKE_MONOTONIC=1")
    one = fleet.make("one", *wrong, **settings)
    one.start()
    await answers(f"{fleet.urls['one']}/health", 200)
    written = json.loads(one.log.splitlines()[-1])["timestamp"]
    assert abs(datetime.fromisoformat(written) - datetime.now(UTC)) > timedelta(minutes=50)


@pytest.mark.parametrize("offset", ["+1h", "-1h"])
async def test_silence_is_measured_by_the_databases_clock(fleet: Fleet, db: Database, offset: str):
    """An Agent that reports is not missing, one that does not is, even if the Primary's clock is wrong."""
    await fleet_with_wrong_clock(fleet, offset, agent_missing_s="6", checkin_hold_s="1")
    await primary_is(db, "one")
    await db.write(
        "INSERT INTO agents (zone_id, hostname, credential_hash, status, complete, last_reported)"
        " SELECT zone_id, 'host-1', '', 'running', true, clock_timestamp() FROM zones"
    )

    async def status() -> str:
        (row,) = await db.fetch("SELECT status FROM agents WHERE hostname = 'host-1'")
        return str(row["status"])

    for _ in range(20):
        await db.write("UPDATE agents SET last_reported = clock_timestamp() WHERE hostname = 'host-1'")
        await asyncio.sleep(0.25)  # four check-ins a second
        assert await status() == "running"

    async def is_missing() -> bool:
        return await status() == "missing"

    await eventually(is_missing)


# Rows of Diagnostics --------------------------------------------------------------------------------------------------


async def test_every_election_and_every_loss_says_why(fleet: Fleet, db: Database):
    await one_of_two(fleet, db, lease_ttl_s="6")
    one, two = fleet.managers["one"], fleet.managers["two"]

    async def has(code: str, sentence: str) -> None:
        async def look() -> bool:
            return sentence in await log_rows(db, code)

        await eventually(look)

    async def elected(name: str, because: str) -> None:
        await primary_is(db, name)
        await has("primary-elected", f"{name} became Primary of zone default with term {because}")

    await disable(db, "one")
    await elected("two", "2 because one was disabled")
    await has("primary-resigned", "one is no longer Primary of zone default because it was disabled")
    await disable(db, "one", enabled=True)
    two.kill(signal.SIGTERM)
    await two.ended()
    await elected("one", "3 because two resigned")
    await has("primary-resigned", "two is no longer Primary of zone default because it is being stopped")
    two.start()
    await answers(f"{fleet.urls['two']}/health", 200)
    one.kill()
    await one.ended()
    await elected("two", "4 because the process of one, or its connection to the database, ended")
    one.start()
    await answers(f"{fleet.urls['one']}/health", 200)
    two.freeze()
    await elected("one", "5 because two stopped responding")
    two.thaw()
    late = "it did not renew its leadership in time"
    await has("primary-lost", f"two is no longer Primary of zone default with term 4 because {late}")


async def test_a_lost_lease_connection_is_said_with_what_the_database_said(fleet: Fleet, db: Database):
    await one_of_two(fleet, db)
    await db.write("SELECT pg_terminate_backend(backend_pid) FROM zone_leases")

    async def look() -> list[str]:
        return await log_rows(db, "primary-lost")

    (sentence,) = await eventually(look)
    assert sentence.startswith(
        "one is no longer Primary of zone default with term 1 because its connection to the database ended: "
        "terminating connection due to administrator command"
    )

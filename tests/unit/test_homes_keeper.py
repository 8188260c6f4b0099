"""An Agent's handling of its homes: on real folders, with a runtime that reports those in use."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.waiting import eventually

from greenroom.agent import homes
from greenroom.agent.homes import HomesKeeper
from greenroom.core.rate_limits import Backoff
from greenroom.core.workspace.homes import HomeId, removal_name
from greenroom.runtimes.contract import StoredHome
from greenroom.runtimes.host_homes import HomesOnHost, HostHomes
from greenroom.wire.fields import HomeRemoval


def new_home() -> HomeId:
    return HomeId(str(uuid.uuid4()), str(uuid.uuid4()))


class HostWithHomes:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.used: dict[HomeId, str] = {}
        self.homes = HomesOnHost(HostHomes(folder), self.in_use)

    async def in_use(self) -> dict[HomeId, str]:
        return dict(self.used)

    def make(self, home: HomeId) -> Path:
        """A home with a file, a link to a foreign file, and deeply nested folders."""
        place = self.folder / home.name
        (place / "/".join("d" * 1 for _ in range(300))).mkdir(parents=True)
        (place / "file").write_bytes(b"x" * 100_000)
        (place / "link").symlink_to(self.folder.parent / "elsewhere")
        return place


@pytest.fixture
def host(tmp_path: Path) -> HostWithHomes:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/kept").write_bytes(b"x" * 5_000_000)
    return HostWithHomes(tmp_path / "homes")


@asynccontextmanager
async def keeping(host: HostWithHomes) -> AsyncIterator[HomesKeeper]:
    keeper = HomesKeeper(host.homes)
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_home_is_measured_without_what_its_links_lead_to(host: HostWithHomes):
    home = new_home()
    host.make(home)
    (host.folder / "notes.txt").write_text("no home")
    async with keeping(host) as keeper:
        await eventually(lambda: any(one.size_bytes is not None for one in keeper.report() or []))
        (report,) = keeper.report() or []
    assert (report.user_id, report.image_id) == (home.user_id, home.image_id)
    assert report.size_bytes is not None
    assert 100_000 <= report.size_bytes < 4_000_000
    assert report.last_used is not None


async def test_a_removal_waits_for_the_container_and_follows_no_link(
    host: HostWithHomes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(homes, "BACKOFF", Backoff(first_s=0.1, max_s=0.2))
    home, removal_id = new_home(), str(uuid.uuid4())
    place = host.make(home)
    host.used[home] = "a-session"
    async with keeping(host) as keeper:
        order = HomeRemoval(user_id=home.user_id, image_id=home.image_id, removal_id=removal_id)
        keeper.set_removal_orders([order])
        await eventually(lambda: any("a-session" in one.problem for one in keeper.report() or []))
        assert place.is_dir()
        host.used.clear()
        await eventually(lambda: not place.exists() and keeper.report() == [])
        place.mkdir()  # the next session's
        keeper.set_removal_orders([order])  # an answer that was late
        await asyncio.sleep(0)
        assert place.is_dir()
    assert (host.folder.parent / "elsewhere/kept").stat().st_size == 5_000_000
    assert list((host.folder / ".removed").iterdir()) == []


async def test_the_removal_of_a_home_that_was_never_created_is_reported(host: HostWithHomes):
    async with keeping(host) as keeper:
        await eventually(lambda: keeper.report() == [])
        keeper.reported([])
        assert keeper.report() is None
        home = new_home()
        keeper.set_removal_orders(
            [HomeRemoval(user_id=home.user_id, image_id=home.image_id, removal_id=str(uuid.uuid4()))]
        )
        await eventually(lambda: keeper.report() == [])


async def test_what_a_removal_moved_away_before_a_restart_is_removed_without_an_order(host: HostWithHomes):
    home, removal_id = new_home(), str(uuid.uuid4())
    place = host.make(home)
    away = host.folder / ".removed" / removal_name(home, removal_id)
    away.parent.mkdir()
    place.rename(away)
    place.mkdir()
    async with keeping(host) as keeper:
        await eventually(lambda: not away.exists())
        await eventually(lambda: [one.removal_id for one in keeper.report() or []] == [""])
    assert place.is_dir()


async def test_a_home_that_was_not_looked_for_yet_does_not_count_as_removed(host: HostWithHomes):
    keeper = HomesKeeper(host.homes)
    keeper.set_removal_orders([HomeRemoval(user_id="u", image_id="i", removal_id="r")])
    assert keeper.report() is None


async def test_the_newer_of_two_simultaneous_listings_is_stored(host: HostWithHomes):
    older, newer = new_home(), new_home()

    class SlowFirst(HostHomes):
        answers = iter([(older, 100), (newer, 0)])

        async def list_homes(self) -> list[StoredHome]:
            home, turns = next(self.answers)
            for _ in range(turns):
                await asyncio.sleep(0)
            return [StoredHome(home=home)]

    keeper = HomesKeeper(HomesOnHost(SlowFirst(host.folder), host.in_use))
    await asyncio.gather(keeper._read_homes(), keeper._read_homes())
    assert [one.user_id for one in keeper.report() or []] == [newer.user_id]

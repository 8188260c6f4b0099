"""`greenroom upgrade` of an instance with 10,000 sessions, 50 pools and open streams, and everything that can go wrong.

Each test starts with the old version.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.acceptance.instance import wait_for
from tests.acceptance.steady import Launches, beside
from tests.release.populated import Populated, resize
from tests.release.traffic import Streams, served_page
from tests.versions import BROKEN, POST, Versions

pytestmark = pytest.mark.timeout(900)

STREAMS, STAGED = 6, 10
REFUSED_WITHIN_S = 1.0
"""The longest time for which a launch may be refused."""
STALLS = 5
"""A busy machine may delay the start of a role by this number of pauses, each as long as the longest of a stream."""
STEPS = ("Verifying the backup", "Replacing gateway", "Replacing the supervisor", "Applying the migrations after")
"""The steps at whose beginning the power is lost: before a change, amid the roles, and before the last two changes."""
MEGABYTE = 1 << 20
LARGE = "CREATE UNLOGGED TABLE large AS SELECT n, repeat('x', 1000) AS text FROM generate_series(1, 400000) n"
"""The statement of a migration that writes 400 MB, but little into the log of PostgreSQL, which ends if it cannot write
the log."""


@pytest.fixture(scope="module")
def populated(versions: Versions) -> Iterator[Populated]:
    """The instance that the tests of this module share."""
    waiting = (versions.new_package / "upgrade/waiting.py").read_text()
    # tests/host/test_upgrade.py tests the real time for which a role must run.
    shorter = waiting.replace("STEADY_S: Final = 15.0", "STEADY_S: Final = 2.0")
    assert shorter != waiting
    with served_page() as address, versions.planted("upgrade/waiting.py", shorter):
        instance = Populated(versions, address)
        try:
            instance.populate()
            yield instance
        finally:
            instance.remove()


@pytest.fixture
def instance(populated: Populated) -> Populated:
    populated.return_to_old()
    return populated


def test_an_upgrade_under_load_cuts_no_stream_and_loses_nothing(instance: Populated, versions: Versions):
    users = instance.users()
    tables = instance.layout_of_tables()
    before = instance.contents(tables)
    sessions = instance.run_sessions(users, STREAMS)
    config_id = instance.stage(STAGED)
    wait_for(lambda: instance.staged(config_id) == STAGED, "the pool is full", 120)
    streams, launches = Streams(instance, sessions), Launches(instance, users)
    with beside(streams.run), beside(launches.run):
        wait_for(streams.all_open, "all streams are open")
        wait_for(lambda: launches.acknowledged, "sessions are launched")
        with instance.begin_upgrade("Writing the backup") as command:
            assert "Another upgrade of" in instance.upgrade_fails()
            command.communicate()
        assert command.returncode == 0
    instance.program = (str(versions.new),)
    assert streams.cuts == []
    assert launches.without["502"] == 0, "the gateway waits for a replaced api"
    longest_s = max(one.waited_s for one in launches.acknowledged)
    assert longest_s <= REFUSED_WITHIN_S + STALLS * streams.longest_s, dict(launches.without)
    assert instance.contents(tables) == before
    launched = [*sessions, *(one.session_id for one in launches.acknowledged)]
    for session_id in launched:
        wait_for(lambda one=session_id: instance.has_status(one, "running"), "each launched session runs")
    wait_for(lambda: instance.sessions_of_host() == instance.sessions_of_agent(), "rows and containers agree", 60)
    assert instance.sessions_of_host() >= set(launched)
    instance.unstage(config_id)
    instance.streams_again(sessions[0])


def test_the_old_version_works_with_the_migrations_before(instance: Populated, versions: Versions):
    assert POST in instance.command(versions.new, "migrate", "--pre", "--json")
    assert "added" in instance.columns()
    assert instance.down().returncode == 0
    instance.up()
    users = instance.users()
    config_id = instance.stage(1)
    wait_for(lambda: instance.staged(config_id) == 1, "the pool is full")
    checked_in = instance.last_check_in()
    claimed, launched = (instance.launch(next(users)) for _ in range(2))
    for session in (claimed, launched):
        wait_for(lambda one=session: instance.has_status(one["session_id"], "running"), "the session runs")
    assert instance.outcomes(claimed, launched) == ["staged", "on_demand"]
    for session in (claimed, launched):
        instance.call("DELETE", f"/sessions/{session['session_id']}")
        wait_for(lambda one=session: instance.has_status(one["session_id"], "deleted"), "the session is deleted")
    instance.unstage(config_id)
    wait_for(lambda: instance.last_check_in() > checked_in, "the Agent checks in")
    assert instance.role_versions() == {versions.old_version}


def test_a_failed_upgrade_leaves_the_contents_as_they_were(instance: Populated, versions: Versions):
    tables = instance.layout_of_tables()
    before = instance.contents(tables)
    with versions.planted("db/migrations/9003_pre_broken.sql", f"{LARGE}; SELECT no_function()"):
        message = instance.upgrade_fails()
    assert message.endswith(f"Nothing was changed; Greenroom {versions.old_version} runs.")
    assert instance.layout_of_tables() == tables
    assert instance.contents(tables) == before
    with versions.planted("agent/main.py", BROKEN):
        message = instance.upgrade_fails()
    assert "agent-default does not keep running: its process ended 2 times" in message
    assert message.endswith(f"Greenroom {versions.old_version} runs again.")
    assert instance.contents(tables) == before
    assert instance.role_versions() == {versions.old_version}
    assert instance.down().returncode == 0
    instance.up()
    assert instance.role_versions() == {versions.old_version}


def test_a_full_disk_ends_the_upgrade_before_it_changes_anything(
    instance: Populated, versions: Versions, tmp_path: Path
):
    tables = instance.layout_of_tables()
    before = instance.contents(tables)
    with ExitStack() as stack:
        stack.callback(resize, instance.folder, None)
        files = set(instance.backups.glob("*"))
        resize(instance.folder, MEGABYTE)
        message = instance.upgrade_fails()
        assert "The backup cannot be written to" in message
        assert "No space left on device" in message
        assert set(instance.backups.glob("*")) == files

        resize(instance.folder, 100 * MEGABYTE)
        with versions.planted("db/migrations/9003_pre_large.sql", LARGE):
            message = instance.upgrade_fails("--backup-folder", str(tmp_path))
        assert "No space left on device" in message
        assert message.endswith(f"Nothing was changed; Greenroom {versions.old_version} runs.")
    wait_for(instance.healthy, "every part works")
    assert instance.layout_of_tables() == tables
    assert instance.contents(tables) == before


def test_after_a_power_loss_at_each_step_the_upgrade_is_repeated(instance: Populated, versions: Versions):
    tables = instance.layout_of_tables()
    before = instance.contents(tables)
    (session_id,) = instance.run_sessions(instance.users(), 1)
    for step in STEPS:
        instance.lose_power(instance.begin_upgrade(step))
        instance.start_again()
    instance.upgrade()
    instance.program = (str(versions.new),)
    assert instance.plan()["roles"] == []
    assert instance.contents(tables) == before
    assert instance.has_status(session_id, "running")
    instance.streams_again(session_id)

"""The invented data of the demo: people, launches, log rows and audit events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from greenroom.core.errors import SetupError
from greenroom.demo import instance
from greenroom.demo.events import past_audit_events, past_log_rows
from greenroom.demo.history import (
    DAYS,
    DemoWorld,
    InventedHost,
    InventedUser,
    InventedWorkspace,
    PastLaunch,
    failed_pulls,
    launch_times,
    past_launches,
)
from greenroom.demo.people import LOG_INS, PEOPLE, some_people
from greenroom.demo.plan import FULL, GROUPS, POOLS, SMALL, WORKSPACES, ZONES, hostname
from greenroom.up import commands
from greenroom.up.layout import FORMAT, Layout

NOW = datetime(2026, 3, 17, 10, 24, tzinfo=UTC)


@pytest.fixture(scope="module")
def world() -> DemoWorld:
    users = [InventedUser(f"id-{person.login}", person.username, person.groups) for person in PEOPLE]
    workspaces = [
        InventedWorkspace(
            key=planned.key,
            image_id=f"id-{planned.key}",
            name=planned.name.en or planned.key,
            image=planned.image,
            cores=planned.cores,
            memory=planned.memory,
            groups=planned.groups,
            weight=planned.weight,
            cold_s=planned.cold_s,
        )
        for planned in WORKSPACES
    ]
    return DemoWorld(
        users=users,
        workspaces=workspaces,
        zone_ids={zone: f"id-{zone}" for zone in ZONES},
        pools={(pool.workspace, pool.zone): f"pool-{pool.workspace}-{pool.zone}" for pool in POOLS},
        hosts={zone: [InventedHost(f"id-{zone}-{n}", hostname(zone, n)) for n in (1, 2)] for zone in ZONES},
    )


def chance(seed: int = 1) -> Random:
    return Random(seed)  # noqa: S311 -- chooses invented data


def launches_of(world: DemoWorld, seed: int = 1) -> list[PastLaunch]:
    return list(past_launches(world, NOW, 1000, chance(seed)))


def test_the_same_seed_gives_the_same_launches(world: DemoWorld):
    assert launches_of(world) == launches_of(world)
    assert launches_of(world) != launches_of(world, seed=2)


def test_a_small_demo_has_the_same_past_at_each_time(world: DemoWorld):
    def past(now: datetime) -> list[tuple[timedelta, str | None, str]]:
        launches = past_launches(world, now, SMALL.launches, chance(), counts_as=SMALL.counts_as)
        return [(now - launch.at, launch.session_id, launch.user.username) for launch in launches]

    assert past(NOW) == past(NOW + timedelta(days=5, hours=9, minutes=38))


def test_launches_are_in_the_past_and_in_order(world: DemoWorld):
    times = [launch.at for launch in launches_of(world)]
    assert times == sorted(times)
    assert NOW - timedelta(days=DAYS, hours=1) < times[0]
    assert times[-1] < NOW


def test_most_launches_are_in_the_mornings_of_working_days():
    times = launch_times(NOW, 2000, chance())
    working = [time for time in times if time.weekday() < 5]
    assert len(working) > 0.9 * len(times)
    assert sum(8 <= time.hour < 12 for time in working) > sum(18 <= time.hour < 24 for time in working)


def test_users_launch_only_their_own_workspaces(world: DemoWorld):
    for launch in launches_of(world):
        assert launch.workspace in world.choices(launch.user)


def test_a_session_ends_after_its_start_and_before_the_present(world: DemoWorld):
    ended = [launch for launch in launches_of(world) if launch.session_id is not None]
    for launch in ended:
        assert 0 < launch.started_s <= launch.used_s + 60
        assert launch.at + timedelta(seconds=launch.used_s) < NOW + timedelta(minutes=2)
    assert {launch.outcome for launch in ended} == {"staged", "on_demand"}


def test_each_failed_launch_has_a_reason_for_each_host_of_its_zone(world: DemoWorld):
    failed = [launch for launch in launches_of(world) if launch.outcome == "failed"]
    failed += failed_pulls(world, NOW, chance())
    judged = 0
    for launch in failed:
        hosts = [step.candidate for step in launch.steps if step.step == "on_demand_here"]
        assert hosts == [host.name for host in world.hosts[launch.zone]]
        assert all(step.code for step in launch.steps)
        judged += 1
    assert judged > 20


def test_log_rows_and_events_are_in_order_and_in_the_past(world: DemoWorld):
    launches = launches_of(world)
    rows = past_log_rows(world, launches, NOW, 300, chance())
    events = past_audit_events(world, launches, NOW, 100, chance())
    for times in ([row.time for row in rows], [event.time for event in events]):
        assert times == sorted(times)
        assert times[-1] < NOW
    assert len(rows) > 250
    assert len(events) > 90


def test_a_small_demo_has_the_people_who_can_log_in():
    people = some_people(SMALL.people)
    assert len(people) == SMALL.people
    assert {person.login for person in people} >= set(LOG_INS)


def test_the_people_have_long_and_right_to_left_names():
    names = [f"{person.first_name} {person.last_name}" for person in PEOPLE]
    assert len(set(names)) == len(PEOPLE) == FULL.people
    assert max(map(len, names)) > 50
    assert any("\u0590" <= name[0] <= "\u06ff" for name in names)


def test_people_and_workspaces_name_existing_groups():
    keys = {group.key for group in GROUPS} | {"administrators"}
    assert {key for person in PEOPLE for key in person.groups} == keys
    assert {key for workspace in WORKSPACES for key in workspace.groups} <= keys
    assert len(WORKSPACES) == FULL.workspaces


def test_the_description_of_a_demo_is_one_object_of_json():
    stored = instance.StoredDemo(password="secret", language="de", incident=True, seed=7, seeded="2026-03-17T10:24:00")
    demo = instance.RunningDemo(
        url="https://127.0.0.1:9443",
        usernames=("lena",),
        data="/data",
        ca_file="/data/ca.pem",
        api_key=None,
        api_key_secret=None,
        stored=stored,
    )
    found = json.loads(json.dumps(instance.as_json(demo)))
    assert (found["url"], found["password"], found["seed"]) == (demo.url, "secret", 7)
    assert "stored" not in found


def test_a_folder_with_another_instance_is_refused(tmp_path: Path):
    (tmp_path / "instance.json").write_text("{}")
    with pytest.raises(SetupError, match="is no demo; specify another --data"):
        instance.start(tmp_path, port=None, language="en", seed=1, small=True, incident=False)


def test_an_incomplete_demo_must_be_removed_first(tmp_path: Path):
    (tmp_path / "instance.json").write_text("{}")
    (tmp_path / "demo").mkdir()
    with pytest.raises(SetupError, match="demo --end --data"):
        instance.start(tmp_path, port=None, language="en", seed=1, small=True, incident=False)


def test_a_new_demo_that_cannot_be_started_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(layout: Layout, options: object) -> None:
        layout.create_data()
        layout.instance.write_text(f'{{"format": {FORMAT}}}')
        raise SetupError("The disk is full.")

    for name in ("GREENROOM_RUNTIME", "GREENROOM_ENDED_KEEP_DAYS"):
        monkeypatch.setenv(name, "")  # restored after the test
    monkeypatch.setattr(commands, "start_in_background", fail)
    with pytest.raises(SetupError, match="The disk is full"):
        instance.start(tmp_path / "demo", port=1, language="en", seed=1, small=True, incident=False)
    assert not (tmp_path / "demo").exists()


def test_a_folder_without_a_demo_is_not_removed(tmp_path: Path):
    (tmp_path / "instance.json").write_text(f'{{"format": {FORMAT}}}')
    with pytest.raises(SetupError, match="There is no demo"):
        instance.remove(tmp_path)
    assert (tmp_path / "instance.json").exists()

"""The plan of an upgrade of one of several machines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from greenroom.core.errors import SetupError
from greenroom.core.versions import Version
from greenroom.db.fleet.managers import ListedManager
from greenroom.db.upgrades import RunningProcess, StartedUpgrade
from greenroom.upgrade.plan import RunningRole
from greenroom.upgrade.services_plan import ServicesPlan, UpgradeDatabase, has_other_manager, plan_services

PRE, POST = "0011_pre_a.sql", "0012_post_b.sql"
OTHER = RunningProcess(role="Manager", name="manager-2", hostname="web-2", version="0.1.0")
STARTED = StartedUpgrade(
    version="0.2.0",
    hostname="web-1",
    previous="/opt/old/bin/greenroom",
    backup="/backup",
    passphrase_file="/p",
    started=datetime(2026, 1, 1, tzinfo=UTC),
)
SERVICES = (
    RunningRole(name="manager", role="manager", version="0.1.0"),
    RunningRole(name="gateway", role="gateway", version=None),
)


def database(**facts: Any) -> UpgradeDatabase:
    """The database of version 0.1.0 before the upgrade to 0.2.0."""
    values: dict[str, Any] = {
        "version": Version(0, 1, 0),
        "pre": [PRE],
        "pending": [PRE, POST],
        "started": None,
        "owns_tables": True,
        "others": [OTHER],
    }
    return UpgradeDatabase(**(values | facts))


def plan(
    facts: UpgradeDatabase | None,
    new: str = "0.2.0",
    services: Any = SERVICES,
    own: Any = (),
    interrupted: bool = False,
) -> ServicesPlan:
    return plan_services("web-1", Version.parse(new), services, facts, already_new=own, interrupted=interrupted)


def names(plan: ServicesPlan) -> list[str]:
    return [service.name for service in plan.services]


def test_the_first_machine_backs_up_and_prepares_the_database():
    first = plan(database())
    assert (first.needs_backup, first.pre, first.post, first.others) == (True, (PRE,), (POST,), (OTHER,))
    assert names(first) == ["manager", "gateway"]


def test_the_next_machine_needs_neither_a_backup_nor_the_owner_of_the_tables():
    facts: dict[str, Any] = {"pre": [], "pending": [POST], "started": STARTED}
    following = plan(database(**facts, owns_tables=False, others=[replace(OTHER, version="0.2.0")]))
    assert (following.needs_backup, following.pre, following.post) == (False, (), (POST,))
    assert plan(database(**facts)).needs_backup, "all machines have returned since the backup"


def test_the_first_machine_without_the_owner_of_the_tables_is_refused():
    with pytest.raises(SetupError, match=r"specify --database-url with the database role that owns them\."):
        plan(database(owns_tables=False))


def test_a_return_to_the_old_version_needs_no_backup_and_replaces_all_services():
    upgraded = [RunningRole(name="manager", role="manager", version="0.2.0"), SERVICES[1]]
    back = plan(database(pre=[], pending=[], started=STARTED), "0.1.0", upgraded)
    assert (back.needs_backup, names(back)) == (False, ["manager", "gateway"])
    assert (back.migrates, back.finishes) == (False, True), "the end deletes the record of the upgrade"


def test_the_last_machine_finishes_although_its_services_have_the_version():
    upgraded = [RunningRole(name="manager", role="manager", version="0.2.0")]
    facts = database(pre=[], pending=[], started=STARTED, others=[])
    last = plan(facts, services=upgraded, own=["manager"])
    assert (names(last), last.finishes, last.is_empty) == ([], True, False)
    assert plan(database(pre=[], pending=[], started=STARTED), services=upgraded, own=["manager"]).is_empty


def test_an_interrupted_upgrade_whose_services_have_the_version_is_completed():
    upgraded = [RunningRole(name="manager", role="manager", version="0.2.0")]
    facts = database(pre=[], pending=[], started=STARTED)
    rest = plan(facts, services=upgraded, own=["manager"], interrupted=True)
    assert (names(rest), rest.is_empty) == ([], False)


def test_a_host_without_a_database_may_not_skip_a_series():
    agent = [RunningRole(name="agent", role="agent", version="0.1.0")]
    assert names(plan(None, services=agent)) == ["agent"]
    with pytest.raises(SetupError, match=r"from 0\.1\.0 to 0\.3\.0 would skip the series 0\.2"):
        plan(None, "0.3.0", agent)


def test_a_service_that_does_not_work_is_not_upgraded():
    failing = [RunningRole(name="api", role="api", version=None, problem="its state is failed")]
    with pytest.raises(SetupError, match=r"repair it first\. api: its state is failed\."):
        plan(database(), services=failing)


def manager(name: str, zone: str = "zone", status: str = "running") -> ListedManager:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return ListedManager(
        manager_id=name,
        instance_id=name,
        hostname="web",
        version="0.1.0",
        enabled=True,
        first_reported=now,
        last_reported=now,
        zone_id=zone,
        zone_name=zone,
        gateway_url="",
        status=cast("Any", status),
        is_primary=False,
        term=1,
        crash_loop="",
    )


def test_another_manager_of_the_zone_must_run_unless_there_is_only_one():
    own = manager("one")
    assert has_other_manager(own, [own, manager("two")])
    assert not has_other_manager(own, [own])
    for other in (manager("two", status="unknown"), manager("two", zone="another")):
        with pytest.raises(SetupError, match="No other Manager of the zone zone is enabled and running"):
            has_other_manager(own, [own, other])

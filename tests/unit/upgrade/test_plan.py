"""The plan of an upgrade: refusals, the order of the roles, and the return to the previous version."""

from __future__ import annotations

from dataclasses import fields

import pytest

from greenroom.core.errors import SetupError
from greenroom.core.versions import Version
from greenroom.db.fleet.managers import ListedManager
from greenroom.upgrade.plan import (
    RunningRole,
    UpgradePlan,
    check_environment,
    check_managers,
    check_plugins,
    plan_return,
    plan_upgrade,
    return_commands,
)

OLD, NEW = "0.1.0", "0.2.0"


def role(name: str, version: str | None = OLD, *, is_primary: bool = False, problem: str = "") -> RunningRole:
    return RunningRole(name=name, role=name.partition("-")[0], version=version, is_primary=is_primary, problem=problem)


ROLES = (role("api"), role("manager-a", is_primary=True), role("manager-b"), role("agent-a"), role("gateway"))


def plan(
    *roles: RunningRole, current: str = OLD, pending: tuple[str, ...] = (), interrupted: bool = False
) -> UpgradePlan:
    pre = [name for name in pending if "_pre_" in name]
    return plan_upgrade(Version.parse(current), Version.parse(NEW), roles, pre, pending, interrupted=interrupted)


def manager(instance_id: str, status: str = "running") -> ListedManager:
    row = {field.name: "" for field in fields(ListedManager)}
    row |= {"instance_id": instance_id, "hostname": f"host-of-{instance_id}", "status": status}
    return ListedManager(**row)  # pyright: ignore[reportArgumentType] -- other fields are not read


def names(roles: tuple[RunningRole, ...]) -> list[str]:
    return [one.name for one in roles]


def test_the_primary_is_the_last_manager_and_agents_are_last():
    assert names(plan(*ROLES).roles) == ["manager-b", "manager-a", "api", "gateway", "agent-a"]


def test_an_interrupted_upgrade_continues_with_the_other_roles():
    assert names(plan(role("api", NEW), role("manager-a"), role("agent-a", None)).roles) == ["manager-a", "agent-a"]


def test_after_an_interruption_a_new_role_that_does_not_work_is_replaced_again():
    roles = role("api", NEW, problem="no response"), role("gateway", NEW)
    assert names(plan(*roles, interrupted=True).roles) == ["api"]


def test_an_instance_that_does_not_work_is_refused():
    with pytest.raises(SetupError, match=r"repair it first\. api: no response"):
        plan(role("api", problem="no response"))


def test_migrations_are_before_or_after_the_roles():
    planned = plan(*ROLES, pending=("0001_pre_a.sql", "0002_post_b.sql"))
    assert (planned.pre, planned.post) == (("0001_pre_a.sql",), ("0002_post_b.sql",))
    lines = planned.lines()
    assert lines[0] == "Greenroom 0.1.0 → 0.2.0"
    first, last = (next(n for n, line in enumerate(lines) if name in line) for name in ("pre_a", "post_b"))
    assert first < next(n for n, line in enumerate(lines) if "manager-b" in line) < last
    assert any(line.split() == ["replace", "up", OLD, "→", NEW] for line in lines)


def test_a_migration_for_after_the_roles_that_precedes_one_for_before_is_refused():
    pre = pending = ("0001_post_a.sql", "0002_pre_b.sql")
    with pytest.raises(SetupError, match=r"0001_post_a\.sql must run after all roles .* upgrade to a version between"):
        plan_upgrade(Version.parse(OLD), Version.parse(NEW), ROLES, pre, pending)


def test_a_database_that_a_manager_of_another_machine_uses_is_refused():
    check_managers([manager("own"), manager("former", status="unknown")], ["own"])
    with pytest.raises(SetupError, match=r"The Manager other on host-of-other uses the same database"):
        check_managers([manager("own"), manager("other")], ["own"])


def test_a_new_version_in_the_environment_of_the_current_one_is_refused():
    versions = Version.parse(OLD), Version.parse(NEW)
    check_environment("/opt/old/bin/python", "/opt/new/bin/python", *versions)
    with pytest.raises(SetupError, match=r"0\.2\.0 was installed into the environment of the running version 0\.1\.0"):
        check_environment("/opt/old/bin/python", "/opt/old/bin/python3", *versions)


def test_a_new_version_without_a_plug_in_of_the_instance_is_refused():
    check_plugins(["greenroom", "own-plugin"], ["greenroom", "other", "own-plugin"], Version.parse(NEW))
    with pytest.raises(SetupError, match=r"Greenroom 0\.2\.0 has no greenroom-identity, own-plugin, which"):
        check_plugins(["greenroom", "own-plugin", "greenroom-identity"], ["greenroom"], Version.parse(NEW))


def test_nothing_to_upgrade():
    planned = plan(role("api", NEW), current=NEW)
    assert planned.is_empty
    assert planned.lines() == ["The instance runs Greenroom 0.2.0; there is nothing to upgrade."]


def test_a_pending_migration_is_something_to_upgrade():
    assert not plan(role("api", NEW), current=NEW, pending=("0002_post_b.sql",)).is_empty


def test_the_end_of_an_interrupted_upgrade_writes_no_backup():
    planned = plan(role("api", NEW), current=NEW, interrupted=True)
    assert not planned.is_empty
    assert planned.lines() == ["End of an interrupted upgrade: all roles get Greenroom 0.2.0"]


def test_the_return_replaces_the_last_changed_role_first():
    running = (role("manager-a", NEW), role("api", None), role("gateway"), role("agent-a", NEW))
    assert plan_return(running, OLD, ["manager-a", "api"]) == ["api", "manager-a", "agent-a"]


def test_a_role_that_still_ends_is_replaced_at_the_return():
    assert plan_return((role("api"), role("gateway")), OLD, ["api"]) == ["api"]


def test_the_commands_to_return_quote_paths_and_name_the_passphrase_file():
    restore = "'/opt/old one/bin/python' -P -m greenroom restore /b/x.backup"
    assert return_commands("/opt/old one/bin/python", "/data", "/b/x.backup", "/my keys/a") == [
        "'/opt/old one/bin/python' -P -m greenroom down --data /data",
        f"{restore} --passphrase-file '/my keys/a' --replace --data /data",
        "'/opt/old one/bin/python' -P -m greenroom up --detach --data /data",
    ]
    assert return_commands("/p", "/data", "/b", "")[1] == "/p -P -m greenroom restore /b --replace --data /data"

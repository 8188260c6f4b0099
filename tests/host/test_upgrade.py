"""`greenroom upgrade` of a running instance that was interrupted, and the return with the printed commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest
from tests.acceptance.instance import run as acceptance_run
from tests.acceptance.upgradable import Upgradable
from tests.versions import POST, PRE, Versions, run

from greenroom.upgrade.instance_facts import instance_upgrade_lock

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def instance(versions: Versions) -> Iterator[Upgradable]:
    instance = Upgradable(versions)
    try:
        instance.up()
        yield instance
    finally:
        instance.program = (str(versions.new),)
        instance.remove()


def test_a_role_that_ends_seconds_after_its_start_restores_the_old_version(instance: Upgradable, versions: Versions):
    with versions.ending("manager", after_s=12):
        message = instance.upgrade_fails()
    assert "does not keep running: its process ended 2 times" in message
    assert message.endswith(f"Greenroom {versions.old_version} runs again.")
    assert "added" in instance.columns(), "no migration was applied that the old version does not support"
    assert instance.role_versions() == {versions.old_version}


def test_a_start_that_migrates_writes_a_backup_before(instance: Upgradable, versions: Versions):
    assert instance.down().returncode == 0
    instance.program = (str(versions.new),)
    done = acceptance_run(
        "up", "--data", str(instance.data), "--detach", program=instance.program, **instance.environment
    )
    assert done.returncode == 0, done.stderr
    assert "added" not in instance.columns()
    assert f"The backup of Greenroom {versions.old_version} is {instance.backups}/" in done.stderr
    (restore,) = (line for line in done.stderr.splitlines() if line.startswith("  greenroom restore "))
    assert instance.down().returncode == 0
    run(versions.old, *shlex.split(restore)[1:], env=instance.variables)
    instance.program = (str(versions.old),)
    instance.up()
    assert "added" not in instance.columns()
    assert instance.role_versions() == {versions.old_version}


def test_a_killed_upgrade_is_continued_and_its_last_lines_lead_back(instance: Upgradable, versions: Versions):
    old, new = versions.old_version, versions.new_version
    plan = instance.plan()
    assert [role["name"] for role in plan["roles"]][2:] == ["api", "gateway", "agent-default"]
    assert (plan["pre_migrations"][-1], plan["post_migrations"]) == (PRE, [POST])
    assert instance.role_versions() == {old}
    assert json.loads(instance.command(versions.new, "status", "--json"))["version"] == old
    with instance_upgrade_lock(instance.layout):
        assert "Another upgrade of" in instance.upgrade_fails()

    with instance.begin_upgrade("Replacing gateway") as command:
        command.kill()
    assert "added" in instance.columns()
    with versions.planted("db/migrations/9005_post_broken.sql", "SELECT no_function()"):
        assert f"Greenroom {new} runs; remove the cause, and run the upgrade again." in instance.upgrade_fails()
    said = instance.upgrade()
    assert said[0] == f"Greenroom {new} runs."
    assert instance.plan() == {"current": new, "new": new, "roles": [], "pre_migrations": [], "post_migrations": []}
    assert "added" not in instance.columns()
    assert f"This is Greenroom {old}, and the instance was used by the newer version {new}" in instance.upgrade_fails(
        program=versions.old
    )

    down, restore, up = (shlex.split(line) for line in said[-3:])
    for command in (down, restore, up):
        run(*command, env=instance.variables)
    assert instance.role_versions() == {old}

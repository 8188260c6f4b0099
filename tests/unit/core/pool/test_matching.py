"""The users that a staging config does not serve."""

from __future__ import annotations

from typing import Any

from greenroom.core.access.group_settings import GroupSettings, permissions_of, resolve
from greenroom.core.launch.compatibility import LaunchFacts
from greenroom.core.pool.matching import Exclusion, count_excluded, exclusion_of

ALL_USERS = GroupSettings("all", "All Users", 100, {"allow_kasm_audio": True, "allow_kasm_downloads": True})
POOL = permissions_of(resolve([ALL_USERS]))


def member(**settings: Any) -> LaunchFacts:
    return LaunchFacts(settings=resolve([ALL_USERS, GroupSettings("c", "Contractors", 5, settings)]))


def test_a_user_with_the_permissions_of_the_config_is_served():
    assert exclusion_of(member(), POOL) is None
    assert exclusion_of(member(allow_kasm_audio=True), POOL) is None


def test_a_config_with_the_permissions_of_an_excluded_user_serves_the_user():
    contractor = member(allow_kasm_downloads=False)
    exclusion = exclusion_of(contractor, POOL)
    own = POOL | {"allow_kasm_downloads": False}
    assert exclusion == Exclusion(("allow_kasm_downloads",), ("Contractors",), tuple(own.items()))
    assert exclusion_of(contractor, own) is None


def test_a_user_that_no_config_serves_has_no_permissions_for_another_one():
    exclusion = exclusion_of(member(allow_kasm_downloads=False, expose_user_environment_vars=True), POOL)
    assert exclusion == Exclusion(("expose_user_environment_vars",), ("Contractors",), None)


def test_a_workspace_that_excludes_staging_names_no_group():
    facts = LaunchFacts(settings=resolve([ALL_USERS]), image_volume_mappings={"/home/{username}": {"bind": "/home"}})
    assert exclusion_of(facts, POOL) == Exclusion(("image_volume_mapping",), (), None)


def test_users_with_the_same_reason_are_counted_together():
    sets = [
        (1, member(inject_ssh_keys=True)),
        (7, member()),
        (2, member(allow_kasm_downloads=False)),
        (3, member(allow_kasm_downloads=False)),
    ]
    counts = count_excluded(sets, POOL)
    assert [(exclusion.reasons, number) for exclusion, number in counts.items()] == [
        (("allow_kasm_downloads",), 5),
        (("inject_ssh_keys",), 1),
    ]

"""The reset of a shared instance deletes the additions of a test file, and fails if something remains."""

from __future__ import annotations

import pytest
from tests.acceptance.instance import Instance, wait_for
from tests.acceptance.reset import state_of, unchanged


def test_users_pools_sessions_and_their_containers_are_deleted(instance: Instance):
    before = state_of(instance)
    with unchanged(instance):
        user = instance.new_user()
        instance.stage(1)
        session = instance.launch(user)["session_id"]
        wait_for(lambda: instance.has_status(session, "running"), "the session runs")
        assert len(state_of(instance).docker) > len(before.docker)
    assert state_of(instance) == before


def test_a_reset_that_leaves_a_file_fails(instance: Instance):
    file = instance.data / "api/left"
    reset = unchanged(instance, within_s=0)
    reset.__enter__()
    file.touch()
    with pytest.raises(AssertionError, match="the file api/left"):
        reset.__exit__(None, None, None)
    file.unlink()


def test_a_reset_that_leaves_a_changed_row_fails(instance: Instance):
    group = next(group for group in instance.call("GET", "/groups") if group["name"] == "All Users")
    reset = unchanged(instance, within_s=0)
    reset.__enter__()
    instance.call("PATCH", f"/groups/{group['group_id']}", json={"settings": {"max_kasms_per_user": 3}})
    with pytest.raises(AssertionError, match="group_settings has"):
        reset.__exit__(None, None, None)
    instance.call("PATCH", f"/groups/{group['group_id']}", json={"settings": {"max_kasms_per_user": None}})

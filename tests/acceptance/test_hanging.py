"""A part that runs but does not work."""

from __future__ import annotations

from tests.acceptance.instance import UNHEALTHY_S, Instance, wait_for


def test_a_manager_that_hangs_is_started_again(instance: Instance):
    (before,) = instance.pids("manager")
    config = instance.stage(0)
    instance.arm("manager-default-1", "pool.after_count")
    # The notification names no pool, so that the round finds it, and hangs.
    instance.sql("UPDATE staging_configs SET num_sessions = 1 WHERE staging_config_id = %s", config)
    instance.sql("SELECT pg_notify('greenroom', 'zones:')")
    instance.wait_at("manager-default-1", "pool.after_count")
    wait_for(lambda: before not in instance.pids("manager"), "the Manager that hangs is killed", UNHEALTHY_S)
    assert "answered 500 to 3 health checks in a row" in (instance.data / "logs/up.log").read_text()
    wait_for(lambda: instance.staged(config) == 1, "the next one fills the pool")
    instance.unstage(config)
    wait_for(instance.healthy, "every part works again")

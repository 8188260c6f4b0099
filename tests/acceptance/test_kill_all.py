"""kill -9 of all roles at once, and what is said about it."""

from __future__ import annotations

from tests.acceptance.instance import Instance, wait_for


def test_all_roles_killed_at_once_come_back(instance: Instance):
    killed = [instance.kill(role) for role in ("agent", "manager", "api", "gateway", "postgres")]
    wait_for(instance.healthy, "every part works again", within_s=45)
    assert not set(killed) & {
        pid for role in ("agent", "manager", "api", "gateway", "postgres") for pid in instance.pids(role)
    }


def test_the_log_says_why_a_part_was_started_again(instance: Instance):
    instance.kill("api")
    wait_for(instance.healthy, "every part works again")
    assert "api was killed by SIGKILL; it is started again" in (instance.data / "logs/up.log").read_text()

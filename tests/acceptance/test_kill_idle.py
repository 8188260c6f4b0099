"""kill -9 of each role while nothing is asked of it (the column *idle* of the kill table)."""

from __future__ import annotations

import pytest
from tests.acceptance.instance import Instance, run, wait_for


@pytest.mark.parametrize("role", ["api", "manager", "agent", "gateway", "nginx", "postgres"])
def test_a_killed_role_comes_back(instance: Instance, role: str):
    before = instance.pids(role)
    killed = instance.kill(role)
    wait_for(lambda: (pids := instance.pids(role)) and killed not in pids, f"a new {role}")
    wait_for(instance.healthy, "every part works again")
    for other in ("api", "manager", "agent", "gateway", "postgres"):
        if other != role:
            assert len(instance.pids(other)) == 1
    assert len(instance.pids(role)) == len(before)
    assert run("doctor", "--data", str(instance.data)).returncode == 0


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

"""kill -9 of all roles at once, of `greenroom up` itself, and the messages about it."""

from __future__ import annotations

from tests.acceptance.instance import Instance, containers, networks_left, processes_of, run, wait_for


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


def test_up_is_killed_amid_work_and_the_next_one_ends_it(new_instance: Instance):
    first = new_instance.up()
    running = new_instance.launch(new_instance.new_user())["session_id"]
    wait_for(lambda: new_instance.has_status(running, "running"), "the session runs")
    container = new_instance.containers_of(running)
    new_instance.arm("agent-default", "agent.before_create")
    user = new_instance.new_user()
    begun, pool = new_instance.launch(user)["session_id"], new_instance.stage(1)
    new_instance.wait_at("agent-default", "agent.before_create")

    new_instance.kill("up")
    second = new_instance.up()
    assert second["url"] == first["url"]
    assert not set(first["pids"]["postgres"]) & set(second["pids"]["postgres"])
    wait_for(lambda: new_instance.has_status(begun, "running"), "the session that was being launched runs")
    wait_for(lambda: new_instance.staged(pool) == 1, "the pool is full")
    assert new_instance.has_status(running, "running")
    assert new_instance.containers_of(running) == container
    assert new_instance.sessions_of_user(user) == [begun]
    assert len(new_instance.containers()) == 3
    assert new_instance.made_for(pool) == 1
    assert run("doctor", "--data", str(new_instance.data)).returncode == 0

    label = new_instance.label()
    done = new_instance.down()
    assert done.returncode == 0, done.stderr
    left = (processes_of(new_instance.data), containers(label), networks_left(new_instance, label, done.stderr))
    assert left == ([], [], [])

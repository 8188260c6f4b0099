"""The limits of a host: reading and raising them, and the Agent's warnings about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.agent.capacity import HostLimits
from greenroom.kit.host_limits import read_limits
from greenroom.runtimes.docker.usage import containers_on_this_host
from greenroom.up.host_limits import raise_limits, restore_limits

UNTOUCHED = {"fs.inotify.max_user_instances": 128}


async def test_the_agent_says_once_that_its_host_has_too_many_sessions():
    rows: list[tuple[str, str]] = []
    containers = iter((25, 26, 27, 25, 26, 26, 2))
    limits = HostLimits("vm", lambda *row: rows.append(row), lambda: next(containers), lambda: UNTOUCHED)
    for _ in range(5):
        await limits.check()
    assert [code for code, _ in rows] == ["agent-host-limit"] * 2
    assert rows[0][1].startswith("Host vm: 26 sessions are more than this host supports (25)")
    assert limits.explain_failure("Nothing was painted.", "").startswith(
        "Nothing was painted. 26 sessions are more than"
    )
    assert limits.explain_failure("Nothing was painted.", "") == "Nothing was painted."


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """The files of a host's /proc and /sys that are read, below one folder."""
    files = {
        "proc/sys/fs/inotify/max_user_instances": "128",
        "proc/sys/kernel/pid_max": "4194304",
        "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999",
        "proc/41/comm": "dockerd",
        "proc/41/status": "Name: dockerd\nNSpid:\t41",
        "proc/41/limits": "Limit  Soft  Hard  Units\nMax processes   96365   96365  processes\n"
        "Max open files            20000                20000                files\n",
        "proc/42/comm": "containerd",
        "proc/42/status": "Name: containerd\nNSpid:\t42",
        "proc/42/limits": "Max open files            unlimited  unlimited  files\n",
        "proc/net/route": "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"
        "gr-0a1b2c3d 000011AC 00000000 0001 0 0 0 00FFFFFF 0 0 0\neth0 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\n",
        "sys/fs/cgroup/pids/docker/pids.max": "max",
        "sys/class/net/veth1/brport/state": "3",
        "sys/class/net/veth2/brport/state": "3",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "proc/43").mkdir()
    (tmp_path / "proc/43/comm").write_bytes(b"\xc3\n")  # a name of a process has any bytes
    return tmp_path / "proc"


def test_what_is_there_is_read_and_what_has_no_bound_is_left_out(proc: Path):
    assert read_limits(proc, proc.parent / "sys") == {
        "fs.inotify.max_user_instances": 128,
        "kernel.pid_max": 4194304,
        "ports in net.ipv4.ip_local_port_range": 28232,
        "nofile of dockerd": 20000,
        "nproc of dockerd": 96365,
        "addresses of the sessions' network": 253,
        "ports of a bridge": 1023,
    }
    assert containers_on_this_host(proc.parent / "sys") == 2


def test_no_process_in_a_container_or_ended_one_is_taken_for_docker(proc: Path):
    honest = read_limits(proc, proc.parent / "sys")
    for name, ids in (("51", "51\t7"), ("52", "52")):
        (proc / name).mkdir()
        (proc / name / "comm").write_text("dockerd\n")
        (proc / name / "status").write_text(f"NSpid:\t{ids}\n")
    (proc / "51/limits").write_text("Max open files            10   10  files\n")
    (proc / "52/limits").write_text("")  # no process has been reaped
    assert read_limits(proc, proc.parent / "sys") == honest


def test_limits_are_raised_at_once_and_for_the_next_start_of_the_host(proc: Path, tmp_path: Path):
    kept = tmp_path / "sysctl.d" / "60-greenroom.conf"
    (raised,) = raise_limits(proc, kept)
    assert raised.sentence == "fs.inotify.max_user_instances: 128 → 5000."
    assert read_limits(proc)["fs.inotify.max_user_instances"] == 5000
    (proc / "sys/kernel/pid_max").write_text("32768")
    kept.write_text(kept.read_text().replace(" = ", "="))  # as people write it when they change it
    raise_limits(proc, kept)
    assert kept.read_text().splitlines()[1:] == ["-fs.inotify.max_user_instances = 5000", "-kernel.pid_max = 201000"]
    assert raise_limits(proc, kept) == []


def test_restored_limits_leave_the_settings_of_others(proc: Path, tmp_path: Path):
    kept = tmp_path / "60-greenroom.conf"
    kept.write_text("-kernel.pty.max = 4096\n")
    before = read_limits(proc)
    raised = {change.name: change.before for change in raise_limits(proc, kept)}
    restore_limits(raised | {"net.netfilter.nf_conntrack_max": 7}, proc, kept)
    assert read_limits(proc) == before
    assert kept.read_text().splitlines()[1:] == ["-kernel.pty.max = 4096"]
    restore_limits({"kernel.pty.max": 4096}, proc, kept)
    assert not kept.exists()


def test_where_they_may_not_be_set_it_says_so_and_keeps_nothing(proc: Path, tmp_path: Path):
    setting = proc / "sys/kernel/pid_max"
    setting.unlink()
    setting.symlink_to("/proc/sys/kernel/ngroups_max")  # 65536, and read-only for everyone
    (proc / "sys/fs/inotify/max_user_instances").write_text("8192")
    (raised,) = raise_limits(proc, tmp_path / "60-greenroom.conf")
    assert raised.sentence.startswith("kernel.pid_max remains 65536, because this process cannot set it (")
    assert raised.sentence.endswith("Run on the host, as root: sysctl -w kernel.pid_max=201000")
    assert not (tmp_path / "60-greenroom.conf").exists()

"""Usage of a container from the files of its control group."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.runtimes.docker.usage import host_usage, membership, usage_of


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_version_2(tmp_path: Path):
    group = "system.slice/docker-abc.scope"
    root = write(
        tmp_path,
        {
            f"sys/{group}/memory.current": "300\n",
            f"sys/{group}/memory.stat": "anon 100\ninactive_file 120\n",
            f"sys/{group}/cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
            "proc/7/cgroup": f"0::/{group}\n",
        },
    )
    usage = usage_of(7, root / "sys", root / "proc")
    assert usage is not None
    assert (usage.cpu_s, usage.memory_bytes) == (2.5, 180)


def test_version_1(tmp_path: Path):
    root = write(
        tmp_path,
        {
            "sys/memory/docker/abc/memory.usage_in_bytes": "300\n",
            "sys/memory/docker/abc/memory.stat": "cache 200\ntotal_inactive_file 120\n",
            "sys/cpuacct/docker/abc/cpuacct.usage": "2500000000\n",
            "proc/7/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n",
        },
    )
    usage = usage_of(7, root / "sys", root / "proc")
    assert usage is not None
    assert (usage.cpu_s, usage.memory_bytes) == (2.5, 180)


def test_a_process_that_has_ended(tmp_path: Path):
    assert usage_of(7, tmp_path, tmp_path) is None


def test_controllers_that_share_a_line():
    assert membership("2:cpu,cpuacct:/a:b\n0::/c\n") == {"cpu": "/a:b", "cpuacct": "/a:b", "": "/c"}


def test_the_host(tmp_path: Path):
    root = write(
        tmp_path,
        {
            "loadavg": "1.50 1.00 0.50 1/2 3\n",
            "cpuinfo": "processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\n",
            "meminfo": "MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 400 kB\n",
        },
    )
    usage = host_usage(root)
    assert usage.cpu == pytest.approx(0.75)
    assert usage.memory_bytes == 600 * 1024

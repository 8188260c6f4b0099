"""The usage of the whole host, from files of the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.runtimes.docker.usage import host_usage


def test_load_and_memory_of_the_host_are_those_of_the_kernel(tmp_path: Path):
    files = {
        "loadavg": "1.50 1.00 0.50 1/2 3\n",
        "cpuinfo": "processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\n",
        "meminfo": "MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 400 kB\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    usage = host_usage(tmp_path)
    assert usage.cpu == pytest.approx(0.75)
    assert usage.memory_bytes == 600 * 1024

"""The capabilities of a host that the Agent finds by type: a runtime without a host is accepted."""

from __future__ import annotations

from pathlib import Path

from greenroom.runtimes.contract import FilterHost, HostDisk, Runtime, SharedKernel
from greenroom.runtimes.docker.runtime import DockerRuntime
from greenroom.runtimes.simulated import SimulatedRuntime


def _has(runtime: Runtime) -> tuple[bool, bool, bool]:
    return isinstance(runtime, HostDisk), isinstance(runtime, SharedKernel), isinstance(runtime, FilterHost)


def test_each_runtime_has_what_its_sessions_touch(tmp_path: Path):
    docker, simulated = DockerRuntime("i", "a"), SimulatedRuntime("i", "a", folder=tmp_path)
    assert (_has(docker), docker.filters_packets) == ((True, True, True), True)
    assert (_has(simulated), simulated.filters_packets) == ((True, False, True), False)

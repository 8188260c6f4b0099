"""The writes of real containers to the disk of their host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiodocker
import pytest
from tests.support.runtime_hosts import Host, new_id

from greenroom.core.fleet.disk import DiskUse, FreeDisk, sessions_to_stop
from greenroom.core.workspace.session_spec import Exec, Mount
from greenroom.runtimes.contract import DiskCountError, HostRuntime
from greenroom.runtimes.docker import usage
from greenroom.runtimes.docker.spec import container_name
from greenroom.runtimes.docker.usage import DockerDisk

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]

MB = 10**6


async def test_what_a_session_writes_is_measured_but_for_mounted_folders(
    host: Host, runtime: HostRuntime, tmp_path: Path
):
    mount = Mount(source=str(tmp_path / "data"), target="/mnt/data")
    session_id, _, _ = await host.started(runtime, mounts=(mount,), disk_limit_bytes=500 * MB)
    before = await runtime.disk_usage(session_id)
    assert before is not None
    script = (
        "head -c 30M /dev/zero > ~/film; head -c 90M /dev/zero > /mnt/data/film;"
        " exec 8> ~/gone 9> /mnt/data/gone; rm ~/gone /mnt/data/gone; head -c 30M /dev/zero | tee /dev/fd/8 >&9;"
        " sleep 600 >/dev/null 2>&1 & sleep 600 >/dev/null 2>&1 8>&- &"
    )
    await runtime.exec(session_id, Exec(argv=("bash", "-c", script), deadline_s=60))
    after = await runtime.disk_usage(session_id)
    assert after is not None
    assert 60 * MB <= after.size_bytes - before.size_bytes < 80 * MB
    assert await runtime.disk_usage(new_id()) is None
    host_usage = await runtime.host_usage()
    assert host_usage.disk_free_bytes is not None
    assert host_usage.disk_free_bytes > 0
    assert host_usage.disk_free_inodes is None or 0 < host_usage.disk_free_inodes <= 1


async def test_files_count_however_empty_they_are(host: Host, runtime: HostRuntime, monkeypatch: pytest.MonkeyPatch):
    session_id, _, _ = await host.started(runtime, disk_limit_bytes=500 * MB)
    script = (
        "mkdir ~/many && cd ~/many && seq 40000 | xargs touch;"
        " for n in $(seq 100); do exec {held}> ~/gone; rm ~/gone; done; sleep 600 >/dev/null 2>&1 &"
    )
    await runtime.exec(session_id, Exec(argv=("bash", "-c", script), deadline_s=60))
    used = await runtime.disk_usage(session_id)
    assert used is not None
    assert 40_100 <= used.inodes < 42_000
    assert used.size_bytes < 100 * MB < 640 * MB < used.charged_bytes
    (stop,) = sessions_to_stop([DiskUse(session_id=session_id, used=used, limit_bytes=500 * MB)], "vm", FreeDisk())
    assert "files on its disk, which count as" in stop.reason
    monkeypatch.setattr(usage, "MEASURE_TIMEOUT_S", 0.0)
    with pytest.raises(DiskCountError, match="could not be measured within 0 s"):
        await runtime.disk_usage(session_id)


async def test_docker_is_asked_where_the_agent_cannot_look(host: Host, runtime: HostRuntime, docker: aiodocker.Docker):
    session_id, _, _ = await host.started(runtime)
    await runtime.exec(session_id, Exec(argv=("bash", "-c", "head -c 60M /dev/zero > ~/film"), deadline_s=60))
    container: Any = docker.containers.container(container_name(session_id))

    class OutOfSight:
        async def show(self, **how: Any) -> dict[str, Any]:
            return {**await container.show(**how), "GraphDriver": None}

    used = await DockerDisk().measure(OutOfSight())
    assert used is not None
    assert 60 * MB <= used.size_bytes < 80 * MB


async def test_a_quota_that_the_storage_refuses_is_asked_for_once():
    asked: list[bool] = []

    class Containers:
        async def create(self, config: dict[str, Any], name: str) -> str:
            asked.append("StorageOpt" in config["HostConfig"])
            if asked[-1]:
                words = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
                raise aiodocker.DockerError(500, words)
            return name

    class Docker:
        containers = Containers()

    disk = DockerDisk()
    for name in ("a", "b"):
        assert await disk.create_container(Docker(), {"HostConfig": {}}, name, 10 * MB) == name
    assert asked == [True, False, False]

"""The facts that `greenroom doctor` reads about Docker and its host's disk."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greenroom.core.errors import SetupError
from greenroom.core.fleet.disk import DockerHost, FreeDisk
from greenroom.runtimes.docker import inspection
from greenroom.runtimes.docker.plugin import DockerPlugin
from greenroom.runtimes.plugin import InstanceFacts
from greenroom.up import doctor
from greenroom.up.account import Account, Accounts
from greenroom.up.layout import Layout
from greenroom.up.options import Settings
from greenroom.up.programs import Programs
from greenroom.up.site import Site

VERSIONS = {"Docker Engine": "20.10.24", "runc": "1.1.5+ds1"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "docker").mkdir()
    layout, mine = Layout(tmp_path / "data"), Account(None)
    layout.postgres.mkdir(parents=True)
    return Site(
        layout=layout,
        settings=Settings(runtime="docker"),
        accounts=Accounts(mine, mine, mine),
        programs=Programs(tmp_path, tmp_path, tmp_path),
        ports={},
        managers=(),
        agents=(),
    )


def daemon(folder: Path) -> Any:
    async def info() -> dict[str, Any]:
        storage = [["Backing Filesystem", "extfs"], ["Supports d_type", "true"]]
        return {"DockerRootDir": str(folder), "Driver": "overlay2", "DriverStatus": storage}

    async def version() -> dict[str, Any]:
        return {"Components": [{"Name": "Engine", "Version": "20.10.24"}, {"Name": "runc", "Version": "1.1.5+ds1"}]}

    @asynccontextmanager
    async def connected(_: str | None) -> AsyncGenerator[Any]:
        yield SimpleNamespace(system=SimpleNamespace(info=info), version=version)

    return connected


async def test_it_is_read_of_docker_and_of_the_disk_below_it(site: Site, monkeypatch: pytest.MonkeyPatch):
    folder = site.layout.data.parent / "docker"
    monkeypatch.setattr(inspection, "open_client", daemon(folder))
    read = await inspection.read_host(None, site.layout.postgres, FreeDisk(free_bytes=7, kept_bytes=5))
    assert (read.driver, read.file_system, read.folder) == ("overlay2", "extfs", str(folder))
    assert (read.versions, read.disk) == (VERSIONS, FreeDisk(free_bytes=7, kept_bytes=5))
    assert read.database == str(site.layout.postgres)
    assert not (await inspection.read_host(None, None, FreeDisk(free_bytes=7, kept_bytes=5))).database


async def test_a_folder_that_is_out_of_sight_shares_nothing(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inspection, "open_client", daemon(site.layout.data / "nowhere"))
    read = await inspection.read_host(None, site.layout.postgres, FreeDisk())
    assert (read.mount_options, read.database) == (None, "")


def test_the_options_of_a_file_system_are_those_of_its_device(tmp_path: Path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"
        "31 22 254:16 / /var/lib/docker rw,relatime - xfs /dev/vdb rw,attr2,prjquota\n"
    )
    assert inspection.mount_options(os.makedev(254, 16), mounts) == {"rw", "attr2", "prjquota"}
    assert inspection.mount_options(os.makedev(9, 9), mounts) == frozenset()


async def test_only_a_database_of_the_instance_shares_the_disk(site: Site, monkeypatch: pytest.MonkeyPatch):
    asked: list[Path | None] = []

    async def disk(*_: object) -> FreeDisk:
        return FreeDisk()

    async def warnings(_: DockerPlugin, instance: InstanceFacts) -> list[str]:
        asked.append(instance.database_folder)
        return []

    monkeypatch.setattr(doctor, "read_free_disk", disk)
    monkeypatch.setattr(DockerPlugin, "warnings", warnings)
    unused: Any = None
    await doctor.runtime_warnings(unused, site)
    await doctor.runtime_warnings(unused, replace(site, settings=Settings(runtime="docker", database_url="host=db")))
    assert asked == [site.layout.postgres, None]


async def test_docker_that_stops_answering_is_a_warning_too(site: Site, monkeypatch: pytest.MonkeyPatch):
    async def disk(*_: object) -> FreeDisk:
        return FreeDisk()

    async def silent(*_: object) -> DockerHost:
        raise SetupError("No Docker daemon answers.")

    monkeypatch.setattr(doctor, "read_free_disk", disk)
    monkeypatch.setattr(inspection, "read_host", silent)
    unused: Any = None
    assert await doctor.runtime_warnings(unused, site) == [
        "The disk and the versions of Docker could not be checked: No Docker daemon answers."
    ]
    simulated = replace(site, settings=Settings(runtime="simulated"))
    assert await doctor.runtime_warnings(unused, simulated) == []


def test_the_change_logs_of_packages_name_the_fixes_of_the_distribution(tmp_path: Path):
    files = [tmp_path / name for name in ("runc", "docker.io", "missing")]
    assert inspection.read_backported(files) is None
    files[0].write_bytes(gzip.compress(b"  * Fix CVE-2024-21626 and CVE-2025-31133.\n  * CVE-2024-21626: test.\n"))
    files[1].write_bytes(gzip.compress(b"  * New version.\n"))
    assert inspection.read_backported(files) == {"CVE-2024-21626", "CVE-2025-31133"}

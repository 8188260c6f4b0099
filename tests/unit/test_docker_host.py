"""What `greenroom doctor` warns of in Docker and on its host's disk: a sentence each, and none on a good host."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greenroom.core.errors import SetupError
from greenroom.core.fleet.disk import FreeDisk
from greenroom.core.fleet.docker_host import KNOWN_VULNERABILITIES, DockerHost, warnings
from greenroom.up import docker, doctor
from greenroom.up.account import Account, Accounts
from greenroom.up.layout import Layout
from greenroom.up.options import Settings
from greenroom.up.programs import Programs
from greenroom.up.site import Site

PAGE = Path(__file__).parents[2] / "docs/reference/doctor.md"
GB = 10**9
VERSIONS = {"Docker Engine": "20.10.24", "runc": "1.1.5+ds1"}
GOOD = DockerHost(
    driver="overlay2",
    file_system="xfs",
    folder="/var/lib/docker",
    mount_options=frozenset({"rw", "prjquota"}),
    versions={"Docker Engine": "28.5.2", "containerd": "v1.7.29", "runc": "1.3.3"},
    disk=FreeDisk(free_bytes=80 * GB, kept_bytes=5 * GB, free_inodes=0.9),
)


@pytest.mark.parametrize(
    "host",
    [
        GOOD,
        replace(GOOD, driver="btrfs", file_system="", mount_options=frozenset({"rw"})),
        replace(GOOD, mount_options=None),
        replace(GOOD, disk=FreeDisk(kept_bytes=5 * GB)),
        replace(GOOD, disk=FreeDisk(free_bytes=0)),
        replace(GOOD, versions={"Podman Engine": "4.3.1"}),
    ],
    ids=["good", "btrfs", "folder out of sight", "disk unknown", "nothing kept", "no version known"],
)
def test_a_good_host_and_what_is_not_known_are_not_warned_about(host: DockerHost):
    assert warnings(host) == []


@pytest.mark.parametrize(
    ("host", "storage"),
    [
        (replace(GOOD, file_system="extfs"), "overlay2 on extfs"),
        (replace(GOOD, mount_options=frozenset({"rw", "noquota"})), "overlay2 on xfs"),
        (replace(GOOD, driver="overlayfs", file_system=""), "overlayfs"),
    ],
)
def test_storage_without_quotas(host: DockerHost, storage: str):
    (sentence,) = warnings(host)
    assert sentence == (
        f"Docker's storage here ({storage}) has no quotas: a session that writes more than its workspace allows is"
        " found by measuring, once a minute, and stopped. For quotas, have /var/lib/docker on XFS mounted with pquota,"
        " and Docker use the storage driver overlay2."
    )


def test_a_database_beside_docker():
    (sentence,) = warnings(replace(GOOD, database="/data/postgres"))
    assert sentence == (
        "The database in /data/postgres shares a disk with Docker's folder /var/lib/docker, which sessions and images"
        " fill. With less than 5.0 GB free (GREENROOM_DISK_KEPT_BYTES) this host takes no new session; with less than"
        " 1.2 GB the session that has written most is stopped. To separate them, give Docker a disk of its own"
        " (data-root in its daemon.json), or the instance (--data)."
    )
    (sentence,) = warnings(replace(GOOD, database="/data/postgres", disk=FreeDisk()))
    assert "Nothing is kept free for it: GREENROOM_DISK_KEPT_BYTES is 0." in sentence


def test_less_free_than_is_kept():
    (sentence,) = warnings(replace(GOOD, disk=FreeDisk(free_bytes=3 * GB, kept_bytes=5 * GB)))
    assert sentence == (
        "This host has 3.0 GB of disk free; 5.0 GB are kept free: it takes no new session. Delete unneeded"
        " sessions and images, or give it more disk."
    )


def test_versions_with_known_holes():
    engine, runc = warnings(replace(GOOD, versions={"Docker Engine": "20.10.5+dfsg1", "runc": "1.1.5+ds1"}))
    assert runc == (
        "runc 1.1.5+ds1 has known holes between containers and their host (CVE-2024-21626, CVE-2025-31133,"
        " CVE-2025-52565, CVE-2025-52881): update it to 1.2.8, 1.3.3 or later, unless your distribution has"
        " backported the fixes; the change log of its package says so."
    )
    assert engine.startswith(
        "Docker Engine 20.10.5+dfsg1 has known holes between containers and their host (CVE-2021-4"
    )


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("1.0.3", "CVE-2024-21626"),
        ("1.1.11", "CVE-2024-21626"),
        ("1.1.12", "CVE-2025-31133"),
        ("1.2.7", "CVE-2025-31133"),
        ("1.2.8", None),
        ("v1.3.2", "CVE-2025-31133"),
        ("1.3.10", None),
        ("1.4.0", None),
        ("unknown", None),
    ],
)
def test_a_line_of_releases_has_a_first_good_version_of_its_own(version: str, known: str | None):
    sentences = warnings(replace(GOOD, versions={"runc": version}))
    assert [re.findall(r"\((CVE-[\d-]+)", sentence) for sentence in sentences] == ([[known]] if known else [])


def test_the_page_lists_every_known_hole():
    listed = re.findall(r"^\| (runc|Docker Engine) \| (CVE.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert listed == [
        (hole.component, ", ".join(hole.known_as), ", ".join(hole.fixed)) for hole in KNOWN_VULNERABILITIES
    ]


# Reading --------------------------------------------------------------------------------------------------------------


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
    async def connected() -> AsyncGenerator[Any]:
        yield SimpleNamespace(system=SimpleNamespace(info=info), version=version)

    return connected


async def test_it_is_read_of_docker_and_of_the_disk_below_it(site: Site, monkeypatch: pytest.MonkeyPatch):
    folder = site.layout.data.parent / "docker"
    monkeypatch.setattr(docker, "docker", daemon(folder))
    read = await docker.read(site, FreeDisk(free_bytes=7, kept_bytes=5))
    assert (read.driver, read.file_system, read.folder) == ("overlay2", "extfs", str(folder))
    assert (read.versions, read.disk) == (VERSIONS, FreeDisk(free_bytes=7, kept_bytes=5))
    assert read.database == str(site.layout.postgres)
    elsewhere = replace(site, settings=Settings(runtime="docker", database_url="host=db"))
    assert not (await docker.read(elsewhere, FreeDisk(free_bytes=7, kept_bytes=5))).database


async def test_a_folder_that_is_out_of_sight_shares_nothing(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(docker, "docker", daemon(site.layout.data / "nowhere"))
    read = await docker.read(site, FreeDisk())
    assert (read.mount_options, read.database) == (None, "")


def test_the_options_of_a_file_system_are_those_of_its_device(tmp_path: Path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"
        "31 22 254:16 / /var/lib/docker rw,relatime - xfs /dev/vdb rw,attr2,prjquota\n"
    )
    assert docker.mount_options(os.makedev(254, 16), mounts) == {"rw", "attr2", "prjquota"}
    assert docker.mount_options(os.makedev(9, 9), mounts) == frozenset()


async def test_docker_that_stops_answering_is_a_warning_too(site: Site, monkeypatch: pytest.MonkeyPatch):
    async def disk(*_: object) -> FreeDisk:
        return FreeDisk()

    async def silent(*_: object) -> DockerHost:
        raise SetupError("No Docker daemon answers.")

    monkeypatch.setattr(doctor, "disk_of", disk)
    monkeypatch.setattr(docker, "read", silent)
    unused: Any = None
    assert await doctor.docker_warnings(unused, site) == [
        "The disk and the versions of Docker could not be checked: No Docker daemon answers."
    ]
    simulated = replace(site, settings=Settings(runtime="simulated"))
    assert await doctor.docker_warnings(unused, simulated) == []

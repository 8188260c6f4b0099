"""The warnings of `greenroom doctor` about Docker and its host's disk: a sentence each, and none on a good host."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from greenroom.core.fleet.disk import KNOWN_VULNERABILITIES, DockerHost, FreeDisk, warnings

GB = 10**9
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
        f"Docker's storage here ({storage}) has no quotas: once a minute the use of the disk is measured, "
        "and a session above the limit of its workspace is stopped. For quotas, mount /var/lib/docker as "
        "XFS with the option pquota, and use Docker's storage driver overlay2."
    )


def test_a_database_beside_docker():
    (sentence,) = warnings(replace(GOOD, database="/data/postgres"))
    assert sentence == (
        "The database in /data/postgres shares a disk with Docker's folder /var/lib/docker, which "
        "sessions and images fill. With less than 5 GB free (GREENROOM_DISK_KEPT_BYTES) this host takes "
        "no new session; with less than 1.2 GB the session with the most data on the disk is stopped. To "
        "separate them, move Docker (data-root in its daemon.json) or the instance (--data) to another "
        "disk."
    )
    (sentence,) = warnings(replace(GOOD, database="/data/postgres", disk=FreeDisk(free_bytes=9 * GB)))
    assert "No space is reserved for it: GREENROOM_DISK_KEPT_BYTES is 0." in sentence
    (sentence,) = warnings(replace(GOOD, database="/data/postgres", disk=FreeDisk()))
    assert "images fill. To separate them" in sentence


def test_less_free_than_is_kept():
    (sentence,) = warnings(replace(GOOD, disk=FreeDisk(free_bytes=3 * GB, kept_bytes=5 * GB)))
    assert sentence == (
        "This host has 3 GB of disk free; 5 GB must stay free: it takes no new session. Delete unneeded "
        "sessions and images, or give it a larger disk."
    )


def test_versions_with_known_holes():
    engine, runc = warnings(replace(GOOD, versions={"Docker Engine": "20.10.5+dfsg1", "runc": "1.1.5+ds1"}))
    assert runc == (
        "runc 1.1.5+ds1 has known container escapes (CVE-2024-21626, CVE-2025-31133, CVE-2025-52565, "
        "CVE-2025-52881): update it to 1.2.8, 1.3.3 or later, unless your distribution has backported "
        "the fixes (see the change log of its package)."
    )
    assert engine.startswith("Docker Engine 20.10.5+dfsg1 has known container escapes (CVE-2021-4")


def test_holes_that_the_distribution_has_closed():
    versions = {"Docker Engine": "20.10.5+dfsg1", "runc": "1.1.5+ds1"}
    (runc,) = warnings(replace(GOOD, versions=versions, backported=frozenset({"CVE-2021-41089", "CVE-2024-21626"})))
    assert runc == (
        "runc 1.1.5+ds1 has known container escapes (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881): update it to "
        "1.2.8, 1.3.3 or later; the change log of its package does not name the fixes."
    )
    every = frozenset(name for one in KNOWN_VULNERABILITIES for name in one.identifiers)
    assert warnings(replace(GOOD, versions=versions, backported=every)) == []


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

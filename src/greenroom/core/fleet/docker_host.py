"""What an administrator should know about a host's Docker: where sessions write, and versions with known
vulnerabilities.

The versions are data; docs/reference/doctor.md lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from greenroom.core.fleet.disk import EMERGENCY_FRACTION, FreeDisk, shortage
from greenroom.core.sizes import size

_QUOTAS_OF_THEIR_OWN: Final = frozenset({"btrfs", "zfs"})
_PROJECT_QUOTAS: Final = frozenset({"pquota", "prjquota"})
"""The mount option as it is given, and as the kernel shows it."""


@dataclass(frozen=True, slots=True)
class KnownVulnerability:
    """Known container escapes; `fixed`: the first good version of each release line that has a fix."""

    component: str
    known_as: tuple[str, ...]
    fixed: tuple[str, ...]

    def is_in(self, version: tuple[int, ...]) -> bool:
        """Whether a version is affected; a release line without a fix is if it is older than those with one."""
        fixed = [_numbers(text) for text in self.fixed]
        of_its_line = [first for first in fixed if first[:2] == version[:2]]
        return version < max(of_its_line or fixed)


KNOWN_VULNERABILITIES: Final = (
    # github.com/opencontainers/runc/security/advisories: GHSA-xr7r-f8xq-vfvv
    KnownVulnerability("runc", ("CVE-2024-21626",), ("1.1.12",)),
    # There: GHSA-9493-h29p-rfm2, GHSA-qw9x-cqr3-wc7r, GHSA-cgrx-mc8f-2prm
    KnownVulnerability("runc", ("CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"), ("1.2.8", "1.3.3")),
    # github.com/moby/moby/security/advisories: GHSA-v994-f8vw-g7j4
    KnownVulnerability("Docker Engine", ("CVE-2021-41089",), ("20.10.9",)),
)
"""Ordered by fix for each component; vulnerabilities of image builds alone are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerHost:
    """What is known of a host: its Docker, and the disk that Docker and this instance use."""

    driver: str
    file_system: str
    """Under the storage driver; empty = not reported."""
    folder: str
    """Where Docker keeps images and what containers write (DockerRootDir)."""
    mount_options: frozenset[str] | None
    """Of the file system of `folder`; None = it cannot be seen."""
    versions: Mapping[str, str]
    database: str = ""
    """Folder of a database on the same disk as Docker's folder; empty = none."""
    disk: FreeDisk


def warnings(host: DockerHost) -> list[str]:
    """What an administrator should know, a sentence each."""
    return [*_quotas(host), *_database(host), *_free(host), *_vulnerabilities(host)]


def _quotas(host: DockerHost) -> Iterator[str]:
    is_on_xfs = (host.driver, host.file_system) == ("overlay2", "xfs")
    has_option = host.mount_options is None or bool(host.mount_options & _PROJECT_QUOTAS)
    if host.driver in _QUOTAS_OF_THEIR_OWN or (is_on_xfs and has_option):
        return
    storage = f"{host.driver} on {host.file_system}" if host.file_system else host.driver
    yield (
        f"Docker's storage here ({storage}) has no quotas: a session that writes more than its workspace allows is"
        f" found by measuring, once a minute, and stopped. For quotas, have {host.folder} on XFS mounted with pquota,"
        " and Docker use the storage driver overlay2."
    )


def _database(host: DockerHost) -> Iterator[str]:
    if not host.database:
        return
    protection = "" if host.disk.free_bytes is None else " Nothing is kept free for it: GREENROOM_DISK_KEPT_BYTES is 0."
    if kept_bytes := host.disk.kept_bytes:
        protection = (
            f" With less than {size(kept_bytes)} free (GREENROOM_DISK_KEPT_BYTES) this host takes no new"
            f" session; with less than {size(kept_bytes * EMERGENCY_FRACTION)} the session that has written"
            " most is stopped."
        )
    yield (
        f"The database in {host.database} shares a disk with Docker's folder {host.folder}, which sessions and images"
        f" fill.{protection} To separate them, give Docker a disk of its own (data-root in its daemon.json), or the"
        " instance (--data)."
    )


def _free(host: DockerHost) -> Iterator[str]:
    if words := shortage("This host", host.disk):
        yield f"{words}: it takes no new session. Delete unneeded sessions and images, or give it more disk."


def _vulnerabilities(host: DockerHost) -> Iterator[str]:
    for component, given in host.versions.items():
        version = _numbers(given)
        if found := [h for h in KNOWN_VULNERABILITIES if h.component == component and version and h.is_in(version)]:
            yield (
                f"{component} {given} has known holes between containers and their host"
                f" ({', '.join(name for hole in found for name in hole.known_as)}): update it to"
                f" {', '.join(found[-1].fixed)} or later, unless your distribution has backported the fixes; the change"
                " log of its package says so."
            )


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers at the start of a version: `1.1.5+ds1` is (1, 1, 5)."""
    found = re.match(r"v?(\d+(?:\.\d+)+)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()

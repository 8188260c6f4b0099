"""The rules for the disk of a host, and warnings about Docker on a host.

The root file system of a container is on the disk of its host, next to the images of Docker and, in a deployment on one
machine, the database. If the storage of Docker has quotas, a session that reaches its limit gets the error "disk full".
Otherwise its Agent measures its use, and stops the session if it has written too much. An inode counts as `INODE_BYTES`
bytes, because each file needs a free inode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from greenroom.core.text import size

EMERGENCY_FRACTION: Final = 0.25
"""If less than this fraction of `FreeDisk.kept_bytes` is free, the session with the most data is stopped."""
WARNING_FACTOR: Final = 2
"""If less than this multiple of `FreeDisk.kept_bytes` is free, the console warns."""
INODES_KEPT: Final = 0.10
INODES_EMERGENCY: Final = 0.05
"""The limits for free inodes, as fractions of all inodes of the disk: below the first, the host accepts no new session;
below the second, a session is stopped.
"""
WORTH_STOPPING_BYTES: Final = 1 << 30
"""A session with less data is not stopped when the disk is nearly full, because its end would free too little."""
INODE_BYTES: Final = 16 << 10
"""The minimum number of bytes that count for a file. ext4 has one inode for each 16 KiB, so a session that may fill a
tenth of a disk may use a tenth of its inodes.
"""
MAX_UNCOUNTED: Final = 2
"""The number of consecutive measurements without a result after which a session counts as over its limit."""


@dataclass(frozen=True, slots=True)
class DiskAmount:
    """The use of a disk: bytes, and the number of files and folders (0 = they cannot be counted)."""

    size_bytes: int = 0
    inodes: int = 0

    def __add__(self, other: DiskAmount) -> DiskAmount:
        return DiskAmount(self.size_bytes + other.size_bytes, self.inodes + other.inodes)

    @property
    def charged_bytes(self) -> int:
        """The bytes that count toward a limit: `size_bytes` or the inodes times `INODE_BYTES`, whichever is larger."""
        return max(self.size_bytes, self.inodes * INODE_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeDisk:
    """The free disk of a host, and the bytes that it keeps free.

    None = not reported: the disk counts as sufficient, because some runtimes report none. Placement uses the last
    report of an Agent, which may be old after a restart. An Agent therefore reads its disk before its first container,
    and creates no container on a disk that is short.
    """

    free_bytes: int | None = None
    kept_bytes: int = 0
    free_inodes: float | None = None
    """Free inodes as a fraction of all inodes, 0 to 1; also None if the file system has no fixed number of inodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """The use of the disk by a running session, outside mounted folders, and its limit in bytes; 0 = no limit."""

    session_id: str
    used: DiskAmount
    limit_bytes: int = 0
    uncounted: int = 0
    """The number of consecutive measurements, up to the latest one, that did not end in time."""

    @property
    def is_over(self) -> bool:
        """True if the session has a limit, and its use is above the limit or was not measured `MAX_UNCOUNTED` times."""
        exceeds = self.used.charged_bytes > self.limit_bytes or self.uncounted >= MAX_UNCOUNTED
        return self.limit_bytes > 0 and exceeds


@dataclass(frozen=True, slots=True)
class SessionToStop:
    """A session that must be stopped, with the reason as a sentence."""

    session_id: str
    reason: str


def shortage(hostname: str, disk: FreeDisk) -> str:
    """Return the reason why a host takes no new session, without a full stop; empty if it has enough disk."""
    if disk.free_bytes is not None and disk.free_bytes < disk.kept_bytes:
        return f"{hostname} has {size(disk.free_bytes)} of disk free; {size(disk.kept_bytes)} must stay free"
    if disk.free_inodes is not None and disk.free_inodes < INODES_KEPT:
        return f"{hostname} has {disk.free_inodes:.1%} of its disk's inodes free; {INODES_KEPT:.0%} must stay free"
    return ""


def shortage_warning(hostname: str, disk: FreeDisk) -> str:
    """Return a sentence about a host that soon takes no new session, without a full stop; empty if it has enough disk,
    or takes no new session already."""
    if shortage(hostname, disk) or disk.free_bytes is None or disk.free_bytes >= WARNING_FACTOR * disk.kept_bytes:
        return ""
    return f"{hostname} has {size(disk.free_bytes)} of disk free; below {size(disk.kept_bytes)} it takes no new session"


def sessions_to_stop(uses: Sequence[DiskUse], hostname: str, disk: FreeDisk) -> tuple[SessionToStop, ...]:
    """Return every session over its limit. If there is none and the disk is nearly full, return the session with the
    largest use of the resource that is short: bytes or inodes.
    """
    over_limit = [use for use in uses if use.is_over]
    if over_limit:
        return tuple(SessionToStop(use.session_id, _over_limit_reason(use)) for use in over_limit)
    if disk.free_bytes is not None and disk.free_bytes < round(disk.kept_bytes * EMERGENCY_FRACTION):
        return _stop_largest(uses, hostname, lambda used: DiskAmount(size_bytes=used.size_bytes))
    if disk.free_inodes is not None and disk.free_inodes < INODES_EMERGENCY:
        return _stop_largest(uses, hostname, lambda used: DiskAmount(inodes=used.inodes))
    return ()


def _stop_largest(
    uses: Sequence[DiskUse], hostname: str, short_resource_of: Callable[[DiskAmount], DiskAmount]
) -> tuple[SessionToStop, ...]:
    """Return the session with the largest use of the resource that is short; empty if its end would free too little.
    `short_resource_of` returns a use with only that resource: bytes or inodes.
    """
    candidates = [replace(use, used=short_resource_of(use.used)) for use in uses]
    largest = max(candidates, key=lambda use: (use.uncounted > 0, use.used.charged_bytes, use.session_id), default=None)
    if largest is None or (largest.uncounted == 0 and largest.used.charged_bytes < WORTH_STOPPING_BYTES):
        return ()
    reason = (
        f"The session was stopped because the disk of {hostname} was almost full: it had {_amount(largest)}, more than"
        " the others there."
    )
    return (SessionToStop(largest.session_id, reason),)


def _over_limit_reason(use: DiskUse) -> str:
    return f"The session was stopped because it had {_amount(use)}; its workspace allows {size(use.limit_bytes)}."


def _amount(use: DiskUse) -> str:
    used = use.used
    if use.uncounted:
        times = " twice in a row" if use.uncounted >= MAX_UNCOUNTED else ""
        return f"so many files on its disk that the count did not end in time{times}"
    if used.charged_bytes > used.size_bytes:
        return f"made {used.inodes:,} files on its disk, which count as {size(used.charged_bytes)}"
    return f"written {size(used.size_bytes)} to its disk"


_DRIVERS_WITH_QUOTAS: Final = frozenset({"btrfs", "zfs"})
_PROJECT_QUOTAS: Final = frozenset({"pquota", "prjquota"})
"""The two names of the mount option for quotas: administrators write the first, and the kernel reports the second."""


@dataclass(frozen=True, slots=True)
class KnownVulnerability:
    """Vulnerabilities of a component with which a program can leave its container. `identifiers` are CVE numbers.
    `fixed` has the first fixed version of each release line.
    """

    component: str
    identifiers: tuple[str, ...]
    fixed: tuple[str, ...]

    def affects(self, version: tuple[int, ...]) -> bool:
        """True if the version is older than the fixed version of its release line, or than the latest fixed version if
        its release line has none.
        """
        fixed = [_numbers(text) for text in self.fixed]
        same_line = [fixed_version for fixed_version in fixed if fixed_version[:2] == version[:2]]
        return version < max(same_line or fixed)


KNOWN_VULNERABILITIES: Final = (
    # github.com/opencontainers/runc/security/advisories: GHSA-xr7r-f8xq-vfvv
    KnownVulnerability("runc", ("CVE-2024-21626",), ("1.1.12",)),
    # The same page: GHSA-9493-h29p-rfm2, GHSA-qw9x-cqr3-wc7r, GHSA-cgrx-mc8f-2prm
    KnownVulnerability("runc", ("CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"), ("1.2.8", "1.3.3")),
    # github.com/moby/moby/security/advisories: GHSA-v994-f8vw-g7j4
    KnownVulnerability("Docker Engine", ("CVE-2021-41089",), ("20.10.9",)),
)
"""The vulnerabilities of each component in the order of their fixes, except those that affect only the build of images.
docs/reference/doctor.md contains the same list.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerHost:
    """Docker on a host, and the disk that Docker and this instance use."""

    driver: str
    file_system: str
    """The file system below the storage driver; empty = not reported."""
    folder: str
    """The folder of the images and of the files that containers write (DockerRootDir)."""
    mount_options: frozenset[str] | None
    """The mount options of the file system of `folder`; None = they cannot be read."""
    versions: Mapping[str, str]
    backported: frozenset[str] | None = None
    """The CVE numbers in the change logs of the distribution's packages; None = there are no change logs."""
    database: str = ""
    """The folder of a database on the same disk as `folder`; empty = none."""
    disk: FreeDisk


def warnings(host: DockerHost) -> list[str]:
    """Return the warnings for an administrator, as sentences."""
    return [
        *_quota_warnings(host),
        *_database_warnings(host),
        *_free_disk_warnings(host),
        *_vulnerability_warnings(host),
    ]


def _quota_warnings(host: DockerHost) -> Iterator[str]:
    is_on_xfs = (host.driver, host.file_system) == ("overlay2", "xfs")
    has_option = host.mount_options is None or bool(host.mount_options & _PROJECT_QUOTAS)
    if host.driver in _DRIVERS_WITH_QUOTAS or (is_on_xfs and has_option):
        return
    storage = f"{host.driver} on {host.file_system}" if host.file_system else host.driver
    yield (
        f"Docker's storage here ({storage}) has no quotas: once a minute the use of the disk is measured, "
        f"and a session above the limit of its workspace is stopped. For quotas, mount {host.folder} as "
        "XFS with the option pquota, and use Docker's storage driver overlay2."
    )


def _database_warnings(host: DockerHost) -> Iterator[str]:
    if not host.database:
        return
    unprotected = " No space is reserved for it: GREENROOM_DISK_KEPT_BYTES is 0."
    protection = "" if host.disk.free_bytes is None else unprotected
    if kept_bytes := host.disk.kept_bytes:
        protection = (
            f" With less than {size(kept_bytes)} free (GREENROOM_DISK_KEPT_BYTES) this host takes no new "
            f"session; with less than {size(kept_bytes * EMERGENCY_FRACTION)} the session with the most data "
            "on the disk is stopped."
        )
    yield (
        f"The database in {host.database} shares a disk with Docker's folder {host.folder}, which "
        f"sessions and images fill.{protection} To separate them, move Docker (data-root in its "
        "daemon.json) or the instance (--data) to another disk."
    )


def _free_disk_warnings(host: DockerHost) -> Iterator[str]:
    if problem := shortage("This host", host.disk):
        yield f"{problem}: it takes no new session. Delete unneeded sessions and images, or give it a larger disk."


def _vulnerability_warnings(host: DockerHost) -> Iterator[str]:
    for component, text in host.versions.items():
        version = _numbers(text)
        vulnerabilities = [
            each for each in KNOWN_VULNERABILITIES if each.component == component and version and each.affects(version)
        ]
        names = [name for each in vulnerabilities for name in each.identifiers if name not in (host.backported or ())]
        if names:
            evidence = ", unless your distribution has backported the fixes (see the change log of its package)"
            if host.backported is not None:
                evidence = "; the change log of its package does not name the fixes"
            yield (
                f"{component} {text} has known container escapes ({', '.join(names)}): update it to "
                f"{', '.join(vulnerabilities[-1].fixed)} or later{evidence}."
            )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers at the start of a version: (1, 1, 5) for `1.1.5+ds1`."""
    match = re.match(r"v?(\d+(?:\.\d+)+)", version)
    return tuple(int(part) for part in match[1].split(".")) if match else ()

"""The host of an Agent: its capacity, the images of sessions, the networks of web filters, and kept homes
(`core.workspace.homes`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from greenroom.core.fleet.disk import DiskAmount
from greenroom.core.workspace.homes import HomeId
from greenroom.kit.recipes import Builder


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The capacity for sessions: the cores and the memory of the host that this Agent offers, and the runtime classes
    (`plugin.Context`).
    """

    cores: float
    memory_bytes: int
    runtime_classes: tuple[str, ...] = ()
    mount_folders: tuple[str, ...] | None = None
    """The folders of the host below which sessions may mount folders; None = not known."""
    simulated: bool = False
    """True if sessions have no containers. Then the capacity may be larger than that of the host."""
    can_pause: bool = True
    """True if sessions can be stopped and paused, and continued later."""
    on_other_machines: bool = False
    """True if sessions run on other machines than this host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUsage:
    """The current usage of the host: `cpu` is the load of the last minute as a fraction of its cores (may exceed 1)."""

    cpu: float
    memory_bytes: int
    disk_free_bytes: int | None = None
    """Free bytes on the disk of containers and the Agent; None = not known."""
    disk_free_inodes: float | None = None
    """The fraction of free inodes on that disk; None = not known, or the file system has no fixed number."""


class HostCapacity(Protocol):
    """The capacity and the usage of the host."""

    async def capacity(self) -> Capacity: ...

    async def host_usage(self) -> HostUsage: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUsage:
    """The usage of one session: the CPU time since its start in seconds, and its memory without cached files."""

    cpu_s: float
    memory_bytes: int


@runtime_checkable
class SessionMeter(Protocol):
    """A runtime that can measure the usage of each session."""

    async def session_usage(self) -> dict[str, SessionUsage]:
        """Return the usage of the running sessions, by session id. A session whose usage cannot be read is omitted."""
        ...


@runtime_checkable
class HostDisk(Protocol):
    """A runtime whose sessions write to a disk of this host."""

    async def disk_usage(self, session_id: str) -> DiskAmount | None:
        """Return the amount of data that a session has written outside mounted folders; None = not known, or there is
        no container. Raises DiskCountError: it is too much to be counted in time."""
        ...


@runtime_checkable
class SharedKernel(Protocol):
    """A runtime whose sessions share the kernel limits of this host."""

    def count_containers(self) -> int:
        """Return the number of containers, of any installation, that share the limits."""
        ...


# Images ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image on this host. `digest` identifies its content (`sha256:…`)."""

    name: str
    digest: str
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The log-in for a registry."""

    user: str
    password: str = field(repr=False)


class Images(Protocol):
    """The images from which sessions can be created."""

    async def images(self) -> list[Image]:
        """Return the images on this host, one entry per name."""
        ...

    async def image(self, name: str) -> Image | None:
        """Return the image `name` (`repository:tag`), or None if it is not on this host."""
        ...

    def pull(self, name: str, credentials: Credentials | None = None) -> AsyncIterator[int]:
        """Pull an image. Yields the progress in percent (0 to 100, never decreasing), and ends when the image is on
        this host. Raises PullError, with the reason of the registry."""
        ...


@runtime_checkable
class LogInStore(Protocol):
    """A runtime whose sessions run on other machines. These machines pull images themselves, with stored log-ins."""

    async def store_log_ins(self, images: Collection[str], credentials: Mapping[str, Credentials | None]) -> None:
        """Store the registry log-ins of `images` and delete those of all other images. `credentials`: the log-in of
        each image, or None for no log-in; an image without an entry keeps its log-in.
        """
        ...


@runtime_checkable
class BuildHost(Protocol):
    """A host that can build images."""

    def open_builder(self) -> AbstractAsyncContextManager[Builder]:
        """Open the builder of this host. Only one process can use it at a time; other Agents of the host wait."""
        ...


class ImageArchives(Protocol):
    """Images as archive files, to be copied between hosts."""

    def save(self, digest: str) -> AsyncIterator[bytes]:
        """Return the image with this digest, without its names.

        Raises:
            ImageMissing: the image is not on this host.
            PullError: the image cannot be read.
        """
        ...

    async def load(self, archive: Path, image: Image) -> None:
        """Load an image from an archive of `save`, and set its name. An archive that contains names is refused, because
        they could replace the names of other images. Raises PullError: the archive contains names or another image, or
        cannot be loaded."""
        ...

    async def name(self, image: Image) -> bool:
        """Set the name of the image with this digest. Return False if it is not on this host."""
        ...


@runtime_checkable
class ImageCopyHost(Protocol):
    """A host from and to which images can be copied."""

    def image_archives(self) -> ImageArchives:
        """Return the archives of this host's images."""
        ...


# Networks of web filters ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterAccount:
    """The account of the web filter on this host, and the name servers that it uses."""

    uid: int
    name_servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterNetwork:
    """A network for sessions under one web filter policy. The sessions reach only the filter, at `address`; `subnet`
    contains the addresses of the sessions, in Squid's notation. Both are empty if sessions have no network."""

    policy_id: str
    address: str = ""
    subnet: str = ""


@runtime_checkable
class FilterHost(Protocol):
    """A host whose sessions can be under a web filter. Unless the runtime is a `FilterRunner`, the Agent runs the
    filter at the address of the network, which is an address of this host."""

    @property
    def filters_packets(self) -> bool:
        """True if this host filters packets by account, so that the filter needs a separate account."""
        ...

    async def open_filter_network(
        self, policy_id: str, account: FilterAccount, *, trusts_authority: bool = False
    ) -> FilterNetwork:
        """Create the network of a policy, and ensure that sessions in it reach only the filter. A repeated call checks
        this again. `trusts_authority`: programs in the sessions must trust the certificate authority of the filter
        (`core.named_secrets.TRUST_VARIABLES`). Raises StartError, with the reason: this host cannot restrict the
        network."""
        ...

    async def close_filter_network(self, policy_id: str) -> bool:
        """Remove the network, and the filter of a `FilterRunner`. Return False and remove nothing if a container is on
        the network. If the network does not exist, the call succeeds."""
        ...

    async def filter_networks(self) -> list[FilterNetwork]: ...


@runtime_checkable
class TrustStore(Protocol):
    """A runtime whose sessions can be configured to trust the authority of their web filter."""

    async def certificate_bundles(self, session_id: str) -> dict[str, str]:
        """Return the files with the certificates of authorities that a session's image trusts, by path
        (`core.named_secrets.IMAGE_BUNDLES`)."""
        ...


@runtime_checkable
class FilterRunner(Protocol):
    """A runtime that also runs the filters, because its sessions are not on the Agent's host."""

    @property
    def filter_folder(self) -> str:
        """The path of the folder with the files of a filter, as Squid sees it, for references in these files."""
        ...

    async def run_filter(self, policy_id: str, files: Mapping[str, str]) -> bool:
        """Start Squid with these files at the address of the policy's network, which must be open, and wait until Squid
        serves. A running Squid reads changed files without ending connections. The file `squid.conf` is its
        configuration. Return True if Squid did not serve before. Raises StartError, with the reason: Squid does not
        serve."""
        ...

    def filter_output(self, policy_id: str) -> AsyncIterator[str]:
        """Return the lines that Squid writes to its standard output from this call on. The iterator ends when Squid
        ends. Raises RuntimeUnavailable: the connection was lost."""
        ...


# Homes that a runtime keeps when sessions end -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHome:
    """An existing home. With a `removal_id`, the removal with this id has moved the home away and is not complete; no
    session can use the home then."""

    home: HomeId
    removal_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeSize:
    """The size of a home on its disk. `changed` is the time of the newest change of a file, in seconds since the epoch;
    None = not known.
    """

    size_bytes: int
    changed: float | None = None


class Homes(Protocol):
    """The homes of an Agent's sessions. A session whose specification has a mount with `HomeId.source` gets that home,
    or a new and empty one if there is none. The home stays when the session's container is removed.

    Any call may raise HomeError, with the reason.
    """

    async def list(self) -> list[StoredHome]:
        """Return all homes, including those that a removal has moved away and not deleted yet."""
        ...

    def in_use(self) -> Awaitable[dict[HomeId, str]]:
        """Return the homes that containers in any state use, each with the id of the session."""
        ...

    async def measure(self, home: HomeId) -> HomeSize | None:
        """Measure a home. Return None if it does not exist. The measurement follows no link, and uses few resources of
        the host. Raises HomeError: it took longer than about a minute."""
        ...

    async def remove(self, home: HomeId, removal_id: str) -> None:
        """Remove a home, and return after all its files are deleted. The home is moved away first, so that a later
        session of its user gets a new home. A call with the same `removal_id` continues the removal, also after a
        restart. If the home does not exist, the call succeeds.

        Raises:
            HomeInUseError: a container uses the home, which is unchanged.
            HomeError: a part of the home could not be removed; this part stays moved away.
        """
        ...


@runtime_checkable
class HomeHost(Protocol):
    """A runtime that keeps homes."""

    @property
    def homes(self) -> Homes: ...

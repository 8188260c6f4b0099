"""A simulated host: its settings, its stored containers, the builder of its images, and the store of Agent replicas."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from greenroom.core.fleet.election import ElectionRecord
from greenroom.core.session.reconcile import ContainerState
from greenroom.core.workspace.homes import HomeId, home_of
from greenroom.runtimes.contract import BuildError, ContainerConflict, Image, SessionUsage, StoredRecord


class SimulationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The behavior of the simulated host. Images are identified by their names."""

    address: str = "127.0.0.1:9"
    """The address of each session's page; usually nothing listens there."""
    create_s: float = 0.0
    start_s: float = 0.0
    paint_s: float = 0.0
    """The time from the start of a container until its first frame."""
    pull_s: float = 0.0
    cores: float = 64.0
    memory_bytes: int = 256 << 30
    missing_images: frozenset[str] = frozenset()
    """Images that are not on this host and can be pulled."""
    broken_images: frozenset[str] = frozenset()
    """Images that cannot be pulled, and whose containers cannot be started."""
    never_paint: frozenset[str] = frozenset({"greenroom/desktop:never-paints"})
    cpu: float = 0.1
    """The load of the host as a fraction of its cores."""
    disk_free_bytes: int | None = None
    """The free disk of the host; None = not reported."""
    programs: frozenset[str] = frozenset()
    """Further programs that succeed in sessions, without output."""
    screens: dict[str, str] = {}
    """Image → file with the picture of the screens of its sessions; other screens are blue."""


SESSION_MEMORY_BYTES: Final = 90 << 20
"""The memory usage of each session."""
IMAGE_SIZE_BYTES: Final = 500_000_000
"""The size of each image."""


def simulated_image(name: str) -> Image:
    """Return an image that is on the host."""
    return Image(name=name, digest=f"sha256:{hashlib.sha256(name.encode()).hexdigest()}", size_bytes=IMAGE_SIZE_BYTES)


class StoredContainer(msgspec.Struct, kw_only=True):
    """The state of a container, as a line of its file."""

    container_id: str
    image: str
    labels: dict[str, str]
    environment: dict[str, str]
    files: dict[str, str] = {}
    """Path → content."""
    filter_policy: str | None = None
    low_cpu_share: bool = False
    homes: list[str] = []
    """The sources of the mounts whose folders are homes, in the form of `HomeId.source`."""
    state: ContainerState = ContainerState.CREATED
    started: float = 0.0
    address: str = "127.0.0.1:9"
    exit_code: int | None = None
    output: str = ""

    @property
    def kept_homes(self) -> list[HomeId]:
        return [home for source in self.homes if (home := home_of(source)) is not None]


def stored_containers(folder: Path) -> dict[str, StoredContainer]:
    """Return the containers in an Agent's folder, by session id."""
    files = (folder / "simulated/containers").glob("*.json")
    states = {file.stem: file.read_bytes().split(b"\n") for file in files}  # the last whole line is valid
    return {
        name: msgspec.json.decode(lines[-2], type=StoredContainer) for name, lines in states.items() if len(lines) > 1
    }


def simulated_usage(container: StoredContainer, now_s: float) -> SessionUsage:
    """Return the usage of a container, which depends on its id: 0.02 to 1 cores, and 90 MiB to 1.3 GiB."""
    digest = hashlib.sha256(container.container_id.encode()).digest()
    cores = 0.02 + (digest[0] / 255) ** 3
    return SessionUsage(
        cpu_s=cores * max(0.0, now_s - container.started), memory_bytes=SESSION_MEMORY_BYTES + digest[1] * (5 << 20)
    )


class SimulatedBuilder:
    """Builds an image in two steps, which take `SimulationSettings.pull_s`."""

    def __init__(
        self,
        find_image: Callable[[str], Awaitable[Image | None]],
        add_image: Callable[[str], None],
        settings: SimulationSettings,
    ) -> None:
        self._find_image = find_image
        self._add_image = add_image
        self._settings = settings

    async def labels(self, image: str) -> dict[str, str] | None:
        return {} if await self._find_image(image) else None

    async def build_from_tree(self, files: AsyncIterator[bytes]) -> str:
        async for _ in files:
            pass
        return "sha256:0"

    async def build_from_instructions(
        self, context: bytes, reference: str, arguments: Mapping[str, str]
    ) -> AsyncIterator[str]:
        del context, arguments
        settings = self._settings
        for number in (1, 2):
            yield f"Step {number}/2 : RUN true"
            await asyncio.sleep(settings.pull_s / 2)
        if reference in settings.broken_images:
            raise BuildError("The command 'true' returned a non-zero code: 1.")
        self._add_image(reference)

    async def name(self, image: str, reference: str) -> None:
        del image
        self._add_image(reference)


class FolderStore:
    """Implements `contract.ReplicaStore` with the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def place_id(self) -> str:
        return hashlib.sha256(str(self._folder.resolve()).encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        return self._folder.name

    async def open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def close(self) -> None:
        """Do nothing: no resource is open."""

    async def read_election_record(self) -> tuple[ElectionRecord | None, str | None]:
        stored = await self.read("election")
        return (msgspec.json.decode(stored.content, type=ElectionRecord), stored.version) if stored else (None, None)

    async def write_election_record(self, record: ElectionRecord, version: str | None) -> str:
        return await self.write("election", msgspec.json.encode(record), version)

    async def read(self, name: str) -> StoredRecord | None:
        with self._locked():
            return self._read(name)

    async def write(self, name: str, content: bytes, version: str | None) -> str:
        with self._locked():
            stored = self._read(name)
            if (stored.version if stored else None) != version:
                raise ContainerConflict(f"Another process changed {name} in the meantime.")
            new_version = str(int(version or "0") + 1)
            part = self._folder / f"{name}.part"
            part.write_bytes(new_version.encode() + b"\n" + content)
            part.replace(self._folder / name)
            return new_version

    def _read(self, name: str) -> StoredRecord | None:
        try:
            version, _, content = (self._folder / name).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        return StoredRecord(content, version.decode())

    @contextmanager
    def _locked(self) -> Generator[None]:
        with (self._folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

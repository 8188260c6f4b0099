"""A runtime for tests and load tests: its sessions exist only in files, without containers.

The folder of the runtime contains `containers/` and `settings.json`. Each container has a file in `containers/`, so
that sessions survive a restart of the Agent, and the cost of a change does not depend on their number. `settings.json`
(`SimulationSettings`) is read before every call, so that a test can change the host's behavior while an Agent runs.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from PIL import Image as Picture

from greenroom.core.fleet.disk import DiskAmount
from greenroom.core.session.reconcile import ContainerState
from greenroom.core.workspace.homes import HomeId, home_of
from greenroom.core.workspace.session_spec import Exec, SessionFile, SessionSpec
from greenroom.kit.pictures import screen_as_jpeg
from greenroom.runtimes.contract import (
    AGENT,
    INSTALLATION,
    PROBE_TIMEOUT_S,
    SESSION,
    SPEC_HASH,
    Builder,
    Capacity,
    Container,
    ContainerConflict,
    ContainerEvent,
    ContainerMissing,
    Credentials,
    EventKind,
    ExecResult,
    FilterAccount,
    FilterNetwork,
    HostUsage,
    Image,
    ImageMissing,
    ProbeResult,
    PullError,
    ScreenshotError,
    SessionUsage,
    StartError,
)
from greenroom.runtimes.host_homes import HomesOnHost, HostHomes
from greenroom.runtimes.simulated_host import (
    SESSION_MEMORY_BYTES,
    SimulatedBuilder,
    SimulationSettings,
    StoredContainer,
    simulated_image,
    simulated_usage,
    stored_containers,
)


class SimulatedRuntime:
    """Implements `contract.HostRuntime`; arguments as in `plugin.Context`."""

    filters_packets = False

    def __init__(
        self,
        installation_id: str,
        agent_id: str,
        *,
        folder: Path,
        share: float = 1.0,
        runtime_classes: tuple[str, ...] = (),
    ) -> None:
        self._installation_id = installation_id
        self._agent_id = agent_id
        self._agent_folder = folder
        self._folder = folder / "simulated"
        self.homes = HomesOnHost(HostHomes(folder / "homes"), self._homes_in_use)
        self._share = share
        self._runtime_classes = runtime_classes
        self._containers: dict[str, StoredContainer] = {}
        self._session_by_spec: dict[str, str] = {}
        """Hash of the specification → session id."""
        self._pulled: set[str] = set()
        self._filter_policies: set[str] = set()
        self._subscribers: set[asyncio.Queue[ContainerEvent]] = set()

    # State --------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        (self._folder / "containers").mkdir(parents=True, exist_ok=True)
        self._containers = stored_containers(self._agent_folder)
        self._session_by_spec = {stored.labels[SPEC_HASH]: name for name, stored in self._containers.items()}

    async def close(self) -> None:
        """Do nothing: no resource is open."""

    @property
    def settings(self) -> SimulationSettings:
        file = self._folder / "settings.json"
        return msgspec.json.decode(file.read_bytes() if file.exists() else b"{}", type=SimulationSettings)

    def configure(self, settings: SimulationSettings) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / "settings.json.part"
        part.write_bytes(msgspec.json.encode(settings))
        part.replace(self._folder / "settings.json")

    def _store(self, session_id: str) -> None:
        """Append the state to the file. The file is not replaced, because the file system would sync the new file."""
        with (self._folder / f"containers/{session_id}.json").open("ab") as file:
            file.write(msgspec.json.encode(self._containers[session_id]) + b"\n")

    def _store_and_notify(self, session_id: str, kind: EventKind, exit_code: int | None = None) -> None:
        if session_id in self._containers:
            self._store(session_id)
        else:
            (self._folder / f"containers/{session_id}.json").unlink(missing_ok=True)
        for queue in self._subscribers:
            queue.put_nowait(ContainerEvent(session_id=session_id, kind=kind, exit_code=exit_code))

    def _require_container(self, session_id: str) -> StoredContainer:
        try:
            return self._containers[session_id]
        except KeyError:
            raise ContainerMissing from None

    # Containers ---------------------------------------------------------------------------------------------------

    async def create(
        self,
        session_id: str,
        spec: SessionSpec,
        labels: Mapping[str, str] | None = None,
        *,
        low_cpu_share: bool = False,
    ) -> Container:
        await asyncio.sleep(self.settings.create_s)
        if session_id in self._containers:
            if self._containers[session_id].labels[SPEC_HASH] != spec.hash():
                raise ContainerConflict(f"The container of {session_id} was created from another specification.")
            return self._container(session_id)
        if not self._has_image(spec.image):
            raise ImageMissing(f"The image {spec.image} is not on this host.")
        self._require_filter_network(spec.filter_policy)
        spec_hash = spec.hash()
        own_labels = {INSTALLATION: self._installation_id, SESSION: session_id, AGENT: self._agent_id}
        self._containers[session_id] = StoredContainer(
            container_id=hashlib.sha256(f"{session_id}{time.time_ns()}".encode()).hexdigest(),
            image=spec.image,
            labels={**(labels or {}), **own_labels, SPEC_HASH: spec_hash},
            environment=dict(spec.environment),
            filter_policy=spec.filter_policy,
            low_cpu_share=low_cpu_share,
            homes=[mount.source for mount in spec.mounts if home_of(mount.source)],
        )
        self.homes.host_homes.make(self._containers[session_id].kept_homes)
        self._session_by_spec[spec_hash] = session_id
        self._store_and_notify(session_id, "create")
        return self._container(session_id)

    async def give_full_cpu_share(self, session_id: str, spec: SessionSpec) -> None:
        del spec
        self._require_container(session_id).low_cpu_share = False
        self._store(session_id)

    def has_low_cpu_share(self, session_id: str) -> bool:
        """For tests: return True if the container has a small share of the CPU."""
        return self._require_container(session_id).low_cpu_share

    async def put_files(self, session_id: str, files: Sequence[SessionFile]) -> None:
        stored = self._require_container(session_id)
        stored.files = {**stored.files, **{file.path: file.content for file in files}}
        self._store(session_id)

    async def start(self, session_id: str) -> Container:
        await asyncio.sleep(self.settings.start_s)
        stored = self._require_container(session_id)
        if stored.image in self.settings.broken_images:
            raise StartError(f"The container could not be started: the image {stored.image} is broken.")
        if stored.state is ContainerState.PAUSED:
            raise StartError("The container is paused.")
        self._require_filter_network(stored.filter_policy)
        if stored.state is not ContainerState.RUNNING:
            stored.state, stored.started, stored.exit_code = ContainerState.RUNNING, time.time(), None
            stored.address = self.settings.address
            self._store_and_notify(session_id, "start")
        return self._container(session_id)

    def _require_filter_network(self, policy_id: str | None) -> None:
        if policy_id is not None and policy_id not in self._filter_policies:
            raise StartError(f"The network of web filter policy {policy_id} is not open on this host.")

    async def stop(self, session_id: str, grace_s: float = 10.0) -> None:
        del grace_s
        if self._require_container(session_id).state in (ContainerState.RUNNING, ContainerState.PAUSED):
            self.die(session_id, 143)

    def die(self, session_id: str, exit_code: int, output: str = "") -> None:
        """For tests: end the container's first process."""
        stored = self._require_container(session_id)
        stored.state, stored.exit_code = ContainerState.EXITED, exit_code
        stored.output += output
        self._store_and_notify(session_id, "die", exit_code)

    async def pause(self, session_id: str) -> None:
        self._change_state(session_id, ContainerState.RUNNING, ContainerState.PAUSED, "pause")

    async def unpause(self, session_id: str) -> None:
        self._change_state(session_id, ContainerState.PAUSED, ContainerState.RUNNING, "unpause")

    def _change_state(self, session_id: str, source: ContainerState, target: ContainerState, kind: EventKind) -> None:
        stored = self._require_container(session_id)
        if stored.state is target:
            return
        if stored.state is not source:
            raise StartError(f"The container is {stored.state.value}.")
        stored.state = target
        self._store_and_notify(session_id, kind)

    async def remove(self, session_id: str) -> None:
        stored = self._containers.get(session_id)
        if stored is None:
            return
        if stored.state is not ContainerState.EXITED:
            self.die(session_id, 137)
        self._session_by_spec.pop(stored.labels[SPEC_HASH], None)
        del self._containers[session_id]
        self._store_and_notify(session_id, "destroy")

    async def list(self) -> list[Container]:
        return [self._container(session_id) for session_id in self._containers]

    async def inspect(self, session_id: str) -> Container | None:
        return self._container(session_id) if session_id in self._containers else None

    def _container(self, session_id: str) -> Container:
        stored = self._containers[session_id]
        return Container(
            session_id=session_id,
            agent_id=stored.labels[AGENT],
            container_id=stored.container_id,
            state=stored.state,
            spec_hash=stored.labels[SPEC_HASH],
            address=stored.address if stored.state is ContainerState.RUNNING else None,
            exit_code=stored.exit_code,
            labels=dict(stored.labels),
        )

    # Inside and around a container --------------------------------------------------------------------------------

    async def exec(self, session_id: str, command: Exec) -> ExecResult:
        """Run a simulated command: true, false, echo, cat, printenv, sleep, or one of `SimulationSettings.programs`.
        Other programs are not found."""
        stored = self._require_container(session_id)
        if stored.state is not ContainerState.RUNNING:
            raise StartError(f"The command was not run: the session is {stored.state.value}.")
        program, *arguments = command.argv
        environment = {**stored.environment, **command.environment}
        if program == "sleep":
            seconds = float(arguments[0])
            await asyncio.sleep(min(seconds, command.deadline_s))
            return ExecResult(exit_code=None if seconds > command.deadline_s else 0, output="")
        if program == "printenv":
            value = environment.get(arguments[0])
            return ExecResult(exit_code=1 if value is None else 0, output=f"{value or ''}\n")
        if program == "cat":
            content = stored.files.get(arguments[0])
            return ExecResult(exit_code=1 if content is None else 0, output=content or "")
        if program == "echo":
            return ExecResult(exit_code=0, output=" ".join(arguments) + "\n")
        succeeding = dict.fromkeys(self.settings.programs, 0)
        exit_code = {"true": 0, "false": 1, **succeeding}.get(program, 127)
        return ExecResult(exit_code=exit_code, output=f"{program}: not found\n" if exit_code == 127 else "")

    async def logs(self, session_id: str, lines: int = 50) -> str:
        stored = self._containers.get(session_id)
        return "" if stored is None else "".join(stored.output.splitlines(keepends=True)[-lines:])

    async def events(self) -> AsyncIterator[ContainerEvent]:
        queue: asyncio.Queue[ContainerEvent] = asyncio.Queue()
        self._subscribers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._subscribers.discard(queue)

    async def probe(
        self, address: str, spec: SessionSpec, timeout_s: float = PROBE_TIMEOUT_S, *, keep_connection: bool = False
    ) -> ProbeResult:
        """Probe a session. It is identified by its specification, because all sessions have the same address."""
        del address, timeout_s, keep_connection
        stored = self._containers.get(self._session_by_spec.get(spec.hash(), ""))
        if stored is None or stored.state is not ContainerState.RUNNING:
            return ProbeResult(usable=False, error="The session's page does not answer.")
        painted = time.time() >= stored.started + self.settings.paint_s
        if spec.image in self.settings.never_paint or not painted:
            return ProbeResult(usable=False, painted=False, error="Nothing has been painted on the screen yet.")
        return ProbeResult(usable=True, painted=True)

    async def screenshot(self, address: str, spec: SessionSpec, width: int, height: int) -> bytes:
        """Return the picture of the image in `SimulationSettings.screens`, or a blue screen of 64 x 48 pixels."""
        if not (result := await self.probe(address, spec)).usable:
            raise ScreenshotError(result.error)
        if (file := self.settings.screens.get(spec.image)) is not None:
            return await asyncio.to_thread(_picture_of, Path(file), (width, height))
        return screen_as_jpeg(b"\xc0\x40\x20\0" * (64 * 48), (64, 48), (width, height))

    # Images and the host ------------------------------------------------------------------------------------------

    def _has_image(self, name: str) -> bool:
        return name in self._pulled or name not in self.settings.missing_images

    async def images(self) -> list[Image]:
        """Return the images that were pulled or are used. `image` also finds all others, except `missing_images`."""
        return [simulated_image(name) for name in sorted(self._pulled | {c.image for c in self._containers.values()})]

    async def image(self, name: str) -> Image | None:
        return simulated_image(name) if self._has_image(name) else None

    async def pull(self, name: str, credentials: Credentials | None = None) -> AsyncIterator[int]:
        del credentials
        settings = self.settings
        for percent in (0, 50):
            yield percent
            await asyncio.sleep(settings.pull_s / 2)
        if name in settings.broken_images:
            raise PullError(f"The image {name} could not be fetched: it does not exist.")
        self._pulled.add(name)
        yield 100

    @asynccontextmanager
    async def open_builder(self) -> AsyncGenerator[Builder]:
        """Yield a builder. It needs no lock, because each simulated Agent has its own host."""
        yield SimulatedBuilder(self.image, self.add_image, self.settings)

    def add_image(self, name: str) -> None:
        """Record that the image is on the simulated host."""
        self._pulled.add(name)

    async def capacity(self) -> Capacity:
        settings = self.settings
        cores, memory_bytes = settings.cores * self._share, int(settings.memory_bytes * self._share)
        return Capacity(cores=cores, memory_bytes=memory_bytes, runtime_classes=self._runtime_classes, simulated=True)

    async def disk_usage(self, session_id: str) -> DiskAmount | None:
        """Return a usage of zero, because simulated sessions write nothing."""
        return DiskAmount() if session_id in self._containers else None

    async def host_usage(self) -> HostUsage:
        settings = self.settings
        return HostUsage(
            cpu=settings.cpu,
            memory_bytes=SESSION_MEMORY_BYTES * len(self._containers),
            disk_free_bytes=settings.disk_free_bytes,
        )

    async def session_usage(self) -> dict[str, SessionUsage]:
        running = {name: c for name, c in self._containers.items() if c.state is ContainerState.RUNNING}
        return {name: simulated_usage(container, time.time()) for name, container in running.items()}

    async def _homes_in_use(self) -> dict[HomeId, str]:
        return {home: name for name, stored in self._containers.items() for home in stored.kept_homes}

    async def open_filter_network(
        self, policy_id: str, account: FilterAccount, *, trusts_authority: bool = False
    ) -> FilterNetwork:
        del account, trusts_authority  # simulated sessions send no packets
        self._filter_policies.add(policy_id)
        return FilterNetwork(policy_id=policy_id)

    async def close_filter_network(self, policy_id: str) -> bool:
        if any(container.filter_policy == policy_id for container in self._containers.values()):
            return False
        self._filter_policies.discard(policy_id)
        return True

    async def filter_networks(self) -> list[FilterNetwork]:
        return [FilterNetwork(policy_id=policy_id) for policy_id in sorted(self._filter_policies)]

    async def remove_all(self) -> int:
        count = len(self._containers)
        for session_id in list(self._containers):
            await self.remove(session_id)
        self._filter_policies.clear()
        return count


def _picture_of(file: Path, bounds: tuple[int, int]) -> bytes:
    with Picture.open(file) as picture:
        return screen_as_jpeg(picture.convert("RGB").tobytes("raw", "BGRX"), picture.size, bounds)

"""The runtime that runs sessions as containers of a Docker daemon (API 1.41 or newer; Podman is not tested).

The name of a container contains the id of its session. The labels of a container contain the ids of the session, the
installation and the Agent, and the hash of the specification. A container that another program renamed is found by its
labels. Containers without these labels are never changed. All sessions share a bridge network (`networks`), except
sessions under a web filter, which have a network per policy (`filter_networks`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import aiodocker
import structlog

from greenroom.core.fleet.disk import DiskAmount
from greenroom.core.session.reconcile import ContainerState
from greenroom.core.workspace.homes import HomeId
from greenroom.core.workspace.session_spec import Exec, SessionFile, SessionSpec
from greenroom.runtimes.archive import pack_tar
from greenroom.runtimes.contract import (
    MAX_LOG_CHARACTERS,
    PROBE_TIMEOUT_S,
    Builder,
    Capacity,
    Container,
    ContainerConflict,
    ContainerEvent,
    ContainerMissing,
    Credentials,
    ExecResult,
    FilterAccount,
    FilterNetwork,
    HostUsage,
    Image,
    ImageArchives,
    ProbeResult,
    RuntimeUnavailable,
    SessionUsage,
    StartError,
    cut_output,
)
from greenroom.runtimes.contract.containers import AGENT, INSTALLATION, SESSION, SPEC_HASH
from greenroom.runtimes.docker import daemon, trust
from greenroom.runtimes.docker import usage as docker_usage
from greenroom.runtimes.docker.archives import DockerArchives
from greenroom.runtimes.docker.builder import DockerBuilder, build_lock
from greenroom.runtimes.docker.daemon import DockerJson
from greenroom.runtimes.docker.errors import translated
from greenroom.runtimes.docker.events import PullProgress, container_events, with_registry
from greenroom.runtimes.docker.exec import run_exec, variables_of_image
from greenroom.runtimes.docker.filter_networks import FilterNetworks
from greenroom.runtimes.docker.mounts import DockerMounts, refuse_root
from greenroom.runtimes.docker.networks import SessionsNetwork
from greenroom.runtimes.docker.spec import (
    LOW_SHARE_DIVISOR,
    MIN_SHARES,
    ContainerOwner,
    container_config,
    container_from_inspect,
    container_from_list,
    container_name,
    cpu_shares,
)
from greenroom.runtimes.host_folders import HostFolders
from greenroom.runtimes.host_homes import HomesOnHost
from greenroom.runtimes.probe import Prober

log = structlog.get_logger(__name__)

_CONTAINER_KEYS: Final = ("Id", "Labels", "State", "Ports", "NetworkSettings")


class DockerRuntime:
    """Implements `contract.HostRuntime` and `contract.SharedKernel`. `plugin.Context` documents the arguments. The free
    disk space is measured on the disks of Docker and of the Agent's `folder`.
    """

    filters_packets = True

    def __init__(
        self,
        installation_id: str,
        agent_id: str,
        *,
        docker_host: str | None = None,
        share: float = 1.0,
        folders: HostFolders | None = None,
        folder: Path | None = None,
        connections_max: int = 0,
        runtime_classes: tuple[str, ...] = (),
    ) -> None:
        self._owner = ContainerOwner(installation_id=installation_id, agent_id=agent_id)
        self._docker_host = docker_host
        self._share = share
        self._runtime_classes = runtime_classes
        self._client: aiodocker.Docker | None = None
        self._prober = Prober()
        self._mounts = DockerMounts(folders or HostFolders())
        self._disk = docker_usage.DockerDisk(*([folder] if folder else []))
        self.homes = HomesOnHost(self._mounts.homes, self._homes_in_use)
        self._network = SessionsNetwork(self._owner, connections_max)
        self._filter_networks = FilterNetworks(self._owner)

    # Connection ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        self._client = daemon.connect(self._docker_host)
        async with translated(read_only=True):
            await self._network.ensure(self._docker)
            info: DockerJson = await self._docker.system.info()
            docker_folder: str = info["DockerRootDir"]
            self._mounts.forbid(docker_folder)
            self._disk.add_folder(docker_folder)
        if missing := daemon.missing_runtimes(info, self._runtime_classes):
            log.warning("Docker does not have these runtimes, so they are not offered", runtimes=", ".join(missing))

    async def close(self) -> None:
        await self._prober.close()
        await self._network.stop_refresh()
        if self._client is not None:
            await self._client.close()
            self._client = None

    @property
    def _docker(self) -> Any:
        """The client. It has the type Any, because the types of aiodocker are incomplete."""
        if self._client is None:
            raise RuntimeUnavailable("The runtime is not open.")
        return self._client

    async def _container_of(self, session_id: str) -> Any:
        """The session's container. Raises: as for `_inspect_own`."""
        return self._docker.containers.container((await self._inspect_own(session_id))["Id"])

    # Containers ---------------------------------------------------------------------------------------------------

    async def create(
        self,
        session_id: str,
        spec: SessionSpec,
        labels: Mapping[str, str] | None = None,
        *,
        low_cpu_share: bool = False,
    ) -> Container:
        await self._network.require_rules()
        mounts = self._mounts.resolve(spec)
        config = container_config(
            session_id,
            spec,
            self._owner,
            labels,
            self._runtime_classes,
            mounts=mounts,
            image_variables=await variables_of_image(self._docker, spec),
        )
        if low_cpu_share:
            config["HostConfig"]["CpuShares"] = max(MIN_SHARES, cpu_shares(spec) // LOW_SHARE_DIVISOR)
        config = self._filter_networks.with_filter(spec, config)
        if spec.mounts and await self.inspect(session_id) is None:
            await self._mounts.prepare(spec.mounts, session_id)
        async with translated():
            await self._network.recreate_if_pruned(self._docker, config["HostConfig"]["NetworkMode"])
        async with translated(image=spec.image):
            try:
                name, limit_bytes = container_name(session_id), spec.disk_limit_bytes
                created = await self._disk.create_container(self._docker, config, name, limit_bytes)
            except aiodocker.DockerError as error:
                if error.status != 409:
                    raise
                return await self._adopt(session_id, spec)
        return Container(
            session_id=session_id,
            agent_id=self._owner.agent_id,
            container_id=created.id,
            state=ContainerState.CREATED,
            spec_hash=spec.hash(),
            labels=config["Labels"],
        )

    async def _adopt(self, session_id: str, spec: SessionSpec) -> Container:
        """Return the existing container. Raises ContainerConflict: it has another owner or specification."""
        name = container_name(session_id)
        async with translated(read_only=True):
            inspection: DockerJson = await self._docker.containers.container(name).show()
        labels: dict[str, str] = inspection["Config"]["Labels"] or {}
        if labels.get(INSTALLATION) != self._owner.installation_id or labels.get(SESSION) != session_id:
            raise ContainerConflict(f"A container {name} of another owner exists; remove it.")
        if labels.get(SPEC_HASH) != spec.hash():
            raise ContainerConflict(f"The container {name} was created from another specification.")
        log.info("adopted a container", session_id=session_id, container_id=inspection["Id"])
        return container_from_inspect(inspection)

    async def give_full_cpu_share(self, session_id: str, spec: SessionSpec) -> None:
        async with translated():
            inspection = await self._inspect_own(session_id)
            await daemon.update(self._docker, inspection["Id"], {"CpuShares": cpu_shares(spec)})

    async def put_files(self, session_id: str, files: Sequence[SessionFile]) -> None:
        async with translated():
            if others := await self._mounts.put_files(await self._inspect_own(session_id), files):
                await (await self._container_of(session_id)).put_archive("/", pack_tar(others))

    async def start(self, session_id: str) -> Container:
        await self._network.require_rules()
        async with translated():
            inspection = await self._inspect_own(session_id)
            self._filter_networks.require_open(inspection["Config"]["Labels"])
            expected = await self._mounts.expected_identities(inspection)
            container = self._docker.containers.container(inspection["Id"])
            await refuse_root(container, inspection, None, "The session")
            await container.start()
            inspection = await self._inspect_own(session_id)
            if problem := await self._mounts.problem_after_start(inspection, expected):
                await container.kill()
                raise StartError(problem)
            return container_from_inspect(inspection)

    async def stop(self, session_id: str, grace_s: float = 10.0) -> None:
        async with translated():
            await (await self._container_of(session_id)).stop(t=max(1, round(grace_s)))

    async def pause(self, session_id: str) -> None:
        async with translated():
            container = container_from_inspect(await self._inspect_own(session_id))
            if container.state is not ContainerState.PAUSED:
                await daemon.pause(self._docker, container.container_id)

    async def unpause(self, session_id: str) -> None:
        async with translated():
            container = container_from_inspect(await self._inspect_own(session_id))
            if container.state is not ContainerState.RUNNING:
                await daemon.unpause(self._docker, container.container_id)

    async def remove(self, session_id: str) -> None:
        async with translated():
            try:
                inspection = await self._inspect_own(session_id)
            except ContainerMissing:
                return
            await daemon.delete(self._docker, inspection["Id"])

    async def _inspect_own(self, session_id: str) -> DockerJson:
        """Return Docker's inspection of the session's container.

        Raises:
            ContainerMissing: the session has no container.
            ContainerConflict: the container belongs to another installation.
        """
        async with translated(read_only=True):
            inspection = await self._inspect(session_id)
        labels: dict[str, str] = inspection["Config"]["Labels"] or {}
        if labels.get(INSTALLATION) != self._owner.installation_id:
            raise ContainerConflict
        return inspection

    async def _inspect(self, session_id: str) -> DockerJson:
        """Return Docker's inspection of the container with the name of the session, or else of a renamed one with its
        labels. Raises aiodocker.DockerError."""
        try:
            return await self._docker.containers.container(container_name(session_id)).show()
        except aiodocker.DockerError as error:
            if error.status != 404:
                raise
            labels = [*self._label_filter()["label"], f"{SESSION}={session_id}"]
            if not (renamed := await self._docker.containers.list(all=True, filters={"label": labels})):
                raise
            return await renamed[0].show()

    async def list(self) -> list[Container]:
        async with translated(read_only=True):
            entries = await self._docker.containers.list(all=True, filters=self._label_filter())
        containers = [
            container_from_list({name: entry[name] for name in _CONTAINER_KEYS})
            for entry in sorted(entries, key=_has_own_name)
        ]
        containers = {container.session_id: container for container in containers}.values()
        exited = {c.session_id: c for c in containers if c.state is ContainerState.EXITED}
        inspected = await asyncio.gather(*(self.inspect(session_id) for session_id in exited))
        return [c for c in [*(c for c in containers if c.session_id not in exited), *inspected] if c is not None]

    def _label_filter(self) -> dict[str, list[str]]:
        return {"label": [f"{INSTALLATION}={self._owner.installation_id}", SESSION, AGENT]}

    async def inspect(self, session_id: str) -> Container | None:
        try:
            return container_from_inspect(await self._inspect_own(session_id))
        except (ContainerMissing, ContainerConflict):
            return None

    # Commands, logs, events and probes ----------------------------------------------------------------------------

    async def exec(self, session_id: str, command: Exec) -> ExecResult:
        async with translated():
            return await run_exec(self._docker, await self._inspect_own(session_id), command)

    async def logs(self, session_id: str, lines: int = 50) -> str:
        async with translated(read_only=True):
            try:
                container = await self._container_of(session_id)
                chunks = await container.log(stdout=True, stderr=True, tail=lines)
            except (ContainerMissing, ContainerConflict):
                return ""
        return cut_output("".join(chunks), MAX_LOG_CHARACTERS)

    async def events(self) -> AsyncIterator[ContainerEvent]:
        client = daemon.connect(self._docker_host)
        try:
            async for event in container_events(client, self._label_filter()):
                yield event
        finally:
            await client.close()

    async def probe(
        self, address: str, spec: SessionSpec, timeout_s: float = PROBE_TIMEOUT_S, *, keep_connection: bool = False
    ) -> ProbeResult:
        return await self._prober.probe(address, spec, timeout_s, keep_connection=keep_connection)

    async def screenshot(self, address: str, spec: SessionSpec, width: int, height: int) -> bytes:
        return await self._prober.screenshot(address, spec, width, height)

    # Images -------------------------------------------------------------------------------------------------------

    async def images(self) -> list[Image]:
        async with translated(read_only=True):
            entries: list[DockerJson] = await self._docker.images.list()
        tags: list[tuple[str, DockerJson]] = [(tag, entry) for entry in entries for tag in entry["RepoTags"] or ()]
        return [
            Image(name=tag, digest=entry["Id"], size_bytes=entry["Size"])
            for tag, entry in tags
            if not tag.startswith("<none>")
        ]

    async def image(self, name: str) -> Image | None:
        async with translated(pulled_image=name, read_only=True):
            try:
                inspection = await self._docker.images.inspect(name)
            except aiodocker.DockerError as error:
                if error.status == 404:
                    return None
                raise
        return Image(name=name, digest=inspection["Id"], size_bytes=inspection["Size"])

    async def pull(self, name: str, credentials: Credentials | None = None) -> AsyncIterator[int]:
        auth = {"username": credentials.user, "password": credentials.password} if credentials else None
        progress = PullProgress()
        async with translated(pulled_image=name):
            async for line in self._docker.images.pull(with_registry(name) if auth else name, auth=auth, stream=True):
                yield progress.update(line)
        yield 100

    @asynccontextmanager
    async def open_builder(self) -> AsyncGenerator[Builder]:
        async with build_lock():
            yield DockerBuilder(self._docker)

    def image_archives(self) -> ImageArchives:
        return DockerArchives(self._docker)

    async def capacity(self) -> Capacity:
        async with translated(read_only=True):
            info: DockerJson = await self._docker.system.info()
        capacity = daemon.capacity(info, self._share, self._runtime_classes)
        return replace(capacity, mount_folders=self._mounts.permitted)

    async def disk_usage(self, session_id: str) -> DiskAmount | None:
        try:
            async with translated(read_only=True):
                return await self._disk.measure(await self._container_of(session_id))
        except (ContainerMissing, ContainerConflict):
            return None

    async def host_usage(self) -> HostUsage:
        free_bytes, free_inodes = await asyncio.to_thread(self._disk.free)
        return replace(docker_usage.host_usage(), disk_free_bytes=free_bytes, disk_free_inodes=free_inodes)

    async def session_usage(self) -> dict[str, SessionUsage]:
        return await docker_usage.session_usage(self._docker, await self.list())

    def count_containers(self) -> int:
        return docker_usage.containers_on_this_host()

    async def _homes_in_use(self) -> dict[HomeId, str]:
        async with translated(read_only=True):
            entries = await self._docker.containers.list(all=True, filters=self._label_filter())
        mounts = [(mount, entry) for entry in entries for mount in entry["Mounts"] or ()]
        used = [(self._mounts.homes.home_at(mount.get("Source", "")), entry) for mount, entry in mounts]
        return {home: entry["Labels"][SESSION] for home, entry in used if home is not None}

    # Web filter ---------------------------------------------------------------------------------------------------

    async def open_filter_network(
        self, policy_id: str, account: FilterAccount, *, trusts_authority: bool = False
    ) -> FilterNetwork:
        async with translated():
            return await self._filter_networks.open(self._docker, policy_id, account, trusts_authority=trusts_authority)

    async def close_filter_network(self, policy_id: str) -> bool:
        async with translated():
            return await self._filter_networks.close(self._docker, policy_id)

    async def certificate_bundles(self, session_id: str) -> dict[str, str]:
        async with translated():
            return await trust.certificate_bundles(await self._container_of(session_id))

    async def filter_networks(self) -> list[FilterNetwork]:
        async with translated(read_only=True):
            return await self._filter_networks.all(self._docker)

    async def remove_all(self) -> int:
        async with translated():
            containers = await self._docker.containers.list(all=True, filters=self._label_filter())
            await daemon.delete_all(self._docker, [container["Id"] for container in containers])
            await self._filter_networks.remove_all(self._docker)
            await self._network.remove(self._docker)
        return len(containers)


def _has_own_name(entry: Any) -> bool:
    """True if a container has the name of its session. Of several containers with the labels of a session, this one is
    the session's container."""
    return f"/{container_name(entry['Labels'][SESSION])}" in entry["Names"]

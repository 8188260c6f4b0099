"""Sessions as containers of a Docker daemon (API 1.41 or newer; Podman's socket, best effort).

The container of a session is named after it and carries its id, the installation, the Agent and the hash of its
specification as labels; whatever lacks the labels is never touched. All sessions of an installation are on one bridge
network without traffic between containers (`docker_network.py`, `firewall.py`).
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, get_args

import aiodocker
import aiohttp
import structlog

from greenroom.core.reconcile import ContainerState
from greenroom.core.sessions import Exec, SessionSpec
from greenroom.runtimes import cgroups
from greenroom.runtimes.base import (
    Capacity,
    Container,
    ContainerConflict,
    ContainerMissing,
    Credentials,
    Event,
    EventKind,
    ExecResult,
    HostUsage,
    Image,
    ImageMissing,
    ProbeResult,
    PullError,
    RuntimeUnavailable,
    StartError,
    Usage,
)
from greenroom.runtimes.docker_exec import run_exec
from greenroom.runtimes.docker_network import ensure_network, remove_network
from greenroom.runtimes.docker_pull import Progress
from greenroom.runtimes.docker_spec import (
    AGENT,
    INSTALLATION,
    SESSION,
    SPEC_HASH,
    Identity,
    container_config,
    container_name,
    seen_in_inspect,
    seen_in_list,
)
from greenroom.runtimes.probe import Prober

log = structlog.get_logger(__name__)

CALL_TIMEOUT_S: Final = 60.0
REMOVAL_TIMEOUT_S: Final = 20.0
EVENTS: Final[dict[str, EventKind]] = {kind: kind for kind in get_args(EventKind)}


class DockerRuntime:
    """See `base.Runtime`. `docker_host` is the daemon's address; None is what the `docker` command would use."""

    def __init__(
        self, installation_id: str, agent_id: str, *, docker_host: str | None = None, share: float = 1.0
    ) -> None:
        self._identity = Identity(installation_id=installation_id, agent_id=agent_id)
        self._docker_host = docker_host
        self._share = share
        self._client: aiodocker.Docker | None = None
        self._prober = Prober()
        self._pids: dict[str, int] = {}
        # Measured: create and start are best at about 2 x cores in parallel, 2.5 times as fast as one by one.
        self._slots = asyncio.Semaphore(2 * (os.cpu_count() or 1))

    # Connection ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See `base.Runtime`."""
        self._client = self._connect()
        async with _translated():
            await ensure_network(self._docker, self._identity)

    async def close(self) -> None:
        """See `base.Runtime`."""
        await self._prober.close()
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _connect(self) -> aiodocker.Docker:
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S, connect=10)
        try:
            return aiodocker.Docker(url=self._docker_host, timeout=timeout)
        except (AssertionError, ValueError, aiodocker.DockerContextError) as error:
            where = f" at {self._docker_host}" if self._docker_host else ""
            raise RuntimeUnavailable(f"There is no Docker daemon{where}; start one, or set DOCKER_HOST.") from error

    @property
    def _docker(self) -> Any:
        """The client; aiodocker is typed only in part."""
        if self._client is None:
            raise RuntimeUnavailable("The runtime is not open.")
        return self._client

    def _handle(self, session_id: str) -> Any:
        return self._docker.containers.container(container_name(session_id))

    # Containers ---------------------------------------------------------------------------------------------------

    async def create(self, session_id: str, spec: SessionSpec, labels: Mapping[str, str] | None = None) -> Container:
        """See `base.Runtime`."""
        config = container_config(session_id, spec, self._identity, labels)
        async with self._slots, _translated(image=spec.image):
            try:
                created = await self._docker.containers.create(config, name=container_name(session_id))
            except aiodocker.DockerError as error:
                if error.status != 409:
                    raise
                return await self._adopt(session_id, spec)
        return Container(
            session_id=session_id,
            agent_id=self._identity.agent_id,
            container_id=created.id,
            state=ContainerState.CREATED,
            spec_hash=spec.hash(),
            labels=config["Labels"],
        )

    async def _adopt(self, session_id: str, spec: SessionSpec) -> Container:
        """The container that has the name already, if it is this session with this specification."""
        found: dict[str, Any] = await self._handle(session_id).show()
        labels: dict[str, str] = found["Config"]["Labels"] or {}
        name = container_name(session_id)
        if labels.get(INSTALLATION) != self._identity.installation_id or labels.get(SESSION) != session_id:
            raise ContainerConflict(f"A container {name} exists that this installation did not make; remove it.")
        if labels.get(SPEC_HASH) != spec.hash():
            raise ContainerConflict(f"The container {name} was made with another specification.")
        log.info("adopted a container", session_id=session_id, container_id=found["Id"])
        return seen_in_inspect(found)

    async def start(self, session_id: str) -> Container:
        """See `base.Runtime`."""
        async with self._slots, _translated():
            await self._own(session_id)
            await self._handle(session_id).start()
            return seen_in_inspect(await self._own(session_id))

    async def stop(self, session_id: str, grace_s: float = 10.0) -> None:
        """See `base.Runtime`."""
        async with _translated():
            await self._own(session_id)
            await self._handle(session_id).stop(t=max(1, round(grace_s)))

    async def pause(self, session_id: str) -> None:
        """See `base.Runtime`."""
        async with _translated():
            if seen_in_inspect(await self._own(session_id)).state is not ContainerState.PAUSED:
                await self._handle(session_id).pause()

    async def unpause(self, session_id: str) -> None:
        """See `base.Runtime`."""
        async with _translated():
            if seen_in_inspect(await self._own(session_id)).state is not ContainerState.RUNNING:
                await self._handle(session_id).unpause()

    async def remove(self, session_id: str) -> None:
        """See `base.Runtime`."""
        async with _translated():
            try:
                found = await self._own(session_id)
            except ContainerMissing:
                return
            await self._delete(found["Id"])
            self._pids.pop(session_id, None)

    async def _delete(self, container_id: str) -> None:
        """Kill and delete, and wait until it is gone, also when somebody else's removal is under way."""
        container = self._docker.containers.container(container_id)
        async with asyncio.timeout(REMOVAL_TIMEOUT_S):
            while True:
                try:
                    await container.delete(force=True, v=True)
                except aiodocker.DockerError as error:
                    if error.status == 404:
                        return
                    if error.status != 409:
                        raise
                    await asyncio.sleep(0.05)
                else:
                    return

    async def _own(self, session_id: str) -> dict[str, Any]:
        """What Docker says of the session's container.

        Raises:
            ContainerMissing: there is none.
            ContainerConflict: it is not of this installation.
        """
        try:
            found: dict[str, Any] = await self._handle(session_id).show()
        except aiodocker.DockerError as error:
            if error.status == 404:
                raise ContainerMissing from error
            raise
        labels: dict[str, str] = found["Config"]["Labels"] or {}
        if labels.get(INSTALLATION) != self._identity.installation_id:
            raise ContainerConflict
        return found

    async def list(self) -> list[Container]:
        """See `base.Runtime`."""
        async with _translated():
            entries = await self._docker.containers.list(all=True, filters=self._filters())
            seen = [
                seen_in_list({name: entry[name] for name in ("Id", "Labels", "State", "Ports")}) for entry in entries
            ]
        exited = {c.session_id: c for c in seen if c.state is ContainerState.EXITED}
        inspected = await asyncio.gather(*(self.inspect(session_id) for session_id in exited))
        return [c for c in [*(c for c in seen if c.session_id not in exited), *inspected] if c is not None]

    def _filters(self) -> dict[str, list[str]]:
        return {"label": [f"{INSTALLATION}={self._identity.installation_id}", SESSION, AGENT]}

    async def inspect(self, session_id: str) -> Container | None:
        """See `base.Runtime`."""
        async with _translated():
            try:
                return seen_in_inspect(await self._own(session_id))
            except (ContainerMissing, ContainerConflict):
                return None

    # Inside and around a container --------------------------------------------------------------------------------

    async def exec(self, session_id: str, command: Exec) -> ExecResult:
        """See `base.Runtime`."""
        async with _translated():
            container = seen_in_inspect(await self._own(session_id))
            if container.state is not ContainerState.RUNNING:
                raise StartError(f"The command was not run: the session is {container.state.value}.")
            return await run_exec(self._handle(session_id), command)

    async def logs(self, session_id: str, lines: int = 50) -> str:
        """See `base.Runtime`."""
        async with _translated():
            try:
                await self._own(session_id)
                return "".join(await self._handle(session_id).log(stdout=True, stderr=True, tail=lines))
            except (ContainerMissing, ContainerConflict):
                return ""

    async def events(self) -> AsyncIterator[Event]:
        """See `base.Runtime`."""
        client = self._connect()
        source: Any = client.events
        subscriber: Any = source.subscribe(create_task=False)
        filters = {"type": ["container"], "event": list(EVENTS), **self._filters()}
        reading = asyncio.create_task(source.run(filters=filters), name="docker-events")
        try:
            while (data := await subscriber.get()) is not None:
                attributes: dict[str, str] = data["Actor"]["Attributes"]
                exit_code = attributes.get("exitCode")
                yield Event(
                    session_id=attributes[SESSION],
                    kind=EVENTS[data["Action"]],
                    exit_code=None if exit_code is None else int(exit_code),
                )
            async with _translated():
                await reading
            raise RuntimeUnavailable("Docker ended the stream of events.")
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await client.close()

    async def probe(self, address: str, spec: SessionSpec) -> ProbeResult:
        """See `base.Runtime`."""
        return await self._prober.probe(address, spec)

    # Images -------------------------------------------------------------------------------------------------------

    async def images(self) -> list[Image]:
        """See `base.Runtime`."""
        async with _translated():
            found: list[dict[str, Any]] = await self._docker.images.list()
        tags: list[tuple[str, dict[str, Any]]] = [(tag, entry) for entry in found for tag in entry["RepoTags"] or ()]
        return [
            Image(name=tag, digest=entry["Id"], size_bytes=entry["Size"])
            for tag, entry in tags
            if not tag.startswith("<none>")
        ]

    async def image(self, name: str) -> Image | None:
        """See `base.Runtime`."""
        async with _translated():
            try:
                found = await self._docker.images.inspect(name)
            except aiodocker.DockerError as error:
                if error.status == 404:
                    return None
                raise
        return Image(name=name, digest=found["Id"], size_bytes=found["Size"])

    async def pull(self, name: str, credentials: Credentials | None = None) -> AsyncIterator[int]:
        """See `base.Runtime`."""
        auth = {"username": credentials.user, "password": credentials.password} if credentials else None
        has_registry = "." in name.split("/", maxsplit=1)[0] or ":" in name.split("/", maxsplit=1)[0]
        progress = Progress()
        async with _translated(pull=name):
            source = name if has_registry or auth is None else f"docker.io/{name}"
            async for line in self._docker.images.pull(source, auth=auth, stream=True):
                yield progress.after(line)
        yield 100

    # The host -----------------------------------------------------------------------------------------------------

    async def capacity(self) -> Capacity:
        """See `base.Runtime`."""
        async with _translated():
            info: dict[str, Any] = await self._docker.system.info()
        return Capacity(cores=info["NCPU"] * self._share, memory_bytes=int(info["MemTotal"] * self._share))

    async def usage(self, session_id: str) -> Usage | None:
        """See `base.Runtime`."""
        if (known := self._pids.get(session_id)) and (usage := cgroups.usage_of(known)):
            return usage
        async with _translated():
            try:
                pid = (await self._own(session_id))["State"]["Pid"]
            except (ContainerMissing, ContainerConflict):
                return None
        self._pids[session_id] = pid
        return cgroups.usage_of(pid) if pid else None

    async def host_usage(self) -> HostUsage:
        """See `base.Runtime`."""
        return cgroups.host_usage()

    async def remove_all(self) -> int:
        """See `base.Runtime`."""
        containers = await self.list()
        async with _translated():
            await asyncio.gather(*(self._delete(container.container_id) for container in containers))
            await remove_network(self._docker, self._identity)
        return len(containers)


@asynccontextmanager
async def _translated(image: str = "", pull: str = "") -> AsyncGenerator[None]:
    """Docker's errors as those of `base`. `image`: a 404 is about this image. `pull`: this image is being fetched."""
    try:
        yield
    except aiodocker.DockerError as error:
        raise _meaning(error, image, pull) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise RuntimeUnavailable(f"The Docker daemon does not answer ({str(error) or 'time ran out'}).") from error


def _meaning(error: aiodocker.DockerError, image: str, pull: str) -> Exception:
    text = re.sub(r"^Error response from daemon: ", "", error.message).strip().rstrip(".")
    if error.status == 900:
        return RuntimeUnavailable(f"The Docker daemon does not answer: {text}.")
    if pull:
        return PullError(f"The image {pull} could not be fetched: {text}.")
    if error.status == 404 and image:
        return ImageMissing(f"The image {image} is not on this host: {text}.")
    if error.status == 404:
        return ContainerMissing()
    return StartError(f"Docker refused: {text}.")

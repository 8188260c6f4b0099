"""The connection to a host's Docker daemon, and the capacity of the host."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import aiodocker
import aiohttp
import structlog

from greenroom.runtimes.contract import Capacity, RuntimeUnavailable

log = structlog.get_logger(__name__)

DockerJson = dict[str, Any]
"""A JSON object of Docker's API."""

TAR: Final = {"Content-Type": "application/x-tar"}
"""The headers of a request with a tar archive."""
CALL_TIMEOUT_S: Final = 60.0
REMOVAL_TIMEOUT_S: Final = 20.0
PAUSE_ATTEMPTS: Final = 3


def connect(docker_host: str | None) -> aiodocker.Docker:
    """Return a client of the daemon at this address; None = the address that the `docker` command uses.

    Raises:
        RuntimeUnavailable: there is no daemon.
    """
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S, connect=10)
    try:
        return aiodocker.Docker(url=docker_host, timeout=timeout)
    except (AssertionError, ValueError, aiodocker.DockerContextError) as error:
        address_text = f" at {docker_host}" if docker_host else ""
        raise RuntimeUnavailable(f"There is no Docker daemon{address_text}; start one, or set DOCKER_HOST.") from error


def post(
    docker: Any, path: str, body: Any, *, headers: Mapping[str, str], **options: Any
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    """Send a POST request for which aiodocker has no method. It uses the private method `_query` of aiodocker, which
    gets `options`.

    Raises:
        aiodocker.DockerError: Docker refuses.
    """
    return docker._query(path, "POST", data=body, headers=headers, **options)  # noqa: SLF001


async def update(docker: Any, container_id: str, changes: DockerJson) -> None:
    """Change the limits of a container; `changes` are fields of `POST /containers/<id>/update`.

    Raises:
        aiodocker.DockerError: Docker refuses.
    """
    body = json.dumps(changes)
    async with post(docker, f"containers/{container_id}/update", body, headers={"Content-Type": "application/json"}):
        return


async def stats(docker: Any, container_id: str) -> DockerJson:
    """Return the statistics of a container. Docker reads them once, so the answer takes no second.

    Raises:
        aiodocker.DockerError: Docker refuses.
    """
    options = {"stream": "false", "one-shot": "true"}
    return await docker._query_json(f"containers/{container_id}/stats", params=options)  # noqa: SLF001


async def pause(docker: Any, name: str) -> None:
    """Pause a container, with up to `PAUSE_ATTEMPTS` attempts. An attempt fails if a process starts in the container at
    the same time.

    Raises:
        aiodocker.DockerError: Docker refuses.
    """
    for attempt in range(1, PAUSE_ATTEMPTS + 1):
        try:
            await docker.containers.container(name).pause()
        except aiodocker.DockerError as error:
            if "unable to freeze" not in error.message or attempt == PAUSE_ATTEMPTS:
                raise
            log.warning("a container could not be frozen and is tried again", container=name, attempt=attempt)
        else:
            return


async def unpause(docker: Any, name: str) -> None:
    """Resume a paused container. On a busy host, Docker may show a container as paused for a moment after it was
    resumed, so Docker may refuse to resume a container that already runs; then the call succeeds.

    Raises:
        aiodocker.DockerError: Docker refuses, and the container is not running.
    """
    container = docker.containers.container(name)
    try:
        await container.unpause()
    except aiodocker.DockerError:
        if (await container.show())["State"]["Status"] != "running":
            raise


async def delete(docker: Any, container_id: str) -> None:
    """Kill and delete a container, and wait until it is deleted. Another removal may be in progress.

    Raises:
        aiodocker.DockerError: Docker refuses.
        TimeoutError: the container still exists after `REMOVAL_TIMEOUT_S`.
    """
    container = docker.containers.container(container_id)
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


async def delete_all(docker: Any, container_ids: Sequence[str]) -> None:
    """Delete containers, a limited number in parallel, so that the time limit of each does not depend on their number.
    Raises the errors of `delete`.
    """
    limit = asyncio.Semaphore(2 * (os.cpu_count() or 1))

    async def delete_one(container_id: str) -> None:
        async with limit:
            await delete(docker, container_id)

    await asyncio.gather(*map(delete_one, container_ids))


def capacity(info: DockerJson, share: float, runtime_classes: Sequence[str]) -> Capacity:
    """Return the capacity for sessions from the daemon's answer to `GET /info`. `share` is the fraction of the host
    that sessions may use. Runtime classes that the daemon does not have are omitted.
    """
    return Capacity(
        cores=info["NCPU"] * share,
        memory_bytes=int(info["MemTotal"] * share),
        runtime_classes=tuple(name for name in runtime_classes if name in info["Runtimes"]),
    )


def missing_runtimes(info: DockerJson, runtime_classes: Sequence[str]) -> list[str]:
    """Return the runtime classes that the daemon does not have."""
    return [name for name in runtime_classes if name not in info["Runtimes"]]

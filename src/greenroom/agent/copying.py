"""Copies images to this host from other Agents of the zone, which a Manager names.

What comes goes into a file without a name on this Agent's disk, so that nothing is left of a copy that ends, however it
ends. The runtime looks through it before it makes an image of it.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import httpx
import msgspec
import structlog

from greenroom.agent.fleet.identity import Identity
from greenroom.agent.fleet.manager_client import ManagerClient, ManagerRefusedError, NoManager
from greenroom.core.catalogue.copies import room_problem
from greenroom.core.fleet.addresses import edge_name
from greenroom.runtimes.contract import Archives, Image, PullError
from greenroom.wire.copies import ImageSource, ImageSources, MissingImages
from greenroom.wire.messages import Usage

log = structlog.get_logger(__name__)

SOURCES_PATH: Final = "/manager_api/v1/image-sources"
KNOWN_S: Final = 20.0
"""How long an answer about sources is used; a ticket counts much longer."""
TIMEOUT: Final = httpx.Timeout(300.0, connect=5.0)
"""The other daemon writes an image to its disk before the first byte comes."""
LOOK_S: Final = 0.5
MAX_TIMES: Final = 3
"""An archive is about as large as its image; one that is so many times as large is none."""
MAX_REFUSAL_BYTES: Final = 4096


class _Refusal(msgspec.Struct):
    error_message: str


@dataclass(slots=True)
class _Arrival:
    received_bytes: int = 0
    refusals: list[str] = field(default_factory=list[str])


class Copies:
    """`folder` is where images arrive; `usage` is the last reading of this host's disk."""

    def __init__(
        self, archives: Archives, identity: Identity, link: ManagerClient, folder: Path, usage: Callable[[], Usage]
    ) -> None:
        self._archives = archives
        self._identity = identity
        self._link = link
        self._folder = folder
        self._usage = usage
        self._authority = ""
        self._sources: Mapping[str, tuple[ImageSource, ...]] = {}
        self._asked: frozenset[str] = frozenset()
        self._until = 0.0

    def elsewhere(self, name: str) -> bool:
        """Whether another Agent can give this image, by the last answer of a Manager."""
        return bool(self._sources.get(name))

    def size_bytes(self, name: str) -> int:
        """About how much there is to copy; 0 = not known."""
        return next((source.size_bytes for source in self._sources.get(name, ())), 0)

    async def look(self, names: Collection[str]) -> None:
        """Ask a Manager who has these images; while none answers they are nowhere else."""
        asked = frozenset(names)
        now = time.monotonic()
        if not asked or (asked <= self._asked and now < self._until) or self._identity.incarnation == 0:
            return
        question = MissingImages(
            agent_id=self._identity.agent_id, incarnation=self._identity.incarnation, names=tuple(sorted(asked))
        )
        try:
            answer = await self._link.ask(
                SOURCES_PATH, question, ImageSources, bearer=self._identity.bearer, is_new=True
            )
        except (NoManager, ManagerRefusedError) as error:
            log.info("no Manager says which Agents have an image", reason=error.message)
            answer = ImageSources()
        self._authority, self._sources = answer.authority, answer.sources
        self._asked, self._until = asked, now + KNOWN_S

    async def copy(self, name: str) -> AsyncIterator[int]:
        """Get the image from the first source that gives it; the progress in percent.

        Raises:
            PullError: no source gave it, it is not that image, or there is no room for it.
        """
        sources, self._until = self._sources.get(name, ()), 0.0  # a ticket counts once
        if not sources:
            raise PullError(f"The image {name} could not be copied: no other Agent has it any more.")
        image = Image(name=name, digest=sources[0].digest, size_bytes=sources[0].size_bytes)
        if await self._archives.name(image):
            return  # it arrived before, and something came between that and its name
        usage = self._usage()
        if short := room_problem(name, image.size_bytes, usage.disk_free_bytes, usage.disk_kept_bytes):
            raise PullError(short)
        yield 0
        arrival = _Arrival()
        task = asyncio.create_task(self._get(image, sources, arrival), name=f"copy {name}")
        last = 0
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=LOOK_S)
                if arrival.received_bytes != last:
                    last = arrival.received_bytes
                    yield min(99, 100 * last // max(1, image.size_bytes))
            await task
        finally:
            task.cancel()
            await asyncio.wait({task})
        yield 100

    async def _get(self, image: Image, sources: tuple[ImageSource, ...], arrival: _Arrival) -> None:
        for source in sources:
            try:
                # Its file is gone with this process, even if that is killed.
                with tempfile.TemporaryFile(dir=self._folder, prefix="image-") as file:
                    await self._receive(image, source, file, arrival)
                    file.flush()
                    await self._archives.load(Path(f"/proc/self/fd/{file.fileno()}"), image)
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise PullError(f"The image {image.name} could not be copied: the disk is full.") from error
                arrival.refusals.append(f"{source.hostname}: {error}")
            except (PullError, httpx.HTTPError) as error:
                arrival.refusals.append(f"{source.hostname}: {str(error) or type(error).__name__}")
            else:
                log.info("copied an image", image=image.name, hostname=source.hostname, bytes=arrival.received_bytes)
                return
        raise PullError(f"The image {image.name} could not be copied. {' '.join(arrival.refusals)}")

    async def _receive(self, image: Image, source: ImageSource, file: IO[bytes], arrival: _Arrival) -> None:
        arrival.received_bytes = 0
        most_bytes = MAX_TIMES * image.size_bytes + (64 << 20)
        verify = ssl.create_default_context(cadata=self._authority)
        name = edge_name(source.route)
        headers = {"Authorization": f"Bearer {source.ticket}", "Host": name}
        async with (
            httpx.AsyncClient(verify=verify, timeout=TIMEOUT, trust_env=False) as client,
            client.stream(
                "GET",
                f"{source.url.rstrip('/')}/agent_image/{source.route}",
                headers=headers,
                extensions={"sni_hostname": name},
            ) as response,
        ):
            if response.status_code != 200:
                raise PullError(await _sentence(response))
            async for chunk in response.aiter_raw():
                arrival.received_bytes += len(chunk)
                if arrival.received_bytes > most_bytes:
                    raise PullError("It sent much more than the image has.")
                await asyncio.to_thread(file.write, chunk)


async def _sentence(response: httpx.Response) -> str:
    said = b""
    async for chunk in response.aiter_raw():
        said += chunk
        if len(said) > MAX_REFUSAL_BYTES:
            break
    try:
        return msgspec.json.decode(said, type=_Refusal).error_message
    except msgspec.MsgspecError:
        return f"It answered with HTTP {response.status_code}."

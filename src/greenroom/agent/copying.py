"""Copies images between Agents of a zone: to this host, and from this host to one Agent at a time.

A Manager names the Agents that have an image, and issues a ticket for each. The receiving Agent sends the ticket as
bearer token to the edge gateway of a sending Agent. The sending Agent asks a Manager to confirm the ticket, which is
valid once. A client without a valid ticket causes at most one request to a Manager per second.

The receiving Agent writes the data to a file without a name, so that no file remains after an error or a crash. The
runtime checks the data before it loads the image.
"""

from __future__ import annotations

import asyncio
import errno
import re
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import httpx2
import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from greenroom.agent.fleet.identity import AgentIdentity
from greenroom.agent.fleet.manager_client import ManagerClient, ManagerRefusedError, NoManager
from greenroom.core.catalogue.fetch_methods import room_problem
from greenroom.core.errors import GreenroomError
from greenroom.core.fleet.addresses import edge_name
from greenroom.runtimes.contract import Image, ImageArchives, ImageCopyHost, ImageMissing, PullError
from greenroom.wire.fleet import ImageSource, ImageSources, MissingImages, TicketCheck, TicketResult
from greenroom.wire.messages import Usage

log = structlog.get_logger(__name__)

TICKET_PATH: Final = "/manager_api/v1/image-ticket"
TICKET: Final = re.compile(r"Bearer ([A-Za-z0-9_=-]{40,2048})")
USED_TICKET_MEMORY_S: Final = 600.0
"""The time for which used tickets are stored. It is longer than the validity of a ticket."""
MAX_COPY_S: Final = 3600.0
"""The maximum duration of a copy."""
REFUSED_PAUSE_S: Final = 1.0
"""The pause after a refused ticket. It limits the number of requests to Managers."""
BUSY_RETRY_S: Final = 15
"""The header `Retry-After` of a refusal with status 503."""


class ImageSender:
    """Sends images of this host to other Agents. `runtime` returns the runtime, or None while it is not open."""

    def __init__(self, runtime: Callable[[], object], identity: AgentIdentity, manager_client: ManagerClient) -> None:
        self._runtime = runtime
        self._identity = identity
        self._manager_client = manager_client
        self._is_busy = False
        self._used: dict[str, float] = {}
        """Used ticket → the time until which it is stored."""
        self.routes = [Route("/image", self._send_image)]

    async def _send_image(self, request: Request) -> Response:
        ticket = TICKET.fullmatch(request.headers.get("Authorization", ""))
        runtime = self._runtime()
        if ticket is None:
            return _refusal(401, "The request for an image has no ticket of a Manager.")
        if not isinstance(runtime, ImageCopyHost):
            return _refusal(503, "This Agent cannot send images at the moment.")
        if self._is_busy:
            return _refusal(503, "This Agent is already sending an image to another Agent; try again later.")
        self._is_busy = True
        try:
            response = await self._create_response(ticket[1], runtime.image_archives())
        except BaseException:
            self._is_busy = False
            raise
        if not isinstance(response, _ImageResponse):
            self._is_busy = False
        return response

    def _set_free(self) -> None:
        self._is_busy = False

    async def _create_response(self, ticket: str, archives: ImageArchives) -> Response:
        now = time.monotonic()
        self._used = {used: until for used, until in self._used.items() if until > now}
        try:
            if ticket in self._used:
                raise ManagerRefusedError(
                    403, "The ticket for the image was already used; request another ticket from a Manager."
                )
            confirmed = await self._confirm_ticket(ticket)
        except ManagerRefusedError as error:
            log.warning("a request for an image was refused", reason=error.message)
            await asyncio.sleep(REFUSED_PAUSE_S)  # only one ticket is checked at a time
            return _refusal(403, error.message)
        except NoManager as error:
            return _refusal(503, error.message)
        self._used[ticket] = now + USED_TICKET_MEMORY_S
        chunks = archives.save(confirmed.digest)
        try:
            async with asyncio.timeout(MAX_COPY_S):
                first = await anext(chunks)
        except ImageMissing as error:
            return _refusal(404, error.message)
        except (GreenroomError, StopAsyncIteration, TimeoutError) as error:
            return _refusal(503, str(error) or "The image cannot be read.")
        return _ImageResponse(self._yield_chunks(first, chunks, confirmed), self._set_free)

    async def _confirm_ticket(self, ticket: str) -> TicketResult:
        ticket_check = TicketCheck(
            agent_id=self._identity.agent_id, incarnation=self._identity.incarnation, ticket=ticket
        )
        return await self._manager_client.ask(TICKET_PATH, ticket_check, TicketResult, bearer=self._identity.bearer)

    async def _yield_chunks(
        self, first: bytes, chunks: AsyncIterator[bytes], confirmed: TicketResult
    ) -> AsyncIterator[bytes]:
        sent_bytes = len(first)
        async with asyncio.timeout(MAX_COPY_S):
            yield first
            async for chunk in chunks:
                sent_bytes += len(chunk)
                yield chunk
        log.info(
            "sent an image to another Agent", image=confirmed.name, hostname=confirmed.hostname, given_bytes=sent_bytes
        )


class _ImageResponse(StreamingResponse):
    """The response with an image. `on_end` is called when the response was sent or failed."""

    def __init__(self, chunks: AsyncIterator[bytes], on_end: Callable[[], None]) -> None:
        super().__init__(chunks, media_type="application/x-tar")
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


def _refusal(status: int, sentence: str) -> Response:
    headers = {"Retry-After": str(BUSY_RETRY_S)} if status == 503 else None
    return JSONResponse({"error_message": sentence}, status, headers)


SOURCES_PATH: Final = "/manager_api/v1/image-sources"
SOURCES_VALID_S: Final = 20.0
"""The time for which an answer about sources is used. The tickets in it are valid much longer."""
TIMEOUT: Final = httpx2.Timeout(300.0, connect=5.0)
"""The read timeout is long, because Docker may write the image to its disk before it sends the first byte."""
POLL_S: Final = 0.5
MAX_SIZE_FACTOR: Final = 3
"""The maximum size of an archive as a multiple of the size of its image."""
MAX_REFUSAL_BYTES: Final = 4096


class _Refusal(msgspec.Struct):
    error_message: str


@dataclass(slots=True)
class _Transfer:
    received_bytes: int = 0
    refusals: list[str] = field(default_factory=list[str])


class ImageReceiver:
    """Copies images from other Agents into `folder`. `usage` returns the last reading of this host's usage."""

    def __init__(
        self,
        archives: ImageArchives,
        identity: AgentIdentity,
        manager_client: ManagerClient,
        folder: Path,
        usage: Callable[[], Usage],
    ) -> None:
        self._archives = archives
        self._identity = identity
        self._manager_client = manager_client
        self._folder = folder
        self._usage = usage
        self._authority = ""
        self._sources: Mapping[str, tuple[ImageSource, ...]] = {}
        self._requested_names: frozenset[str] = frozenset()
        self._valid_until_s = 0.0

    def has_source(self, name: str) -> bool:
        """Return True if another Agent has this image, according to the last answer of a Manager."""
        return bool(self._sources.get(name))

    def size_bytes(self, name: str) -> int:
        """Return the size of the image, which is approximately the number of bytes to copy; 0 = unknown."""
        return next((source.size_bytes for source in self._sources.get(name, ())), 0)

    async def find_sources(self, names: Collection[str]) -> None:
        """Ask a Manager which Agents have these images. If no Manager answers, there are no sources."""
        requested = frozenset(names)
        now = time.monotonic()
        if (
            not requested
            or (requested <= self._requested_names and now < self._valid_until_s)
            or self._identity.incarnation == 0
        ):
            return
        request = MissingImages(
            agent_id=self._identity.agent_id, incarnation=self._identity.incarnation, names=tuple(sorted(requested))
        )
        try:
            answer = await self._manager_client.ask(SOURCES_PATH, request, ImageSources, bearer=self._identity.bearer)
        except (NoManager, ManagerRefusedError) as error:
            log.info("the Agents that have an image cannot be read from a Manager", reason=error.message)
            answer = ImageSources()
        self._authority, self._sources = answer.authority, answer.sources
        self._requested_names, self._valid_until_s = requested, now + SOURCES_VALID_S

    async def copy(self, name: str) -> AsyncIterator[int]:
        """Copy the image from the first source that sends it. Yields the progress in percent. Raises PullError: no
        source sent it, the received data is another image, or the disk has not enough room."""
        sources, self._valid_until_s = self._sources.get(name, ()), 0.0  # a ticket is used once
        if not sources:
            raise PullError(f"The image {name} could not be copied: no other Agent has it.")
        image = Image(name=name, digest=sources[0].digest, size_bytes=sources[0].size_bytes)
        if await self._archives.name(image):  # sets the name of an image that an interrupted copy has loaded
            return
        usage = self._usage()
        if problem := room_problem(name, image.size_bytes, usage.disk_free_bytes, usage.disk_kept_bytes):
            raise PullError(problem)
        yield 0
        transfer = _Transfer()
        task = asyncio.create_task(self._copy_from_any(image, sources, transfer), name=f"copy {name}")
        reported_bytes = 0
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=POLL_S)
                if transfer.received_bytes != reported_bytes:
                    reported_bytes = transfer.received_bytes
                    yield min(99, 100 * reported_bytes // max(1, image.size_bytes))
            await task
        finally:
            task.cancel()
            await asyncio.wait({task})
        yield 100

    async def _copy_from_any(self, image: Image, sources: tuple[ImageSource, ...], transfer: _Transfer) -> None:
        for source in sources:
            try:
                # The file disappears with this process, even if the process is killed.
                with tempfile.TemporaryFile(dir=self._folder, prefix="image-") as file:
                    await self._receive(image, source, file, transfer)
                    file.flush()
                    await self._archives.load(Path(f"/proc/self/fd/{file.fileno()}"), image)
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise PullError(f"The image {image.name} could not be copied: the disk is full.") from error
                transfer.refusals.append(f"{source.hostname}: {error}")
            except (PullError, httpx2.HTTPError) as error:
                transfer.refusals.append(f"{source.hostname}: {str(error) or type(error).__name__}")
            else:
                log.info("copied an image", image=image.name, hostname=source.hostname, bytes=transfer.received_bytes)
                return
        raise PullError(f"The image {image.name} could not be copied. {' '.join(transfer.refusals)}")

    async def _receive(self, image: Image, source: ImageSource, file: IO[bytes], transfer: _Transfer) -> None:
        transfer.received_bytes = 0
        max_bytes = MAX_SIZE_FACTOR * image.size_bytes + (64 << 20)
        tls_context = ssl.create_default_context(cadata=self._authority)
        name = edge_name(source.route)
        headers = {"Authorization": f"Bearer {source.ticket}", "Host": name}
        async with (
            httpx2.AsyncClient(verify=tls_context, timeout=TIMEOUT, trust_env=False) as client,
            client.stream(
                "GET",
                f"{source.url.rstrip('/')}/agent_image/{source.route}",
                headers=headers,
                extensions={"sni_hostname": name},
            ) as response,
        ):
            if response.status_code != 200:
                raise PullError(await _refusal_text(response))
            async for chunk in response.aiter_raw():
                transfer.received_bytes += len(chunk)
                if transfer.received_bytes > max_bytes:
                    raise PullError("It sent far more data than the image contains.")
                await asyncio.to_thread(file.write, chunk)


async def _refusal_text(response: httpx2.Response) -> str:
    """Return the reason of a refusal, of at most `MAX_REFUSAL_BYTES`, as a sentence."""
    content = b""
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_REFUSAL_BYTES:
            break
    try:
        return msgspec.json.decode(content, type=_Refusal).error_message
    except msgspec.MsgspecError:
        return f"It answered with HTTP {response.status_code}."

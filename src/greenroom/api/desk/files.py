"""Files in the session of a lease, by its page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
from fastapi.responses import Response
from starlette.requests import Request

from greenroom.api.desk.command_schemas import Listing, Written
from greenroom.api.desk.decoding import decoded
from greenroom.api.desk.relay import Relay
from greenroom.api.desk.transport import Desks, whole
from greenroom.core.errors import Invalid
from greenroom.db.lease.leases import Lease

PATH: Final = "files"
SILENT_S: Final = 60.0
PIECE_BYTES: Final = 1 << 18
"""Files are handed on in pieces of this size: TLS would make sixteen times as many, each with a cost of its own."""
MOST_LISTING_BYTES: Final = 4 << 20
UNTOUCHED: Final = frozenset({304, 416})
"""Statuses of a file that are handed on as they are, with 200 and 206."""
_ASKED: Final = ("range", "if-range", "if-none-match")
_SAID: Final = ("content-length", "content-range", "etag", "accept-ranges")
_TAR: Final = "application/x-tar"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a path."""

    path: str
    listed: bool = False
    tar: bool = False
    watch: bool = False

    @property
    def params(self) -> dict[str, str]:
        """Raises Invalid: it is more than one thing."""
        flags = {"list": self.listed, "tar": self.tar, "watch": self.watch}
        chosen = [name for name, is_set in flags.items() if is_set]
        if len(chosen) > 1:
            raise Invalid(f"{' and '.join(chosen)} are answered one at a time.")
        return {"path": self.path} | dict.fromkeys(chosen, "")


@asynccontextmanager
async def read(
    desks: Desks, lease: Lease, wanted: Wanted, headers: Mapping[str, str]
) -> AsyncGenerator[httpx.Response]:
    """The page's answer, to be read while it comes.

    Raises:
        Invalid: the path leads out of the home folder.
        NotFound: there is no such file or folder.
        Forbidden: the session was made without downloads.
        WrongState: what is asked for is not to be had of a file, or of a folder; as `Desks.of`.
        TooManyRequests, Unavailable: as `Desk.stream`.
    """
    params = wanted.params
    desk = await desks.of(lease)
    asked = {name: headers[name] for name in _ASKED if name in headers}
    async with desk.stream(
        "GET",
        PATH,
        params=params,
        headers={**asked, "Accept-Encoding": "identity"},
        timeout_s=SILENT_S,
        accepted=UNTOUCHED,
    ) as answer:
        yield answer


async def handed_on(answer: httpx.Response, source: AsyncExitStack, *, is_watch: bool) -> Response:
    """The answer for the client. The type that a container gives a file is not repeated: no browser may run it here."""
    if "content-disposition" not in answer.headers and not is_watch and answer.status_code == 200:
        async with source:
            listing = decoded(await whole(answer, MOST_LISTING_BYTES), Listing)
            return Response(listing.model_dump_json(exclude_unset=True), media_type="application/json")
    if is_watch:
        return Relay(answer.aiter_raw(), source, media_type="text/event-stream")
    headers = {name: said for name in _SAID if (said := answer.headers.get(name, "")).isascii() and said}
    if answer.status_code in UNTOUCHED:
        async with source:
            headers.pop("content-length", None)
            return Response(status_code=answer.status_code, headers=headers)
    headers["content-disposition"] = "attachment"
    kind = _TAR if answer.headers.get("content-type") == _TAR else "application/octet-stream"
    pieces = answer.aiter_raw(PIECE_BYTES)
    return Relay(pieces, source, status_code=answer.status_code, media_type=kind, headers=headers)


async def write(desks: Desks, lease: Lease, path: str, request: Request, *, tar: bool) -> Written:
    """Hand the body of a request on to a file, or unpack it into a folder. Nothing is half done.

    Raises:
        Invalid: the path leads out of the home folder; what comes is no tar.
        Forbidden: the session was made without uploads.
        TooLarge: its user may not upload so much.
        WrongState: a folder is in its place, or a file in that of a folder; as `Desks.of`.
        Refused: the disk is full.
    """
    desk = await desks.of(lease)
    length = request.headers.get("content-length")
    headers = {} if length is None else {"Content-Length": length}
    params = {"path": path} | ({"tar": ""} if tar else {})
    answer = await desk.request(
        "PUT", PATH, params=params, content=request.stream(), headers=headers, timeout_s=SILENT_S
    )
    return decoded(answer.content, Written)


async def delete(desks: Desks, lease: Lease, path: str, *, recursive: bool) -> None:
    """Delete a file or folder.

    Raises:
        NotFound: there is none.
        WrongState: the folder is not empty.
        Invalid, Forbidden: as `write`.
    """
    desk = await desks.of(lease)
    await desk.request("DELETE", PATH, params={"path": path} | ({"recursive": ""} if recursive else {}))

"""What a program does inside the session that it has leased: commands, files, and the elements on the screen."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from greenroom.api.deps import DesksDep, Logs
from greenroom.api.desk import commands, files
from greenroom.api.desk.command_schemas import ExecCreate, ExecDone, Listing, Tree, Written
from greenroom.api.desk.decoding import decoded
from greenroom.api.desk.relay import Relay, opened
from greenroom.api.desk.transport import while_asked, whole
from greenroom.api.lease.access import Held, holds_lease
from greenroom.api.recording.noting import NotingDep, Tail
from greenroom.core.session.authorization import Act

router = APIRouter(tags=["leases"])

Flag = Literal["", "true", "1"] | None
MOST_TREE_BYTES: Final = 8 << 20
_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "/leases/{lease_id}/exec",
    response_model=ExecDone,
    responses={200: {"content": {"application/x-ndjson": {}}, "description": "its end, or its output as it comes"}},
)
async def run(
    body: ExecCreate,
    request: Request,
    desks: DesksDep,
    logs: Logs,
    noting: NotingDep,
    held: Annotated[Held, holds_lease(Act.EXEC)],
) -> ExecDone | StreamingResponse:
    """Run a command as the user of the session, in the environment of its desktop, and wait for its end.

    With `stream` the answer are lines of JSON: `{"stdout": "…"}` and `{"stderr": "…"}` as they come, `{"stdout_base64":
    "…"}` for what is no UTF-8, `{}` as a sign of life, and last `{"exit_code": 0}`, with `error_message` where that is
    null. A client that goes away ends the command, with all that it started.
    """
    if not body.stream:
        return await noting.command(held.lease, body, while_asked(request, commands.ended(desks, logs, held, body)))
    tail = Tail()
    running = noting.stream(held.lease, body, commands.running(desks, logs, held, body), tail)
    begun, source = await opened(request, running)
    return Relay(tail.of(commands.handed_on(begun)), source, media_type="application/x-ndjson")


_FILE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"application/octet-stream": _BINARY, "application/x-tar": _BINARY, "text/event-stream": {}},
        "description": "a file, the listing of a folder, or what was asked for",
    },
    206: {"content": {"application/octet-stream": _BINARY}, "description": "the part of a file"},
    304: {"description": "the file is the one that the client has"},
    416: {"description": "the file has no such part"},
}


@router.get("/leases/{lease_id}/files/{path:path}", response_model=Listing, responses=_FILE_RESPONSES)
async def get_file(
    path: str,
    request: Request,
    desks: DesksDep,
    noting: NotingDep,
    held: Annotated[Held, holds_lease(Act.READ_FILES)],
    listed: Annotated[Flag, Query(alias="list", description="the listing of a folder, as without")] = None,
    tar: Annotated[Flag, Query(description="a folder as a tar")] = None,
    watch: Annotated[Flag, Query(description="server-sent events of what changes below a folder")] = None,
) -> Response:
    """A file, or a part of it (`Range`), or what lies in a folder. The path is below the home folder.

    Server-sent events of `watch` are `created`, `written` (complete), `deleted` with `{"path", "is_folder"}`, and
    `overflow`: more happened than could be noticed, so list again.
    """
    wanted = files.Wanted(path, listed=listed is not None, tar=tar is not None, watch=watch is not None)
    reading = noting.read(held.lease, path, files.read(desks, held.lease, wanted, request.headers))
    answer, source = await opened(request, reading)
    return await files.handed_on(answer, source, is_watch=wanted.watch)


@router.get("/leases/{lease_id}/files", response_model=Listing)
async def list_home(
    request: Request, desks: DesksDep, noting: NotingDep, held: Annotated[Held, holds_lease(Act.READ_FILES)]
) -> Response:
    """What lies in the home folder."""
    answer, source = await opened(
        request, noting.read(held.lease, "", files.read(desks, held.lease, files.Wanted(""), {}))
    )
    return await files.handed_on(answer, source, is_watch=False)


@router.put(
    "/leases/{lease_id}/files/{path:path}",
    status_code=201,
    openapi_extra={"requestBody": {"content": {"application/octet-stream": _BINARY, "application/x-tar": _BINARY}}},
)
async def put_file(
    path: str,
    request: Request,
    desks: DesksDep,
    noting: NotingDep,
    held: Annotated[Held, holds_lease(Act.WRITE_FILES)],
    tar: Annotated[Flag, Query(description="unpack what comes into this folder")] = None,
) -> Written:
    """Write a file, with the folders above it; a file of this name is replaced once the new one is whole. A path with a
    slash at its end is a folder.
    """
    return await noting.file(
        held.lease, "write", path, files.write(desks, held.lease, path, request, tar=tar is not None)
    )


@router.delete("/leases/{lease_id}/files/{path:path}", status_code=204)
async def delete_file(
    path: str,
    request: Request,
    desks: DesksDep,
    noting: NotingDep,
    held: Annotated[Held, holds_lease(Act.WRITE_FILES)],
    recursive: Annotated[Flag, Query(description="also a folder that is not empty")] = None,
) -> None:
    """Delete a file or a folder."""
    work = while_asked(request, files.delete(desks, held.lease, path, recursive=recursive is not None))
    await noting.file(held.lease, "delete", path, work)


@router.get("/leases/{lease_id}/tree", response_model=Tree)
async def get_tree(
    request: Request,
    desks: DesksDep,
    noting: NotingDep,
    held: Annotated[Held, holds_lease(Act.TREE)],
    ref: Annotated[str | None, Query(max_length=60, description="only what is below this element")] = None,
    depth: Annotated[int, Query(ge=0, le=60, description="levels below it")] = 60,
    most: Annotated[int, Query(alias="max", ge=1, le=1000, description="elements")] = 1000,
    everything: Annotated[Flag, Query(alias="all", description="also what is not shown")] = None,
) -> Response:
    """What the programs on the screen say of their windows, buttons and texts, each with a reference for actions.

    Programs that use GTK 3 say it; pages of browsers are reached by DevTools.
    """
    params: dict[str, Any] = {"ref": ref, "depth": depth, "max": most, "all": None if everything is None else ""}
    given = {name: value for name, value in params.items() if value is not None}

    async def read() -> Tree:
        desk = await desks.of(held.lease)
        async with desk.stream("GET", "tree", params=given) as answer:
            return decoded(await while_asked(request, whole(answer, MOST_TREE_BYTES)), Tree)

    tree = await noting.elements(held.lease, read())
    return Response(tree.model_dump_json(exclude_unset=True), media_type="application/json")

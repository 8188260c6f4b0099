"""The actions of programs on leased desktops and inside their sessions: screen, commands, files, elements."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.convertors import PathConvertor, register_url_convertor

from greenroom.api.bodies import MatchesPattern
from greenroom.api.deps import DesksDep, Logs
from greenroom.api.desk import commands_and_files, service
from greenroom.api.desk.answers import decode_answer
from greenroom.api.desk.commands_and_files import StreamedAnswer, enter_while_connected
from greenroom.api.desk.schemas import ActionsCreate, ActionsDone, ExecCreate, ExecDone, ListingView, Tree, Written
from greenroom.api.desk.transport import read_content, while_connected
from greenroom.api.lease.access import AuthorizedLease, lease_for
from greenroom.api.problems import api_router
from greenroom.api.recording.request_recorder import RequestRecorderDep, StreamedOutputTail
from greenroom.core.actions.plan import Size
from greenroom.core.session.authorization import Act


class FilePathConvertor(PathConvertor):
    """A path whose names may contain line breaks, as those of files may."""

    regex = "(?s:.*)"


register_url_convertor("file", FilePathConvertor())
router = api_router("leases")

Corners = Annotated[str, MatchesPattern(r"[0-9]{1,5}(,[0-9]{1,5}){3}", "four whole numbers, such as 0,0,640,400")]
Side = Annotated[int | None, Query(ge=16, le=8192, description="pixels; width or height alone keeps the aspect ratio")]


@router.post("/leases/{lease_id}/actions", response_model=ActionsDone)
async def act(
    body: ActionsCreate,
    request: Request,
    desks: DesksDep,
    request_recorder: RequestRecorderDep,
    authorized: Annotated[AuthorizedLease, lease_for(Act.INPUT)],
) -> Response:
    """Do these actions on the desktop, in order until one fails; `results` has one entry for each action.

    If an action is unknown or outside the screen, no action is done. If the client disconnects, the other actions are
    cancelled, and pressed keys and buttons are released.
    """
    display = Size(body.display.width, body.display.height) if body.display else None
    work = service.act(desks, authorized.lease, body.actions, screenshot=body.screenshot, display=display)
    done = await request_recorder.record_actions(authorized.lease, body, while_connected(request, work))
    # FastAPI would copy a screenshot several times to validate the answer.
    return Response(msgspec.json.encode(done), media_type="application/json")


@router.get(
    "/leases/{lease_id}/screenshot",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "the screen as a PNG"}},
)
async def get_desk_screenshot(
    desks: DesksDep,
    request_recorder: RequestRecorderDep,
    authorized: Annotated[AuthorizedLease, lease_for(Act.SCREENSHOT)],
    region: Annotated[Corners | None, Query(description="x1,y1,x2,y2; the second corner is not included")] = None,
    width: Side = None,
    height: Side = None,
    cursor: Annotated[bool, Query(description="include the pointer")] = True,
) -> Response:
    """Return the screen of the leased session, or a part of it, as a PNG."""
    numbers = tuple(int(text) for text in region.split(",")) if region else None
    corners = (numbers[0], numbers[1], numbers[2], numbers[3]) if numbers else None
    work = service.screenshot(desks, authorized.lease, region=corners, width=width, height=height, cursor=cursor)
    return Response(await request_recorder.record_screenshot(authorized.lease, work), media_type="image/png")


commands_and_files_router = api_router("leases")

Flag = Literal["", "true", "1"] | None
MAX_TREE_BYTES: Final = 8 << 20
_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}


@commands_and_files_router.post(
    "/leases/{lease_id}/exec",
    response_model=ExecDone,
    responses={
        200: {"content": {"application/x-ndjson": {}}, "description": "the result, or the output while it is written"}
    },
)
async def run(
    body: ExecCreate,
    request: Request,
    desks: DesksDep,
    logs: Logs,
    request_recorder: RequestRecorderDep,
    authorized: Annotated[AuthorizedLease, lease_for(Act.EXEC)],
) -> ExecDone | StreamingResponse:
    """Run a command as the user of the session, in the environment of its desktop, and wait for its end.

    With `stream`, the answer consists of lines of JSON: `{"stdout": "…"}` and `{"stderr": "…"}` as the command writes,
    `{"stdout_base64": "…"}` for output that is not UTF-8, `{}` as a keepalive, and finally `{"exit_code": 0}`, with
    `error_message` if `exit_code` is null. If the client disconnects, the command and all its processes are ended.
    """
    if not body.stream:
        return await request_recorder.record_command(
            authorized.lease,
            body,
            while_connected(request, commands_and_files.run_to_end(desks, logs, authorized, body)),
        )
    tail = StreamedOutputTail()
    running = request_recorder.record_streamed_command(
        authorized.lease, body, commands_and_files.running(desks, logs, authorized, body), tail
    )
    command, source = await enter_while_connected(request, running)
    return StreamedAnswer(
        tail.watch(commands_and_files.output_lines(command)), source, media_type="application/x-ndjson"
    )


_FILE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"application/octet-stream": _BINARY, "application/x-tar": _BINARY, "text/event-stream": {}},
        "description": "a file, the listing or the tar archive of a folder, or events",
    },
    206: {"content": {"application/octet-stream": _BINARY}, "description": "the part of a file"},
    304: {"description": "the file has not changed"},
    416: {"description": "the file has no such part"},
}


@commands_and_files_router.get(
    "/leases/{lease_id}/files/{path:file}", response_model=ListingView, responses=_FILE_RESPONSES
)
async def get_file(
    path: str,
    request: Request,
    desks: DesksDep,
    request_recorder: RequestRecorderDep,
    authorized: Annotated[AuthorizedLease, lease_for(Act.READ_FILES)],
    as_listing: Annotated[Flag, Query(alias="list", description="listing of a folder (default for folders)")] = None,
    tar: Annotated[Flag, Query(description="return the folder as a tar archive")] = None,
    watch: Annotated[Flag, Query(description="server-sent events of changes below a folder")] = None,
) -> Response:
    """Return a file, a part of it (`Range`), or the listing of a folder. The path is below the home folder.

    The server-sent events of `watch` are `created`, `written` (complete), `deleted` with `{"path", "is_folder"}`, and
    `overflow`: events were lost, so list again.
    """
    path_request = commands_and_files.PathRequest(
        path, as_listing=as_listing is not None, tar=tar is not None, watch=watch is not None
    )
    reading = request_recorder.record_read(
        authorized.lease, path, commands_and_files.read(desks, authorized.lease, path_request, request.headers)
    )
    answer, source = await enter_while_connected(request, reading)
    return await commands_and_files.file_answer(answer, source, is_watch=path_request.watch)


@commands_and_files_router.get("/leases/{lease_id}/files", response_model=ListingView)
async def list_home(
    request: Request,
    desks: DesksDep,
    request_recorder: RequestRecorderDep,
    authorized: Annotated[AuthorizedLease, lease_for(Act.READ_FILES)],
) -> Response:
    """List the home folder."""
    answer, source = await enter_while_connected(
        request,
        request_recorder.record_read(
            authorized.lease,
            "",
            commands_and_files.read(desks, authorized.lease, commands_and_files.PathRequest(""), {}),
        ),
    )
    return await commands_and_files.file_answer(answer, source, is_watch=False)


@commands_and_files_router.put(
    "/leases/{lease_id}/files/{path:file}",
    status_code=201,
    openapi_extra={"requestBody": {"content": {"application/octet-stream": _BINARY, "application/x-tar": _BINARY}}},
)
async def put_file(
    path: str,
    request: Request,
    desks: DesksDep,
    request_recorder: RequestRecorderDep,
    authorized: Annotated[AuthorizedLease, lease_for(Act.WRITE_FILES)],
    tar: Annotated[Flag, Query(description="unpack the body, a tar archive, into this folder")] = None,
) -> Written:
    """Write a file, and create the folders above it.

    An existing file is replaced once the new file is complete. A path with a slash at its end is a folder.
    """
    return await request_recorder.record_file_change(
        authorized.lease,
        "write",
        path,
        commands_and_files.write(desks, authorized.lease, path, request, tar=tar is not None),
    )


@commands_and_files_router.delete("/leases/{lease_id}/files/{path:file}", status_code=204)
async def delete_file(
    path: str,
    request: Request,
    desks: DesksDep,
    request_recorder: RequestRecorderDep,
    authorized: Annotated[AuthorizedLease, lease_for(Act.WRITE_FILES)],
    recursive: Annotated[Flag, Query(description="also delete a folder that is not empty")] = None,
) -> None:
    """Delete a file or a folder."""
    work = while_connected(
        request, commands_and_files.delete(desks, authorized.lease, path, recursive=recursive is not None)
    )
    await request_recorder.record_file_change(authorized.lease, "delete", path, work)


@commands_and_files_router.get("/leases/{lease_id}/tree", response_model=Tree)
async def get_tree(
    request: Request,
    desks: DesksDep,
    request_recorder: RequestRecorderDep,
    authorized: Annotated[AuthorizedLease, lease_for(Act.TREE)],
    ref: Annotated[str | None, Query(max_length=60, description="only elements below this element")] = None,
    depth: Annotated[int, Query(ge=0, le=60, description="number of levels")] = 60,
    max_elements: Annotated[int, Query(alias="max", ge=1, le=1000, description="maximum number of elements")] = 1000,
    include_invisible: Annotated[Flag, Query(alias="all", description="include elements that are not visible")] = None,
) -> Response:
    """Return the windows, buttons and texts of the programs on the screen, each with a reference for actions.

    Programs that use GTK 3 provide these elements; for pages of browsers use DevTools.
    """
    options = {"ref": ref, "depth": depth, "max": max_elements, "all": None if include_invisible is None else ""}
    params = {name: value for name, value in options.items() if value is not None}

    async def read() -> Tree:
        desk = await desks.of(authorized.lease)
        async with desk.stream("GET", "tree", params=params) as answer:
            return decode_answer(await while_connected(request, read_content(answer, MAX_TREE_BYTES)), Tree)

    tree = await request_recorder.record_elements(authorized.lease, read())
    return Response(tree.model_dump_json(exclude_unset=True), media_type="application/json")

"""Transfers pictures on the clipboard, because RFB transfers only text, and notifies viewers of copied pictures.

    GET clipboard/         the allowed directions: `out` of the session, and `in`
    GET clipboard/image    the picture on the session's clipboard, as PNG; 404 if there is none
    PUT clipboard/image    a picture for the session's clipboard, as PNG

Two variables allow the directions, for pictures and, in the X server, for text: KASM_SVC_SEND_CUT_TEXT (out) and
KASM_SVC_ACCEPT_CUT_TEXT (in).
"""

import asyncio
import contextlib
import json
import os
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import protocol
import x11
from protocol import CHUNK_BYTES, CONNECTION_CLOSE, BadRequestError, Request, discard_input, reply
from viewers import is_view_only, publish

MAX_BYTES = 16 << 20
"""The size limit of a picture or a text, in either direction."""
READ_TIMEOUT_S = 5
RECONNECT_PAUSE_S = 0.5
PNG = "image/png"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SELECT_SELECTION_INPUT = 2
"""The number of a request of the X extension XFIXES."""
NEW_OWNER = 1
"""The mask of the event that a selection has a new owner."""
GET_SELECTION_OWNER = 23
NEW_OWNER_TIMEOUT_S = 5
POLL_S = 0.002
XCLIP = ("xclip", "-display", ":1", "-selection", "clipboard", "-target")


class ContentError(Exception):
    """The content of the clipboard cannot be read; the message is the reason."""


def is_direction_allowed(variable: str) -> bool:
    """True unless the environment variable disables this direction of the clipboard: its value is 0 or false, or ends
    with it, such as "-SendCutText 0"."""
    return not os.environ.get(variable, "1").strip().lower().endswith(("0", "false"))


OUT, IN = is_direction_allowed("KASM_SVC_SEND_CUT_TEXT"), is_direction_allowed("KASM_SVC_ACCEPT_CUT_TEXT")


async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request below clipboard/."""
    may_copy = not is_view_only(request)
    if request.path == "/clipboard/" and request.method == "GET":
        reply(writer, "200 OK", json.dumps({"out": OUT and may_copy, "in": IN and may_copy}).encode())
    elif request.path != "/clipboard/image" or request.method not in ("GET", "PUT"):
        reply(writer, "404 Not Found", b"")
    elif request.method == "PUT":
        if not IN or not may_copy:
            await refuse(reader, writer, "403 Forbidden", "Copying into this session is not allowed (allow_kasm_clipboard_up).")
        else:
            await put(request, reader, writer)
    elif not OUT or not may_copy:
        await refuse(reader, writer, "403 Forbidden", "Copying from this session is not allowed (allow_kasm_clipboard_down).")
    else:
        await get(writer)


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: str, sentence: str) -> None:
    """Refuse a request and send the reason."""
    await discard_input(reader)
    protocol.refuse(writer, status, sentence)


async def get(writer: asyncio.StreamWriter) -> None:
    """Answer with the picture on the clipboard."""
    try:
        image = await content(PNG)
    except ContentError as error:
        refusal = json.dumps({"error_message": f"{str(error)[:1].upper()}{str(error)[1:]}."})
        return reply(writer, "404 Not Found", refusal.encode())
    return reply(writer, "200 OK", image, PNG) if image else reply(writer, "404 Not Found", b"{}")


async def put(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Receive a picture from the viewer and put it on the clipboard."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MAX_BYTES:
        sentence = f"The picture is too large: up to {MAX_BYTES >> 20} MiB can be on the clipboard."
        return await refuse(reader, writer, "413 Content Too Large", sentence)
    image = bytearray()
    while len(image) < int(length):
        data = await asyncio.wait_for(reader.read(min(CHUNK_BYTES, int(length) - len(image))), READ_TIMEOUT_S)
        if not data:
            raise BadRequestError("the upload of the picture was interrupted")
        image += data
    if not image.startswith(PNG_SIGNATURE):
        return await refuse(reader, writer, "415 Unsupported Media Type", "The data is not a PNG picture.")
    await put_on_clipboard(PNG, bytes(image))
    return reply(writer, "200 OK", b"{}", "application/json", CONNECTION_CLOSE)


async def put_on_clipboard(target: str, data: bytes) -> None:
    """Put data in the format `target` (an X selection target, such as image/png) on the clipboard.

    Raises:
        TimeoutError: the owner of the clipboard did not change.
    """
    async with expect_new_owner():
        process = await asyncio.create_subprocess_exec(*XCLIP, target, "-in", stdin=subprocess.PIPE)
        await process.communicate(data)


async def content(target: str) -> bytes:
    """Read the content of the clipboard in the format `target`; empty if the clipboard does not have the format.

    Raises:
        ContentError: the program that owns the clipboard does not answer, or the content is larger than `MAX_BYTES`.
    """
    output = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*XCLIP, target, "-out", stdout=output, stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            assert process.stdout is not None
            return await read_all(process.stdout)
    except TimeoutError as error:
        raise ContentError(f"the program that owns the clipboard did not send its content within {READ_TIMEOUT_S} s") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # `wait` alone does not return while unread output fills the pipe


async def read_all(output: asyncio.StreamReader) -> bytes:
    """Read all output of a program.

    Raises:
        ContentError: the output is longer than `MAX_BYTES`.
    """
    found = bytearray()
    while data := await output.read(CHUNK_BYTES):
        found += data
        if len(found) > MAX_BYTES:
            raise ContentError(f"the clipboard has more than {MAX_BYTES >> 20} MiB, the maximum that can be read")
    return bytes(found)


async def notify_of_images() -> None:
    """Notify viewers of each picture that a program of the session copies."""
    while OUT:
        with contextlib.suppress(OSError, EOFError):
            async for _ in owner_changes():
                with contextlib.suppress(ContentError):
                    if PNG.encode() in (await content("TARGETS")).split():
                        publish("clipboard")
        await asyncio.sleep(RECONNECT_PAUSE_S)  # the X server may still be starting


async def owner_changes() -> AsyncIterator[None]:
    """Yield whenever a program has put something on the clipboard, until the X server ends."""
    display = await x11.connect()
    try:
        clipboard = await display.atom(b"CLIPBOARD")
        fixes, first_event = await display.extension(x11.FIXES, x11.FIXES_VERSION)
        changed = asyncio.Event()
        display.on_event(first_event, lambda _: changed.set())
        display.on_end(changed.set)
        display.send(struct.pack("<BBHIII", fixes, SELECT_SELECTION_INPUT, 4, display.root, clipboard, NEW_OWNER))
        while True:
            await changed.wait()
            changed.clear()
            if not display.is_open:
                return
            yield
    finally:
        await display.close()


@asynccontextmanager
async def expect_new_owner() -> AsyncIterator[None]:
    """Run the block, then wait until the clipboard has another owner than before: xclip may exit before the X server
    has processed its request.

    Raises:
        TimeoutError: the owner did not change within `NEW_OWNER_TIMEOUT_S`.
    """
    display = await x11.connect()
    try:
        clipboard = await display.atom(b"CLIPBOARD")
        before = await _owner(display, clipboard)
        yield
        async with asyncio.timeout(NEW_OWNER_TIMEOUT_S):
            while await _owner(display, clipboard) == before:
                await asyncio.sleep(POLL_S)
    finally:
        await display.close()


async def _owner(display: x11.Display, clipboard: int) -> int:
    answer = await display.ask(struct.pack("<BxHI", GET_SELECTION_OWNER, 2, clipboard))
    (window,) = struct.unpack_from("<I", answer, 8)
    return window

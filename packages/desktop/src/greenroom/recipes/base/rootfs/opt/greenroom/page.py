"""The web server of a session, called the page in this folder: HTTPS with basic authentication, the files in web/, and
a relay between websockets and the X server.

    page.py FOLDER            the folder of the session's sockets; the password is read from file descriptor 3

The server listens on the port NO_VNC_PORT (default 6901) and accepts the user VNC_USER (default kasm_user):
    GET /health      without password: 200 {"ok": true} if the X server accepts connections, else 503
    GET /…           a file of web/
    /files/…         uploads and downloads (files.py)
    /stream/         the screen as a video (video.py)
    /session-video   the recording of the session, for the Agent (session_video.py)
    /clipboard/…     images on the clipboard (clipboard.py)
    /events          notifications of copying and printing (viewers.py)
    /region          PUT: the time zone and language of the viewer's browser (viewers.py)
    /api/…           statistics of the stream (stats.py)
    /close           the end of all websockets, for the Agent
    /cdp/…           DevTools of the session's browser, for programs; /webdriver/…: its WebDriver (browser.py)
    /desk/…          the desk, for programs that use the screen (desk.py)
    /sound           the sound of programs; /microphone: the sound that programs record (sound.py)
    websocket, any other path: binary messages are the bytes of RFB; a text message is sent back unchanged, so that
                     clients can measure the round trip on the same path as their frames. Header
                     X-Greenroom-Idle-Disconnect-S: close with code 4408 after this time without input; 0 = never
Header X-Greenroom-View-Only: 1 = the viewer may only watch (watching.py). The header is also in answers with files
of web/.
If GREENROOM_DESKTOP is `page`, all requests except /health go to the program of the workspace (`WorkspaceProgram`). The
program serves HTTP without password and certificate on a socket that only page.py uses. Only the standard library is
used. A failure of a connection ends only that connection.
"""

import asyncio
import base64
import ctypes
import hmac
import json
import mimetypes
import os
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import browser
import clipboard
import desk
import files
import session_video
import sound
import stats
from bus import serve_registry
from control import Control, InputGate
from printing import printer
from protocol import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    BadRequestError,
    Request,
    Websocket,
    accept,
    body,
    forward_request,
    frame,
    read_frame,
    reply,
    send_file,
)
from sound import SoundServer
from video import Video
from viewers import event, follow, is_view_only, set_region
from watching import InputMonitor, ViewOnlyFilter

FOLDER = Path(sys.argv[1])
RFB_SOCKET = str(FOLDER / "rfb.sock")
PROGRAM_SOCKET = str(FOLDER / "program.sock")
WEB = Path("/opt/greenroom/web")
FIRST_REQUEST_TIMEOUT_S = 10
NEXT_REQUEST_TIMEOUT_S = 65
PROGRAM_FOLDERS = (desk.FOLDER, *browser.FOLDERS)
"""The first parts of the paths for programs that control the desktop or the browser."""
IDLE_CLOSED = 4408
"""The close code of a websocket whose viewer gave no input for too long, in analogy to the HTTP status 408."""
CLOSE_PATH = "/close"
"""POST `{"code", "reason"}`: end all websockets with this close code; only for the Agent, not through a gateway."""
MAX_CLOSE_BYTES = 1024
CLOSE_TIMEOUT_S = 2
"""The time limit for clients to answer a close of this side."""
REMOVED_HEADERS = ("authorization", "connection")
"""Headers that are not sent to the program of a workspace."""
PR_SET_DUMPABLE = 4
"""An option of prctl."""


class WorkspaceProgram:
    """The program of a workspace with GREENROOM_DESKTOP=page. The program listens on `socket`."""

    def __init__(self, socket: str) -> None:
        self.socket = socket

    async def accepts_connections(self) -> bool:
        """True if the program accepts connections."""
        try:
            _, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return False
        writer.close()
        return True

    async def answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward a request and relay its connection until one side ends."""
        try:
            upstream = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return reply(writer, "503 Service Unavailable", b"", "text/html", "Retry-After: 1")
        headers = [line for line in request.lines[1:] if line.partition(":")[0].strip().lower() not in REMOVED_HEADERS]
        await forward_request([request.lines[0], *headers], request, reader, writer, upstream)
        return None


class Page:
    """The web server of a session. `program` is None unless GREENROOM_DESKTOP is `page`."""

    def __init__(self, user: str, password: str, program: WorkspaceProgram | None) -> None:
        self.program = program
        self.stats = stats.Stats(RFB_SOCKET, user)
        self.authorization = b"Basic " + base64.b64encode(f"{user}:{password}".encode())
        self.video = Video()
        self.control = Control(password)
        self.browser = browser.Browser(self.control)
        self.desk = desk.Desk(RFB_SOCKET, self.control)
        self.websockets: set[Websocket] = set()

    async def answer_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            timeout_s = FIRST_REQUEST_TIMEOUT_S
            while True:
                request = Request(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout_s))
                with self.opened_websocket(request, writer):
                    continues = await self.answer(request, reader, writer)
                if not continues or not request.keeps_alive:
                    break
                await writer.drain()
                timeout_s = NEXT_REQUEST_TIMEOUT_S
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, BadRequestError):
            pass  # this connection has ended; the others continue
        finally:
            writer.close()

    @contextmanager
    def opened_websocket(self, request: Request, writer: asyncio.StreamWriter) -> Iterator[None]:
        """Record the websocket of a request, if it has one, until the end of the block."""
        if "upgrade" not in request.headers or self.program:
            yield
            return
        request.websocket = websocket = Websocket(writer)
        self.websockets.add(websocket)
        try:
            yield
        finally:
            self.websockets.discard(websocket)
            websocket.ended.set()

    async def close_websockets(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a request for CLOSE_PATH after the clients have closed their websockets."""
        order = json.loads(await body(request, reader, MAX_CLOSE_BYTES))
        closing = [asyncio.create_task(one.close(int(order["code"]), str(order["reason"]))) for one in self.websockets]
        if closing:
            _, slow = await asyncio.wait(closing, timeout=CLOSE_TIMEOUT_S)
            for task in slow:
                task.cancel()
        reply(writer, "200 OK", b"{}")

    async def answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer a request. Return False if the connection cannot be used for another request."""
        if request.path == "/health":
            ok = await (self.program.accepts_connections() if self.program else display_answers())
            reply(writer, "200 OK" if ok else "503 Service Unavailable", b'{"ok": %s}' % str(ok).lower().encode())
        elif not hmac.compare_digest(request.headers.get("authorization", "").encode(), self.authorization):
            challenge = 'WWW-Authenticate: Basic realm="session"'
            reply(writer, "401 Unauthorized", b"", "application/json", challenge)
        elif request.path == CLOSE_PATH and request.method == "POST" and "x-forwarded-prefix" not in request.headers:
            await self.close_websockets(request, reader, writer)
            return False
        elif self.program:
            await self.program.answer(request, reader, writer)
            return False
        elif request.path == session_video.PATH:
            await session_video.answer(request, reader, writer)
            return False
        elif request.path == "/stream/":
            return await self.video.answer(request, reader, writer)
        elif request.parts[0] in PROGRAM_FOLDERS:
            await self.answer_control(request, reader, writer)
            return False
        elif request.path in sound.PATHS:
            return await sound.answer(request, reader, writer)
        else:
            return await self.answer_viewer(request, reader, writer)
        return True

    async def answer_control(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a request below PROGRAM_FOLDERS."""
        self.control.sender_of(request)  # records that the session is leased
        await (self.desk if request.parts[0] == desk.FOLDER else self.browser).answer(request, reader, writer)

    async def answer_viewer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer a request of a viewer. Return False if the connection cannot be used for another request."""
        sender = self.control.sender_of(request)
        if request.headers.get("upgrade", "").lower() == "websocket":
            self.video.display_opened()
            try:
                with self.stats.counted(request, writer) as stream:
                    await relay(request, reader, stream, self.video, self.control)
            finally:
                self.video.display_closed()
            return False
        if request.path == "/events":
            state = self.control.state()
            await follow(request, writer, event("control", {**state, "you": sender}) if state["leased"] else b"")
            return False
        if request.parts[0] == stats.FOLDER:
            await self.stats.answer(request, writer)
        elif request.path.startswith("/clipboard/"):
            if request.method == "PUT" and not self.control.may_send(sender):
                await clipboard.refuse(reader, writer, "409 Conflict", self.control.refusal())
            else:
                await clipboard.answer(request, reader, writer)
        elif request.path == "/region":
            await set_region(request, reader, writer, may_change=not (is_view_only(request) or self.control.leased))
        elif request.parts[0] == "files" and request.parts[1:]:
            await files.answer(request, reader, writer)
        else:
            await send_page(writer, request, self.control)
        return True


async def send_page(writer: asyncio.StreamWriter, request: Request, control: Control) -> None:
    """Answer with a file of web/."""
    path = (WEB / request.path.lstrip("/")).resolve()
    if path == WEB or request.path == "/vnc.html":
        path = WEB / "index.html"
    if request.method not in ("GET", "HEAD") or not path.is_relative_to(WEB) or not path.is_file():
        reply(writer, "404 Not Found", b"")
    else:
        headers = ["X-Greenroom-View-Only: 1"] if is_view_only(request) else []
        headers += ["X-Greenroom-Leased: 1"] if control.leased else []
        await send_file(writer, request, path, *headers)


async def display_answers() -> bool:
    """True if the X server accepts connections."""
    try:
        _, writer = await asyncio.open_unix_connection(RFB_SOCKET)
    except OSError:
        return False
    writer.close()
    return True


async def relay(
    request: Request, reader: asyncio.StreamReader, writer: stats.Stream, video: Video, control: Control
) -> None:
    """Accept a websocket and relay RFB between the viewer and the X server until one side ends."""
    try:
        rfb_reader, rfb_writer = await asyncio.open_unix_connection(RFB_SOCKET)
    except OSError:
        return reply(writer, "503 Service Unavailable", b"", "application/json", "Retry-After: 1")
    accept(request, writer)
    gate = InputGate(control, control.sender_of(request), rfb_writer)
    monitor = InputMonitor(video.record_activity, gate)
    view_filter = ViewOnlyFilter() if is_view_only(request) else None
    input_task = asyncio.create_task(copy_input(reader, writer, rfb_writer, monitor, view_filter))
    output_task = asyncio.create_task((view_filter.copy_output if view_filter else copy_output)(rfb_reader, writer))
    tasks = {input_task, output_task}
    if limit_s := request.number("x-greenroom-idle-disconnect-s"):
        tasks.add(asyncio.create_task(until_idle(monitor, limit_s)))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if input_task in done and not input_task.exception():
            writer.write(frame(CLOSE, input_task.result()))
        elif not done & {input_task, output_task}:
            output_task.cancel()
            writer.write(frame(CLOSE, struct.pack(">H", IDLE_CLOSED) + b"no input"))
            # Without this wait, the connection could be reset before the viewer has read the close code.
            await asyncio.wait({input_task}, timeout=CLOSE_TIMEOUT_S)
    finally:
        gate.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        rfb_writer.close()
    return None


async def until_idle(monitor: InputMonitor, limit_s: float) -> None:
    """Wait until a viewer has given no input for `limit_s`."""
    while (left_s := limit_s - monitor.idle_s) > 0:  # noqa: ASYNC110 -- input only postpones the end
        await asyncio.sleep(left_s)


async def copy_input(
    reader: asyncio.StreamReader,
    writer: stats.Stream,
    display: asyncio.StreamWriter,
    monitor: InputMonitor,
    view_filter: ViewOnlyFilter | None,
) -> bytes:
    """Copy input from the viewer's browser to the X server, until the browser closes the websocket. Return the close
    code."""
    kind = BINARY
    while True:
        opcode, data = await read_frame(reader)
        if opcode == CLOSE:
            return data[:2]
        if opcode == PING:
            writer.write(frame(PONG, data))
        elif opcode == PONG:
            writer.record_pong(data)
        else:
            kind = opcode or kind  # 0 continues the previous message
            if kind == TEXT:
                writer.write(frame(TEXT, data))
            else:
                display.write(view_filter.forwarded(data) if view_filter else monitor.process(data))
                await display.drain()


async def copy_output(display: asyncio.StreamReader, writer: stats.Stream) -> None:
    """Copy output from the X server to the viewer's browser."""
    while data := await display.read(1 << 16):
        writer.write(frame(BINARY, data))
        await writer.drain()


def create_tls_context() -> ssl.SSLContext:
    """Create a self-signed certificate for this session, and return a TLS context with the certificate."""
    certificate, key = FOLDER / "certificate.pem", FOLDER / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    options = ["-days", "3650", "-subj", "/CN=session", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *options], check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def hide_memory() -> None:
    """Hide the memory of this process, which contains the password, from other programs of the same user.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the memory of the page cannot be hidden")


async def main() -> None:
    """Serve until the container ends."""
    hide_memory()
    with os.fdopen(3) as password_pipe:
        password = password_pipe.readline().rstrip("\n")
    mimetypes.add_type("text/javascript", ".js")
    program = WorkspaceProgram(PROGRAM_SOCKET) if os.environ.get("GREENROOM_DESKTOP") == "page" else None
    page = Page(os.environ.get("VNC_USER", "kasm_user"), password, program)
    port = int(os.environ.get("NO_VNC_PORT", "6901"))
    tls = create_tls_context()
    server = await asyncio.start_server(page.answer_connection, "0.0.0.0", port, ssl=tls, limit=1 << 18)
    async with server, SoundServer(), printer(FOLDER / "print.sock"), asyncio.TaskGroup() as group:
        group.create_task(files.remove_expired())
        if not program:
            group.create_task(clipboard.notify_of_images())
            group.create_task(serve_registry())
            group.create_task(page.browser.unused_websocket.keep_open())
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

"""The page of a session: HTTPS with basic auth, the files in web/, and a relay from a websocket to the X server.

    page.py RFB_SOCKET        the password is read from file descriptor 3

Served on NO_VNC_PORT to VNC_USER (default kasm_user):
    GET /health      without password: 200 {"ok": true} once the X server accepts connections, else 503
    GET /…           a file of web/
    websocket, any path: binary messages are the bytes of RFB; a text message is sent back as it came, so that the
                     other end can measure the round trip of exactly the way its frames take
Standard library only; what went wrong with one connection ends that connection and nothing else.
"""

import asyncio
import base64
import hashlib
import hmac
import mimetypes
import os
import ssl
import struct
import subprocess
import sys
from pathlib import Path

RFB_SOCKET = sys.argv[1]
WEB = Path("/opt/greenroom/web")
MESSAGE_MAX = 16 << 20
REQUEST_TIMEOUT_S = 10
IDLE_TIMEOUT_S = 65
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SECURITY = (
    "Server: greenroom-desktop",
    "Cache-Control: no-cache",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Content-Security-Policy: default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'",
)


class BadRequestError(Exception):
    """The other end does not speak HTTP or websocket as it should."""


class Request:
    """The head of a request: method, path without query, headers by lower-case name."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        try:
            self.method, target, _ = first.split(" ", 2)
        except ValueError as error:
            raise BadRequestError(first) from error
        self.path = target.split("?")[0]
        pairs = (line.partition(":") for line in lines if line)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may carry another request; one with a body is not read any further."""
        return self.headers.get("connection", "").lower() != "close" and "content-length" not in self.headers


class Page:
    """All connections of one session's page."""

    def __init__(self, user: str, password: str) -> None:
        self.authorization = b"Basic " + base64.b64encode(f"{user}:{password}".encode())

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            timeout_s = REQUEST_TIMEOUT_S
            while True:
                request = Request(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout_s))
                if not await self.answer(request, reader, writer) or not request.keeps_alive:
                    break
                await writer.drain()
                timeout_s = IDLE_TIMEOUT_S
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, BadRequestError):
            pass  # this connection has ended; the others go on
        finally:
            writer.close()

    async def answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection cannot be used for another."""
        if request.path == "/health":
            ok = await display_answers()
            reply(writer, "200 OK" if ok else "503 Service Unavailable", b'{"ok": %s}' % str(ok).lower().encode())
        elif not hmac.compare_digest(request.headers.get("authorization", "").encode(), self.authorization):
            reply(writer, "401 Unauthorized", b"", extra='WWW-Authenticate: Basic realm="session"')
        elif request.headers.get("upgrade", "").lower() == "websocket":
            await relay(request, reader, writer)
            return False
        else:
            send_file(writer, request)
        return True


def reply(
    writer: asyncio.StreamWriter, status: str, body: bytes, mime: str = "application/json", extra: str = ""
) -> None:
    """Write a whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", f"Content-Type: {mime}", *SECURITY]
    writer.write("\r\n".join([*lines, *([extra] if extra else []), "", ""]).encode() + body)


def send_file(writer: asyncio.StreamWriter, request: Request) -> None:
    """Answer with a file of WEB, with an ETag so that a reload moves no bytes."""
    path = (WEB / request.path.lstrip("/")).resolve()
    if path == WEB or request.path == "/vnc.html":
        path = WEB / "index.html"
    if request.method not in ("GET", "HEAD") or not path.is_relative_to(WEB) or not path.is_file():
        return reply(writer, "404 Not Found", b"")
    facts = path.stat()
    etag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
    if request.headers.get("if-none-match") == etag:
        writer.write("\r\n".join(["HTTP/1.1 304 Not Modified", f"ETag: {etag}", *SECURITY, "", ""]).encode())
        return None
    mime = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    body = b"" if request.method == "HEAD" else path.read_bytes()
    return reply(writer, "200 OK", body, mime, f"ETag: {etag}")


async def display_answers() -> bool:
    """Whether the X server accepts connections."""
    try:
        _, writer = await asyncio.open_unix_connection(RFB_SOCKET)
    except OSError:
        return False
    writer.close()
    return True


async def relay(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Upgrade to a websocket and carry RFB over it until one side ends."""
    try:
        rfb_reader, rfb_writer = await asyncio.open_unix_connection(RFB_SOCKET)
    except OSError:
        return reply(writer, "503 Service Unavailable", b"", extra="Retry-After: 1")
    key = request.headers.get("sec-websocket-key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Accept: {accept}"]
    if "binary" in request.headers.get("sec-websocket-protocol", ""):
        lines += ["Sec-WebSocket-Protocol: binary"]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    ways = {
        asyncio.create_task(to_display(reader, writer, rfb_writer)),
        asyncio.create_task(from_display(rfb_reader, writer)),
    }
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        rfb_writer.close()
    return None


async def to_display(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, display: asyncio.StreamWriter) -> None:
    """Browser → X server."""
    kind = BINARY
    while True:
        opcode, data = await read_frame(reader)
        if opcode == CLOSE:
            writer.write(frame(CLOSE, data[:2]))
            return await writer.drain()
        if opcode == PING:
            writer.write(frame(PONG, data))
        elif opcode != PONG:
            kind = opcode or kind  # 0 continues the message before
            if kind == TEXT:
                writer.write(frame(TEXT, data))
            else:
                display.write(data)
                await display.drain()


async def from_display(display: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """X server → browser."""
    while data := await display.read(1 << 16):
        writer.write(frame(BINARY, data))
        await writer.drain()


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Opcode and unmasked payload of the next frame of the client."""
    first, second = await reader.readexactly(2)
    length = second & 127
    if length == 126:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", await reader.readexactly(8))
    if not second & 128 or length > MESSAGE_MAX:
        raise BadRequestError("a frame without mask, or one that is too long")
    mask = await reader.readexactly(4)
    data = await reader.readexactly(length)
    pattern = (mask * (length // 4 + 1))[:length]
    return first & 15, (int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")).to_bytes(length, "big")


def frame(opcode: int, data: bytes) -> bytes:
    """A whole, final frame of the server."""
    length = len(data)
    if length < 126:
        head = struct.pack(">BB", 0x80 | opcode, length)
    elif length < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 126, length)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 127, length)
    return head + data


def own_certificate() -> ssl.SSLContext:
    """TLS with a certificate made now, for this session alone."""
    folder = Path(RFB_SOCKET).parent
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-days", "3650", "-subj", "/CN=session", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make, *names], check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def main() -> None:
    """Serve until the container ends."""
    with os.fdopen(3) as handed_over:
        password = handed_over.readline().rstrip("\n")
    mimetypes.add_type("text/javascript", ".js")
    page = Page(os.environ.get("VNC_USER", "kasm_user"), password)
    port = int(os.environ.get("NO_VNC_PORT", "6901"))
    server = await asyncio.start_server(page.connected, "0.0.0.0", port, ssl=own_certificate(), limit=1 << 18)
    async with server:
        await server.serve_forever()


asyncio.run(main())

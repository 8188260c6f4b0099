"""Lets programs control Chromium, the browser of the session, if the image has DevTools and chromedriver.

    GET, PUT cdp/json/…      the answers of Chromium's DevTools, with the addresses of this server
    websocket cdp/devtools/… the DevTools of the browser or of a web page; cdp/ is the address of the browser
    webdriver/…              W3C WebDriver for the running browser; the first request starts chromedriver

DevTools and chromedriver listen on loopback, and refuse requests with the Origin header of a web page. This server
removes the header, because the gateway has authorized the program. Chromedriver would accept the web pages of local
servers, so it listens on a port to which browsers refuse to connect. While a person has control (control.py), commands
that act are refused; in WebDriver these are all requests except GET and the end of a WebDriver session.

A program that leases a session does not wait for the start of the browser: this server opened a websocket to the
browser while the session was staged (`UnusedWebsocket`). A websocket is used only after it has answered a command,
because Chromium sometimes closes the first websocket immediately.
"""

import asyncio
import base64
import json
import os
import re
import time
from pathlib import Path
from urllib.parse import quote

from control import Control, FilteredWebsocket
from files import UPLOADS, max_bytes
from protocol import TEXT, BadRequestError, Request, accept, discard_input, forward_request, masked, read_head, reply

HOST = "127.0.0.1"
DEVTOOLS = Path("/tmp/.greenroom/devtools")
"""The file to which Chromium's start script (/etc/chromium.d) writes the port of DevTools."""
SETUP = Path("/etc/chromium.d/programs")
"""A file that exists in images whose browser has DevTools."""
MAX_HEAD_BYTES = 1 << 16
MAX_ANSWER_BYTES = 1 << 24
"""The size limit of the short answers of DevTools and chromedriver, which are read as a whole."""
OPEN_TIMEOUT_S = 10.0
REOPEN_PAUSE_S = 1.0
"""The time between two attempts to open the websocket while the browser starts, or after the user closed the
browser."""
TEST_COMMAND = b'{"id": 1, "method": "Browser.getVersion"}'

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

FOLDERS = ("cdp", "webdriver")
DRIVER = "/usr/bin/chromedriver"
DRIVER_PORT = 6697
"""One of the ports to which browsers do not connect: https://fetch.spec.whatwg.org/#port-blocking."""
DRIVER_START_TIMEOUT_S = 10.0
DRIVER_POLL_S = 0.02
MAX_SESSION_BYTES = 1 << 20
"""The size limit of the request for a new WebDriver session."""
UPLOAD = re.compile(r"session/([^/?]+)/(?:se/)?file/?")
"""The path to which Selenium uploads a file for a form field; chromedriver supports only the path without `se/`."""
REMOVED_HEADERS = ("authorization", "connection", "host", "origin", "cookie")
URL_CHARACTERS = "%/:?#[]@!$&'()*+,;=-._~"
REFUSED = "This address is for programs: it needs the token of the session's lease."
NOT_HERE = "This workspace has no browser that programs can control."
NO_BROWSER = "The browser of this session is not running at the moment; try again."


class Browser:
    """Access to the browser of this session, by DevTools and by chromedriver, which is started when a program needs
    it."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.unused_websocket = UnusedWebsocket()
        self.starting = asyncio.Lock()
        self.driver: asyncio.subprocess.Process | None = None

    async def answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a request below FOLDERS; the connection cannot be used for another request."""
        subpath = request.lines[0].split(" ", 2)[1].removeprefix("/").partition("/")[2]
        is_upgrade = "upgrade" in request.headers
        try:
            if request.headers.get("x-greenroom-program") != "1":
                refuse(writer, "403 Forbidden", REFUSED)
            elif self.control.viewer and not is_upgrade and changes_state(request):
                refuse(writer, "409 Conflict", f"held: {self.control.refusal()}")
            elif request.parts[0] == "webdriver":
                await self.forward_to_driver(request, subpath, reader, writer)
            elif is_upgrade:
                await self.connect_devtools(request, subpath, reader, writer)
            else:
                await ask_devtools(request, subpath, writer)
        except FileNotFoundError:
            refuse(writer, "404 Not Found", NOT_HERE)
        except (OSError, EOFError, ValueError, KeyError):
            refuse(writer, "503 Service Unavailable", NO_BROWSER, "Retry-After: 1")

    async def forward_to_driver(
        self, request: Request, subpath: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Forward a request to chromedriver."""
        async with self.starting:
            if self.driver is None or self.driver.returncode is not None:
                await self.start_driver()
        if request.method == "POST" and subpath.rstrip("/") == "session":
            await self.begin_session(request, reader, writer)
        elif request.method == "POST" and (upload := UPLOAD.fullmatch(subpath)):
            if refusal := refusal_to_upload(request):
                await discard_input(reader)
                return refuse(writer, *refusal)
            await forward_to_port(request, DRIVER_PORT, f"session/{upload[1]}/file", reader, writer)
        elif "upgrade" in request.headers:
            websocket = FilteredWebsocket(self.control, reader, writer, request.websocket, is_bidi=True)
            lines = head_for(request, DRIVER_PORT, subpath)
            await websocket.upgrade(lines, await asyncio.open_connection(HOST, DRIVER_PORT))
        else:
            await forward_to_port(request, DRIVER_PORT, subpath, reader, writer)

    async def connect_devtools(
        self, request: Request, subpath: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Connect a program to the DevTools of a web page or of the browser. The websocket of the browser may already
        be open."""
        websocket = FilteredWebsocket(self.control, reader, writer, request.websocket, is_bidi=False)
        if (upstream := await self.unused_websocket.take(subpath)) is not None:
            accept(request, writer)
            return await websocket.carry(*upstream)
        port = port_of_devtools()
        lines = head_for(request, port, subpath or await browser_websocket_path())
        return await websocket.upgrade(lines, await asyncio.open_connection(HOST, port))

    async def start_driver(self) -> None:
        """Start chromedriver.

        Raises:
            OSError: the image has no chromedriver, or chromedriver does not start.
        """
        quiet = asyncio.subprocess.DEVNULL
        self.driver = await asyncio.create_subprocess_exec(
            DRIVER, f"--port={DRIVER_PORT}", "--log-level=OFF", stdin=quiet, stdout=quiet, stderr=quiet
        )
        end_s = time.monotonic() + DRIVER_START_TIMEOUT_S
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, DRIVER_PORT)
            except OSError:
                if self.driver.returncode is None and time.monotonic() < end_s:
                    await asyncio.sleep(DRIVER_POLL_S)
                    continue
                if self.driver.returncode is None:
                    self.driver.kill()
                self.driver = None
                raise
            return writer.close()

    async def begin_session(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Begin a WebDriver session with the running browser; by default chromedriver would start another browser."""
        length = int(request.number("content-length"))
        if not 0 < length <= MAX_SESSION_BYTES:
            return refuse(writer, "413 Content Too Large", "The request requires a Content-Length of at most 1 MiB.")
        try:
            session_request = for_running_browser(
                json.loads(await reader.readexactly(length)), f"{HOST}:{port_of_devtools()}"
            )
        except (ValueError, TypeError, AttributeError, KeyError):
            return refuse(writer, "400 Bad Request", "The request is not a valid JSON request for a new session.")
        status, body = await ask(DRIVER_PORT, "POST", "/session", json.dumps(session_request).encode())
        address = public_address(request, "webdriver").encode()
        return reply(writer, status, re.sub(rb"wss?://(?:127\.0\.0\.1|localhost):\d+(?=/session/)", address, body))


def refusal_to_upload(request: Request) -> tuple[str, str] | None:
    """The status and the message that refuse an upload; None if the upload is allowed. The body is a zip file in
    base64."""
    if not UPLOADS:
        return "403 Forbidden", "Uploads into this session are not allowed."
    if request.number("content-length") * 3 / 4 > max_bytes(request):
        return "413 Content Too Large", "The file is larger than the limit for uploads into this session."
    return None


def changes_state(request: Request) -> bool:
    """True if a request does more than read. GET json/new, json/activate and json/close change the tabs."""
    if request.parts[0] == "webdriver":
        ends_session = request.method == "DELETE" and len(request.parts) == len(("webdriver", "session", "ID"))
        return request.method != "GET" and not ends_session
    return request.method != "GET" or request.parts[2:3] in (["new"], ["activate"], ["close"])


def for_running_browser(session_request: dict[str, dict[str, object]], address: str) -> dict[str, object]:
    """Change a request for a WebDriver session, so that the session uses the browser whose DevTools are at
    `address`."""
    capabilities = session_request.setdefault("capabilities", {})
    always: dict[str, object] = capabilities.setdefault("alwaysMatch", {})
    options = dict(always.get("goog:chromeOptions", {}))
    first = capabilities.get("firstMatch", [])
    for one in first:
        options |= one.pop("goog:chromeOptions", {})
    always["goog:chromeOptions"] = options | {"debuggerAddress": address}
    return {"capabilities": {"alwaysMatch": always, "firstMatch": first or [{}]}}


def public_address(request: Request, folder: str) -> str:
    """The address at which this client reaches the websockets of `folder` ("cdp" or "webdriver")."""
    host, prefix = (request.headers.get(name, "") for name in ("host", "x-forwarded-prefix"))
    return f"wss://{host}{prefix}/{folder}"


async def ask_devtools(request: Request, subpath: str, writer: asyncio.StreamWriter) -> None:
    """Forward a request to DevTools. In the answer, replace the addresses by those that the client can reach."""
    path, question, query = subpath.partition("?")
    if not (path.startswith("json") and request.method in ("GET", "PUT", "POST")):
        return refuse(writer, "404 Not Found", "DevTools serve json/version, json/list, json/new and devtools/….")
    method = "PUT" if request.method == "POST" else request.method
    # a space in the address of a new tab would end the request line
    target = f"/{path.rstrip('/')}{question}{quote(query, safe=URL_CHARACTERS)}"
    status, body = await ask(port_of_devtools(), method, target)
    address = public_address(request, "cdp").encode()
    try:
        content = json.loads(body)
    except ValueError:  # a message as plain text
        return reply(writer, status, body, "text/plain")
    for target in content if isinstance(content, list) else [content]:
        if isinstance(target, dict):
            target.pop("devtoolsFrontendUrl", None)
            target.pop("devtoolsFrontendUrlCompat", None)
    body = json.dumps(content).encode()
    return reply(writer, status, re.sub(rb"ws://(?:127\.0\.0\.1|localhost):\d+(?=/devtools/)", address, body))


async def forward_to_port(
    request: Request, port: int, subpath: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Forward a request to a port, and relay the data of both sides until one side ends."""
    upstream = await asyncio.open_connection(HOST, port)
    await forward_request(head_for(request, port, subpath), request, reader, writer, upstream)


def head_for(request: Request, port: int, subpath: str) -> list[str]:
    """The head of a forwarded request, as lines."""
    kept = [line for line in request.lines[1:] if line.partition(":")[0].strip().lower() not in REMOVED_HEADERS]
    return [f"{request.method} /{subpath} HTTP/1.1", f"Host: {HOST}:{port}", *kept]


def refuse(writer: asyncio.StreamWriter, status: str, sentence: str, *extra: str) -> None:
    """Refuse a request, with an error in the formats of this server and of WebDriver."""
    content = {"error_message": sentence, "value": {"error": "unknown error", "message": sentence, "stacktrace": ""}}
    reply(writer, status, json.dumps(content).encode(), "application/json", "Connection: close", *extra)


def port_of_devtools() -> int:
    """The port of Chromium's DevTools.

    Raises:
        FileNotFoundError: this image has no browser with DevTools.
        ValueError: the port is not written yet.
    """
    return int(DEVTOOLS.read_text())


async def browser_websocket_path() -> str:
    """The path of the browser's own DevTools websocket, without the first slash."""
    _, body = await ask(port_of_devtools(), "GET", "/json/version")
    return str(json.loads(body)["webSocketDebuggerUrl"]).split("/", 3)[3]


async def ask(port: int, method: str, target: str, body: bytes = b"") -> tuple[str, bytes]:
    """Send a request to a local port. Return the status, such as "200 OK", and the body of the answer."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=MAX_HEAD_BYTES)
    try:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}:{port}", "Connection: close"]
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
        size = int(length[1]) if length else 0
        if size > MAX_ANSWER_BYTES:
            raise BadRequestError("the answer is too long")
        return head.split("\r\n", 1)[0].partition(" ")[2], await reader.readexactly(size)
    finally:
        writer.close()


class UnusedWebsocket:
    """A websocket of the browser that no program uses yet."""

    def __init__(self) -> None:
        self._path = ""
        self._streams: Streams | None = None
        self._ended: asyncio.Task[bytes] | None = None

    async def keep_open(self) -> None:
        """Keep one websocket open as long as the session runs. When a program has taken the websocket, or the websocket
        has ended, open another one."""
        while SETUP.exists():
            try:
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    self._path = await browser_websocket_path()
                    self._streams = await connect_websocket(self._path)
            except Exception:  # noqa: BLE001 -- no browser answers, or another program of the user answers at its port
                pass
            else:
                self._ended = asyncio.create_task(self._streams[0].read(1))
                await asyncio.wait({self._ended})
                if self._streams is not None:
                    self._streams[1].close()
                    self._streams = None
            await asyncio.sleep(REOPEN_PAUSE_S)

    async def take(self, path: str) -> Streams | None:
        """Take the open websocket for `path`; an empty path is the websocket of the browser. None if this websocket is
        not open."""
        streams, ended = self._streams, self._ended
        if path not in ("", self._path) or streams is None or ended is None or ended.done():
            return None
        self._streams = None
        ended.cancel()
        await asyncio.wait({ended})
        return streams


async def connect_websocket(path: str) -> Streams:
    """Open a websocket to DevTools and wait for the answer to a command.

    Raises:
        BadRequestError: DevTools refused the websocket, or its answer is too long.
    """
    port = port_of_devtools()
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET /{path} HTTP/1.1", f"Host: {HOST}:{port}", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", ""]
        writer.write("\r\n".join(lines).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if head.split(b" ", 2)[1:2] != [b"101"]:
            raise BadRequestError("no websocket")
        writer.write(masked(TEXT, TEST_COMMAND))
        _, _, _, length = await read_head(reader)
        if length > MAX_ANSWER_BYTES:
            raise BadRequestError("the answer is too long")
        await reader.readexactly(length)
    except BaseException:
        writer.close()
        raise
    return reader, writer

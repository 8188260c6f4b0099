"""Control of a leased session: the right to give input. Either the program or one person has control; the input of all
others is discarded.

    PUT desk/control     an order of the api: {"term", "viewer", "name", "lasts_s"}, signed with the session's password
    GET desk/control     for programs: {"term", "holder", "name"}

The api gives control to a person (`viewer`) or, with an empty `viewer`, to the program. Each change has a term, a
number that increases; an order with an earlier term is refused. The control of a person ends `lasts_s` after the last
order. The gateway sets the header X-Greenroom-Viewer of each request to the sender: `program`, or the id of a person;
clients cannot set the header. In a session that no program has leased, every user with input permission has control.

`InputGate` filters the RFB input of a viewer. `FilteredWebsocket` filters the commands that programs send to the
browser by websocket (DevTools, WebDriver BiDi). Commands that only read, or that concern only the connection, pass.
Commands that act are answered with an error, which affects only this call of the client. They are not delayed: a
delayed command would act after the person has handed back control, although the call of the program may have timed out
by then. A message that began before the change of control passes completely.
"""

import asyncio
import hashlib
import hmac
import json
import os
import re
import time
from collections.abc import Callable, Sequence

from protocol import (
    CLOSE,
    CONNECTION_CLOSE,
    CONTINUATION,
    FIRST_CONTROL_OPCODE,
    MASKED,
    MAX_MESSAGE_BYTES,
    PIECE_BYTES,
    TEXT,
    BadRequestError,
    Request,
    Websocket,
    body,
    copy_bytes,
    frame,
    read_head,
    refuse,
    reply,
    unmasked,
)
from rfb import HANDSHAKE, KEY, PASSED, POINTER, SCAN_CODE, SIZE, UNKNOWN, Piece
from viewers import publish

PROGRAM = "program"
HELD_STATUS = "423 Locked"
MAX_ORDER_BYTES = 4096
PERSON_HAS_CONTROL = "{} has control of this desktop: wait until they hand it back, and look at the screen again then."
PROGRAM_HAS_CONTROL = "A program is using this desktop; take over first."
PASSED_METHODS = frozenset(
    {
        "Target.setDiscoverTargets", "Target.setAutoAttach", "Target.attachToTarget", "Target.attachToBrowserTarget",
        "Target.detachFromTarget", "Target.getTargets", "Target.getTargetInfo", "Target.getBrowserContexts",
        "Browser.getVersion", "Browser.getWindowForTarget", "Page.getFrameTree", "Page.setLifecycleEventsEnabled",
        "Page.captureScreenshot", "Page.getLayoutMetrics", "Page.createIsolatedWorld", "Runtime.runIfWaitingForDebugger", "Runtime.addBinding",
        "Emulation.setFocusEmulationEnabled", "Emulation.setEmulatedMedia", "Network.setCacheDisabled",
        "Fetch.continueRequest", "Fetch.continueWithAuth", "Fetch.failRequest", "Fetch.fulfillRequest",
        "session.status", "session.subscribe", "session.unsubscribe", "browsingContext.getTree",
        "browsingContext.captureScreenshot",
    }
)  # fmt: skip
"""Methods that pass. Some of them do not only read, but a new tab, also a tab of a person, can wait for them."""
LIBRARY_SCRIPT = re.compile(
    r"\s*\(\(\) => \{\s*const module = \{\};.*"
    r"return (?:new \(module\.exports\.(?:InjectedScript|UtilityScript)\(\)\)\(|module\.exports\.default;)",
    re.DOTALL,
)
DOCUMENT_SCRIPT = re.compile(r"\(\) => \{\s*return document;\s*\}\s*(//[^\n]*)?\s*\Z")
PREPARATION_SCRIPTS = {
    "Runtime.evaluate": ("expression", LIBRARY_SCRIPT),
    "Runtime.callFunctionOn": ("functionDeclaration", DOCUMENT_SCRIPT),
}
"""Method → the parameter with the script, and the pattern of scripts that pass. Playwright and Puppeteer prepare each
web page with these scripts: they define functions, which do nothing until they are called, and request the document.
After a refusal the client could never use the page. Other scripts that match pass as well; this is no additional risk,
because a program can also leave a script in the page before a person takes control."""
FILE_COMMANDS = (b"DOM.setFileInputFiles", b"input.setFiles")
"""The commands of DevTools and WebDriver BiDi that put files of the session into a file field."""
MAX_FILES_BYTES = 1 << 16
"""Longer commands are not searched for missing files: they are scripts or pictures."""
NO_FILE = (
    "The session has no file {path}. Write the file into the session with the files of the lease, and pass its path "
    "there, such as /home/kasm-user/report.pdf."
)
SERVER_ERROR = -32000
"""A JSON-RPC error code."""
SCRIPTS = frozenset({"Runtime.evaluate", "Runtime.callFunctionOn", "Runtime.awaitPromise"})
"""Methods that are answered as if their script had raised the error. After any other error Playwright assumes that the
browser leaves the page: it would retry until its timeout, and report only the timeout."""


class Control:
    """The control of one session. `password` is the key that signs orders; `name` is the name of the person in the last
    order."""

    def __init__(self, password: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._password = password.encode()
        self._clock = clock
        self._leased = False
        self._last_order = (0, "")
        self._ends_s = float("inf")
        self._end_timer: asyncio.TimerHandle | None = None
        self._callbacks: set[Callable[[], None]] = set()
        self.name = ""

    @property
    def term(self) -> int:
        """The term of the last order."""
        return self._last_order[0]

    @property
    def leased(self) -> bool:
        """True if a program has leased this session."""
        return self._leased

    @property
    def viewer(self) -> str:
        """The id of the person who has control; empty if the program has control."""
        return self._last_order[1] if self._clock() < self._ends_s else ""

    def sender_of(self, request: Request) -> str:
        """The sender of a request, from the header of the gateway; empty if the session is not leased. Also records
        that the session is leased."""
        sender = request.headers.get("x-greenroom-viewer", "")
        self._leased |= bool(sender)
        return sender

    def may_send(self, sender: str) -> bool:
        """True if input of this sender passes now."""
        return not self._leased or sender == (self.viewer or PROGRAM)

    def refusal(self) -> str:
        """The message for senders who do not have control."""
        return PERSON_HAS_CONTROL.format(self.name) if self.viewer else PROGRAM_HAS_CONTROL

    def apply_order(self, term: int, viewer: str, name: str, lasts_s: float) -> bool:
        """Apply an order. Return False if its term is earlier, or if it names another viewer in the current term."""
        if term < self.term or (term == self.term and viewer != self._last_order[1]):
            return False
        self._leased = True
        self._last_order, self.name = (term, viewer), name
        self._ends_s = self._clock() + lasts_s if viewer else float("inf")
        if self._end_timer:
            self._end_timer.cancel()
        self._end_timer = asyncio.get_running_loop().call_later(lasts_s, self._check_end) if viewer else None
        self._notify()
        return True

    def _check_end(self) -> None:
        if self._last_order[1] and self.viewer:  # a timer can fire too early
            self._end_timer = asyncio.get_running_loop().call_later(max(0.0, self._ends_s - self._clock()), self._check_end)
        else:
            self._notify()

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` whenever control changes. Return a function that removes the callback."""
        self._callbacks.add(callback)
        return lambda: self._callbacks.discard(callback)

    def _notify(self) -> None:
        for callback in list(self._callbacks):
            callback()
        publish("control", **self.state())

    def state(self) -> dict[str, object]:
        """The state of control, for the pages of viewers."""
        return {"leased": self._leased, "term": self.term, "viewer": self.viewer, "name": self.name if self.viewer else ""}

    async def answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a request for desk/control."""
        if request.method == "GET":
            state = {"term": self.term, "holder": "person" if self.viewer else "program", "name": self.state()["name"]}
            return reply(writer, "200 OK", json.dumps(state).encode(), "application/json", CONNECTION_CLOSE)
        if request.method != "PUT":
            return reply(writer, "405 Method Not Allowed", b"{}", "application/json", CONNECTION_CLOSE)
        order = await body(request, reader, MAX_ORDER_BYTES)
        signature = hmac.digest(self._password, order, hashlib.sha256).hex()
        if not hmac.compare_digest(signature.encode(), request.headers.get("x-greenroom-signature", "").encode()):
            return refuse(writer, "403 Forbidden", "Only the api can change the control of this desktop.")
        order_fields = json.loads(order)
        if self.apply_order(int(order_fields["term"]), str(order_fields["viewer"]), str(order_fields["name"]), float(order_fields["lasts_s"])):
            return reply(writer, "200 OK", b'{"ok": true}', "application/json", CONNECTION_CLOSE)
        refusal = b'{"error_message": "The control of this desktop has changed in the meantime.", "code": "held"}'
        return reply(writer, HELD_STATUS, refusal, "application/json", CONNECTION_CLOSE)


class InputGate:
    """Forwards the RFB input of one viewer while the viewer has control.

    When the viewer loses control, their pressed keys and buttons are released: a key that stays pressed would change
    the input of the next holder of control.
    """

    def __init__(self, control: Control, sender: str, display: asyncio.StreamWriter) -> None:
        self._control = control
        self._sender = sender
        self._display = display
        self._passes = True
        self._is_message_complete = True
        self._release_events: dict[bytes, bytes] = {}
        self._pointer = b""
        self.close = control.on_change(self._changed)

    @property
    def lacks_control(self) -> bool:
        """True if the viewer does not have control."""
        return not self._control.may_send(self._sender)

    def forwarded(self, piece: Piece) -> bytes:
        """The bytes that are sent to the X server for this piece of a message.

        Raises:
            BadRequestError: the kind of the message is unknown, and the viewer does not have control.
        """
        if not self._control.leased:
            return piece.data
        if piece.kind == HANDSHAKE:
            # the last byte requests a shared desktop: otherwise the X server would disconnect the program
            return piece.data[:-1] + b"\x01" if piece.ends else piece.data
        if piece.begins:
            self._passes = piece.kind in PASSED or self._may_pass(piece.kind)
        if piece.kind == UNKNOWN and not self._may_pass(UNKNOWN):
            raise BadRequestError("an unreadable message is not forwarded while someone else has control")
        if not self._passes:
            return b""
        self._is_message_complete = piece.ends
        self._record_pressed(piece)
        return piece.data + (self._release_all() if piece.ends and self.lacks_control else b"")

    def _may_pass(self, kind: int) -> bool:
        """True if messages of this kind pass. Only the program may change the size of the screen, because the program
        calculates coordinates from the size."""
        return not self.lacks_control and (kind != SIZE or self._sender == PROGRAM)

    def _record_pressed(self, piece: Piece) -> None:
        data = piece.data
        if piece.kind == POINTER:
            self._pointer = data[-6:]
        elif piece.kind in {KEY, SCAN_CODE} and piece.begins:
            flag = 1 if piece.kind == KEY else 3
            if data[flag]:
                self._release_events[data[4:]] = data[:flag] + b"\0" + data[flag + 1 :]
            else:
                self._release_events.pop(data[4:], None)

    def _changed(self) -> None:
        if self._is_message_complete and self.lacks_control and (released := self._release_all()):
            self._display.write(released)

    def _release_all(self) -> bytes:
        """Key and pointer events that release all pressed keys and buttons."""
        released = b"".join(self._release_events.values())
        self._release_events.clear()
        if self._pointer[1:2] not in (b"", b"\0"):
            released += self._pointer[:1] + b"\0" + self._pointer[2:]
        self._pointer = b""
        return released


def is_acting(command: dict[str, object]) -> bool:
    """True if a command does more than read."""
    method, params = str(command.get("method", "")), command.get("params")
    if method == "Page.addScriptToEvaluateOnNewDocument":  # an empty script only creates an isolated world
        return not isinstance(params, dict) or bool(params.get("source"))
    if method in PREPARATION_SCRIPTS and isinstance(params, dict):
        (name, script) = PREPARATION_SCRIPTS[method]
        return not script.match(str(params.get(name, "")))
    return method not in PASSED_METHODS and method.rpartition(".")[2] not in {"enable", "disable"}


def refusal(message: bytes, sentence: str, *, is_bidi: bool) -> bytes | None:
    """The error that answers a command of a program while a person has control; None if the command passes."""
    try:
        command = json.loads(message)
    except ValueError:
        command = None
    if not isinstance(command, dict):
        command = {}
    elif not is_acting(command):
        return None
    ids = {name: command[name] for name in ("id", "sessionId") if name in command}
    if is_bidi:
        return json.dumps({"type": "error", "id": command.get("id"), "error": "unknown error", "message": sentence}).encode()
    if command.get("method") in SCRIPTS:
        return json.dumps({**ids, "result": script_error(sentence)}).encode()
    return json.dumps({**ids, "error": {"code": SERVER_ERROR, "message": sentence}}).encode()


def missing_file(message: bytes) -> str | None:
    """The first file that a command puts into a file field and that is not in the session, in which the browser would put
    an empty file into the field; None if there is none."""
    if not any(method in message for method in FILE_COMMANDS):
        return None
    try:
        paths = json.loads(message)["params"]["files"]
        return next((path for path in paths if not os.path.isfile(path)), None)
    except (ValueError, KeyError, TypeError):
        return None  # the browser refuses the command


def script_error(sentence: str) -> dict[str, object]:
    """The result of a script that raised an error with this message."""
    error = {"type": "object", "subtype": "error", "className": "Error", "description": f"Error: {sentence}"}
    details = {"exceptionId": 1, "text": "Uncaught", "lineNumber": 0, "columnNumber": 0, "exception": error}
    return {"result": error, "exceptionDetails": details}


class FilteredWebsocket:
    """A websocket between a program and the browser. Commands that act are refused while a person has control, and always
    those that put a missing file into a field."""

    def __init__(self, control: Control, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, websocket: Websocket, *, is_bidi: bool) -> None:
        self._control = control
        self._reader = reader
        self._writer = writer
        self._websocket = websocket
        self._is_bidi = is_bidi

    async def upgrade(self, lines: Sequence[str], upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Send this upgrade request to the browser, and relay the messages of both sides until one side ends."""
        browser, to_browser = upstream
        try:
            # compressed messages could not be inspected
            kept = [line for line in lines if not line.lower().startswith("sec-websocket-extensions:")]
            to_browser.write("\r\n".join([*kept, "Connection: Upgrade", "", ""]).encode("latin-1"))
            head = await browser.readuntil(b"\r\n\r\n")
            self._writer.write(head)
            if head.split(b" ", 2)[1:2] != [b"101"]:
                while data := await browser.read(PIECE_BYTES):
                    self._writer.write(data)
                return
            await self.carry(browser, to_browser)
        finally:
            to_browser.close()

    async def carry(self, browser: asyncio.StreamReader, to_browser: asyncio.StreamWriter) -> None:
        """Relay the messages of both sides on an open websocket until one side ends."""
        directions = {asyncio.create_task(self._to_browser(to_browser)), asyncio.create_task(self._to_program(browser))}
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            to_browser.close()

    async def _to_browser(self, browser: asyncio.StreamWriter) -> None:
        frames = bytearray()
        """The received frames of a message that is inspected. `message` is the unmasked content of the frames."""
        message = bytearray()
        is_inspected = False
        while True:
            head, is_last, opcode, length = await read_head(self._reader)
            if not head[1] & MASKED:
                raise BadRequestError("a frame has no mask")
            if CONTINUATION < opcode < FIRST_CONTROL_OPCODE:
                is_inspected = bool(self._control.viewer) or (is_last and length <= MAX_FILES_BYTES)
            if opcode >= FIRST_CONTROL_OPCODE or not is_inspected:
                browser.write(head)
                await copy_bytes(self._reader, browser, length)
                if opcode == CLOSE and self._websocket.is_closing:
                    return
                continue
            if len(message) + length > MAX_MESSAGE_BYTES:
                raise BadRequestError("a command is too long to be inspected")
            data = await self._reader.readexactly(length)
            frames += head + data
            message += unmasked(data, head[-4:])
            if is_last:
                if (answer := self._refusal(bytes(message))) is None:
                    browser.write(frames)
                else:
                    async with self._websocket.message_lock:
                        self._writer.write(frame(TEXT, answer))
                frames.clear()
                message.clear()
                await asyncio.gather(browser.drain(), self._writer.drain())

    def _refusal(self, message: bytes) -> bytes | None:
        if (path := missing_file(message)) is not None:
            return refusal(message, NO_FILE.format(path=path[:200]), is_bidi=self._is_bidi)
        if not self._control.viewer:  # control was handed back while the message arrived
            return None
        return refusal(message, f"held: {self._control.refusal()}", is_bidi=self._is_bidi)

    async def _to_program(self, browser: asyncio.StreamReader) -> None:
        while True:
            head, is_last, opcode, length = await read_head(browser)
            async with self._websocket.message_lock:
                self._writer.write(head)
                await copy_bytes(browser, self._writer, length)
                while opcode < FIRST_CONTROL_OPCODE and not is_last:
                    head, ends, opcode_inside, length = await read_head(browser)
                    is_last = ends and opcode_inside == CONTINUATION
                    self._writer.write(head)
                    await copy_bytes(browser, self._writer, length)

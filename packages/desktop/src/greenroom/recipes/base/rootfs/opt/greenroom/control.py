"""Who controls the session: the program that leased it, or one person at a time; input of no one else passes.

    PUT desk/control     the api's order: {"term", "viewer", "name", "lasts_s"}, signed with the session's password
    GET desk/control     for programs: {"term", "holder", "name"}

X-Greenroom-Viewer of a request (the gateway sets it, no client can) says whose it is in a leased session: `program`, or one
of the people. Terms only grow, and an order of an earlier one is refused. A person's term ends by itself after `lasts_s`
without another order. A session that no program has leased is everyone's who may type there.

`Gate` is what passes of RFB. `Fenced` is what passes of the commands that programs send to the browser by websocket (DevTools,
WebDriver BiDi): what only looks, or belongs to a connection, passes; what acts is answered here with an error, which clients
raise from that one call and survive. Without it a command that was only late would act after the person has handed back, when the
program has long given it up. A message that began before passes whole.
"""

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Sequence

from protocol import (
    CONTINUATION,
    FIRST_OF_CONTROL,
    LAST,
    MASKED,
    MESSAGE_MAX,
    PIECE_BYTES,
    TEXT,
    BadRequestError,
    Request,
    body,
    frame,
    pass_on,
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
HELD = "{} has control of this desktop: wait until they hand it back, and look at the screen again then."
NOT_YOURS = "A program is using this desktop; take over first."
LOOKS = frozenset(
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
"""Methods that pass. Pages that the person opens wait for some of them, where a program asked for that."""
LIBRARY = re.compile(
    r"\s*\(\(\) => \{\s*const module = \{\};.*"
    r"return (?:new \(module\.exports\.(?:InjectedScript|UtilityScript)\(\)\)\(|module\.exports\.default;)",
    re.DOTALL,
)
DOCUMENT = re.compile(r"\(\) => \{\s*return document;\s*\}\s*(//[^\n]*)?\s*\Z")
PREPARES = {"Runtime.evaluate": ("expression", LIBRARY), "Runtime.callFunctionOn": ("functionDeclaration", DOCUMENT)}
"""What Playwright and Puppeteer do once in each page: they put functions there, which do nothing until they are called, and
ask for the document. A client that was refused this would fail in this page forever: it remembers that. A script that only looks
like these passes as well; who writes one could have left it in the page before."""
SERVER_ERROR = -32000
SCRIPTS = frozenset({"Runtime.evaluate", "Runtime.callFunctionOn", "Runtime.awaitPromise"})
"""Methods that are answered as if the script had raised the error. Another error of theirs is to Playwright a page that is just
being left: it would try again until its time is over, and say so."""


class Control:
    """The control of one session; `password` signs orders."""

    def __init__(self, password: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._password = password.encode()
        self._clock = clock
        self._leased = False
        self._ordered = (0, "")
        self._ends_s = float("inf")
        self._ending: asyncio.TimerHandle | None = None
        self._changed: set[Callable[[], None]] = set()
        self.name = ""

    @property
    def term(self) -> int:
        """The last one that was ordered."""
        return self._ordered[0]

    @property
    def leased(self) -> bool:
        """Whether a program has this session."""
        return self._leased

    @property
    def viewer(self) -> str:
        """Whose input passes: empty = the program's."""
        return self._ordered[1] if self._clock() < self._ends_s else ""

    def who(self, request: Request) -> str:
        """Whose request it is; empty where the session is not leased, as far as the gateway knows."""
        who = request.headers.get("x-greenroom-viewer", "")
        self._leased |= bool(who)
        return who

    def passes(self, who: str) -> bool:
        """Whether input of theirs passes now."""
        return not self._leased or who == (self.viewer or PROGRAM)

    def refusal(self) -> str:
        """What is said to those whose input does not pass."""
        return HELD.format(self.name) if self.viewer else NOT_YOURS

    def order(self, term: int, viewer: str, name: str, lasts_s: float) -> bool:
        """Obey an order; False = it is of an earlier term, or another one of this."""
        if term < self.term or (term == self.term and viewer != self._ordered[1]):
            return False
        self._leased = True
        self._ordered, self.name = (term, viewer), name
        self._ends_s = self._clock() + lasts_s if viewer else float("inf")
        if self._ending:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(lasts_s, self._look) if viewer else None
        self._notify()
        return True

    def _look(self) -> None:
        if self._ordered[1] and self.viewer:  # a timer may be early
            self._ending = asyncio.get_running_loop().call_later(max(0.0, self._ends_s - self._clock()), self._look)
        else:
            self._notify()

    def on_change(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call this when control has changed hands; returns what ends that."""
        self._changed.add(changed)
        return lambda: self._changed.discard(changed)

    def _notify(self) -> None:
        for changed in list(self._changed):
            changed()
        publish("control", **self.state())

    def state(self) -> dict[str, object]:
        """The state, for people."""
        return {"leased": self._leased, "term": self.term, "viewer": self.viewer, "name": self.name if self.viewer else ""}

    async def answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a request for desk/control."""
        if request.method == "GET":
            shown = {"term": self.term, "holder": "person" if self.viewer else "program", "name": self.state()["name"]}
            return reply(writer, "200 OK", json.dumps(shown).encode(), "application/json", LAST)
        if request.method != "PUT":
            return reply(writer, "405 Method Not Allowed", b"{}", "application/json", LAST)
        order = await body(request, reader, MAX_ORDER_BYTES)
        signature = hmac.digest(self._password, order, hashlib.sha256).hex()
        if not hmac.compare_digest(signature.encode(), request.headers.get("x-greenroom-signature", "").encode()):
            return refuse(writer, "403 Forbidden", "Control of this desktop is changed by the api alone.")
        wanted = json.loads(order)
        if self.order(int(wanted["term"]), str(wanted["viewer"]), str(wanted["name"]), float(wanted["lasts_s"])):
            return reply(writer, "200 OK", b'{"ok": true}', "application/json", LAST)
        said = b'{"error_message": "Control has changed hands since.", "code": "held"}'
        return reply(writer, HELD_STATUS, said, "application/json", LAST)


class Gate:
    """What one viewer sends over RFB, while they have control and while they do not.

    When control goes, what they hold is let go: a key that stays pressed would make capitals of what the next one types.
    """

    def __init__(self, control: Control, who: str, display: asyncio.StreamWriter) -> None:
        self._control = control
        self._who = who
        self._display = display
        self._opens = True
        self._is_whole = True
        self._down: dict[bytes, bytes] = {}
        self._pointer = b""
        self.close = control.on_change(self._changed)

    @property
    def watches(self) -> bool:
        """Whether they have no control now."""
        return not self._control.passes(self._who)

    def passed(self, piece: Piece) -> bytes:
        """What of a piece goes to the X server, which understands it.

        Raises BadRequestError: it cannot be read, so it may be input.
        """
        if not self._control.leased:
            return piece.data
        if piece.kind == HANDSHAKE:
            # the desktop is shared in any case: without it the X server would disconnect the program
            return piece.data[:-1] + b"\x01" if piece.ends else piece.data
        if piece.begins:
            self._opens = piece.kind in PASSED or self._may(piece.kind)
        if piece.kind == UNKNOWN and not self._may(UNKNOWN):
            raise BadRequestError("what cannot be read is not passed on while someone else has control")
        if not self._opens:
            return b""
        self._is_whole = piece.ends
        self._note(piece)
        return piece.data + (self._let_go() if piece.ends and self.watches else b"")

    def _may(self, kind: int) -> bool:
        """The size of the screen is the program's: its coordinates are made for it."""
        return not self.watches and (kind != SIZE or self._who == PROGRAM)

    def _note(self, piece: Piece) -> None:
        data = piece.data
        if piece.kind == POINTER:
            self._pointer = data[-6:]
        elif piece.kind in {KEY, SCAN_CODE} and piece.begins:
            flag = 1 if piece.kind == KEY else 3
            if data[flag]:
                self._down[data[4:]] = data[:flag] + b"\0" + data[flag + 1 :]
            else:
                self._down.pop(data[4:], None)

    def _changed(self) -> None:
        if self._is_whole and self.watches and (released := self._let_go()):
            self._display.write(released)

    def _let_go(self) -> bytes:
        """Key and pointer events that release all that is held."""
        released = b"".join(self._down.values())
        self._down.clear()
        if self._pointer[1:2] not in (b"", b"\0"):
            released += self._pointer[:1] + b"\0" + self._pointer[2:]
        self._pointer = b""
        return released


def acts(command: dict[str, object]) -> bool:
    """Whether a command does more than look."""
    method, params = str(command.get("method", "")), command.get("params")
    if method == "Page.addScriptToEvaluateOnNewDocument":  # an empty one makes a world of the client's own, as Playwright does
        return not isinstance(params, dict) or bool(params.get("source"))
    if method in PREPARES and isinstance(params, dict):
        (name, script) = PREPARES[method]
        return not script.match(str(params.get(name, "")))
    return method not in LOOKS and method.rpartition(".")[2] not in {"enable", "disable"}


def refusal(message: bytes, sentence: str, *, is_bidi: bool) -> bytes | None:
    """The answer to a command that may not be carried out now; None = it passes."""
    try:
        command = json.loads(message)
    except ValueError:
        command = None
    if not isinstance(command, dict):
        command = {}
    elif not acts(command):
        return None
    about = {name: command[name] for name in ("id", "sessionId") if name in command}
    if is_bidi:
        return json.dumps({"type": "error", "id": command.get("id"), "error": "unknown error", "message": sentence}).encode()
    if command.get("method") in SCRIPTS:
        return json.dumps({**about, "result": raised(sentence)}).encode()
    return json.dumps({**about, "error": {"code": SERVER_ERROR, "message": sentence}}).encode()


def raised(sentence: str) -> dict[str, object]:
    """The result of a script that raised an error."""
    error = {"type": "object", "subtype": "error", "className": "Error", "description": f"Error: {sentence}"}
    details = {"exceptionId": 1, "text": "Uncaught", "lineNumber": 0, "columnNumber": 0, "exception": error}
    return {"result": error, "exceptionDetails": details}


class Fenced:
    """One websocket between a program and the browser."""

    def __init__(self, control: Control, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_bidi: bool) -> None:
        self._control = control
        self._reader = reader
        self._writer = writer
        self._is_bidi = is_bidi
        self._whole = asyncio.Lock()
        """Held while a message to the program is under way: an answer of ours comes before or after it."""

    async def upgrade(self, lines: Sequence[str], upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Upgrade with this request, and carry all that follows."""
        browser, to_browser = upstream
        try:
            # compressed messages could not be read
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
        """Carry what both say on open websockets, until one side ends."""
        ways = {asyncio.create_task(self._there(to_browser)), asyncio.create_task(self._back(browser))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            to_browser.close()

    async def _there(self, browser: asyncio.StreamWriter) -> None:
        held = bytearray()
        """What came of a message that is looked into, as it came; and the same to be read."""
        message = bytearray()
        looks = False
        while True:
            head, is_last, opcode, length = await read_head(self._reader)
            if not head[1] & MASKED:
                raise BadRequestError("a frame without mask")
            if CONTINUATION < opcode < FIRST_OF_CONTROL:
                looks = bool(self._control.viewer)
            if opcode >= FIRST_OF_CONTROL or not looks:
                browser.write(head)
                await pass_on(self._reader, browser, length)
                continue
            if len(message) + length > MESSAGE_MAX:
                raise BadRequestError("a command that is too long to be looked into")
            data = await self._reader.readexactly(length)
            held += head + data
            message += unmasked(data, head[-4:])
            if is_last:
                if (answer := self._refusal(bytes(message))) is None:
                    browser.write(held)
                else:
                    async with self._whole:
                        self._writer.write(frame(TEXT, answer))
                held.clear()
                message.clear()
                await asyncio.gather(browser.drain(), self._writer.drain())

    def _refusal(self, message: bytes) -> bytes | None:
        if not self._control.viewer:  # handed back while it came
            return None
        return refusal(message, f"held: {self._control.refusal()}", is_bidi=self._is_bidi)

    async def _back(self, browser: asyncio.StreamReader) -> None:
        while True:
            head, is_last, opcode, length = await read_head(browser)
            async with self._whole:
                self._writer.write(head)
                await pass_on(browser, self._writer, length)
                while opcode < FIRST_OF_CONTROL and not is_last:
                    head, ends, opcode_inside, length = await read_head(browser)
                    is_last = ends and opcode_inside == CONTINUATION
                    self._writer.write(head)
                    await pass_on(browser, self._writer, length)

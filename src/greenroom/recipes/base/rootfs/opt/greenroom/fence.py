"""Commands that programs send to the browser by websocket (DevTools, WebDriver BiDi), while a person has control.

What only looks, or belongs to a connection, passes; what acts is answered here with an error, which clients raise from that
one call and survive. Without it a command that was only late would act after the person has handed back, when the program has
long given it up. A message that began before passes whole.
"""

import asyncio
import json
import re
import struct
from collections.abc import Sequence

from answers import BadRequestError, Request
from control import Control
from frames import MESSAGE_MAX, TEXT, frame, unmasked

PIECE_BYTES = 1 << 16
CONTINUATION, FIRST_OF_CONTROL, MASKED = 0, 8, 128
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


async def read_head(reader: asyncio.StreamReader) -> tuple[bytes, bool, int, int]:
    """The head of the next frame with its mask, if it is the last of its message, its opcode, how many bytes follow."""
    head = await reader.readexactly(2)
    length = head[1] & 127
    if length >= 126:
        size = await reader.readexactly(2 if length == 126 else 8)
        head += size
        (length,) = struct.unpack(">H" if len(size) == 2 else ">Q", size)
    if head[1] & MASKED:
        head += await reader.readexactly(4)
    return head, head[0] >= 128, head[0] & 15, length


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int) -> None:
    """Carry so many bytes."""
    while length > 0:
        data = await reader.readexactly(min(length, PIECE_BYTES))
        writer.write(data)
        length -= len(data)
        await writer.drain()

"""The input that the session's page accepts in a leased session (control.py), and the commands that it lets pass."""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import viewers  # type: ignore[import-not-found]
from control import PERSON_HAS_CONTROL, Control, FilteredWebsocket, InputGate, refusal  # type: ignore[import-not-found]
from hypothesis import given
from hypothesis import strategies as st
from protocol import BadRequestError, Request, Websocket  # type: ignore[import-not-found]  -- of the image
from tests.unit.test_desktop_idle import INPUT, NO_INPUT, pieces
from watching import InputMonitor  # type: ignore[import-not-found]

from greenroom.core.lease import person_has_control_text

GREETING = b"RFB 003.008\n\x01\x01"
cuts = st.lists(st.integers(1, 40), max_size=20)


class Display:
    """The data that the X server receives in addition to the messages of viewers."""

    def __init__(self) -> None:
        self.got = b""

    def write(self, data: bytes) -> None:
        self.got += data


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- what runs beside it sets no event
            await asyncio.sleep(0)


def asked(who: str) -> Request:
    return Request(f"GET / HTTP/1.1\r\nX-Greenroom-Viewer: {who}\r\n\r\n".encode())


def leased(clock: Any = lambda: 0.0) -> Control:
    control = Control("secret", clock)
    control.sender_of(asked("program"))
    return control


class Viewer:
    def __init__(self, control: Control, who: str) -> None:
        self.display: Any = Display()
        self._idle = InputMonitor(gate=InputGate(control, who, self.display))

    def send(self, data: bytes) -> bytes:
        return self._idle.process(data)


def key(sym: int, down: int = 1) -> bytes:
    return struct.pack(">BBxxI", 4, down, sym)


def pointer(mask: int, x: int = 5, y: int = 7) -> bytes:
    return struct.pack(">BBHH", 5, mask, x, y)


def test_before_anyone_is_asked_a_leased_session_is_the_programs():
    control = leased()
    assert control.may_send("program")
    assert not control.may_send("user")
    assert not control.may_send(""), "who is unknown may not"
    assert Control("secret").may_send(""), "what is not leased is everyone's"


async def test_an_order_of_an_earlier_term_is_not_obeyed_and_one_is_of_one_person():
    control = leased()
    assert control.apply_order(2, "user", "Ada", 30)
    assert not control.apply_order(1, "v1", "Ines", 30)
    assert not control.apply_order(2, "v1", "Ines", 30)
    assert [control.may_send(who) for who in ("user", "v1", "program")] == [True, False, False]
    assert control.apply_order(2, "user", "Ada", 30), "they renew it"
    assert control.apply_order(3, "", "", 0)
    assert [control.may_send(who) for who in ("user", "v1", "program")] == [False, False, True]


async def test_a_persons_term_ends_by_itself():
    now = [0.0]
    control = leased(lambda: now[0])
    changes: list[bool] = []
    control.on_change(lambda: changes.append(control.may_send("program")))
    control.apply_order(1, "user", "Ada", 0.01)
    now[0] = 0.02
    assert control.may_send("program")
    await until(lambda: len(changes) == 2)
    assert changes[-1]
    assert control.state() == {"leased": True, "term": 1, "viewer": "", "name": ""}


@given(said=st.lists(st.one_of(INPUT, NO_INPUT), max_size=12), at=cuts)
def test_of_who_has_no_control_what_asks_for_pictures_passes_alone(said: list[bytes], at: list[int]):
    viewer = Viewer(leased(), "user")
    sent = GREETING[:-1] + b"\0" + b"".join(said)
    passed = b"".join(viewer.send(piece) for piece in pieces(sent, at))
    pictures = [one for one in said if one[0] in (0, 2, 3, 150, 248)]
    assert passed == GREETING + b"".join(pictures), "and the desktop is shared, or the program would be disconnected"


@given(said=st.lists(st.one_of(INPUT, NO_INPUT), max_size=12), at=cuts)
def test_of_the_program_all_passes_and_of_a_person_all_but_the_size(said: list[bytes], at: list[int]):
    control = leased()
    program = Viewer(control, "program")
    assert b"".join(program.send(piece) for piece in pieces(GREETING + b"".join(said), at)) == GREETING + b"".join(said)

    async def by_person() -> bytes:
        control.apply_order(1, "user", "Ada", 30)
        viewer = Viewer(control, "user")
        return b"".join(viewer.send(piece) for piece in pieces(GREETING + b"".join(said), at))

    assert asyncio.run(by_person()) == GREETING + b"".join(one for one in said if one[0] != 251)


async def test_what_is_held_is_let_go_when_control_goes():
    control = leased()
    control.apply_order(1, "user", "Ada", 30)
    viewer = Viewer(control, "user")
    scan = struct.pack(">BBHII", 255, 0, 1, 0xFFE3, 29)
    viewer.send(GREETING + key(0xFFE1) + key(0x41) + key(0x41, 0) + scan + pointer(1, 300, 200))
    control.apply_order(2, "", "", 0)
    assert viewer.display.got == key(0xFFE1, 0) + struct.pack(">BBHII", 255, 0, 0, 0xFFE3, 29) + pointer(0, 300, 200)
    assert viewer.send(key(0x42) + pointer(1)) == b""
    control.apply_order(3, "user", "Ada", 30)
    assert viewer.send(key(0x42)) == key(0x42)
    assert len(viewer.display.got) == 26, "once"


async def test_a_message_under_way_passes_whole_and_what_is_held_after_it():
    control = leased()
    control.apply_order(1, "user", "Ada", 30)
    viewer = Viewer(control, "user")
    text = struct.pack(">Bxxxi", 6, 6) + b"secret"
    assert viewer.send(GREETING + key(0xFFE1) + text[:10]) == GREETING + key(0xFFE1) + text[:10]
    control.apply_order(2, "", "", 0)
    assert viewer.display.got == b"", "in the middle of a message the X server would take it for text"
    assert viewer.send(text[10:] + key(0x42)) == text[10:] + key(0xFFE1, 0)


@pytest.mark.parametrize("who", ["user", "program"])
async def test_what_cannot_be_read_ends_the_connection_of_who_has_no_control(who: str):
    control = leased()
    if who == "program":
        control.apply_order(1, "user", "Ada", 30)
    with pytest.raises(BadRequestError):
        Viewer(control, who).send(GREETING + b"\x63")


def test_the_image_and_the_api_say_the_same_to_a_program():
    assert PERSON_HAS_CONTROL.format("Ines") == person_has_control_text("Ines")


class Followed(Display):
    """A viewer's end of GET events."""

    def is_closing(self) -> bool:
        return False

    async def drain(self) -> None:
        await asyncio.sleep(0)


async def test_who_may_only_watch_learns_who_has_control_and_nothing_else():
    user: Any = Followed()
    watcher: Any = Followed()
    both = {user: asked("user"), watcher: Request(b"GET /events HTTP/1.1\r\nX-Greenroom-View-Only: 1\r\n\r\n")}
    following = [asyncio.create_task(viewers.follow(request, writer, b"first")) for writer, request in both.items()]
    await until(lambda: user.got.endswith(b"first") and watcher.got.endswith(b"first"))
    viewers.publish("printed", name="a.pdf")
    leased().apply_order(1, "user", "Ada", 30)
    await until(lambda: b"Ada" in user.got and b"Ada" in watcher.got)
    assert (b"a.pdf" in user.got, b"a.pdf" in watcher.got) == (True, False)
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)


HELD_NOW = "held: Ines has control."


@pytest.mark.parametrize(
    "method",
    [
        "Page.enable",
        "Target.setAutoAttach",
        "Runtime.runIfWaitingForDebugger",
        "Page.captureScreenshot",
        "Fetch.disable",
    ],
)
def test_what_looks_or_belongs_to_a_connection_passes(method: str):
    assert refusal(json.dumps({"id": 1, "method": method}).encode(), HELD_NOW, is_bidi=False) is None


@pytest.mark.parametrize(
    "method",
    [
        "Input.dispatchKeyEvent",
        "Runtime.runScript",
        "Page.navigate",
        "Target.createTarget",
        "Target.sendMessageToTarget",
    ],
)
def test_what_acts_is_answered_with_an_error_of_its_own(method: str):
    command = {"id": 7, "method": method, "sessionId": "A", "params": {}}
    said = refusal(json.dumps(command).encode(), HELD_NOW, is_bidi=False)
    assert said is not None
    assert json.loads(said) == {"id": 7, "sessionId": "A", "error": {"code": -32000, "message": HELD_NOW}}


@pytest.mark.parametrize(
    "end",
    [
        "return new (module.exports.InjectedScript())(globalThis, {});\n})();",
        "return new (module.exports.UtilityScript())(globalThis, false);\n})();",
        "return module.exports.default;\n})()\n//# sourceURL=pptr:internal",
        "",
    ],
)
def test_what_clients_put_into_a_page_before_their_scripts_passes(end: str):
    script = f"\n (() => {{\n const module = {{}};\n var a=1;\n{end}"
    command = {"id": 1, "method": "Runtime.evaluate", "params": {"expression": script}}
    assert (refusal(json.dumps(command).encode(), HELD_NOW, is_bidi=False) is None) == bool(end)


@pytest.mark.parametrize(("then", "passes"), [("", True), ("\n//# sourceURL=pptr:x\n", True), ("\nclick()", False)])
def test_to_ask_for_the_document_passes(then: str, passes: bool):
    declared = f"() => {{\n return document;\n }}{then}"
    command = {"id": 1, "method": "Runtime.callFunctionOn", "params": {"functionDeclaration": declared}}
    assert (refusal(json.dumps(command).encode(), HELD_NOW, is_bidi=False) is None) == passes


@pytest.mark.parametrize("method", ["Runtime.evaluate", "Runtime.callFunctionOn", "Runtime.awaitPromise"])
def test_a_script_that_does_not_run_ends_as_if_it_had_raised_the_error(method: str):
    said = refusal(json.dumps({"id": 7, "sessionId": "A", "method": method}).encode(), HELD_NOW, is_bidi=False)
    assert said is not None
    answer = json.loads(said)
    assert (answer["id"], answer["sessionId"], "error" in answer) == (7, "A", False)
    assert answer["result"]["exceptionDetails"]["exception"]["description"] == f"Error: {HELD_NOW}"


@pytest.mark.parametrize("message", [b"no json", b"[]", b"{}", b'{"id": 1, "method": 5}'])
def test_what_is_no_command_does_not_pass(message: bytes):
    assert refusal(message, HELD_NOW, is_bidi=False) is not None


def test_a_script_for_new_pages_passes_if_it_is_empty():
    def said(source: str) -> bytes | None:
        command = {"id": 1, "method": "Page.addScriptToEvaluateOnNewDocument", "params": {"source": source}}
        return refusal(json.dumps(command).encode(), HELD_NOW, is_bidi=False)

    assert said("") is None
    assert said("click()") is not None


def masked(data: bytes, *, first: int = 0x81) -> bytes:
    mask = b"\x01\x02\x03\x04"
    head = bytes([first, 0x80 | len(data)]) if len(data) < 126 else struct.pack(">BBH", first, 0xFE, len(data))
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def plain(data: bytes, *, first: int = 0x81) -> bytes:
    return bytes([first, len(data)]) + data


class Browser:
    """A websocket server of the browser; `got` contains the received messages."""

    def __init__(self) -> None:
        self.reader: Any = asyncio.StreamReader()
        self.reader.feed_data(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        self.got = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.got += data

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def close(self) -> None:
        self.closed = True


async def test_a_websocket_passes_whole_until_a_takeover_with_answers_between_messages():
    control = leased()
    program: Any = Browser()
    browser: Any = Browser()
    program.reader = asyncio.StreamReader()
    fenced = FilteredWebsocket(control, program.reader, program, Websocket(program), is_bidi=False)
    lines = ["GET /devtools/browser/1 HTTP/1.1", "Sec-WebSocket-Extensions: permessage-deflate", "Upgrade: websocket"]
    carried = asyncio.create_task(fenced.upgrade(lines, (browser.reader, browser)))
    click = json.dumps({"id": 1, "method": "Input.dispatchMouseEvent"}).encode()
    look = json.dumps({"id": 2, "method": "Page.enable"}).encode()
    program.reader.feed_data(masked(click))
    await until(lambda: browser.got.endswith(masked(click)))
    assert b"deflate" not in browser.got
    sent = len(browser.got)
    browser.reader.feed_data(plain(b"half", first=0x01))
    await until(lambda: program.got.endswith(b"half"))
    control.apply_order(1, "user", "Ada", 30)
    program.reader.feed_data(masked(click[:9], first=0x01) + masked(b"?", first=0x89) + masked(click[9:], first=0x80))
    program.reader.feed_data(masked(look))
    await until(lambda: masked(b"?", first=0x89) in browser.got[sent:])
    assert b"held" not in program.got, "an answer in the middle of a message would break it"
    browser.reader.feed_data(plain(b"ping", first=0x89) + plain(b" whole", first=0x80))
    await until(lambda: b"held" in program.got and browser.got.endswith(masked(look)))
    assert browser.got[sent:] == masked(b"?", first=0x89) + masked(look)
    begin, whole = program.got.index(plain(b"half", first=0x01)), program.got.index(plain(b" whole", first=0x80))
    assert begin < whole < program.got.index(b"held: Ada has control")
    control.apply_order(2, "", "", 0)
    program.reader.feed_data(masked(click))
    await until(lambda: browser.got.endswith(masked(click)))
    program.reader.feed_eof()
    await asyncio.wait_for(carried, 5)
    assert browser.closed


async def test_a_close_waits_for_the_end_of_a_message_and_ends_with_the_answer():
    program: Any = Browser()
    browser: Any = Browser()
    program.reader, browser.reader = asyncio.StreamReader(), asyncio.StreamReader()
    websocket = Websocket(program)
    filtered = FilteredWebsocket(leased(), program.reader, program, websocket, is_bidi=False)
    carried = asyncio.create_task(filtered.carry(browser.reader, browser))
    browser.reader.feed_data(plain(b"half", first=0x01))
    await until(lambda: program.got.endswith(b"half"))
    closing = asyncio.create_task(websocket.close(4410, "The session has ended."))
    browser.reader.feed_data(plain(b" whole", first=0x80) + plain(b"late"))
    close = plain(b"\x11\x3aThe session has ended.", first=0x88)
    await until(lambda: program.got.endswith(close))
    assert program.got == plain(b"half", first=0x01) + plain(b" whole", first=0x80) + close
    program.reader.feed_data(masked(close[2:], first=0x88))
    await asyncio.wait_for(carried, 5)
    websocket.ended.set()
    await asyncio.wait_for(closing, 5)


@pytest.mark.parametrize(
    ("is_bidi", "method"), [(False, "DOM.setFileInputFiles"), (True, "input.setFiles")], ids=["DevTools", "BiDi"]
)
async def test_a_file_that_the_session_does_not_have_is_refused(tmp_path: Path, is_bidi: bool, method: str):
    program: Any = Browser()
    browser: Any = Browser()
    program.reader, browser.reader = asyncio.StreamReader(), asyncio.StreamReader()
    filtered = FilteredWebsocket(leased(), program.reader, program, Websocket(program), is_bidi=is_bidi)
    carried = asyncio.create_task(filtered.carry(browser.reader, browser))
    (tmp_path / "here").touch()
    files = [str(tmp_path / "here"), "C:\\there.pdf"]
    missing, present = (
        masked(json.dumps({"id": number, "method": method, "params": {"files": paths}}).encode())
        for number, paths in ((1, files), (2, files[:1]))
    )
    program.reader.feed_data(missing + present)
    await until(lambda: browser.got == present)
    assert b"The session has no file C:\\\\there.pdf." in program.got
    program.reader.feed_eof()
    await asyncio.wait_for(carried, 5)

# pyright: basic, reportMissingImports=false
"""Calls of the unchanged SDKs of hosted browser services: `calls.py SDK URL KEY`. Writes a line of JSON for each call.

The line of a call has its name, and `found`, a part of the answer, or `error`. `{"ready": …}` is no call: the program
then waits for a line on its input, so that the test can use the browser meanwhile.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

import browserbase
import kernel
import steel

PNG = b"\x89PNG\r\n\x1a\n"


def say(line: dict[str, Any]) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def call(name: str, asked: Callable[[], Any], found: Callable[[Any], Any] = bool) -> Any:
    """Make a call, print the checked fields of its answer, and return the answer."""
    try:
        answer = asked()
        say({"call": name, "found": found(answer)})
    except Exception as error:  # noqa: BLE001 -- the test shows every failed call
        say({"call": name, "error": f"{type(error).__name__}: {error}"})
        return None
    return answer


def pause(cdp: str) -> None:
    """Let the test use the browser."""
    say({"ready": cdp})
    sys.stdin.readline()


def refused(status: int, asked: Callable[[], Any]) -> bool:
    """True if the service answers with this status."""
    try:
        asked()
    except (kernel.APIStatusError, steel.APIStatusError, browserbase.APIStatusError) as error:
        return error.status_code == status
    return False


def use_kernel(url: str, key: str) -> None:
    """Browsers, computer actions, commands and replays."""
    client = kernel.Kernel(api_key=key, base_url=url, max_retries=0)
    browser = call("create", lambda: client.browsers.create(timeout_seconds=300, tags={"job": "1"}), lambda b: b.tags)
    session_id = browser.session_id
    call("retrieve", lambda: client.browsers.retrieve(session_id), lambda b: b.cdp_ws_url == browser.cdp_ws_url)
    call("list", lambda: [b.session_id for b in client.browsers.list()], lambda ids: session_id in ids)
    pause(browser.cdp_ws_url)
    computer = client.browsers.computer
    call("click_mouse", lambda: computer.click_mouse(session_id, x=640, y=400), lambda _: None)
    call("move_mouse", lambda: computer.move_mouse(session_id, x=300, y=200), lambda _: None)
    call("get_mouse_position", lambda: computer.get_mouse_position(session_id), lambda at: [at.x, at.y])
    call("type_text", lambda: computer.type_text(session_id, text="Greenroom"), lambda _: None)
    call("press_key", lambda: computer.press_key(session_id, keys=["Ctrl+a", "Delete"]), lambda _: None)
    call("scroll", lambda: computer.scroll(session_id, x=640, y=400, delta_y=2), lambda _: None)
    call("drag_mouse", lambda: computer.drag_mouse(session_id, path=[[10, 300], [200, 300]]), lambda _: None)
    call("write_clipboard", lambda: computer.write_clipboard(session_id, text="Grüße"), lambda _: None)
    call("read_clipboard", lambda: computer.read_clipboard(session_id), lambda one: one.text)
    steps = [{"type": "sleep", "sleep": {"duration_ms": 10}}, {"type": "move_mouse", "move_mouse": {"x": 5, "y": 6}}]
    call("batch", lambda: computer.batch(session_id, actions=steps), lambda _: None)
    part = {"x": 0, "y": 0, "width": 100, "height": 50}
    call(
        "capture_screenshot",
        lambda: computer.capture_screenshot(session_id, region=part),
        lambda p: p.read()[:8] == PNG,
    )
    command = {"command": "sh", "args": ["-c", "printf $WORD; exit 3"], "env": {"WORD": "Grüße"}}
    call(
        "process.exec",
        lambda: client.browsers.process.exec(session_id, **command),
        lambda done: [done.exit_code, base64.b64decode(done.stdout_b64).decode()],
    )
    call("replays.list", lambda: client.browsers.replays.list(session_id), list)
    call("create with stealth", lambda: refused(501, lambda: client.browsers.create(stealth=True)))
    call("replays.start", lambda: refused(501, lambda: client.browsers.replays.start(session_id)))
    call("retrieve an unknown one", lambda: refused(404, lambda: client.browsers.retrieve("none")))
    call("delete_by_id", lambda: client.browsers.delete_by_id(session_id), lambda _: None)
    call("list after it", lambda: [b.session_id for b in client.browsers.list()], lambda ids: session_id not in ids)


def use_steel(url: str, key: str) -> None:
    """Sessions and computer actions."""
    client = steel.Steel(steel_api_key=key, base_url=url, max_retries=0)
    sessions = client.sessions
    session = call("create", lambda: sessions.create(api_timeout=300_000), lambda one: [one.status, one.timeout])
    call("retrieve", lambda: sessions.retrieve(session.id), lambda one: one.websocket_url == session.websocket_url)
    call("list", lambda: [one.id for one in sessions.list(status="live")], lambda ids: session.id in ids)
    call("live_details", lambda: sessions.live_details(session.id), lambda one: one.ws_url == session.websocket_url)
    call("events", lambda: sessions.events(session.id), list)
    pause(session.websocket_url)
    for name, action in {
        "click_mouse": {"coordinates": [640, 400]},
        "move_mouse": {"coordinates": [300, 200]},
        "type_text": {"text": "Greenroom"},
        "press_key": {"keys": ["Control", "a"]},
        "scroll": {"coordinates": [640, 400], "delta_y": 200},
        "drag_mouse": {"path": [[10, 300], [200, 300]]},
        "wait": {"duration": 0.1},
    }.items():
        call(
            name, lambda name=name, action=action: sessions.computer(session.id, action=name, **action), lambda _: None
        )
    where = {"action": "get_cursor_position"}
    call("get_cursor_position", lambda: sessions.computer(session.id, **where), lambda one: one.output)
    picture = lambda one: base64.b64decode(one.base64_image)[:8] == PNG  # noqa: E731
    call("take_screenshot", lambda: sessions.computer(session.id, action="take_screenshot"), picture)
    call("create with a proxy", lambda: refused(501, lambda: sessions.create(use_proxy=True)))
    call("context", lambda: refused(501, lambda: sessions.context(session.id)))
    call("release", lambda: sessions.release(session.id), lambda one: one.success)
    call("release_all", sessions.release_all, lambda one: one.message)


def use_browserbase(url: str, key: str) -> None:
    """Sessions, their live view and logs."""
    client = browserbase.Browserbase(api_key=key, base_url=url, max_retries=0)
    sessions = client.sessions
    data = {"job": "1"}
    session = call(
        "create", lambda: sessions.create(api_timeout=300, user_metadata=data), lambda one: one.user_metadata
    )
    call(
        "retrieve",
        lambda: sessions.retrieve(session.id),
        lambda one: [one.status, one.connect_url == session.connect_url],
    )
    call("list", lambda: [one.id for one in sessions.list(status="RUNNING")], lambda ids: session.id in ids)
    call("debug", lambda: sessions.debug(session.id), lambda one: one.ws_url == session.connect_url)
    call("logs.list", lambda: sessions.logs.list(session.id), list)
    pause(session.connect_url)
    call("create with proxies", lambda: refused(501, lambda: sessions.create(proxies=True)))
    call("downloads.list", lambda: refused(501, lambda: sessions.downloads.list(session.id)))
    call("update", lambda: sessions.update(session.id, status="REQUEST_RELEASE"), lambda one: one.status)
    call(
        "a wrong key",
        lambda: refused(401, browserbase.Browserbase(api_key="a:b", base_url=url).sessions.list),
    )


if __name__ == "__main__":
    {"kernel": use_kernel, "steel": use_steel, "browserbase": use_browserbase}[sys.argv[1]](*sys.argv[2:])

"""The desk: the interface through which programs see and use the screen of the session (docs/reference/actions.md).

    GET  desk/state         {"width", "height", "pointer": [x, y], "held": buttons}
    POST desk/steps         {"actions": [[step, …], …], "expected": state, "screenshot": {"width", "height", "cursor"}}
                            → {"results": [{"done", "ms", "error", "coordinate", "text", "screenshot"}, …],
                               "screenshot", "state"}
    GET  desk/screenshot    PNG; ?region=x1,y1,x2,y2 &width= &height= &cursor=0
    desk/exec               desk_exec.py; desk/files: desk_files.py; desk/tree: desk_tree.py
    desk/control            control of the session (control.py)

If the state of the screen differs from `expected`, no step is executed, and the answer is 409 with `state`. Requests
with steps are processed one after the other. If a program disconnects, the keys and buttons that its request pressed
are released. While a person has control, steps are refused with 423. When a person takes control, running steps end,
and all keys and buttons that programs pressed are released.
"""

import asyncio
import base64
import contextlib
import importlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from control import HELD_STATUS, Control
from protocol import CONNECTION_CLOSE, BadRequestError, Request, body, refuse, reply
from rfb import Input
from screen import Screen
from steps import Result, Step, StepError, StepExecutor, checked

FOLDER = "desk"
MAX_BODY_BYTES = 8 << 20
MAX_WAITING = 16
"""The maximum number of requests with steps that wait or run at the same time."""
REFUSED = "This address is for programs: it needs the token of the session's lease."
NO_SCREEN = "The X server of this session does not answer; the session may be ending."

RARELY_NEEDED = ("exec", "files", "tree")
"""Paths whose modules (desk_exec.py and so on) are imported at the first request: most sessions never need them."""

Answer = Callable[[Request, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def imported_when_needed(module: str) -> Answer:
    """Return an `answer` that imports the module on its first use."""

    async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await importlib.import_module(module).answer(request, reader, writer)

    return answer


class Desk:
    """The desk of a session. `folders`: the second part of a path → the function that answers."""

    def __init__(self, rfb_socket: str, control: Control) -> None:
        self.control = control
        self.screen = Screen()
        self.input = Input(rfb_socket)
        self.executor = StepExecutor(self.screen, self.input)
        self._steps_lock = asyncio.Lock()
        self._waiting = 0
        self._work: set[asyncio.Task[Any]] = set()
        self.folders: dict[str, Answer] = {"state": self._state, "steps": self._steps, "screenshot": self._screenshot}
        self.folders |= {name: imported_when_needed(f"desk_{name}") for name in RARELY_NEEDED}
        self.folders["control"] = control.answer
        control.on_change(self._on_control_change)

    async def answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a request below desk/; the connection cannot be used for another request."""
        answer = self.folders.get(request.parts[1]) if len(request.parts) > 1 else None
        try:
            if request.headers.get("x-greenroom-program") != "1":
                refuse(writer, "403 Forbidden", REFUSED)
            elif answer is None:
                refuse(writer, "404 Not Found", f"This address does not exist; the desk has {', '.join(self.folders)}.")
            else:
                await answer(request, reader, writer)
        except StepError as error:
            refuse(writer, "400 Bad Request", f"{error}.")
        except OSError:
            refuse(writer, "503 Service Unavailable", NO_SCREEN, "Retry-After: 1")

    async def state(self) -> dict[str, Any]:
        """The state of the screen, in the format of desk/state."""
        (width, height), (x, y, held) = await self.screen.size(), await self.screen.pointer()
        return {"width": width, "height": height, "pointer": [x, y], "held": held}

    async def _state(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply_json(writer, "200 OK", await self.state())

    async def _screenshot(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        region = request.query.get("region")
        sides = {name: _number(request.query[name]) for name in ("width", "height") if name in request.query}
        step = checked({"step": "screenshot", **sides})
        picture = await self.executor.screenshot(
            [_number(part) for part in region.split(",")] if region else None,
            step.get("width"),
            step.get("height"),
            cursor=request.query.get("cursor") not in ("0", "false"),
        )
        reply(writer, "200 OK", picture, "image/png", CONNECTION_CLOSE)

    async def _steps(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request_fields = json.loads(await body(request, reader, MAX_BODY_BYTES))
            actions = [[checked(step) for step in action] for action in request_fields["actions"]]
            screenshot_options = request_fields.get("screenshot")
            screenshot_step = checked({"step": "screenshot", **screenshot_options}) if screenshot_options is not None else None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StepError('the request is not JSON with steps, {"actions": [[{"step": …}, …], …]}') from error
        if self._waiting >= MAX_WAITING:
            return refuse(writer, "429 Too Many Requests", "Too many requests for this desk wait; send one at a time.")
        if self.control.viewer:
            return refuse(writer, HELD_STATUS, self.control.refusal())
        work = asyncio.create_task(self._execute(actions, screenshot_step, request_fields.get("expected")))
        self._work.add(work)
        work.add_done_callback(self._work.discard)
        disconnected = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({work, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (disconnected, work):
                task.cancel()
            await asyncio.gather(disconnected, work, return_exceptions=True)
        if work.cancelled() and self.control.viewer:
            return refuse(writer, HELD_STATUS, f"{self.control.refusal()} Some of the actions may have been done before.")
        if work.cancelled():
            raise BadRequestError("the program closed the connection")
        status, content = work.result()
        return reply_json(writer, status, content)

    def _on_control_change(self) -> None:
        if not self.control.viewer:
            return
        for work in self._work:
            work.cancel()
        releasing = asyncio.create_task(self._release_all(), name="program's keys")
        self._work.add(releasing)
        releasing.add_done_callback(self._work.discard)

    async def _release_all(self) -> None:
        async with self._steps_lock:
            with contextlib.suppress(OSError):
                await self.executor.release_except(0, set())

    async def _execute(
        self, actions: list[list[Step]], screenshot_step: Step | None, expected: dict[str, Any] | None
    ) -> tuple[str, dict[str, Any]]:
        """Execute a request with steps. Return the status and the body of the answer."""
        self._waiting += 1
        try:
            async with self._steps_lock:
                await self.input.open()
                if expected is not None and (state := await self.state()) != expected:
                    return "409 Conflict", {"code": "changed", "state": state}
                done = await self._execute_actions(actions, screenshot_step)
                return "200 OK", done | {"state": await self.state()}
        finally:
            self._waiting -= 1

    async def _execute_actions(self, actions: list[list[Step]], screenshot_step: Step | None) -> dict[str, Any]:
        buttons, keys = self.input.buttons, set(self.input.keys)
        results: list[Result] = []
        try:
            for steps in actions:
                results.append(await self.executor.act(steps))
                if not results[-1]["done"]:
                    break
            await self.input.wait_until_processed()
            if screenshot_step is None:
                return {"results": results}
            width, height = screenshot_step.get("width"), screenshot_step.get("height")
            picture = await self.executor.screenshot(None, width, height, cursor=screenshot_step.get("cursor") is not False)
            return {"results": results, "screenshot": base64.b64encode(picture).decode()}
        except BaseException:
            with contextlib.suppress(OSError):
                await self.executor.release_except(buttons, keys)
            raise


def _number(text: str) -> int:
    """Parse a number of pixels.

    Raises:
        StepError: the text is not a number.
    """
    try:
        return int(text)
    except ValueError as error:
        raise StepError(f"{text[:20]!r} is not a number of pixels") from error


def reply_json(writer: asyncio.StreamWriter, status: str, content: dict[str, Any]) -> None:
    """Answer with JSON."""
    reply(writer, status, json.dumps(content).encode(), "application/json", CONNECTION_CLOSE)

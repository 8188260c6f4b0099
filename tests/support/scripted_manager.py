"""Scripted Managers, for tests of the Agent.

A `World` stands for the content of the database: the desired list, terms, commands, verdicts, and everything the Agent
reported. Any number of `ScriptedManager`s answer from it over real HTTP; each can be made to refuse, to hang, to read
an old database, or to use a lower term.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.support.processes import free_port

from greenroom.core.web_filter import FilterPolicy
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.wire.messages import (
    Answer,
    Assignment,
    Authorised,
    CheckIn,
    Desired,
    DesiredImage,
    ManagerAddress,
    Observed,
    Register,
    Registered,
    ScreenshotSize,
    SessionCommand,
    digest,
)

JOIN_TOKEN = "join-me"
WantText = Literal["running", "stopped", "paused", "absent"]


@dataclass
class World:
    """The state from which the Managers of a test answer, and the messages that they received."""

    installation_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    db_epoch: str = field(default_factory=lambda: str(uuid.uuid4()))
    zone_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    term: int = 1
    hold_s: float = 1.0
    desired: dict[str, Desired] = field(default_factory=dict[str, Desired])
    images: list[DesiredImage] | None = None
    filter_policies: list[FilterPolicy] = field(default_factory=list[FilterPolicy])
    commands: list[SessionCommand] = field(default_factory=list[SessionCommand])
    verdicts: dict[str, Literal["destroy", "keep"]] = field(default_factory=dict[str, Literal["destroy", "keep"]])
    managers: list[ManagerAddress] = field(default_factory=list[ManagerAddress])
    incarnation: int = 0
    credential: str = ""
    registrations: list[Register] = field(default_factory=list[Register])
    check_ins: list[CheckIn] = field(default_factory=list[CheckIn])
    observed: dict[str, Observed] = field(default_factory=dict[str, Observed])
    """The last observation of each session, with all its steps."""
    history: list[Observed] = field(default_factory=list[Observed])
    newest_seq: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def notify(self) -> None:
        """Wake held answers and waiting tests."""
        async with self.changed:
            self.changed.notify_all()

    async def until(self, what: Callable[[], Any], timeout_s: float = 60.0) -> Any:
        """Wait until `what()` is true and return its value.

        Raises:
            TimeoutError: it never was.
        """
        async with asyncio.timeout(timeout_s), self.changed:
            await self.changed.wait_for(what)
        return what()

    async def want(self, session_id: str, want: WantText = "running", **changes: Any) -> Desired:
        """Create or change the desired state of a session; its generation grows. `changes` are fields of `Desired`."""
        before = self.desired.get(session_id) or Desired(
            session_id=session_id, generation=0, want="running", spec=asdict(spec())
        )
        after = msgspec.structs.replace(before, **{"want": want, "generation": before.generation + 1, **changes})
        if want == "absent":
            after = msgspec.structs.replace(after, spec=None)
        self.desired[session_id] = after
        await self.notify()
        return after

    async def hand_over(self, session_id: str, argv: list[str] | None = None, deadline_s: float = 3.0) -> str:
        """Claim a session for a user; returns the assignment's id."""
        assignment = Assignment(assignment_id=str(uuid.uuid4()), argv=argv or [], deadline_s=deadline_s)
        authorised = Authorised(user_id=str(uuid.uuid4()), epoch=1)
        await self.want(session_id, assignment=assignment, authorised=authorised)
        return assignment.assignment_id

    async def order(self, session_id: str, *argv: str, screenshot: ScreenshotSize | None = None) -> str:
        """Order a command, or a screenshot; returns its id."""
        generation = self.desired[session_id].generation
        command_id = str(uuid.uuid4())
        command = SessionCommand(
            command_id=command_id,
            session_id=session_id,
            generation=generation,
            argv=list(argv),
            screenshot=screenshot,
        )
        self.commands.append(command)
        await self.notify()
        return command_id

    async def drop(self, session_id: str) -> None:
        self.desired.pop(session_id, None)
        await self.notify()

    def state(self, session_id: str) -> str:
        """The state that the Agent reported last; empty before the first report."""
        observed = self.observed.get(session_id)
        return observed.state if observed else ""

    def is_usable(self, session_id: str) -> bool:
        observed = self.observed.get(session_id)
        return observed is not None and observed.usable

    def receive(self, message: CheckIn) -> None:
        """Commit a message, unless a newer one was committed before."""
        self.check_ins.append(message)
        if message.incarnation == self.incarnation and message.seq > self.newest_seq:
            self.newest_seq = message.seq
            for observed in message.sessions:
                before = self.observed.get(observed.session_id)
                steps = {step.name: step for step in (*(before.steps if before else ()), *observed.steps)}
                self.observed[observed.session_id] = msgspec.structs.replace(observed, steps=list(steps.values()))
                self.history.append(observed)

    def digest(self) -> str:
        return digest({session_id: desired.generation for session_id, desired in self.desired.items()})


def spec(**changes: Any) -> SessionSpec:
    """A specification for tests; `changes` are fields of SessionSpec."""
    plain = SessionSpec(image="greenroom/desktop:openbox", image_id=str(uuid.uuid4()), credential="secret")
    return replace(plain, **changes)


class ScriptedManager:
    """A Manager of a world. A test may set `status` (503 is sent with `Retry-After`), `fresh`, `term` (instead of
    the world's), `deaf` (accept requests and never answer) and `change_answer`."""

    def __init__(self, world: World, instance_id: str) -> None:
        self.world = world
        self.instance_id = instance_id
        self.status = 200
        self.retry_after_s = 30
        self.fresh = True
        self.term: int | None = None
        self.deaf = False
        self.change_answer: Callable[[Answer], Answer] = lambda answer: answer
        self.requests = 0
        self.url = ""
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self, port: int = 0, certificate: tuple[Path, Path] | None = None) -> None:
        """Listen on 127.0.0.1 and become the last of the world's Managers. `port` 0 selects a free one.
        `certificate`: files of a certificate and its key; None stands for plain HTTP."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port or free_port()))
        listening.listen()
        routes = [
            Route("/manager_api/v1/register", self._register, methods=["POST"]),
            Route("/manager_api/v1/check-in", self._check_in, methods=["POST"]),
        ]
        app = Starlette(routes=routes)
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_keep_alive=30)
        config.timeout_graceful_shutdown = 0
        if certificate is not None:
            config.ssl_certfile, config.ssl_keyfile = map(str, certificate)
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{listening.getsockname()[1]}"
        self.world.managers.append(ManagerAddress(instance_id=self.instance_id, url=self.url))

    async def stop(self) -> None:
        """Stop listening; held requests end without an answer."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = self._server.force_exit = True
            await self.world.notify()
            await self._serving
            self._server = self._serving = None

    async def refuse(self, status: int) -> None:
        """Answer with this status from now on, including held requests."""
        self.status = status
        await self.world.notify()

    async def _refusal(self) -> Response | None:
        self.requests += 1
        if self.deaf:
            await asyncio.sleep(3600)
        if self.status == 200:
            return None
        headers = {"Retry-After": str(self.retry_after_s)} if self.status == 503 else {}
        return JSONResponse({"code": "scripted", "message": "as the test says"}, self.status, headers)

    async def _register(self, request: Request) -> Response:
        if refusal := await self._refusal():
            return refusal
        world = self.world
        message = msgspec.json.decode(await request.body(), type=Register)
        if message.join_token != JOIN_TOKEN and (message.credential or "-") != world.credential:
            return JSONResponse({"code": "unauthenticated", "message": "who are you?"}, 401)
        world.registrations.append(message)
        world.incarnation += 1
        world.newest_seq = 0
        world.credential = world.credential or str(uuid.uuid4())
        answer = Registered(
            agent_id=message.agent_id or str(uuid.uuid4()),
            credential=world.credential if message.join_token else None,
            incarnation=world.incarnation,
            installation_id=world.installation_id,
            db_epoch=world.db_epoch,
            zone_id=world.zone_id,
            managers=world.managers,
        )
        await world.notify()
        return _json(answer)

    async def _check_in(self, request: Request) -> Response:
        if refusal := await self._refusal():
            return refusal
        message = msgspec.json.decode(await request.body(), type=CheckIn)
        if request.headers["Authorization"] != f"Bearer {message.agent_id}.{self.world.credential}":
            return JSONResponse({"code": "unauthenticated", "message": "who are you?"}, 401)
        if message.incarnation != self.world.incarnation:
            return JSONResponse({"code": "identity-conflict", "message": "an old process"}, 409)
        if self.fresh:
            self.world.receive(message)
            await self.world.notify()
        await self._hold(message)
        if self.status != 200:
            return await self._refusal() or Response(status_code=500)
        return _json(self.change_answer(self._answer(message)))

    async def _hold(self, message: CheckIn) -> None:
        def has_news() -> bool:
            stopping = self._server is None or self._server.should_exit
            return stopping or self.status != 200 or (self.fresh and self._is_news(message))

        if not message.full:
            try:
                await self.world.until(has_news, min(message.hold_s, self.world.hold_s) or 0.001)
            except TimeoutError:
                return

    def _is_news(self, message: CheckIn) -> bool:
        known = {report.command_id for observed in self.world.observed.values() for report in observed.commands}
        orders = any(command.command_id not in known for command in self.world.commands)
        return message.have_digest != self.world.digest() or orders or bool(self.world.verdicts)

    def _answer(self, message: CheckIn) -> Answer:
        world = self.world
        is_changed = message.full or message.have_digest != world.digest()
        return Answer(
            db_epoch=world.db_epoch,
            zone_id=world.zone_id,
            term=world.term if self.term is None else self.term,
            primary=world.managers[0].instance_id,
            answered_by=self.instance_id,
            fresh=self.fresh,
            acked_seq=world.newest_seq if self.fresh else 0,
            desired=list(world.desired.values()) if self.fresh and is_changed else None,
            images=world.images,
            filter_policies=world.filter_policies,
            filter_policies_digest=str(len(world.filter_policies)),
            commands=world.commands if self.fresh else [],
            verdicts=world.verdicts if self.fresh else {},
            managers=world.managers,
            hold_s=world.hold_s,
        )


def _json(message: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(message), media_type="application/json")

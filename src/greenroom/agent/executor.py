"""Carries the planned actions out, each session by one worker at a time, a few at once.

Every step may be repeated: a worker that was killed leaves something that the next plan continues from. What the
runtime refuses makes the session `failed`, with its sentence and the container's last log lines; a runtime that does
not answer changes nothing and is asked again after a pause.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from greenroom.agent.commands import Commands
from greenroom.agent.handover import Handovers
from greenroom.agent.images import Images
from greenroom.agent.inventory import Inventory, seen_of
from greenroom.agent.metrics import Metrics
from greenroom.agent.sessions import Sessions
from greenroom.agent.workers import Workers
from greenroom.core.errors import GreenroomError
from greenroom.core.reconcile import Action, ActionKind, unasked_exit
from greenroom.core.states import Want
from greenroom.kit.stops import stop
from greenroom.runtimes.base import Container, ContainerMissing, Runtime, RuntimeUnavailable

log = structlog.get_logger(__name__)

PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 30.0
"""Before a session is worked on again where it did not succeed; the pause doubles with every failure."""
LOG_TAIL_LINES: Final = 50
REPORTS: Final = frozenset({ActionKind.REPORT_UNKNOWN, ActionKind.REPORT_MISMATCH})


class Executor:
    """See the module. At most `parallel` containers are changed at once: twice the cores is fastest with Docker."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        sessions: Sessions,
        inventory: Inventory,
        images: Images,
        commands: Commands,
        handovers: Handovers,
        workers: Workers,
        metrics: Metrics,
        parallel: int | None = None,
    ) -> None:
        self._runtime = runtime
        self._sessions = sessions
        self._inventory = inventory
        self._images = images
        self._commands = commands
        self._handovers = handovers
        self._workers = workers
        self._metrics = metrics
        self._room = asyncio.Semaphore(parallel or max(2, 2 * (os.cpu_count() or 1)))
        self._failures: dict[str, int] = {}
        self._reported: frozenset[Action] = frozenset()
        self._changes: dict[ActionKind, Callable[[str], Awaitable[None]]] = {
            ActionKind.CREATE: self._create,
            ActionKind.START: self._start,
            ActionKind.STOP: self._stop,
            ActionKind.PAUSE: self._pause,
            ActionKind.UNPAUSE: self._unpause,
            ActionKind.REMOVE: self._remove,
            ActionKind.EXAMINE: self._examine,
        }

    def apply(self, actions: list[Action]) -> None:
        """Begin the actions whose session is free; the others are planned again when it is."""
        self._report([action for action in actions if action.kind in REPORTS])
        for action in actions:
            if action.kind not in REPORTS:
                self._begin(action)

    def _begin(self, action: Action) -> None:
        if action.kind in self._changes:
            self._workers.start(action.session_id, lambda: self._change(action))
        elif action.target_id is not None:
            target_id = action.target_id
            self._workers.start(target_id, lambda: self._run(action, target_id))

    async def _run(self, action: Action, target_id: str) -> None:
        if action.kind is ActionKind.RUN_ASSIGNMENT:
            await self._handovers.run(action.session_id)
        elif action.kind is ActionKind.RUN_COMMAND:
            await self._commands.run(target_id)
        else:
            await self._commands.refuse(target_id, action.reason)

    def _report(self, reports: list[Action]) -> None:
        """Say what is only to be reported, once as long as it stays so."""
        for report in reports:
            if report not in self._reported:
                code = f"agent-{report.kind.value.replace('_', '-')}"
                self._sessions.log_line("WARNING", code, f"{report.session_id}: {report.reason}.", report.session_id)
        self._reported = frozenset(reports)

    # Changes of containers ----------------------------------------------------------------------------------------

    async def _change(self, action: Action) -> None:
        session_id = action.session_id
        if action.kind is ActionKind.CREATE:
            await self._image_of(session_id)
        async with self._room:
            log.info("changing a container", action=action.kind.value, session_id=session_id, reason=action.reason)
            try:
                await self._changes[action.kind](session_id)
                self._failures.pop(session_id, None)
                self._metrics.actions.labels(action.kind.value, "done").inc()
                return
            except RuntimeUnavailable as error:
                log.warning(
                    "the runtime does not answer; the session waits", session_id=session_id, reason=error.message
                )
            except ContainerMissing:
                log.info("the container went away meanwhile", session_id=session_id)
                await self._look(session_id)
            except GreenroomError as error:
                await self._could_not(action, error)
        self._metrics.actions.labels(action.kind.value, "failed").inc()
        failures = self._failures[session_id] = self._failures.get(session_id, 0) + 1
        await asyncio.sleep(min(MAX_PAUSE_S, PAUSE_S * 2 ** min(failures, 10)))

    async def _could_not(self, action: Action, error: GreenroomError) -> None:
        session_id = action.session_id
        message = f"Session {session_id}: {action.kind.value} failed: {error.message}"
        self._sessions.log_line("ERROR", "agent-action-failed", message, session_id)
        if action.kind in {ActionKind.CREATE, ActionKind.START}:
            await self._fail(session_id, error.message)
        await self._look(session_id)

    async def _look(self, session_id: str) -> None:
        try:
            await self._inventory.look(session_id)
        except RuntimeUnavailable as error:
            log.warning("the runtime does not answer", reason=error.message)

    def _saw(self, container: Container) -> None:
        self._inventory.touch(container.session_id)
        self._sessions.saw(container.session_id, seen_of(container))

    async def _create(self, session_id: str) -> None:
        spec = self._sessions.spec(session_id)
        if spec is None or not self._is_wanted_running(session_id):
            return
        await stop("agent.before_create")
        self._saw(await self._runtime.create(session_id, spec))
        self._sessions.step(session_id, "created")
        await stop("agent.after_create")
        if self._is_wanted_running(session_id):
            await self._start(session_id)

    async def _image_of(self, session_id: str) -> None:
        """Wait while the session's image is being fetched, without taking room from others."""
        spec = self._sessions.spec(session_id)
        if spec is not None:
            await self._images.arrived(spec.image)

    def _is_wanted_running(self, session_id: str) -> bool:
        desired = self._sessions.desired(session_id)
        return desired is not None and desired.want == Want.RUNNING

    async def _start(self, session_id: str) -> None:
        container = await self._runtime.start(session_id)
        await stop("agent.after_start")
        self._sessions.remember(session_id, stopped=False, exit_code=None, log_tail="")
        self._saw(container)
        self._sessions.step(session_id, "started")

    async def _stop(self, session_id: str) -> None:
        await self._sessions.remember_durably(session_id, stopped=True)
        await self._runtime.stop(session_id)
        await self._inventory.look(session_id)

    async def _pause(self, session_id: str) -> None:
        await self._runtime.pause(session_id)
        await self._inventory.look(session_id)

    async def _unpause(self, session_id: str) -> None:
        await self._runtime.unpause(session_id)
        await self._inventory.look(session_id)

    async def _remove(self, session_id: str) -> None:
        await stop("agent.before_remove")
        await self._runtime.remove(session_id)
        await stop("agent.after_remove")
        self._inventory.forget(session_id)
        self._sessions.saw(session_id, None)

    async def _examine(self, session_id: str) -> None:
        seen = self._sessions.seen(session_id)
        exit_code = seen.exit_code if seen else None
        out_of_memory = session_id in self._inventory.out_of_memory
        await self._fail(session_id, unasked_exit(exit_code, out_of_memory=out_of_memory), exit_code)

    async def _fail(self, session_id: str, sentence: str, exit_code: int | None = None) -> None:
        try:
            tail = await self._runtime.logs(session_id, LOG_TAIL_LINES)
        except GreenroomError as error:
            tail = f"(the last log lines cannot be read: {error.message})"
        self._sessions.remember(session_id, failure=sentence, exit_code=exit_code, log_tail=tail)

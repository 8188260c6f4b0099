"""Runs the commands that a Manager orders in sessions, and takes screenshots. Each command runs at most once
(docs/explanation/protocols.md §2).

The journal contains the record `started` on disk before the command runs. If the Agent is killed before the result is
on disk, the result is `unknown` after the restart, and the command does not run again.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from msgspec.structs import replace

from greenroom.agent.session.journal import CommandRecord, Journal
from greenroom.agent.session.sessions import Sessions
from greenroom.core.errors import GreenroomError, Unavailable, Unexpected, WrongState
from greenroom.core.workspace.session_spec import Exec
from greenroom.kit.concurrency import convert_item_error
from greenroom.kit.stops import hold_if_armed
from greenroom.runtimes.contract import Containers, RuntimeUnavailable
from greenroom.wire.fields import ScreenshotSize
from greenroom.wire.messages import CommandReport, SessionCommand

MAX_PARALLEL_SCREENSHOTS: Final = 2
"""The limit of parallel screenshots. The encoding of a large screen needs 36 MiB and one core."""

OUTPUT_TIMEOUT_S: Final = 3.0
"""The maximum wait for more output after the end of a command. On a busy host, Docker may deliver output late."""


class Commands:
    """Runs the commands and takes the screenshots that a Manager orders."""

    def __init__(self, runtime: Containers, sessions: Sessions, journal: Journal) -> None:
        self._runtime = runtime
        self._sessions = sessions
        self._journal = journal
        self._screenshot_slots = asyncio.Semaphore(MAX_PARALLEL_SCREENSHOTS)

    async def run(self, command_id: str) -> None:
        command = self._sessions.commands.get(command_id)
        if command is None or command_id in self._sessions.commands.begun_ids():
            return
        if command.screenshot is not None:
            await self._take_screenshot(command, command.screenshot)
        else:
            await self._run_once(command)

    async def refuse(self, command_id: str, reason: str) -> None:
        command = self._sessions.commands.get(command_id)
        if command is None or command_id in self._sessions.commands.begun_ids():
            return
        if command.screenshot is not None:
            self._report_done(command, reason=f"No screenshot was taken: {reason}.")
        else:
            output = f"The command was not run: {reason}."
            await self._store(_record(command, "done", output=output))

    async def _run_once(self, command: SessionCommand) -> None:
        await self._store(_record(command, "started"))
        await hold_if_armed("agent.command_journalled")
        result = await self._execute(command)
        await hold_if_armed("agent.command_ran")
        await self._store(result)

    async def _execute(self, command: SessionCommand) -> CommandRecord:
        try:
            await self._journal.wait_for_shared_copy()
        except Unavailable as error:
            return _record(command, "done", output=f"The command was not run: {error.message}")
        try:
            with convert_item_error("command", command.command_id):
                result = await self._runtime.exec(
                    command.session_id,
                    Exec(
                        argv=tuple(command.argv),
                        user=command.user,
                        environment=command.env,
                        workdir=command.workdir,
                        deadline_s=command.deadline_s,
                        output_within_s=OUTPUT_TIMEOUT_S,
                    ),
                )
        except (RuntimeUnavailable, Unexpected) as error:
            return _record(command, "unknown", output=error.message)
        except GreenroomError as error:
            return _record(command, "done", output=f"The command was not run: {error.message}")
        output = self._sessions.commands.shorten_if_full(result.output)
        record = _record(command, "done", output=output)
        return replace(record, exit_code=result.exit_code, output_complete=result.output_complete)

    async def _store(self, record: CommandRecord) -> None:
        await self._journal.append_durably(record)
        self._sessions.refresh(record.session_id)

    async def _take_screenshot(self, command: SessionCommand, size: ScreenshotSize) -> None:
        async with self._screenshot_slots:
            try:
                with convert_item_error("screenshot", command.command_id):
                    self._report_done(command, await self._screenshot(command.session_id, size))
            except GreenroomError as error:
                self._report_done(command, reason=error.message)

    async def _screenshot(self, session_id: str, size: ScreenshotSize) -> bytes:
        spec, container = self._sessions.desired.spec(session_id), self._sessions.observed.container(session_id)
        if spec is None or container is None or container.address is None:
            raise WrongState("The session's container is not running; resume the session, or launch another one.")
        if not self._sessions.commands.has_room():
            raise WrongState("Too many screenshots wait for a Manager; try again in a moment.")
        return await self._runtime.screenshot(container.address, spec, size.width, size.height)

    def _report_done(self, command: SessionCommand, picture: bytes = b"", reason: str = "") -> None:
        report = CommandReport(command_id=command.command_id, state="done", output=reason, picture=picture)
        self._sessions.commands.store_screenshot(report)
        self._sessions.refresh(command.session_id)


def _record(command: SessionCommand, state: Literal["started", "done", "unknown"], output: str = "") -> CommandRecord:
    return CommandRecord(command_id=command.command_id, session_id=command.session_id, state=state, output=output)

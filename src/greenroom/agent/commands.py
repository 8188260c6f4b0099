"""Runs commands inside sessions, each at most once (PROTOCOLS §2).

`started` is on the disk before the command runs; if the Agent is killed before the result is, the journal reports
`unknown` at the next start and the command never runs again.
"""

from __future__ import annotations

from msgspec.structs import replace

from greenroom.agent.journal import CommandRecord, Journal
from greenroom.agent.sessions import Sessions
from greenroom.core.errors import GreenroomError
from greenroom.core.sessions import Exec
from greenroom.kit.stops import stop
from greenroom.runtimes.base import Runtime, RuntimeUnavailable
from greenroom.wire.messages import Command


class Commands:
    """See the module."""

    def __init__(self, runtime: Runtime, sessions: Sessions, journal: Journal) -> None:
        self._runtime = runtime
        self._sessions = sessions
        self._journal = journal

    async def run(self, command_id: str) -> None:
        """Run a command that is not in the journal, and journal how it ended."""
        command = self._sessions.command(command_id)
        if command is None or command_id in self._journal.memory.commands:
            return
        started = CommandRecord(command_id=command_id, session_id=command.session_id, state="started")
        await self._keep(started)
        await stop("agent.command_journalled")
        result = await self._execute(command, started)
        await stop("agent.command_ran")
        await self._keep(result)

    async def refuse(self, command_id: str, reason: str) -> None:
        """Journal that a command cannot be run."""
        command = self._sessions.command(command_id)
        if command is not None and command_id not in self._journal.memory.commands:
            output = f"The command was not run: {reason}."
            await self._keep(
                CommandRecord(command_id=command_id, session_id=command.session_id, state="done", output=output)
            )

    async def _execute(self, command: Command, started: CommandRecord) -> CommandRecord:
        try:
            result = await self._runtime.exec(command.session_id, as_exec(command))
        except RuntimeUnavailable as error:
            return replace(started, state="unknown", output=error.message)
        except GreenroomError as error:
            return replace(started, state="done", output=f"The command was not run: {error.message}")
        return replace(started, state="done", exit_code=result.exit_code, output=result.output)

    async def _keep(self, record: CommandRecord) -> None:
        await self._journal.record(record)
        self._sessions.refresh(record.session_id)


def as_exec(command: Command) -> Exec:
    """The command as a runtime takes it."""
    return Exec(
        argv=tuple(command.argv),
        user=command.user,
        environment=command.env,
        workdir=command.workdir,
        deadline_s=command.deadline_s,
    )

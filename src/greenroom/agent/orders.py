"""What the Manager ordered to be done once in a session, and what came of it.

Two kinds. A command runs at most once: its result is in the journal until the Manager has it. A screenshot harms nobody
when it is taken twice: it stays in memory alone, and after a restart of the Agent it is ordered, and taken, again.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable
from typing import Final

import msgspec

from greenroom.agent.journal import CommandRecord, Journal
from greenroom.core.reconcile import Order
from greenroom.wire.messages import Command, CommandReport

AWAITED_S: Final = 10.0
"""Beyond its deadline somebody may still wait for a result; the api gives up then. What was not begun never is."""
MOST_WAITING_BYTES: Final = 2 << 20
"""Of all results that wait for a Manager, as they travel: they share a message with everything else there is to say."""
LITTLE: Final = 2000
"""Characters of an output that are kept where there is no room for more."""
NO_ROOM: Final = "[most of the output was dropped: the Agent has too many results to report]\n"


class Orders:
    """See the module. `journal` must be open."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._commands: dict[str, Command] = {}
        self._awaited_until_s: dict[str, float] = {}
        self._taken: dict[str, CommandReport] = {}

    def accept(self, commands: Iterable[Command], sessions: Container[str]) -> None:
        """Take over what was ordered for sessions of this Agent."""
        for command in commands:
            if command.session_id in sessions and command.command_id not in self._commands:
                self._commands[command.command_id] = command
                self._awaited_until_s[command.command_id] = time.monotonic() + command.deadline_s + AWAITED_S

    def get(self, command_id: str) -> Command | None:
        """An order that was not reported yet."""
        return self._commands.get(command_id)

    def all(self) -> tuple[Order, ...]:
        """All orders, as the plan needs them; those that nobody waits for any more are forgotten."""
        now_s = time.monotonic()
        self._keep(k for k in self._commands if self._awaited_until_s[k] > now_s)
        return tuple(Order(command_id=c.command_id, session_id=c.session_id) for c in self._commands.values())

    def begun(self) -> frozenset[str]:
        """Ids of those that must not be begun (again)."""
        return frozenset(self._journal.memory.commands) | self._taken.keys()

    def leave(self, session_id: str) -> None:
        """The session is no longer this Agent's."""
        self._keep(k for k, command in self._commands.items() if command.session_id != session_id)

    def _keep(self, command_ids: Iterable[str]) -> None:
        kept = frozenset(command_ids)
        self._commands = {k: v for k, v in self._commands.items() if k in kept}
        self._awaited_until_s = {k: v for k, v in self._awaited_until_s.items() if k in kept}
        self._taken = {k: v for k, v in self._taken.items() if k in kept}

    def has_room(self) -> bool:
        """Whether another large result can be kept for the Manager."""
        outputs = (c.output for c in self._journal.memory.commands.values() if c.state != "reported")
        pictures = sum(len(report.picture) for report in self._taken.values())
        return pictures + sum(_travelling_bytes(output) for output in outputs) < MOST_WAITING_BYTES

    def fitting(self, output: str) -> str:
        """The output as far as there is room for it; it says so where it had to be cut."""
        return output if len(output) <= LITTLE or self.has_room() else NO_ROOM + output[-LITTLE:]

    def take(self, report: CommandReport) -> None:
        """A screenshot was taken, or could not be; kept until the Manager has it, unless nobody waits any more."""
        if report.command_id in self._commands:
            self._taken[report.command_id] = report

    def reports(self, session_id: str) -> list[CommandReport]:
        """What became of the orders of a session, as far as the Manager has not committed it yet."""
        journalled = [
            CommandReport(
                command_id=c.command_id,
                state=c.state,
                exit_code=c.exit_code,
                output=c.output,
                output_complete=c.output_complete,
            )
            for c in self._journal.memory.commands.values()
            if c.session_id == session_id and c.state != "reported"
        ]
        mine = [k for k, command in self._commands.items() if command.session_id == session_id]
        return journalled + [self._taken[k] for k in mine if k in self._taken]

    def reported(self, session_id: str, report: CommandReport) -> None:
        """The Manager has committed a report: a result need not be kept any longer."""
        if report.state == "started":
            return
        self._keep(self._commands.keys() - {report.command_id})
        if report.command_id in self._journal.memory.commands:
            self._journal.note(CommandRecord(command_id=report.command_id, session_id=session_id, state="reported"))


def _travelling_bytes(output: str) -> int:
    """Length of a text in a message; a command can make it six times as long by what it prints."""
    return len(msgspec.json.encode(output))

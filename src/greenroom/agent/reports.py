"""From the journal's records to what the Manager is told of hand-overs and commands."""

from __future__ import annotations

from greenroom.agent.journal import HandoverRecord, Memory
from greenroom.wire.messages import AssignmentReport, CommandReport


def assignment_report(record: HandoverRecord) -> AssignmentReport:
    """How far a hand-over is; to the Manager one that was started is still one that was received."""
    return AssignmentReport(
        assignment_id=record.assignment_id,
        state="received" if record.state == "started" else record.state,
        exit_code=record.exit_code,
        error=record.error,
    )


def command_reports(memory: Memory, session_id: str) -> list[CommandReport]:
    """The commands of a session whose result the Manager has not committed yet."""
    return [
        CommandReport(command_id=c.command_id, state=c.state, exit_code=c.exit_code, output=c.output)
        for c in memory.commands.values()
        if c.session_id == session_id and c.state != "reported"
    ]

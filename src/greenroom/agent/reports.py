"""From the journal's records to what the Manager is told of hand-overs."""

from __future__ import annotations

from greenroom.agent.journal import HandoverRecord
from greenroom.wire.messages import AssignmentReport


def assignment_report(record: HandoverRecord) -> AssignmentReport:
    """How far a hand-over is; to the Manager one that was started is still one that was received."""
    return AssignmentReport(
        assignment_id=record.assignment_id,
        state="received" if record.state == "started" else record.state,
        exit_code=record.exit_code,
        error=record.error,
        slow=record.slow,
    )

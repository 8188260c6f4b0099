"""The hand-over of a staged session to a user, in two phases (docs/explanation/a-launch.md).

`received`: the session's page was probed again, and the command `assign` has not begun. `assigned`: the command ended
with 0, or still runs at its deadline. Any other result is `failed`, and the Manager quarantines the session.

`assign` runs at most once: the record `started` is on disk before the command runs. If the Agent restarts after this
record, the hand-over is `failed`. Other records do not wait for the disk, because a power cut also ends the container.

`assign` does not run before a Manager has committed `received`. Otherwise an Agent that was suspended could process an
old answer, and run the command in a session that was quarantined in the meantime.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Final

import structlog
from msgspec.structs import replace as replace_fields

from greenroom.agent.session.journal import HandoverRecord, Journal
from greenroom.agent.session.prober import ProbeTimeLimits
from greenroom.agent.session.sessions import Sessions
from greenroom.core.errors import GreenroomError
from greenroom.core.workspace.session_spec import Exec
from greenroom.kit.concurrency import convert_item_error
from greenroom.kit.stops import hold_if_armed
from greenroom.runtimes.contract import Containers, ProbeResult
from greenroom.wire.messages import Assignment, Desired, Observed

log = structlog.get_logger(__name__)

PROBE_LIMIT_S: Final = 1.5
"""The time limit of all probes of a hand-over on an idle host. The Manager waits 2 s for `received`."""
MAX_ATTEMPT_LIMIT_S: Final = 1.0
MIN_ATTEMPT_LIMIT_S: Final = 0.4
MIN_ATTEMPTS: Final = 2
"""The minimum number of probes. The Agent may have been suspended during one of them."""
PROBE_PAUSE_S: Final = 0.05
NO_ANSWER: Final = "The session did not answer its last probe"
HAD_USER: Final = "Another user had the session before; the database was restored from a backup or replaced since then."
COMMIT_TIMEOUT_S: Final = 2.0
"""The time limit for a Manager to commit `received`. Afterwards the hand-over is tried again if it is still desired."""


class Handovers:
    """Runs hand-overs."""

    def __init__(self, runtime: Containers, sessions: Sessions, journal: Journal, time_limits: ProbeTimeLimits) -> None:
        self._runtime = runtime
        self._sessions = sessions
        self._journal = journal
        self._time_limits = time_limits
        self._commit_events: dict[str, asyncio.Event] = {}

    async def run(self, session_id: str) -> None:
        """Hand the session over, if its entry in the desired list requires it and the hand-over has not begun."""
        desired = self._sessions.desired.get(session_id)
        if desired is None or desired.assignment is None or self._has_begun(desired.assignment):
            return
        record = _record(desired, desired.assignment)
        if self._had_user(record):
            self._append_and_report(replace_fields(record, state="failed", error=HAD_USER))
        elif failure := await self._probe(session_id):
            self._sessions.observed.store_probe(session_id, usable=False, error=failure.error)
            self._append_and_report(replace_fields(record, state="failed", error=failure.error, slow=failure.timed_out))
        elif not desired.assignment.argv:
            self._append_and_report(replace_fields(record, state="assigned"))
        else:
            commit = self._commit_event(record)
            self._append_and_report(record)
            if not (await self._is_committed(commit) and self._is_still_assigned(record)):
                return
            await hold_if_armed("agent.handover_received")
            await self._journal.append_durably(replace_fields(record, state="started"))
            self._append_and_report(await self._assign(record, desired.assignment))

    def _has_begun(self, assignment: Assignment) -> bool:
        record = self._journal.state.handovers.get(assignment.assignment_id)
        return record is not None and record.state != "received"

    def _had_user(self, record: HandoverRecord) -> bool:
        """Return True if the session was handed over to another user before. Its row lacks this user if the database
        is older than the hand-over: it was restored from a backup, or replaced by an asynchronous standby."""
        return any(
            other.session_id == record.session_id
            and other.assignment_id != record.assignment_id
            and other.state in {"started", "assigned"}
            for other in self._journal.state.handovers.values()
        )

    def _commit_event(self, record: HandoverRecord) -> asyncio.Event:
        """Return the event that is set when a Manager commits `received`. The event exists as long as the journal
        contains the hand-over."""
        self._commit_events = {
            k: event for k, event in self._commit_events.items() if k in self._journal.state.handovers
        }
        return self._commit_events.setdefault(record.assignment_id, asyncio.Event())

    def acknowledged(self, observed: Observed) -> None:
        """Process an observation that a Manager has committed. The waiting hand-over continues after
        the desired list in the same answer is applied."""
        report = observed.assignment
        if report is not None and (commit := self._commit_events.get(report.assignment_id)) is not None:
            commit.set()

    def _is_still_assigned(self, record: HandoverRecord) -> bool:
        """After the commit of `received`: return True if the session is still assigned to the user."""
        desired = self._sessions.desired.get(record.session_id)
        assignment = desired.assignment if desired is not None and desired.want == "running" else None
        return assignment is not None and assignment.assignment_id == record.assignment_id

    async def _is_committed(self, commit: asyncio.Event) -> bool:
        """Wait until a Manager has committed `received`. Return False if the time limit is over."""
        try:
            await self._time_limits.wait_for(commit.wait(), COMMIT_TIMEOUT_S)
        except TimeoutError:
            return False
        return True

    async def _probe(self, session_id: str) -> ProbeResult | None:
        """Probe the page until it is usable. Return None if it is usable, else the last result; its `error` names the
        number and the duration of the probes."""
        begun, attempts = time.monotonic(), 0
        while True:
            container, spec = self._sessions.observed.container(session_id), self._sessions.desired.spec(session_id)
            if container is None or spec is None or container.address is None:
                return ProbeResult(usable=False, error="The session has no running container to hand over.")
            left_s = PROBE_LIMIT_S - self._time_limits.time_on_idle_host_s(time.monotonic() - begun)
            limit_s = max(MIN_ATTEMPT_LIMIT_S, min(MAX_ATTEMPT_LIMIT_S, left_s))
            result = await self._time_limits.probe(self._runtime, container.address, spec, limit_s)
            attempts += 1
            if result.usable:
                self._sessions.observed.store_probe(session_id, usable=True)
                return None
            elapsed_s = time.monotonic() - begun
            extended_limit_s = self._time_limits.extended_limit_s(PROBE_LIMIT_S) if result.timed_out else PROBE_LIMIT_S
            if attempts >= MIN_ATTEMPTS and elapsed_s + PROBE_PAUSE_S > extended_limit_s:
                return replace(result, error=f"{NO_ANSWER}: {self._describe(result, attempts, elapsed_s)}")
            await asyncio.sleep(PROBE_PAUSE_S)

    def _describe(self, result: ProbeResult, attempts: int, elapsed_s: float) -> str:
        if result.timed_out:
            lateness_text = self._time_limits.lateness_reason()
            return f"its page did not answer for {elapsed_s:.1f} s{lateness_text}, in {attempts} probes."
        return f"{result.error.rstrip('.')} ({attempts} probes in {elapsed_s:.1f} s)."

    async def _assign(self, record: HandoverRecord, assignment: Assignment) -> HandoverRecord:
        command = Exec(
            argv=tuple(assignment.argv),
            user=assignment.user,
            environment=assignment.env,
            workdir=assignment.workdir,
            deadline_s=assignment.deadline_s,
            once=record.assignment_id,
        )
        try:
            with convert_item_error("hand-over", record.assignment_id):
                await self._journal.wait_for_shared_copy()
                result = await self._runtime.exec(record.session_id, command)
        except GreenroomError as error:
            return replace_fields(record, state="failed", error=f"`assign` could not be run: {error.message}")
        if result.exit_code in {0, None}:
            return replace_fields(record, state="assigned", exit_code=result.exit_code)
        error = f"`assign` ended with exit code {result.exit_code}: {result.output_end}"
        return replace_fields(record, state="failed", exit_code=result.exit_code, error=error)

    def _append_and_report(self, record: HandoverRecord) -> None:
        self._journal.append(record)
        self._sessions.refresh(record.session_id)
        if record.state == "assigned":
            self._sessions.handed_over.emit(record.session_id)
        log.info("hand-over", session_id=record.session_id, state=record.state, error=record.error)


def _record(desired: Desired, assignment: Assignment) -> HandoverRecord:
    return HandoverRecord(assignment_id=assignment.assignment_id, session_id=desired.session_id, state="received")

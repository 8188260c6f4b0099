"""The content of the connecting screen: the percentage, a message, and the list of steps, from the recorded steps.

A step is done when its row exists (`session_steps`). The percentages are the part of a typical start that is complete
after each step. Only the wait in the queue of a machine is estimated, from the first frames that were painted there
recently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from greenroom.core.session.states import NOT_YET_RUNNING, OPERATIONAL, SessionStatus


@dataclass(frozen=True, slots=True)
class StepKind:
    """A kind of step: its title, the percentage after it, and the message for the wait after it. `always` is False if
    the step is displayed only after it was recorded.
    """

    name: str
    title: str
    percent: int
    waiting_for: str
    always: bool = True


ON_DEMAND: Final = (
    StepKind("requested", "Requested", 5, "Looking for a machine"),
    StepKind("placed", "Machine chosen", 10, "Waiting for the machine to accept the session"),
    StepKind("received", "Accepted by the machine", 20, "Creating the container"),
    StepKind("queued", "In the queue of the machine", 22, "Waiting for other starts on the machine", always=False),
    StepKind("admitted", "Next in the queue", 25, "Creating the container", always=False),
    StepKind("created", "Container created", 35, "Starting the container"),
    StepKind("started", "Container started", 50, "Waiting for the desktop to answer"),
    StepKind("answering", "Desktop answers", 80, "Waiting for the first picture"),
    StepKind("painted", "First picture drawn", 95, "Opening the session"),
    StepKind("ready", "Ready", 100, "Ready"),
)
STAGED: Final = (
    StepKind("claimed", "Staged session assigned", 40, "Handing the session over"),
    StepKind("handed_over", "Handed over", 90, "Opening the session"),
    StepKind("ready", "Ready", 100, "Ready"),
)

AGENT_STEPS: Final = frozenset({"received", "queued", "admitted", "created", "started", "answering", "painted"})

_MESSAGES: Final[dict[SessionStatus, str]] = {
    SessionStatus.RUNNING: "Ready",
    SessionStatus.STOPPING: "Stopping",
    SessionStatus.STOPPED: "Stopped; resume it to continue",
    SessionStatus.PAUSING: "Pausing",
    SessionStatus.PAUSED: "Paused; resume it to continue",
    SessionStatus.DELETING: "Being deleted",
    SessionStatus.DELETED: "Deleted",
    SessionStatus.UNREACHABLE: "The machine of this session does not answer at the moment",
    SessionStatus.LOST: "The machine of this session has not answered for a long time; the session may come back",
}


@dataclass(frozen=True, slots=True)
class ProgressStep:
    """A line of the connecting screen. `at` is in seconds since the epoch; None = not yet."""

    name: str
    title: str
    at: float | None


@dataclass(frozen=True, slots=True)
class StartProgress:
    """The connecting screen: 0 to 100 `percent`, and `operational_status` of the public interface."""

    operational_status: str
    percent: int
    message: str
    steps: tuple[ProgressStep, ...]


QUEUE_PERIOD_S: Final = 30.0
"""The period in which painted first frames are counted, to estimate the speed of a queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePosition:
    """The position of a start that waits for its turn on a machine: the number of starts of users before it, and the
    number of first frames that were painted there in the last `QUEUE_PERIOD_S`.
    """

    before: int
    painted: int

    @property
    def message(self) -> str:
        position = f"Number {self.before + 1} in the queue of the machine"
        if not self.painted:
            return position
        return f"{position}, about {math.ceil((self.before + 1) * QUEUE_PERIOD_S / self.painted)} s"


def start_progress(
    status: SessionStatus,
    recorded: Mapping[str, float],
    *,
    staged: bool,
    error: str = "",
    queue: QueuePosition | None = None,
    status_since: float | None = None,
) -> StartProgress:
    """Return the content of the connecting screen of a session.

    `recorded` maps the names of the rows of `session_steps` to their times. `staged` is True if only the steps of the
    hand-over are displayed. `error` is the reason of a failure, as Agent and container report it; empty for users who
    are not administrators. `queue` is the position of a session that waits for its turn. `status_since` is the time of
    the last change of the status, in seconds since the epoch.
    """
    kinds = STAGED if staged else ON_DEMAND
    kinds_to_display = (kind for kind in kinds if kind.always or kind.name in recorded)
    steps = tuple(ProgressStep(kind.name, kind.title, recorded.get(kind.name)) for kind in kinds_to_display)
    percent, message = _last_reached(kinds, recorded)
    if status not in NOT_YET_RUNNING:
        percent = 100 if status in (SessionStatus.RUNNING, SessionStatus.UNREACHABLE, SessionStatus.LOST) else percent
        message = _MESSAGES.get(status, message)
    elif percent == 100:
        # The recorded steps belong to an earlier start, such as that before a stop. The Agent records none of this one.
        percent, message = 50, "Starting again"
        steps = (ProgressStep("requested", "Requested", status_since), ProgressStep("ready", "Ready", None))
    if status is SessionStatus.FAILED:
        failure_text = "stopped working" if "ready" in recorded else "could not be started"
        message = f"The session {failure_text}: {error}" if error else failure_message(recorded)
    if queue is not None:
        message = queue.message
    return StartProgress(OPERATIONAL[status], percent, message, steps)


def failure_message(recorded: Mapping[str, float]) -> str:
    """Return the message for the user of a failed session. It depends on the last step and does not contain the cause,
    which only administrators can see.
    """
    if "ready" in recorded:
        return "The session stopped working and cannot be opened any more. Start the workspace again. " + _CONTACT
    if "started" in recorded:
        return "The workspace started, but it was not ready in time. Try again in a minute. " + _CONTACT
    return "The workspace could not be started on any machine. Try again in a minute. " + _CONTACT


_CONTACT: Final = "If it happens again, ask an administrator, who can see the cause on the page of the session."


def _last_reached(kinds: tuple[StepKind, ...], recorded: Mapping[str, float]) -> tuple[int, str]:
    recorded_kinds = [kind for kind in kinds if kind.name in recorded]
    return (recorded_kinds[-1].percent, recorded_kinds[-1].waiting_for) if recorded_kinds else (0, "Requested")


REASON_AFTER_S: Final = 5.0
"""The time in a status after which the reason is displayed. Most starts end earlier."""


def starting_reason(status: SessionStatus, observation: str, age_s: float, limit_s: float) -> str | None:
    """Return the reason why a session is not usable yet, with the seconds in its status and their limit; None if no
    reason is displayed. `observation` is the last observation of its Agent.
    """
    if status not in NOT_YET_RUNNING or not observation or age_s < REASON_AFTER_S:
        return None
    return f"{observation.rstrip('.')} ({age_s:.0f} s of {limit_s:.0f} s)."


def request_reason(caller_name: str, *, is_own: bool) -> str:
    """Return the reason for the stop or the pause of a session that a caller requested."""
    return "Requested by its user." if is_own else f"Requested by {caller_name}."

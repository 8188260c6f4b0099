"""The plan of an Agent: the actions, with reasons, from the desired list, the containers and the journal.

Every round compares the whole desired list with the whole inventory (docs/explanation/protocols.md §2). If the host is
in the desired state, the plan is empty. The rules, each of which is a property test:

- An Agent that has started plans nothing until it receives a fresh desired list of a valid term.
- A container whose session is not in the list is reported, and removed only after a verdict for its id.
- A container is destroyed only by `want: absent` or a verdict `destroy`.
- For each session, the higher generation applies. The highest generation of a session that left the list is stored, so
  that a late answer cannot restore the session. An answer of a lower term is ignored.
- A container that ended by itself, could not be started or is gone is reported `failed` and never started again.
- A hand-over or command that has begun never begins again.
- A container has a low share of the CPU only until its session has a user or a first frame, or a time limit is over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

from greenroom.core.session.observations import CONTAINER_GONE
from greenroom.core.session.states import ObservedState, Want
from greenroom.core.session.streams import UUID


class ContainerState(StrEnum):
    """The state of a container in the runtime. `created`: it exists and was never started."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"


class ActionKind(StrEnum):
    """An action for one session."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    REMOVE = "remove"
    EXAMINE = "examine"
    """Record the exit code and the last log lines of a container that ended by itself."""
    FULL_SHARE = "full_share"
    """Give the container its full share of the CPU."""
    RUN_ASSIGNMENT = "run_assignment"
    RUN_COMMAND = "run_command"
    REFUSE_COMMAND = "refuse_command"
    REPORT_UNKNOWN = "report_unknown"
    REPORT_MISMATCH = "report_mismatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredContainer:
    """A desired session. Without `spec_hash`, no container is created. `has_run`: the session row records a run."""

    session_id: str
    generation: int
    want: Want
    spec_hash: str | None = None
    assignment_id: str | None = None
    has_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedContainer:
    """A container of this Agent, as the runtime reports it. `address` is host:port of the page of the session;
    `services` has the addresses of its other services, by name. `ended` is the runtime's reason for the end of the
    container, as a sentence; empty = its first process ended.
    """

    session_id: str
    container_id: str
    state: ContainerState
    spec_hash: str = ""
    address: str | None = None
    services: Mapping[str, str] = field(default_factory=dict[str, str])
    exit_code: int | None = None
    ended: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFacts:
    """The data of a session that the Agent stores for its restarts.

    `ran`: its container has run. `stopped`: it was stopped on request. `failure`: the sentence with which it was
    reported `failed`, which is final for the container. `low_cpu_share`: it was created with a small share of the CPU.
    """

    ran: bool = False
    stopped: bool = False
    failure: str = ""
    low_cpu_share: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedCommand:
    """A command to run once in the container of a session."""

    command_id: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSnapshot:
    """The input of a round. `list_is_valid` is True if a fresh desired list of a valid term arrived since the start."""

    list_is_valid: bool
    desired: Mapping[str, DesiredContainer] = field(default_factory=dict[str, DesiredContainer])
    observed: Mapping[str, ObservedContainer] = field(default_factory=dict[str, ObservedContainer])
    journals: Mapping[str, JournalFacts] = field(default_factory=dict[str, JournalFacts])
    commands: tuple[RequestedCommand, ...] = ()
    begun: frozenset[str] = frozenset()
    """Ids of the assignments and commands in the journal."""
    ids_to_destroy: frozenset[str] = frozenset()
    """Session ids with the verdict `destroy`."""
    low_cpu_sessions: frozenset[str] = frozenset()
    """Staged sessions whose starts give way to those of users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action with its reason as a clause. `target_id` is the assignment or command, if there is one."""

    kind: ActionKind
    session_id: str
    reason: str
    target_id: str | None = None


NO_JOURNAL: Final = JournalFacts()


def plan(snapshot: RoundSnapshot) -> list[Action]:
    """Return the actions that bring the host closer to the desired list. At most one action changes each container."""
    if not snapshot.list_is_valid:
        return []
    actions: list[Action] = []
    for session_id, desired in sorted(snapshot.desired.items()):
        observed = snapshot.observed.get(session_id)
        journal = snapshot.journals.get(session_id, NO_JOURNAL)
        actions += _lifecycle(desired, observed, journal) or _full_share(
            desired, observed, journal, snapshot.low_cpu_sessions
        )
        actions += _assignment(desired, observed, journal, snapshot.begun)
        actions += _mismatch(desired, observed)
    for session_id in sorted(snapshot.observed.keys() - snapshot.desired.keys()):
        actions.append(_not_desired(session_id, snapshot.ids_to_destroy))
    for command in snapshot.commands:
        actions += _command(command, snapshot)
    return actions


def _lifecycle(desired: DesiredContainer, observed: ObservedContainer | None, journal: JournalFacts) -> list[Action]:
    if desired.want is Want.ABSENT:
        return [_action(ActionKind.REMOVE, desired, "the desired state of the session is absent")] if observed else []
    if journal.failure:
        return []
    if observed is None:
        return _without_container(desired, journal)
    if observed.state is ContainerState.EXITED and not journal.stopped:
        return [_after_unexpected_exit(desired, observed)]
    kind = _NEXT_ACTIONS.get((desired.want, observed.state))
    if kind is None:
        return []
    reason = f"the desired state of the session is {desired.want}, and its container is {observed.state}"
    return [_action(kind, desired, reason)]


_NEXT_ACTIONS: Final = {
    (Want.RUNNING, ContainerState.CREATED): ActionKind.START,
    (Want.RUNNING, ContainerState.EXITED): ActionKind.START,
    (Want.RUNNING, ContainerState.PAUSED): ActionKind.UNPAUSE,
    (Want.STOPPED, ContainerState.RUNNING): ActionKind.STOP,
    (Want.STOPPED, ContainerState.PAUSED): ActionKind.UNPAUSE,
    (Want.PAUSED, ContainerState.RUNNING): ActionKind.PAUSE,
    (Want.PAUSED, ContainerState.CREATED): ActionKind.START,
    (Want.PAUSED, ContainerState.EXITED): ActionKind.START,
}
"""(desired state, container state) → the next action. `exited` here means stopped on request."""


def _full_share(
    desired: DesiredContainer, observed: ObservedContainer | None, journal: JournalFacts, low_cpu_ids: frozenset[str]
) -> list[Action]:
    if not journal.low_cpu_share or journal.failure or desired.session_id in low_cpu_ids or not _is_running(observed):
        return []
    reason = "the session has a user or a first frame, or the time for a first frame is over; it gets its full share"
    return [_action(ActionKind.FULL_SHARE, desired, reason)]


def _after_unexpected_exit(desired: DesiredContainer, observed: ObservedContainer) -> Action:
    if desired.want is Want.STOPPED:
        return _action(ActionKind.STOP, desired, "the container ended before it was stopped; this counts as the stop")
    reason = observed.ended or unexpected_exit_text(observed.exit_code).removesuffix(".").replace("The", "the", 1)
    return _action(ActionKind.EXAMINE, desired, reason)


def _without_container(desired: DesiredContainer, journal: JournalFacts) -> list[Action]:
    if desired.want is not Want.RUNNING or _has_run(desired, journal) or desired.spec_hash is None:
        return []
    reason = "the desired state of the session is running, and it has no container yet"
    return [_action(ActionKind.CREATE, desired, reason)]


def _has_run(desired: DesiredContainer, journal: JournalFacts) -> bool:
    """True if the container has run. After a restore of the database, the journal may not contain this."""
    return journal.ran or desired.has_run


def _assignment(
    desired: DesiredContainer, observed: ObservedContainer | None, journal: JournalFacts, begun: frozenset[str]
) -> list[Action]:
    if desired.assignment_id in begun or not can_be_handed_over(desired, observed, journal):
        return []
    reason = "the session was assigned to a user, and its hand-over has not begun"
    return [_action(ActionKind.RUN_ASSIGNMENT, desired, reason, desired.assignment_id)]


def can_be_handed_over(desired: DesiredContainer, observed: ObservedContainer | None, journal: JournalFacts) -> bool:
    """True if the session was assigned to a user and runs. It may have been handed over before."""
    is_assigned = desired.assignment_id is not None and desired.want is Want.RUNNING
    return is_assigned and _is_running(observed) and not journal.failure


def _mismatch(desired: DesiredContainer, observed: ObservedContainer | None) -> list[Action]:
    if observed is None or desired.spec_hash is None or observed.spec_hash == desired.spec_hash:
        return []
    reason = (
        f"the container has the specification {observed.spec_hash or '(none)'}, and the desired one is "
        f"{desired.spec_hash}; it stays unchanged, because its replacement would lose its data"
    )
    return [_action(ActionKind.REPORT_MISMATCH, desired, reason)]


def _not_desired(session_id: str, ids_to_destroy: frozenset[str]) -> Action:
    if session_id in ids_to_destroy:
        reason = "the container belongs to no session, and the Manager returned the verdict destroy"
        return Action(kind=ActionKind.REMOVE, session_id=session_id, reason=reason)
    if not re.fullmatch(UUID, session_id):
        reason = (
            "the label of the container is not the id of a session, so no Manager can decide about it; remove the"
            " container"
        )
    else:
        reason = "a container of this installation is in no desired list; it stays until the Manager returns a verdict"
    return Action(kind=ActionKind.REPORT_UNKNOWN, session_id=session_id, reason=reason)


def _command(command: RequestedCommand, snapshot: RoundSnapshot) -> list[Action]:
    if command.command_id in snapshot.begun:
        return []
    desired = snapshot.desired.get(command.session_id)
    if desired is None:
        return []
    refusal = _command_refusal(desired, snapshot)
    if refusal:
        kind, reason = ActionKind.REFUSE_COMMAND, refusal
    elif _is_running(snapshot.observed.get(command.session_id)):
        kind, reason = ActionKind.RUN_COMMAND, "the command was requested and is not in the journal"
    else:
        return []
    return [Action(kind=kind, session_id=command.session_id, reason=reason, target_id=command.command_id)]


def _command_refusal(desired: DesiredContainer, snapshot: RoundSnapshot) -> str:
    """Return the reason why the command can never run here; empty if it can run now or later."""
    if desired.want is not Want.RUNNING:
        return f"the desired state of the session is {desired.want}; commands run only in running sessions"
    journal = snapshot.journals.get(desired.session_id, NO_JOURNAL)
    state, error = observe(desired, snapshot.observed.get(desired.session_id), journal)
    return error if state is ObservedState.FAILED else ""


def _is_running(observed: ObservedContainer | None) -> bool:
    return observed is not None and observed.state is ContainerState.RUNNING


def _action(kind: ActionKind, desired: DesiredContainer, reason: str, target_id: str | None = None) -> Action:
    return Action(kind=kind, session_id=desired.session_id, reason=reason, target_id=target_id)


def observe(
    desired: DesiredContainer, observed: ObservedContainer | None, journal: JournalFacts, *, being_created: bool = False
) -> tuple[ObservedState, str]:
    """Return the state to report for a session and, if it is `failed`, the reason as a sentence. A session whose
    container is `being_created` is not absent, even if it is not desired any more: the container will exist soon.
    """
    if desired.want is Want.ABSENT:
        absent_state = ObservedState.CREATING if being_created else ObservedState.ABSENT
        return (_OBSERVED_STATES[observed.state] if observed else absent_state), ""
    if journal.failure:
        return ObservedState.FAILED, journal.failure
    if observed is None:
        return _observe_without_container(desired, journal)
    if needs_examination(desired, observed, journal):
        return ObservedState.FAILED, observed.ended or unexpected_exit_text(observed.exit_code)
    if observed.state is ContainerState.CREATED and desired.want is Want.STOPPED:
        return ObservedState.STOPPED, ""
    return _OBSERVED_STATES[observed.state], ""


def needs_examination(desired: DesiredContainer, observed: ObservedContainer | None, journal: JournalFacts) -> bool:
    """True if the container ended by itself and was not examined yet. The Agent reports its end only after the
    examination, because the report must contain the last log lines."""
    if observed is None or observed.state is not ContainerState.EXITED or desired.want in (Want.STOPPED, Want.ABSENT):
        return False
    return not (journal.stopped or journal.failure)


_OBSERVED_STATES: Final = {
    ContainerState.CREATED: ObservedState.CREATING,
    ContainerState.RUNNING: ObservedState.RUNNING,
    ContainerState.PAUSED: ObservedState.PAUSED,
    ContainerState.EXITED: ObservedState.STOPPED,
}


_SIGNALS: Final = {137: "SIGKILL", 143: "SIGTERM"}
"""Exit codes of containers whose first process was ended by a signal."""


def unexpected_exit_text(exit_code: int | None, *, out_of_memory: bool = False) -> str:
    """Return the sentence for a container that ended without an instruction of its Agent."""
    if out_of_memory:
        return f"The container ran out of memory and ended with exit code {exit_code}; raise the workspace's memory."
    if signal := _SIGNALS.get(exit_code or 0):
        return f"The container was killed with {signal} (exit code {exit_code}), not by Greenroom."
    return f"The container ended by itself with exit code {exit_code}."


def _observe_without_container(desired: DesiredContainer, journal: JournalFacts) -> tuple[ObservedState, str]:
    if _has_run(desired, journal):
        return ObservedState.FAILED, f"The {CONTAINER_GONE}; its data is lost."
    if desired.want is not Want.RUNNING:
        return ObservedState.FAILED, f"The desired state is {desired.want}, but the session never had a container here."
    if desired.spec_hash is None:
        return ObservedState.FAILED, "The Manager sent no specification for this session that this Agent can read."
    return ObservedState.CREATING, ""


class DesiredEntry(Protocol):
    """An entry of a desired list. `generation` grows with every new instruction for the session."""

    @property
    def session_id(self) -> str: ...

    @property
    def generation(self) -> int: ...


Entry = TypeVar("Entry", bound=DesiredEntry)


def is_applicable(term: int, highest_term: int, fresh: bool) -> bool:
    """True if an answer may have an effect: its data is `fresh`, and its term is not lower than `highest_term`."""
    return fresh and term >= highest_term


NO_ENTRIES: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDifference:
    """The difference of two desired lists: entries that are new or have another generation, and entries that left."""

    changed: frozenset[str]
    left: frozenset[str]


def difference(before: Mapping[str, int], now: Mapping[str, int]) -> ListDifference:
    """Return the difference of two lists of session id → generation."""
    return ListDifference(
        changed=frozenset(session_id for session_id, _ in now.items() - before.items()),
        left=frozenset(before.keys() - now.keys()),
    )


def updated_list(before: Mapping[str, int], read_ids: Collection[str], found: Mapping[str, int]) -> Mapping[str, int]:
    """Return the list `before` (session id → generation) after the sessions `read_ids` were read again. The sessions in
    `found` stay in the list; the others of `read_ids` leave it. If nothing changed, the same object is returned."""
    if all(before.get(session_id) == found.get(session_id) for session_id in {*read_ids, *found}):
        return before
    return {**{k: g for k, g in before.items() if k not in read_ids}, **found}


def merge(
    current: Mapping[str, Entry],
    entries: Iterable[Entry],
    highest_generations: Mapping[str, int],
    *,
    kept: Mapping[str, Entry] = NO_ENTRIES,
) -> tuple[dict[str, Entry], dict[str, int]]:
    """Return the desired list after `entries` arrived, and the highest generation received for each session.

    An entry of `entries` with a lower generation is ignored: the current entry stays, and a session that left the list
    does not return. Sessions that are neither in `entries` nor in `kept` leave the list (their containers stay). `kept`
    is empty if `entries` is a whole list.
    """
    merged = dict(kept)
    highest_after = dict(highest_generations)
    for entry in entries:
        if entry.generation >= highest_generations.get(entry.session_id, 0):
            earlier = current.get(entry.session_id)
            merged[entry.session_id] = earlier if earlier and earlier.generation == entry.generation else entry
            highest_after[entry.session_id] = entry.generation
        elif entry.session_id in current:
            merged[entry.session_id] = current[entry.session_id]
    return merged, highest_after

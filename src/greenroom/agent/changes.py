"""The changes of a session's container, and the preparation of a start: the image, the web filter and the files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from typing import Final

from greenroom.agent.capacity import ExplainFailure, keep_failure
from greenroom.agent.images import ImageKeeper
from greenroom.agent.session.inventory import Inventory
from greenroom.agent.session.sessions import Sessions
from greenroom.agent.web_filter.filters import WebFilters
from greenroom.core.errors import GreenroomError
from greenroom.core.log_codes import LogCode
from greenroom.core.session.reconcile import Action, ActionKind, unexpected_exit_text
from greenroom.core.session.states import Want
from greenroom.kit.concurrency import convert_item_error
from greenroom.kit.stops import hold_if_armed
from greenroom.runtimes.contract import Container, Containers, StartError

LOG_TAIL_LINES: Final = 50
LOG_PAUSES_S: Final = (0.0, 0.1, 0.4)
"""The pauses before the attempts to read a container's last output."""
START_KINDS: Final = frozenset({ActionKind.CREATE, ActionKind.START})


@dataclass(eq=False)
class ContainerChanges:
    """Changes containers through the runtime, and stores the results in `sessions`."""

    runtime: Containers
    sessions: Sessions
    inventory: Inventory
    images: ImageKeeper
    filters: WebFilters | None
    _: KW_ONLY
    streams_closed: Callable[[str], Awaitable[None]]
    """Waits until the websockets of an ended session are closed."""
    explain_failure: ExplainFailure = keep_failure
    disk_shortage: Callable[[], str] = lambda: ""
    """Returns the reason why the host has no disk for a new session; empty if it has."""

    def __post_init__(self) -> None:
        self._changes: dict[ActionKind, Callable[[str], Awaitable[None]]] = {
            ActionKind.CREATE: self._create,
            ActionKind.START: self._start,
            ActionKind.STOP: self._stop,
            ActionKind.PAUSE: self._pause,
            ActionKind.UNPAUSE: self._unpause,
            ActionKind.REMOVE: self._remove,
            ActionKind.EXAMINE: self._examine,
            ActionKind.FULL_SHARE: self._give_full_share,
        }

    def __contains__(self, kind: ActionKind) -> bool:
        """Return True if the action is a change of a container."""
        return kind in self._changes

    async def make(self, action: Action) -> None:
        """Make the change `action`. Raises GreenroomError: the runtime refuses the change or does not answer."""
        await self._changes[action.kind](action.session_id)

    async def wait_for_requirements(self, action: Action) -> None:
        """Wait for the image and the web filter that a start requires. The start takes a slot after this wait.

        Raises StartError: the host has no disk. The Manager may not have had this report when it placed the session.
        """
        spec = self.sessions.desired.spec(action.session_id)
        if spec is None or action.kind not in START_KINDS:
            return
        if action.kind is ActionKind.CREATE:
            if reason := self.disk_shortage():
                raise StartError(f"{reason}.")
            await self.images.wait_until_arrived(spec.image)
            if not self._is_desired_running(action.session_id):
                return
        await self._require_filter(spec.filter_policy)

    async def _require_filter(self, policy_id: str | None) -> None:
        if self.filters is not None:
            await self.filters.wait_until_ready(policy_id)
        elif policy_id is not None:
            raise StartError("The session requires a web filter, but the runtime of this host has none.")

    async def record_failure(self, action: Action, error: GreenroomError) -> None:
        """Log a failed change and inspect the session. After a failed start, the state of the session is `failed`."""
        session_id = action.session_id
        message = f"Session {session_id}: {action.kind.value} failed: {error.message}"
        self.sessions.outbox.log_line(LogCode.AGENT_ACTION_FAILED, message, session_id)
        if action.kind in START_KINDS:
            await self._fail(session_id, error.message)
        await self.inventory.try_inspect(session_id)

    def _store_container(self, container: Container) -> None:
        self.inventory.mark_changed(container.session_id)
        self.sessions.observed.store_container(container.session_id, container)

    async def _create(self, session_id: str) -> None:
        with self.sessions.observed.being_created(session_id):
            spec = self.sessions.desired.spec(session_id)
            if spec is None or not self._is_desired_running(session_id):
                return
            await self._require_filter(spec.filter_policy)  # the filter may have changed during the wait for a slot
            await hold_if_armed("agent.before_create")
            low_cpu_share = not self.sessions.desired.has_user(session_id)
            self.sessions.observed.update_record(session_id, low_cpu_share=low_cpu_share)
            self._store_container(await self.runtime.create(session_id, spec, low_cpu_share=low_cpu_share))
        self.sessions.observed.record_step(session_id, "created")
        await hold_if_armed("agent.after_create")
        if self._is_desired_running(session_id):
            await self._start(session_id)

    def _is_desired_running(self, session_id: str) -> bool:
        desired = self.sessions.desired.get(session_id)
        return desired is not None and desired.want == Want.RUNNING

    async def _start(self, session_id: str) -> None:
        await self._put_files(session_id)
        if (spec := self.sessions.desired.spec(session_id)) is not None:
            await self._require_filter(spec.filter_policy)
        container = await self.runtime.start(session_id)
        await hold_if_armed("agent.after_start")
        self.sessions.observed.update_record(session_id, stopped=False, exit_code=None, log_tail="")
        self._store_container(container)
        self.sessions.observed.record_step(session_id, "started")

    async def _put_files(self, session_id: str) -> None:
        """Write the files of a session into its container before the first start."""
        spec = self.sessions.desired.spec(session_id)
        if spec is None or self.sessions.observed.journal_facts(session_id).ran:
            return
        trust_files = await self.filters.trust_files(session_id, spec) if self.filters is not None else ()
        if files := (*spec.files, *trust_files):
            await self.runtime.put_files(session_id, files)

    async def _give_full_share(self, session_id: str) -> None:
        """Give the container the CPU share of its specification. During its start it had a smaller share."""
        if (spec := self.sessions.desired.spec(session_id)) is not None:
            await self.runtime.give_full_cpu_share(session_id, spec)
            self.sessions.observed.update_record(session_id, low_cpu_share=False)

    async def _stop(self, session_id: str) -> None:
        await self.sessions.observed.update_record_durably(session_id, stopped=True)
        await self.runtime.stop(session_id)
        await self.inventory.inspect(session_id)

    async def _pause(self, session_id: str) -> None:
        await self.runtime.pause(session_id)
        await self.inventory.inspect(session_id)

    async def _unpause(self, session_id: str) -> None:
        await self.runtime.unpause(session_id)
        await self.inventory.inspect(session_id)

    async def _remove(self, session_id: str) -> None:
        await hold_if_armed("agent.before_remove")
        await self.streams_closed(session_id)
        await self.runtime.remove(session_id)
        await hold_if_armed("agent.after_remove")
        if self.sessions.desired.get(session_id) is None:
            self._log_undesired_removed(session_id)
        self.inventory.forget(session_id)
        self.sessions.observed.store_container(session_id, None)

    def _log_undesired_removed(self, session_id: str) -> None:
        container = self.sessions.observed.container(session_id)
        message = (
            f"A container of session {session_id}, which this Agent must not run, was removed on the instruction of the"
            f" Manager: {container.state if container else 'unknown'} → gone."
        )
        self.sessions.outbox.log_line(LogCode.AGENT_STRANGER_REMOVED, message, session_id)

    async def _examine(self, session_id: str) -> None:
        """Record the failure of a session whose container ended by itself."""
        container = self.sessions.observed.container(session_id)
        exit_code = container.exit_code if container else None
        out_of_memory = session_id in self.inventory.out_of_memory
        ended = container.ended if container else ""
        await self._fail(session_id, ended or unexpected_exit_text(exit_code, out_of_memory=out_of_memory), exit_code)

    async def _fail(self, session_id: str, sentence: str, exit_code: int | None = None) -> None:
        log_tail = await self._last_lines(session_id)
        failure = self.explain_failure(sentence, log_tail)
        self.sessions.observed.update_record(session_id, failure=failure, exit_code=exit_code, log_tail=log_tail)

    async def _last_lines(self, session_id: str) -> str:
        """Return the last output of the container. An empty log is read again, because Docker may report the end of a
        container before its output is in the log.
        """
        log_tail = ""
        try:
            with convert_item_error("session", session_id):
                for pause_s in LOG_PAUSES_S:
                    await asyncio.sleep(pause_s)
                    if log_tail := await self.runtime.logs(session_id, LOG_TAIL_LINES):
                        break
        except GreenroomError as error:
            return f"(the last log lines cannot be read: {error.message})"
        return log_tail

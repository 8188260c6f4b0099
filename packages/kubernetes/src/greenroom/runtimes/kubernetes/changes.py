"""Translation of changes in a namespace to events of sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import structlog
from lightkube.resources.core_v1 import Pod, Secret

from greenroom.runtimes.contract import SESSION, ContainerConflict, ContainerEvent, EventKind, StartError
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.errors import ApiGone
from greenroom.runtimes.kubernetes.objects import labels_of, metadata, status
from greenroom.runtimes.kubernetes.pod_state import ENDED, deletion_due_at, exit_code_of, is_up, lost_at, was_oom_killed

log = structlog.get_logger(__name__)

Kind = TypeVar("Kind", Pod, Secret)
TIMER_DELAY_S: Final = 0.1
"""The delay of a timer after its due time. Without it, the receiver of the event could read a time before the due time.
"""
SECRET_EVENTS: Final[dict[str, EventKind]] = {"ADDED": "create", "DELETED": "destroy"}
"""Type of the change of a session's Secret → kind of the event."""


@dataclass(frozen=True, slots=True)
class _SilentPod:
    """A Pod whose node has not answered for too long."""

    name: str
    uid: str


class Changes:
    """The future events of all sessions with these labels."""

    def __init__(self, cluster: Cluster, labels: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._labels = labels
        self._queue: asyncio.Queue[ContainerEvent | _SilentPod] = asyncio.Queue()
        self._running: set[str] = set()
        self._ended: set[str] = set()
        self._loss_timers: dict[str, asyncio.TimerHandle] = {}
        self._deletion_timers: dict[str, asyncio.TimerHandle] = {}

    async def run(self) -> AsyncGenerator[ContainerEvent]:
        """Yield the events, and delete the Pods of nodes that do not answer for too long. A deleted Pod stays deleted
        if its node answers again. The generator ends when the server no longer has the changes since the last event;
        changes between two calls cause no event.

        Raises:
            RuntimeUnavailable: the connection was lost.
        """
        _, secrets_version = await self._cluster.list(Secret, self._labels)
        pods, pods_version = await self._cluster.list(Pod, self._labels)
        for pod in pods:
            self._process_pod(pod, _session_of(pod))
        self._queue = asyncio.Queue()  # the initial state causes no event
        watches = [
            asyncio.create_task(self._watch(Secret, secrets_version), name="secrets"),
            asyncio.create_task(self._watch(Pod, pods_version), name="pods"),
        ]
        next_item: asyncio.Task[ContainerEvent | _SilentPod] | None = None
        try:
            while True:
                next_item = asyncio.create_task(self._queue.get(), name="event")
                await asyncio.wait({next_item, *watches}, return_when=asyncio.FIRST_COMPLETED)
                if next_item.done():
                    item = next_item.result()
                    if isinstance(item, ContainerEvent):
                        yield item
                    else:
                        await self._delete_silent_pod(item)
                for watch in watches:
                    if watch.done():
                        watch.result()
                        return
        finally:
            for timer in (*self._loss_timers.values(), *self._deletion_timers.values()):
                timer.cancel()
            if next_item is not None:
                next_item.cancel()
            for task in watches:
                task.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    async def _delete_silent_pod(self, silent: _SilentPod) -> None:
        log.warning("the node of a Pod does not answer; the Pod is deleted", pod=silent.name)
        try:
            await self._cluster.delete(Pod, silent.name, silent.uid)
        except (StartError, ContainerConflict) as error:
            log.warning("the deletion of a Pod is refused", pod=silent.name, reason=error.message)

    async def _watch(self, kind: type[Kind], version: str) -> None:
        """Process the changes until the API server no longer has the version from which the watch continues."""
        try:
            while True:
                async for change, resource in self._cluster.watch(kind, self._labels, version):
                    version = metadata(resource).resourceVersion or version
                    self._process_change(change, resource)
        except ApiGone as error:
            log.info("the watch is too old", kind=kind.__name__, reason=error.message)

    def _process_change(self, change: str, resource: Pod | Secret) -> None:
        session_id = _session_of(resource)
        if change == "BOOKMARK" or not session_id:
            return
        if isinstance(resource, Secret):
            if change in SECRET_EVENTS:
                self._queue.put_nowait(ContainerEvent(session_id=session_id, kind=SECRET_EVENTS[change]))
        elif change == "DELETED":
            self._report_end(session_id, exit_code_of(resource))
            self._running.discard(session_id)
            self._ended.discard(session_id)
        else:
            self._process_pod(resource, session_id)

    def _process_pod(self, pod: Pod, session_id: str) -> None:
        if status(pod).phase in ENDED:
            if was_oom_killed(pod) and session_id not in self._ended:
                self._queue.put_nowait(ContainerEvent(session_id=session_id, kind="oom"))
            self._report_end(session_id, exit_code_of(pod))
        elif is_up(pod) and session_id not in self._running:
            self._running.add(session_id)
            self._queue.put_nowait(ContainerEvent(session_id=session_id, kind="start"))
        if (due_at := lost_at(pod)) is not None and session_id not in self._loss_timers:
            self._loss_timers[session_id] = _call_at(due_at, lambda: self._report_end(session_id, None))
        if (due_at := deletion_due_at(pod)) is None:
            self._cancel_deletion(session_id)
        elif session_id not in self._deletion_timers:
            silent_pod = _SilentPod(metadata(pod).name or "", metadata(pod).uid or "")
            self._deletion_timers[session_id] = _call_at(due_at, lambda: self._queue.put_nowait(silent_pod))

    def _cancel_deletion(self, session_id: str) -> None:
        if (timer := self._deletion_timers.pop(session_id, None)) is not None:
            timer.cancel()

    def _report_end(self, session_id: str, exit_code: int | None) -> None:
        if (timer := self._loss_timers.pop(session_id, None)) is not None:
            timer.cancel()
        self._cancel_deletion(session_id)
        if session_id not in self._ended:
            self._ended.add(session_id)
            self._queue.put_nowait(ContainerEvent(session_id=session_id, kind="die", exit_code=exit_code))


def _call_at(at: datetime, call: Callable[[], None]) -> asyncio.TimerHandle:
    delay_s = max(0.0, (at - datetime.now(UTC)).total_seconds()) + TIMER_DELAY_S
    return asyncio.get_running_loop().call_later(delay_s, call)


def _session_of(resource: Pod | Secret) -> str:
    return labels_of(resource).get(SESSION, "")

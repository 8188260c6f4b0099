"""The changes in a namespace, as events of the contract."""

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
from greenroom.runtimes.kubernetes.seen import ENDED, deletion_due_at, exit_code_of, is_up, lost_at, out_of_memory

log = structlog.get_logger(__name__)

Kind = TypeVar("Kind", Pod, Secret)
TIMER_LATE_S: Final = 0.1
"""The delay of a timer after its time, so that the receiver of the event finds that the time has passed."""
SECRETS: Final[dict[str, EventKind]] = {"ADDED": "create", "DELETED": "destroy"}


@dataclass(frozen=True, slots=True)
class _Silent:
    """A Pod whose node has not answered for too long."""

    name: str
    uid: str


class Changes:
    """The events of all sessions with these labels, from now on."""

    def __init__(self, cluster: Cluster, labels: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._labels = labels
        self._queue: asyncio.Queue[ContainerEvent | _Silent] = asyncio.Queue()
        self._up: set[str] = set()
        self._ended: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._silent: dict[str, asyncio.TimerHandle] = {}

    async def run(self) -> AsyncGenerator[ContainerEvent]:
        """Yield the events. Also deletes Pods of nodes that are silent for too long; they stay deleted if the node
        answers again. The generator ends when the server no longer has the changes since the last event: missed changes
        produce no event.

        Raises:
            RuntimeUnavailable: the connection was lost.
        """
        _, of_secrets = await self._cluster.list(Secret, self._labels)
        pods, of_pods = await self._cluster.list(Pod, self._labels)
        for pod in pods:
            self._saw(pod, _session(pod))
        self._queue = asyncio.Queue()  # the present state causes no event
        watching = [
            asyncio.create_task(self._watch(Secret, of_secrets), name="secrets"),
            asyncio.create_task(self._watch(Pod, of_pods), name="pods"),
        ]
        taking: asyncio.Task[ContainerEvent | _Silent] | None = None
        try:
            while True:
                taking = asyncio.create_task(self._queue.get(), name="event")
                await asyncio.wait({taking, *watching}, return_when=asyncio.FIRST_COMPLETED)
                if taking.done():
                    taken = taking.result()
                    if isinstance(taken, ContainerEvent):
                        yield taken
                    else:
                        await self._give_up(taken)
                for watch in watching:
                    if watch.done():
                        watch.result()
                        return
        finally:
            for timer in (*self._timers.values(), *self._silent.values()):
                timer.cancel()
            if taking is not None:
                taking.cancel()
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _give_up(self, silent: _Silent) -> None:
        log.warning("the node of a Pod does not answer; the Pod is deleted", pod=silent.name)
        try:
            await self._cluster.delete(Pod, silent.name, silent.uid)
        except (StartError, ContainerConflict) as error:
            log.warning("the deletion of a Pod is refused", pod=silent.name, reason=error.message)

    async def _watch(self, kind: type[Kind], version: str) -> None:
        """Watch until the version from which the watch would continue is too old."""
        try:
            while True:
                async for change, thing in self._cluster.watch(kind, self._labels, version):
                    version = metadata(thing).resourceVersion or version
                    self._changed(change, thing)
        except ApiGone as error:
            log.info("the watch is too old", kind=kind.__name__, reason=error.message)

    def _changed(self, change: str, thing: Pod | Secret) -> None:
        session_id = _session(thing)
        if change == "BOOKMARK" or not session_id:
            return
        if isinstance(thing, Secret):
            if change in SECRETS:
                self._queue.put_nowait(ContainerEvent(session_id=session_id, kind=SECRETS[change]))
        elif change == "DELETED":
            self._died(session_id, exit_code_of(thing))
            self._up.discard(session_id)
            self._ended.discard(session_id)
        else:
            self._saw(thing, session_id)

    def _saw(self, pod: Pod, session_id: str) -> None:
        if status(pod).phase in ENDED:
            if out_of_memory(pod) and session_id not in self._ended:
                self._queue.put_nowait(ContainerEvent(session_id=session_id, kind="oom"))
            self._died(session_id, exit_code_of(pod))
        elif is_up(pod) and session_id not in self._up:
            self._up.add(session_id)
            self._queue.put_nowait(ContainerEvent(session_id=session_id, kind="start"))
        if (at := lost_at(pod)) is not None and session_id not in self._timers:
            self._timers[session_id] = _at(at, lambda: self._died(session_id, None))
        if (at := deletion_due_at(pod)) is None:
            self._answers(session_id)
        elif session_id not in self._silent:
            silent = _Silent(metadata(pod).name or "", metadata(pod).uid or "")
            self._silent[session_id] = _at(at, lambda: self._queue.put_nowait(silent))

    def _answers(self, session_id: str) -> None:
        if (timer := self._silent.pop(session_id, None)) is not None:
            timer.cancel()

    def _died(self, session_id: str, exit_code: int | None) -> None:
        if (timer := self._timers.pop(session_id, None)) is not None:
            timer.cancel()
        self._answers(session_id)
        if session_id not in self._ended:
            self._ended.add(session_id)
            self._queue.put_nowait(ContainerEvent(session_id=session_id, kind="die", exit_code=exit_code))


def _at(at: datetime, call: Callable[[], None]) -> asyncio.TimerHandle:
    after_s = max(0.0, (at - datetime.now(UTC)).total_seconds()) + TIMER_LATE_S
    return asyncio.get_running_loop().call_later(after_s, call)


def _session(thing: Pod | Secret) -> str:
    return labels_of(thing).get(SESSION, "")

"""Waits until a session's Pod runs, or until the reason why it will not is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from lightkube.resources.core_v1 import Pod

from greenroom.runtimes.contract import ContainerMissing, ImageMissing, RuntimeUnavailable, StartError
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.making import MADE_WITHIN_S, is_being_created, newest_event, reason_of
from greenroom.runtimes.kubernetes.objects import metadata, status
from greenroom.runtimes.kubernetes.seen import (
    ENDED,
    IMAGE_REASONS,
    REFUSED_REASONS,
    ended_sentence,
    exit_code_of,
    is_up,
    unschedulable,
    waits_for,
)

UNSCHEDULABLE_FOR_S: Final = 15.0
"""The time for which the scheduler may find no node; a node may be freed or added in a moment."""
IMAGE_FOR_S: Final = 12.0
"""The time for which a node may report a missing image. It tries again, and a registry's first answer may be late."""
REFUSED_FOR_S: Final = 5.0
POLL_S: Final = 1.0
UNBOUND: Final = "unbound immediate PersistentVolumeClaims"
"""The scheduler's message for a claim without a volume."""


class TimeLimits:
    """The time for which each reason not to run has lasted. `now` is a monotonic clock."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def problem(self, pod: Pod, now: float) -> StartError | ImageMissing | None:
        """The error that ends the wait; None = the Pod may still run."""
        reason, said, image = waits_for(pod)
        node = unschedulable(pod) if not (pod.spec and pod.spec.nodeName) else ""
        kinds: list[tuple[str, bool, float, StartError | ImageMissing]] = [
            ("node", bool(node), UNSCHEDULABLE_FOR_S, StartError(_without_node(node))),
            (
                "image",
                reason in IMAGE_REASONS,
                IMAGE_FOR_S,
                ImageMissing(f"The node cannot pull the image {image}: {reason}: {said}."),
            ),
            (
                "settings",
                reason in REFUSED_REASONS,
                REFUSED_FOR_S,
                StartError(f"The node cannot start the session: {reason}: {said}."),
            ),
        ]
        over = [error for kind, holds, for_s, error in kinds if self._lasts(kind, for_s, now, holds=holds)]
        return over[0] if over else None

    def is_late(self, pod: Pod, now: float) -> bool:
        """Return True if its node takes too long to create its container; the Pod itself has no reason."""
        return self._lasts("made", MADE_WITHIN_S, now, holds=is_being_created(pod))

    def _lasts(self, kind: str, for_s: float, now: float, *, holds: bool) -> bool:
        if not holds:
            self._since.pop(kind, None)
            return False
        return now - self._since.setdefault(kind, now) >= for_s


def _without_node(said: str) -> str:
    sentence = f"No node can run the session at present: {said}."
    if UNBOUND in said:
        sentence += "The volume of its home does not exist yet: check the claim and its storage class."
    return sentence


async def running(cluster: Cluster, name: str) -> Pod:
    """Return the Pod once its container runs, or has run and ended.

    Raises:
        StartError: it cannot be started.
        ImageMissing: its node cannot pull its image.
        ContainerMissing: it was deleted.
    """
    limits = TimeLimits()
    async with aclosing(states(cluster, name)) as seen:
        async for pod in seen:
            if pod is None:
                raise ContainerMissing
            if is_up(pod):
                return pod
            if status(pod).phase in ENDED:
                if (code := exit_code_of(pod)) is not None and not ended_sentence(pod):
                    return pod
                raise StartError(ended_sentence(pod) or f"The session ended immediately with exit code {code}.")
            if (problem := limits.problem(pod, time.monotonic())) is not None:
                raise problem
            if limits.is_late(pod, time.monotonic()) and (why := reason_of(pod, await newest_event(cluster, pod))):
                raise StartError(f"{why}.")
    raise RuntimeUnavailable("The API server of Kubernetes ended the watch of the session's Pod.")


async def ended(cluster: Cluster, name: str, uid: str, within_s: float) -> bool:
    """Return True if this very Pod is gone, or its node reports its end, within this time."""
    try:
        async with asyncio.timeout(within_s), aclosing(states(cluster, name)) as seen:
            async for pod in seen:
                if pod is None or metadata(pod).uid != uid or status(pod).phase in ENDED:
                    return True
    except TimeoutError:
        pass  # it still runs
    return False


async def states(cluster: Cluster, name: str) -> AsyncGenerator[Pod | None]:
    """Yield a Pod now and after each change, and at least every `POLL_S` again; None = it does not exist."""
    pod = await cluster.get(Pod, name)
    yield pod
    queue: asyncio.Queue[Pod | Exception | None] = asyncio.Queue()

    async def follow(version: str | None) -> None:
        try:
            async for change, seen in cluster.watch(Pod, version=version, fields={"metadata.name": name}):
                if change != "BOOKMARK":
                    queue.put_nowait(None if change == "DELETED" else seen)
        except RuntimeUnavailable as error:
            queue.put_nowait(error)

    following = asyncio.create_task(follow(metadata(pod).resourceVersion if pod else None), name="pod")
    try:
        while True:
            try:
                async with asyncio.timeout(POLL_S):
                    pod_or_error = await queue.get()
            except TimeoutError:
                yield pod
                if following.done() and queue.empty():
                    pod = await cluster.get(Pod, name)
                    following = asyncio.create_task(follow(metadata(pod).resourceVersion if pod else None), name="pod")
                    yield pod
                continue
            if isinstance(pod_or_error, Exception):
                raise pod_or_error
            pod = pod_or_error
            yield pod
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

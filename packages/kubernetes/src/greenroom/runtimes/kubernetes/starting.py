"""Waits for a session's Pod: until it runs, cannot run, or has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from lightkube.resources.core_v1 import Pod

from greenroom.runtimes.contract import ContainerMissing, ImageMissing, RuntimeUnavailable, StartError
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.creation_events import (
    CREATION_LIMIT_S,
    delay_reason_of,
    is_being_created,
    newest_event,
)
from greenroom.runtimes.kubernetes.objects import metadata, status
from greenroom.runtimes.kubernetes.pod_state import (
    ENDED,
    IMAGE_REASONS,
    PERMANENT_REASONS,
    exit_code_of,
    first_waiting,
    is_up,
    reason_of_end,
    unschedulable_reason,
)

UNSCHEDULABLE_LIMIT_S: Final = 15.0
"""The time limit for the scheduler to find a node."""
IMAGE_LIMIT_S: Final = 12.0
"""The time for which a node may report that it cannot pull the image, because the node repeats the pull."""
REFUSAL_LIMIT_S: Final = 5.0
"""The time for which a node may report one of `PERMANENT_REASONS`."""
POLL_S: Final = 1.0
UNBOUND_CLAIM_TEXT: Final = "unbound immediate PersistentVolumeClaims"
"""The scheduler's message for a claim without a volume."""


class TimeLimits:
    """The time limits of the states in which a Pod does not run yet. `now` is the time of a monotonic clock."""

    def __init__(self) -> None:
        self._begun_at: dict[str, float] = {}
        """State → the time since which the Pod has been in it."""

    def problem(self, pod: Pod, now: float) -> StartError | ImageMissing | None:
        """Return the error of a state that exceeded its time limit; None = the Pod may still run."""
        reason, message, image = first_waiting(pod)
        no_node_message = unschedulable_reason(pod) if not (pod.spec and pod.spec.nodeName) else ""
        checks: list[tuple[str, bool, float, StartError | ImageMissing]] = [
            ("node", bool(no_node_message), UNSCHEDULABLE_LIMIT_S, StartError(_no_node_sentence(no_node_message))),
            (
                "image",
                reason in IMAGE_REASONS,
                IMAGE_LIMIT_S,
                ImageMissing(f"The node cannot pull the image {image}: {reason}: {message}."),
            ),
            (
                "settings",
                reason in PERMANENT_REASONS,
                REFUSAL_LIMIT_S,
                StartError(f"The node cannot start the session: {reason}: {message}."),
            ),
        ]
        expired = [
            error
            for kind, applies, limit_s, error in checks
            if self._exceeds_limit(kind, limit_s, now, applies=applies)
        ]
        return expired[0] if expired else None

    def is_late(self, pod: Pod, now: float) -> bool:
        """Return True if the node exceeds the time limit for the creation of the container."""
        return self._exceeds_limit("creation", CREATION_LIMIT_S, now, applies=is_being_created(pod))

    def _exceeds_limit(self, kind: str, limit_s: float, now: float, *, applies: bool) -> bool:
        if not applies:
            self._begun_at.pop(kind, None)
            return False
        return now - self._begun_at.setdefault(kind, now) >= limit_s


def _no_node_sentence(message: str) -> str:
    sentence = f"No node can run the session at present: {message}."
    if UNBOUND_CLAIM_TEXT in message:
        sentence += " The volume of its home does not exist yet: check the claim and its storage class."
    return sentence


async def wait_until_running(cluster: Cluster, name: str) -> Pod:
    """Wait until the container of the Pod runs, or has run and ended. Return the Pod.

    Raises:
        StartError: the Pod cannot be started.
        ImageMissing: the node cannot pull the image.
        ContainerMissing: the Pod was deleted.
    """
    limits = TimeLimits()
    async with aclosing(watch_pod(cluster, name)) as pod_states:
        async for pod in pod_states:
            if pod is None:
                raise ContainerMissing
            if is_up(pod):
                return pod
            if status(pod).phase in ENDED:
                if (code := exit_code_of(pod)) is not None and not reason_of_end(pod):
                    return pod
                raise StartError(reason_of_end(pod) or f"The session ended immediately with exit code {code}.")
            if (problem := limits.problem(pod, time.monotonic())) is not None:
                raise problem
            if limits.is_late(pod, time.monotonic()) and (
                delay_reason := delay_reason_of(pod, await newest_event(cluster, pod))
            ):
                raise StartError(f"{delay_reason}.")
    raise RuntimeUnavailable("The API server of Kubernetes ended the watch of the session's Pod.")


async def wait_until_ended(cluster: Cluster, name: str, uid: str, within_s: float) -> bool:
    """Wait until the Pod with this uid is deleted, or its node reports its end. Return False after the time limit."""
    try:
        async with asyncio.timeout(within_s), aclosing(watch_pod(cluster, name)) as pod_states:
            async for pod in pod_states:
                if pod is None or metadata(pod).uid != uid or status(pod).phase in ENDED:
                    return True
    except TimeoutError:
        pass  # the Pod still runs
    return False


async def watch_pod(cluster: Cluster, name: str) -> AsyncGenerator[Pod | None]:
    """Yield the Pod immediately, after each change, and after `POLL_S` without a change; None = it does not exist."""
    pod = await cluster.get(Pod, name)
    yield pod
    queue: asyncio.Queue[Pod | Exception | None] = asyncio.Queue()

    async def follow(version: str | None) -> None:
        try:
            async for change, changed_pod in cluster.watch(Pod, version=version, fields={"metadata.name": name}):
                if change != "BOOKMARK":
                    queue.put_nowait(None if change == "DELETED" else changed_pod)
        except RuntimeUnavailable as error:
            queue.put_nowait(error)

    follower = asyncio.create_task(follow(metadata(pod).resourceVersion if pod else None), name="pod")
    try:
        while True:
            try:
                async with asyncio.timeout(POLL_S):
                    pod_or_error = await queue.get()
            except TimeoutError:
                yield pod
                if follower.done() and queue.empty():
                    pod = await cluster.get(Pod, name)
                    follower = asyncio.create_task(follow(metadata(pod).resourceVersion if pod else None), name="pod")
                    yield pod
                continue
            if isinstance(pod_or_error, Exception):
                raise pod_or_error
            pod = pod_or_error
            yield pod
    finally:
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)

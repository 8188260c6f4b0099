"""The reason why a node has not created a container yet. The events of the Pod contain it, but the status of the Pod
does not.

This module returns no reason if the Agent lacks the permission to list events, or if the events have expired after an
hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from lightkube.resources.core_v1 import Event, Pod

from greenroom.core.session.deadlines import DEADLINE_S
from greenroom.core.session.states import SessionStatus
from greenroom.runtimes.contract import RuntimeUnavailable
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.objects import metadata, status
from greenroom.runtimes.kubernetes.pod_state import first_waiting, node_of

CREATION_LIMIT_S: Final = DEADLINE_S[SessionStatus.STARTING] - 10.0
"""The time limit for the creation of a container. It is shorter than the deadline of the Primary, because the error of
the Primary does not contain the reason.
"""
STEP_REASONS: Final = frozenset({"Pulling", "Pulled", "Created", "Started"})
"""The reasons of events about the steps of a node after all volumes are attached. Such an event means that earlier
problems are solved."""
NO_NODE_REASON: Final = "FailedScheduling"
"""The reason of events of a Pod that has no node yet."""
MAX_EVENT_CHARACTERS: Final = 300
"""Maximum number of quoted characters of an event."""
UNKNOWN_TIME: Final = datetime.min.replace(tzinfo=UTC)


def is_being_created(pod: Pod) -> bool:
    """Return True if a node has the Pod, and neither runs it nor reports a problem."""
    has_node = pod.spec is not None and bool(pod.spec.nodeName)
    waiting_reason, _, _ = first_waiting(pod)
    return has_node and status(pod).phase == "Pending" and waiting_reason in {"", "ContainerCreating"}


async def newest_event(cluster: Cluster, pod: Pod) -> Event | None:
    """Return the newest relevant event about the Pod, or None if there is none or events cannot be read."""
    try:
        return newest_relevant(await cluster.list_fields(Event, {"involvedObject.uid": metadata(pod).uid or ""}))
    except RuntimeUnavailable:
        return None


def newest_relevant(events: Sequence[Event]) -> Event | None:
    """Return the newest event that is a warning or one of `STEP_REASONS`. The times of events are in whole seconds. Of
    several events in the same second, the last one of the list is returned, because the list is in the order of their
    creation.
    """
    relevant = [event for event in events if event.reason in STEP_REASONS or _is_warning(event)]
    newest_time = max((_time_of(event) for event in relevant), default=None)
    return next((event for event in reversed(relevant) if _time_of(event) == newest_time), None)


def _is_warning(event: Event) -> bool:
    return event.type == "Warning" and event.reason != NO_NODE_REASON


def _time_of(event: Event) -> datetime:
    last_repetition = event.series.lastObservedTime if event.series is not None else None
    time = last_repetition or event.lastTimestamp or event.eventTime or UNKNOWN_TIME
    return time.replace(microsecond=0)


def is_pull(event: Event | None) -> bool:
    """Return True if the node is pulling an image. Such an event is written only at the beginning of the pull."""
    return event is not None and event.reason == "Pulling"


def delay_reason_of(pod: Pod, event: Event | None) -> str:
    """Return the reason why the container does not exist yet, without a period; empty if the event does not explain
    it.
    """
    if is_pull(event):
        return f"The node {node_of(pod)} is still pulling the image {_image_of(pod)} after {CREATION_LIMIT_S:.0f} s"
    if event is not None and _is_warning(event):
        message = " ".join((event.message or "no reason was given").split())[:MAX_EVENT_CHARACTERS].rstrip(".")
        problem = f"has not created the container after {CREATION_LIMIT_S:.0f} s"
        return f"The node {node_of(pod)} {problem}: {event.reason}: {message}"
    return ""


def _image_of(pod: Pod) -> str:
    """Return the name of the image, or words that replace the name in a sentence."""
    images = [container.image for container in pod.spec.containers] if pod.spec is not None else []
    _, _, image_of_waiting_container = first_waiting(pod)
    return image_of_waiting_container or next((name for name in images if name), "of the session")

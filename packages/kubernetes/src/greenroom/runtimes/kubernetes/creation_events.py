"""The reason why a node has not created a container yet, from the events of the Pod.

The status of a Pod reports only that its container is being created. Its events contain the details. If the Agent lacks
the permission to list events, or if the events have expired after an hour, this module returns no reason.
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
from greenroom.runtimes.kubernetes.pod_state import node_of, waiting_of

CREATED_WITHIN_S: Final = DEADLINE_S[SessionStatus.STARTING] - 10.0
"""The time limit for the creation of a container. It ends shortly before the deadline of the Primary, because the
error of the Primary does not contain the reason.
"""
STEPS: Final = frozenset({"Pulling", "Pulled", "Created", "Started"})
"""The steps of a node, in order, after all volumes are attached. A step means that earlier problems are solved."""
NO_NODE: Final = "FailedScheduling"
"""The reason of events of a Pod that has no node yet."""
MAX_EVENT_CHARACTERS: Final = 300
"""Maximum number of quoted characters of an event."""
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


def is_being_created(pod: Pod) -> bool:
    """Return True if a node has the Pod, and neither runs it nor reports a problem."""
    has_node = pod.spec is not None and bool(pod.spec.nodeName)
    waiting_reason, _, _ = waiting_of(pod)
    return has_node and status(pod).phase == "Pending" and waiting_reason in {"", "ContainerCreating"}


async def newest_event(cluster: Cluster, pod: Pod) -> Event | None:
    """Return the newest relevant event about the Pod, or None if there is none or events cannot be read."""
    try:
        return newest_relevant(await cluster.list_fields(Event, {"involvedObject.uid": metadata(pod).uid or ""}))
    except RuntimeUnavailable:
        return None


def newest_relevant(events: Sequence[Event]) -> Event | None:
    """Return the newest event that is a warning or one of `STEPS`. The times of events are in whole seconds. Of several
    events in the same second, the last one of the list is returned, because the list is in the order of their creation.
    """
    relevant = [event for event in events if event.reason in STEPS or _is_warning(event)]
    last = max((_time_of(event) for event in relevant), default=None)
    return next((event for event in reversed(relevant) if _time_of(event) == last), None)


def _is_warning(event: Event) -> bool:
    return event.type == "Warning" and event.reason != NO_NODE


def _time_of(event: Event) -> datetime:
    last_repetition = event.series.lastObservedTime if event.series is not None else None
    time = last_repetition or event.lastTimestamp or event.eventTime or LONG_AGO
    return time.replace(microsecond=0)


def is_pull(event: Event | None) -> bool:
    """Return True if the node is pulling an image. The event is written once, at the beginning."""
    return event is not None and event.reason == "Pulling"


def delay_reason_of(pod: Pod, event: Event | None) -> str:
    """Return the reason why the container does not exist yet, without a period; empty if the event does not explain
    it.
    """
    after = f"after {CREATED_WITHIN_S:.0f} s"
    if is_pull(event):
        return f"The node {node_of(pod)} is still pulling the image {_image_of(pod)} {after}"
    if event is not None and _is_warning(event):
        description = f"{event.reason}: {_short(event.message)}"
        return f"The node {node_of(pod)} has not created the container {after}: {description}"
    return ""


def _image_of(pod: Pod) -> str:
    """Return the name of the image, as the end of "the image …"."""
    images = [container.image for container in pod.spec.containers] if pod.spec is not None else []
    _, _, image_of_waiting_container = waiting_of(pod)
    return image_of_waiting_container or next((name for name in images if name), "of the session")


def _short(text: str | None) -> str:
    return " ".join((text or "no reason was given").split())[:MAX_EVENT_CHARACTERS].rstrip(".")

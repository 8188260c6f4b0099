"""The progress of a node that creates a container. The Pod reports only that its container is being created.

The details are in events, if this Agent may list them. Events expire after an hour; without them no conclusion is
drawn.
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
from greenroom.runtimes.kubernetes.seen import node_of, waits_for

MADE_WITHIN_S: Final = DEADLINE_S[SessionStatus.STARTING] - 10.0
"""The time a node may take to create a container; it ends shortly before the Primary's deadline, which has no
reason."""
STEPS: Final = frozenset({"Pulling", "Pulled", "Created", "Started"})
"""The steps of a node, in order, after all volumes are attached. They end earlier problems."""
NO_NODE: Final = "FailedScheduling"
"""The reason of events from before a node was assigned."""
MAX_SAID: Final = 300
"""Maximum number of quoted characters of an event."""
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


def is_being_created(pod: Pod) -> bool:
    """Return True if a node has the Pod, and neither runs it nor reports a problem."""
    has_node = pod.spec is not None and bool(pod.spec.nodeName)
    return has_node and status(pod).phase == "Pending" and waits_for(pod)[0] in {"", "ContainerCreating"}


async def newest_event(cluster: Cluster, pod: Pod) -> Event | None:
    """The newest event of the node, or of the volume attacher, about the Pod; None also if events cannot be read."""
    try:
        return newest_of(await cluster.list_fields(Event, {"involvedObject.uid": metadata(pod).uid or ""}))
    except RuntimeUnavailable:
        return None


def newest_of(events: Sequence[Event]) -> Event | None:
    """The last warning, or the step after it. Events have times in seconds; of several events in one second the last of
    the list is used, because they are in the order of their first occurrence."""
    found = [event for event in events if event.reason in STEPS or _warns(event)]
    last = max((_second(event) for event in found), default=None)
    return next((event for event in reversed(found) if _second(event) == last), None)


def _warns(event: Event) -> bool:
    return event.type == "Warning" and event.reason != NO_NODE


def _second(event: Event) -> datetime:
    repeated = event.series.lastObservedTime if event.series is not None else None
    at = repeated or event.lastTimestamp or event.eventTime or LONG_AGO
    return at.replace(microsecond=0)


def is_pull(event: Event | None) -> bool:
    """Return True if the node is pulling an image. The event is written once, at the beginning."""
    return event is not None and event.reason == "Pulling"


def reason_of(pod: Pod, event: Event | None) -> str:
    """The reason why the container does not exist yet, for a sentence; empty if the event does not explain it."""
    after = f"after {MADE_WITHIN_S:.0f} s"
    if is_pull(event):
        return f"The node {node_of(pod)} is still pulling the image {_image_of(pod)} {after}"
    if event is not None and _warns(event):
        said = f"{event.reason}: {_short(event.message)}"
        return f"The node {node_of(pod)} has not created the container {after}: {said}"
    return ""


def _image_of(pod: Pod) -> str:
    named = [container.image for container in pod.spec.containers] if pod.spec is not None else []
    return waits_for(pod)[2] or next((name for name in named if name), "of the session")


def _short(text: str | None) -> str:
    return " ".join((text or "no reason was given").split())[:MAX_SAID].rstrip(".")

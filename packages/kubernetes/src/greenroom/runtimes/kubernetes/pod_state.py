"""The state of a session, derived from its Secret and its Pod. This module sends no requests.

A session exists while its Secret exists, and has one Pod. It is `created` until its Pod runs and has its files, and
then `running`. It is `exited`, with a sentence as the reason, when its Pod ended, was evicted, or is on a lost node.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec
from lightkube.models.core_v1 import ContainerStatus, PodCondition
from lightkube.resources.core_v1 import Pod, Secret

from greenroom.core.session.reconcile import ContainerState
from greenroom.runtimes.contract import AGENT, SESSION, SPEC_HASH, Container
from greenroom.runtimes.kubernetes.names import (
    CONTAINER,
    EXTRA_LABELS,
    FILTER_CONTAINER,
    PAGE_PORT,
    PENDING_FILES,
    POD_UID,
    SERVICES,
    START_ERROR,
)
from greenroom.runtimes.kubernetes.objects import annotations_of, data_of, labels_of, metadata, status

END_REPORT_TIMEOUT: Final = timedelta(seconds=5)
"""The time in which a node must report the end of a deleted Pod, after the grace period of the Pod."""
NODE_TIMEOUT: Final = timedelta(seconds=60)
"""The time after which this Agent deletes a Pod whose node does not answer. Kubernetes deletes the Pod earlier
(`LOST_AFTER_S`), but deletes no Pod while no node of the cluster answers.
"""
ENDED: Final = frozenset({"Succeeded", "Failed"})
POD_LOST_TEXT: Final = (
    "The session's Pod is gone although its deletion was not requested: its node was drained or removed, or it was"
    " deleted by hand. Its unsaved data is lost."
)
OWN_CONTAINERS: Final = frozenset({CONTAINER, FILTER_CONTAINER})
NO_SERVICES: Final[Mapping[str, str]] = {}
IMAGE_REASONS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
    }
)
"""Reasons of a waiting container whose image the node cannot pull."""
PERMANENT_REASONS: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError", "ContainerCannotRun"}
)
"""Reasons of a waiting container that stay the same when the node tries again."""


def container_of(secret: Secret, pod: Pod | None, now: datetime) -> Container:
    """Return the session as a container of the runtime contract."""
    labels, annotations = labels_of(secret), annotations_of(secret)
    state, exit_code, ended = _state(secret, pod, now)
    address, services = _addresses(pod) if pod is not None and state is ContainerState.RUNNING else (None, NO_SERVICES)
    return Container(
        session_id=labels.get(SESSION, ""),
        agent_id=labels.get(AGENT, ""),
        container_id=metadata(secret).uid or "",
        state=state,
        spec_hash=labels.get(SPEC_HASH, ""),
        address=address,
        services=services,
        exit_code=exit_code,
        ended=ended,
        labels={**_extra_labels(annotations.get(EXTRA_LABELS) or "{}"), **labels},
    )


def _extra_labels(text: str) -> dict[str, str]:
    """Return the labels in an annotation. There are none if another program has changed the annotation to an invalid
    value: one Secret must not end the inventory of the cluster."""
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except msgspec.MsgspecError:
        return {}


def _state(secret: Secret, pod: Pod | None, now: datetime) -> tuple[ContainerState, int | None, str]:
    start_error = annotations_of(secret).get(START_ERROR)
    if pod is None:
        if not annotations_of(secret).get(POD_UID):
            return ContainerState.CREATED, None, ""
        return ContainerState.EXITED, None, start_error or POD_LOST_TEXT
    if is_lost(pod, now):
        sentence = f"The node {node_of(pod)} does not answer any more. The unsaved data of the session is lost."
        return ContainerState.EXITED, None, sentence
    if status(pod).phase in ENDED:
        return ContainerState.EXITED, exit_code_of(pod), start_error or reason_of_end(pod)
    if not is_up(pod) or PENDING_FILES in data_of(secret):
        return ContainerState.CREATED, None, ""
    return ContainerState.RUNNING, None, ""


def is_up(pod: Pod) -> bool:
    """Return True if the container of the Pod runs and the Pod has an address."""
    container = _container(pod)
    runs = container is not None and container.state is not None and container.state.running is not None
    return runs and bool(status(pod).podIP)


def is_ready(pod: Pod) -> bool:
    """Return True if the Pod is up, its readiness probe succeeds and it is not being deleted."""
    has_ready_status = any(condition.type == "Ready" and condition.status == "True" for condition in _conditions(pod))
    return has_ready_status and is_up(pod) and metadata(pod).deletionTimestamp is None


def run_id_of(pod: Pod) -> str:
    """Return the id of the current run of the Pod's container, which changes when the node restarts the container."""
    container = _container(pod)
    return (container.containerID or "") if container is not None else ""


def lost_at(pod: Pod) -> datetime | None:
    """Return the time from which a deleted Pod counts as lost if it has not ended; None if it is not deleted. The
    deletion timestamp of Kubernetes includes the grace period.
    """
    deleted = metadata(pod).deletionTimestamp
    return deleted + END_REPORT_TIMEOUT if deleted is not None else None


def deletion_due_at(pod: Pod) -> datetime | None:
    """Return the time at which this Agent deletes the Pod because its node does not answer; None = the node answers.

    If a node does not answer, the cluster changes the condition of the Pod to not ready, but the status of the
    container stays ready.
    """
    container = _container(pod)
    if metadata(pod).deletionTimestamp is not None or status(pod).phase in ENDED or not (container and container.ready):
        return None
    for condition in _conditions(pod):
        if condition.type == "Ready" and condition.status == "False" and condition.lastTransitionTime is not None:
            return condition.lastTransitionTime + NODE_TIMEOUT
    return None


def is_lost(pod: Pod, now: datetime) -> bool:
    """Return True if the Pod is deleted but still exists, because its node does not answer."""
    lost_from = lost_at(pod)
    return lost_from is not None and now >= lost_from and status(pod).phase not in ENDED


def node_of(pod: Pod) -> str:
    """Return the name of the Pod's node, or words that replace the name in a sentence."""
    return (pod.spec.nodeName if pod.spec else None) or "of the session"


def exit_code_of(pod: Pod) -> int | None:
    """Return the exit code of the first process, or None if its node has not reported the end."""
    container = _container(pod)
    ended = container.state.terminated if container is not None and container.state is not None else None
    return ended.exitCode if ended is not None else None


def reason_of_end(pod: Pod) -> str:
    """Return the reason why the Pod ended; empty if its first process ended by itself."""
    pod_status, container = status(pod), _container(pod)
    ended = container.state.terminated if container is not None and container.state is not None else None
    if init_failure := init_failure_of(pod):
        return f"{init_failure}."
    if pod_status.reason == "Evicted":
        return f"The node evicted the session: {_message_of(pod_status.message)}."
    if pod_status.reason:
        return f"Kubernetes ended the session ({pod_status.reason}): {_message_of(pod_status.message)}."
    if ended is not None and ended.reason == "OOMKilled":
        return (
            f"The container ran out of memory and ended with exit code {ended.exitCode}; raise the workspace's memory."
        )
    if metadata(pod).deletionTimestamp is not None:
        return POD_LOST_TEXT
    return f"Kubernetes ended the session: {_message_of(pod_status.message)}." if ended is None else ""


def was_oom_killed(pod: Pod) -> bool:
    """Return True if the first process was killed because the container ran out of memory."""
    container = _container(pod)
    ended = container.state.terminated if container is not None and container.state is not None else None
    return ended is not None and ended.reason == "OOMKilled"


def unschedulable_reason(pod: Pod) -> str:
    """Return the scheduler's reason why no node can run the Pod; empty if there is none."""
    for condition in _conditions(pod):
        if condition.type == "PodScheduled" and condition.status == "False" and condition.reason == "Unschedulable":
            return _message_of(condition.message)
    return ""


def first_waiting(pod: Pod) -> tuple[str, str, str]:
    """Return the reason, the message and the image of the first container that waits; empty texts if none waits. A
    container that waits only for an init container is ignored.
    """
    for container in [*(status(pod).initContainerStatuses or []), *(status(pod).containerStatuses or [])]:
        waiting = container.state.waiting if container.state is not None else None
        if waiting is not None and waiting.reason != "PodInitializing":
            return waiting.reason or "", _message_of(waiting.message), container.image
    return "", "", ""


def init_failure_of(pod: Pod) -> str:
    """Return the message of the init container that failed; empty if none failed."""
    for container in status(pod).initContainerStatuses or []:
        ended = container.state.terminated if container.state is not None else None
        if ended is not None and ended.exitCode:
            return _message_of(ended.message or ended.reason)
    return ""


def _conditions(pod: Pod) -> list[PodCondition]:
    return status(pod).conditions or []


def _container(pod: Pod) -> ContainerStatus | None:
    """Return the container of the session or the filter. The cluster may add other containers, in any order."""
    return next(
        (container for container in status(pod).containerStatuses or [] if container.name in OWN_CONTAINERS), None
    )


def _addresses(pod: Pod) -> tuple[str | None, Mapping[str, str]]:
    pod_address, annotations = status(pod).podIP, annotations_of(pod)
    if not pod_address or PAGE_PORT not in annotations:
        return None, {}
    host = f"[{pod_address}]" if ":" in pod_address else pod_address
    parts = [part.partition("=") for part in annotations.get(SERVICES, "").split(",") if part]
    return f"{host}:{annotations[PAGE_PORT]}", {name: f"{host}:{port}" for name, _, port in parts}


def _message_of(text: str | None) -> str:
    return (text or "no reason was given").strip().rstrip(".")

"""The state of a session, read from its Secret and its Pod. Pure.

The Secret is the session; the Pod is its only run. Without a Pod the session is created; with a Pod that runs and has
its files it is running. If its Pod ended, was evicted by the cluster, or is on a lost node, it has exited, with the
reason as a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from lightkube.models.core_v1 import ContainerStatus, PodCondition
from lightkube.resources.core_v1 import Pod, Secret

from greenroom.core.session.reconcile import ContainerState
from greenroom.runtimes.contract import AGENT, SESSION, SPEC_HASH, Container
from greenroom.runtimes.kubernetes.names import (
    CONTAINER,
    FAILED,
    FILTER_CONTAINER,
    LABELS,
    PAGE_PORT,
    PENDING_FILES,
    RAN,
    SERVICES,
)
from greenroom.runtimes.kubernetes.objects import annotations_of, data_of, labels_of, metadata, status

SLACK: Final = timedelta(seconds=5)
"""The delay with which a node that answers may report an end."""
SILENT_FOR: Final = timedelta(seconds=60)
"""The time a Pod's node may be silent. Kubernetes deletes its Pods earlier (`LOST_AFTER_S`), except while all nodes are
silent: then it deletes none, and the Pod would exist forever.
"""
ENDED: Final = frozenset({"Succeeded", "Failed"})
GONE: Final = (
    "The session's Pod is gone although its deletion was not requested: its node was drained or removed, or it was"
    " deleted by hand. Its unsaved data is lost."
)
OURS: Final = frozenset({CONTAINER, FILTER_CONTAINER})
NONE: Final[Mapping[str, str]] = {}
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
REFUSED_REASONS: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError", "ContainerCannotRun"}
)
"""Reasons for a waiting container that will not start by waiting, although the node tries again."""


def container_of(secret: Secret, pod: Pod | None, now: datetime) -> Container:
    """The session as an object of the contract."""
    labels, annotations = labels_of(secret), annotations_of(secret)
    state, exit_code, ended = _state(secret, pod, now)
    address, services = _addresses(pod) if pod is not None and state is ContainerState.RUNNING else (None, NONE)
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
        labels={**json.loads(annotations.get(LABELS) or "{}"), **labels},
    )


def _state(secret: Secret, pod: Pod | None, now: datetime) -> tuple[ContainerState, int | None, str]:
    failed = annotations_of(secret).get(FAILED)
    if pod is None:
        ran = bool(annotations_of(secret).get(RAN))
        return (ContainerState.EXITED, None, failed or GONE) if ran else (ContainerState.CREATED, None, "")
    if is_lost(pod, now):
        return ContainerState.EXITED, None, lost_sentence(pod)
    if status(pod).phase in ENDED:
        return ContainerState.EXITED, exit_code_of(pod), failed or ended_sentence(pod)
    if not is_up(pod) or PENDING_FILES in data_of(secret):
        return ContainerState.CREATED, None, ""
    return ContainerState.RUNNING, None, ""


def is_up(pod: Pod) -> bool:
    """Return True if its container runs and it has an address."""
    container = _container(pod)
    runs = container is not None and container.state is not None and container.state.running is not None
    return runs and bool(status(pod).podIP)


def is_ready(pod: Pod) -> bool:
    """Return True if its readiness probe succeeds and it is not being deleted."""
    said = any(condition.type == "Ready" and condition.status == "True" for condition in _conditions(pod))
    return said and is_up(pod) and metadata(pod).deletionTimestamp is None


def run_of(pod: Pod) -> str:
    """The id of the current run of the Pod's container; a node may restart a container."""
    container = _container(pod)
    return (container.containerID or "") if container is not None else ""


def lost_at(pod: Pod) -> datetime | None:
    """The time at which the Pod counts as lost unless it has ended: after its deletion, its grace period and
    `SLACK`."""
    deleted = metadata(pod).deletionTimestamp
    return deleted + SLACK if deleted is not None else None


def deletion_due_at(pod: Pod) -> datetime | None:
    """The time at which to request its deletion, because its node does not answer; None while the node answers.

    The cluster then sets the Pod's condition to not ready, while the node's last report on the container is ready.
    """
    container = _container(pod)
    if metadata(pod).deletionTimestamp is not None or status(pod).phase in ENDED or not (container and container.ready):
        return None
    for condition in _conditions(pod):
        if condition.type == "Ready" and condition.status == "False" and condition.lastTransitionTime is not None:
            return condition.lastTransitionTime + SILENT_FOR
    return None


def is_lost(pod: Pod, now: datetime) -> bool:
    """Return True if it should be gone and is not, because its node does not answer. The deletion timestamp of
    Kubernetes includes the grace period.
    """
    at = lost_at(pod)
    return at is not None and now >= at and status(pod).phase not in ENDED


def lost_sentence(pod: Pod) -> str:
    """The reason why a lost Pod no longer exists."""
    return f"The node {node_of(pod)} does not answer any more. The unsaved data of the session is lost."


def node_of(pod: Pod) -> str:
    """The name of its node, or a phrase for it."""
    return (pod.spec.nodeName if pod.spec else None) or "of the session"


def exit_code_of(pod: Pod) -> int | None:
    """The exit code of its first process, once it has ended and its node reported that."""
    container = _container(pod)
    ended = container.state.terminated if container is not None and container.state is not None else None
    return ended.exitCode if ended is not None else None


def ended_sentence(pod: Pod) -> str:
    """The reason why it ended, if not by its first process."""
    of_pod, container = status(pod), _container(pod)
    ended = container.state.terminated if container is not None and container.state is not None else None
    if refused := refused_before_its_start(pod):
        return f"{refused}."
    if of_pod.reason == "Evicted":
        return f"The node evicted the session: {_plain(of_pod.message)}."
    if of_pod.reason:
        return f"Kubernetes ended the session ({of_pod.reason}): {_plain(of_pod.message)}."
    if ended is not None and ended.reason == "OOMKilled":
        return (
            f"The container ran out of memory and ended with exit code {ended.exitCode}; raise the workspace's memory."
        )
    if metadata(pod).deletionTimestamp is not None:
        return GONE
    return f"Kubernetes ended the session: {_plain(of_pod.message)}." if ended is None else ""


def out_of_memory(pod: Pod) -> bool:
    """Return True if its first process was killed for lack of memory."""
    container = _container(pod)
    ended = container.state.terminated if container is not None and container.state is not None else None
    return ended is not None and ended.reason == "OOMKilled"


def unschedulable(pod: Pod) -> str:
    """The scheduler's reason why no node fits; empty while there is none."""
    for condition in _conditions(pod):
        if condition.type == "PodScheduled" and condition.status == "False" and condition.reason == "Unschedulable":
            return _plain(condition.message)
    return ""


def waits_for(pod: Pod) -> tuple[str, str, str]:
    """Reason and message of a container that is not created, because of its image, its volumes or its settings; and its
    image. Other containers wait for an init container."""
    for container in [*(status(pod).initContainerStatuses or []), *(status(pod).containerStatuses or [])]:
        waiting = container.state.waiting if container.state is not None else None
        if waiting is not None and waiting.reason != "PodInitializing":
            return waiting.reason or "", _plain(waiting.message), container.image
    return "", "", ""


def refused_before_its_start(pod: Pod) -> str:
    """The message of an init container that failed; empty if none did."""
    for container in status(pod).initContainerStatuses or []:
        ended = container.state.terminated if container.state is not None else None
        if ended is not None and ended.exitCode:
            return _plain(ended.message or ended.reason)
    return ""


def _conditions(pod: Pod) -> list[PodCondition]:
    return status(pod).conditions or []


def _container(pod: Pod) -> ContainerStatus | None:
    """The session's or filter's container: the cluster may add others, and lists them in any order."""
    return next((one for one in status(pod).containerStatuses or [] if one.name in OURS), None)


def _addresses(pod: Pod) -> tuple[str | None, Mapping[str, str]]:
    own, annotations = status(pod).podIP, annotations_of(pod)
    if not own or PAGE_PORT not in annotations:
        return None, {}
    host = f"[{own}]" if ":" in own else own
    named = [part.partition("=") for part in annotations.get(SERVICES, "").split(",") if part]
    return f"{host}:{annotations[PAGE_PORT]}", {name: f"{host}:{port}" for name, _, port in named}


def _plain(text: str | None) -> str:
    return (text or "no reason was given").strip().rstrip(".")

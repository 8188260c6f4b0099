"""The images of a namespace. Each has a Secret with the log-in for its registry.

Nodes pull an image when they start a session with it, so the Secrets are updated when a log-in changes. In addition, a
separate Pod pulls each image in advance, so that an error of the registry is known before a session starts. The image
counts as present after this pull.
"""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import aclosing, suppress
from typing import Final

import msgspec
import structlog
from lightkube.models.core_v1 import Container, LocalObjectReference, PodSpec, ResourceRequirements, Toleration
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod, Secret

from greenroom.core.workspace.definition import DEFAULT_REGISTRY, registry_of
from greenroom.runtimes.contract import (
    ContainerConflict,
    ContainerMissing,
    Credentials,
    Image,
    PullError,
    StartError,
)
from greenroom.runtimes.kubernetes.cluster import Cluster, Json
from greenroom.runtimes.kubernetes.creation_events import delay_reason_of, is_being_created, is_pull, newest_event
from greenroom.runtimes.kubernetes.manifest import lost_node_tolerations, restricted_container, restricted_pod
from greenroom.runtimes.kubernetes.names import IMAGE, ObjectOwner, image_name
from greenroom.runtimes.kubernetes.objects import annotations_of, data_of, encoded, metadata, status
from greenroom.runtimes.kubernetes.pod_state import unschedulable_reason
from greenroom.runtimes.kubernetes.starting import TimeLimits, watch_pod

log = structlog.get_logger(__name__)

DIGEST_ANNOTATION: Final = "greenroom.digest"
DOCKER_HUB_URL: Final = "https://index.docker.io/v1/"
LOG_IN_KEY: Final = ".dockerconfigjson"
PULLED_REASONS: Final = frozenset(
    {"CreateContainerError", "RunContainerError", "CreateContainerConfigError", "ContainerCannotRun"}
)
"""Reasons for which a container waits after its image was pulled."""
EVENT_INTERVAL_S: Final = 30.0
"""The interval at which the events of a pulling Pod are read, to distinguish a slow pull from a Pod that cannot start.
"""
TAINT_TEXT: Final = "taint"
"""The text in the scheduler's message if taints exclude nodes, in every version of Kubernetes."""
TOLERATE_ALL_TAINTS: Final = Toleration(operator="Exists")


class PulledImages:
    """The images that this Agent requested."""

    def __init__(self, cluster: Cluster, owner: ObjectOwner) -> None:
        self._cluster = cluster
        self._owner = owner

    async def all(self) -> list[Image]:
        secrets, _ = await self._cluster.list(Secret, self._owner.agent_selector("image"))
        return [image for secret in secrets if (image := _pulled_image(secret)) is not None]

    async def find(self, name: str) -> Image | None:
        secret = await self._cluster.get(Secret, image_name(self._owner, name))
        return _pulled_image(secret) if secret is not None else None

    async def pull(self, name: str, credentials: Credentials | None) -> AsyncIterator[int]:
        """Create a Pod so that its node pulls the image. Yield the progress as 0 or 100.

        Raises:
            PullError: the image cannot be pulled; the message contains the reason from the node.
        """
        yield 0
        secret_name = image_name(self._owner, name)
        await self._store_log_in(name, credentials)
        try:
            await self._cluster.create(pull_pod_of(name, self._owner))
        except ContainerConflict:
            pass  # the Pod of an earlier attempt pulls the image
        except StartError as error:
            raise PullError(f"The image {name} could not be fetched: {error.message}") from error
        digest: str | None = None
        try:
            async with aclosing(self._watch_pull(name, secret_name)) as digests:
                async for digest in digests:
                    if digest is None:
                        yield 0
        finally:
            await self._cluster.delete(Pod, secret_name, grace_s=0)
        await self._cluster.patch(Secret, secret_name, {"metadata": {"annotations": {DIGEST_ANNOTATION: digest}}})
        yield 100

    async def _store_log_in(self, name: str, credentials: Credentials | None) -> None:
        expected = log_in_of(name, credentials, self._owner)
        try:
            await self._cluster.create(expected)
        except ContainerConflict:
            await self._cluster.patch(Secret, image_name(self._owner, name), {"data": data_of(expected)})

    async def _watch_pull(self, name: str, pod_name: str) -> AsyncGenerator[str | None]:
        """Yield None at intervals while a node pulls the image, and the digest when the node has it."""
        limits, event_read_at = TimeLimits(), time.monotonic()
        async with aclosing(watch_pod(self._cluster, pod_name)) as pod_states:
            async for pod in pod_states:
                if pod is None or metadata(pod).deletionTimestamp is not None:
                    break
                if (digest := digest_of(pod)) is not None:
                    yield digest
                    return
                await self._tolerate_all_taints(pod)
                now = time.monotonic()
                if (problem := limits.problem(pod, now)) is not None:
                    raise PullError(f"The image {name} could not be fetched: {problem.message}")
                is_late = limits.is_late(pod, now)
                if now - event_read_at >= EVENT_INTERVAL_S and is_being_created(pod):
                    event_read_at = now
                    event = await newest_event(self._cluster, pod)
                    if is_pull(event):
                        yield None
                    elif is_late and (reason := delay_reason_of(pod, event)):
                        raise PullError(f"The image {name} could not be fetched: {reason}.")
        raise PullError(f"The image {name} could not be fetched: the Pod that pulls it was deleted.")

    async def _tolerate_all_taints(self, pod: Pod) -> None:
        """Add a toleration for all taints if the Pod has no node because of taints. It is not added earlier, because
        nodes that are cordoned or do not answer also have taints.
        """
        tolerations = pod.spec.tolerations or [] if pod.spec is not None else []
        if TAINT_TEXT in unschedulable_reason(pod) and TOLERATE_ALL_TAINTS not in tolerations:
            changes: Json = {"spec": {"tolerations": msgspec.to_builtins([*tolerations, TOLERATE_ALL_TAINTS])}}
            with suppress(ContainerMissing, StartError):  # then `TimeLimits` raises the scheduler's error
                await self._cluster.patch(Pod, metadata(pod).name or "", changes)

    async def store_log_ins(self, images: Collection[str], credentials: Mapping[str, Credentials | None]) -> None:
        """Implement `contract.LogInStore`. An image without a Secret gets its log-in when it is pulled.

        Secrets of other images are deleted. Running Pods may refer to them, but need them only until their container is
        created.
        """
        secrets, _ = await self._cluster.list(Secret, self._owner.agent_selector("image"))
        for secret in secrets:
            image = annotations_of(secret).get(IMAGE, "")
            try:
                if image not in images:
                    await self._cluster.delete(Secret, metadata(secret).name or "", metadata(secret).uid)
                elif image in credentials:
                    await self._update_log_in(secret, image, credentials[image])
            except (ContainerMissing, StartError) as error:
                log.warning("the registry log-in of an image was not stored", image=image, reason=error.message)

    async def _update_log_in(self, secret: Secret, image: str, credentials: Credentials | None) -> None:
        data = data_of(log_in_of(image, credentials, self._owner))
        if data_of(secret) != data:
            await self._cluster.patch(Secret, metadata(secret).name or "", {"data": data})
            log.info("the registry log-in of an image has changed", image=image)

    async def remove_all(self) -> None:
        secrets, _ = await self._cluster.list(Secret, self._owner.selector("image"))
        for secret in secrets:
            await self._cluster.delete(Secret, metadata(secret).name or "", metadata(secret).uid)


def _pulled_image(secret: Secret) -> Image | None:
    annotations = annotations_of(secret)
    return (
        Image(name=annotations[IMAGE], digest=annotations[DIGEST_ANNOTATION])
        if annotations.get(DIGEST_ANNOTATION) and IMAGE in annotations
        else None
    )


def digest_of(pod: Pod) -> str | None:
    """Return the digest of the image, `sha256:unknown` if the node has the image but reports no digest, or None if the
    node does not have the image.
    """
    for container in status(pod).containerStatuses or []:
        state = container.state
        waiting = state.waiting.reason if state is not None and state.waiting is not None else None
        if container.imageID:
            return container.imageID.rpartition("://")[2].rpartition("@")[2]
        if waiting in PULLED_REASONS or (state is not None and (state.running or state.terminated)):
            return "sha256:unknown"
    return None


def log_in_of(name: str, credentials: Credentials | None, owner: ObjectOwner) -> Secret:
    """Return the Secret with the log-in for an image. The list of log-ins is empty if the registry needs none."""
    log_ins: Json = {}
    if credentials is not None:
        registry = registry_of(name)
        pair = base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()
        entry = {"username": credentials.user, "password": credentials.password, "auth": pair}
        log_ins[DOCKER_HUB_URL if registry == DEFAULT_REGISTRY else registry] = entry
    return Secret(
        metadata=ObjectMeta(name=image_name(owner, name), labels=owner.labels("image"), annotations={IMAGE: name}),
        type="kubernetes.io/dockerconfigjson",
        data={LOG_IN_KEY: encoded(msgspec.json.encode({"auths": log_ins}))},
    )


def pull_pod_of(name: str, owner: ObjectOwner) -> Pod:
    """Return a Pod whose node pulls the image. The result of its command has no effect."""
    resources = {"cpu": "1m", "memory": "16Mi"}
    container = Container(
        name="image",
        image=name,
        command=["/bin/true"],
        imagePullPolicy="IfNotPresent",
        resources=ResourceRequirements(requests=resources, limits=resources),
        securityContext=restricted_container(),
    )
    return Pod(
        metadata=ObjectMeta(name=image_name(owner, name), labels=owner.labels("image")),
        spec=PodSpec(
            containers=[container],
            restartPolicy="Never",
            automountServiceAccountToken=False,
            enableServiceLinks=False,
            terminationGracePeriodSeconds=0,
            tolerations=lost_node_tolerations(),
            imagePullSecrets=[LocalObjectReference(name=image_name(owner, name))],
            securityContext=restricted_pod(),
        ),
    )

"""The images of a namespace: each has a Secret with the log-in at its registry, and has been pulled once by a node.

Nodes pull images themselves when they need them for a session, so the Secrets must follow the log-ins. An image is
pulled in advance by a Pod that does not use it, so that a registry's refusal is known before a session waits for it.
After that the image counts as present.
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
from greenroom.runtimes.kubernetes.making import is_being_created, is_pull, newest_event, reason_of
from greenroom.runtimes.kubernetes.manifest import locked, of_lost_nodes, unprivileged
from greenroom.runtimes.kubernetes.names import IMAGE, ObjectOwner, image_name
from greenroom.runtimes.kubernetes.objects import annotations_of, data_of, encoded, metadata, status
from greenroom.runtimes.kubernetes.seen import unschedulable
from greenroom.runtimes.kubernetes.starting import TimeLimits, states

log = structlog.get_logger(__name__)

DIGEST: Final = "greenroom.digest"
HUB: Final = "https://index.docker.io/v1/"
LOG_IN: Final = ".dockerconfigjson"
GOT: Final = frozenset(
    {"CreateContainerError", "RunContainerError", "CreateContainerConfigError", "ContainerCannotRun"}
)
"""Reasons for which a container waits after its image was pulled."""
SAID_EVERY_S: Final = 30.0
"""The interval at which the state of an image pull on a node is read. A pull may take long, and a Pod that cannot start
must not delay others.
"""
TAINT: Final = "taint"
"""A word of the scheduler, in every version, if a node is excluded because of a taint."""
EVERYTHING: Final = Toleration(operator="Exists")


class PulledImages:
    """The images that this Agent requested."""

    def __init__(self, cluster: Cluster, identity: ObjectOwner) -> None:
        self._cluster = cluster
        self._identity = identity

    async def all(self) -> list[Image]:
        found, _ = await self._cluster.list(Secret, self._identity.of_agent("image"))
        return [image for secret in found if self._is_named(secret) and (image := _image(secret)) is not None]

    async def one(self, name: str) -> Image | None:
        secret = await self._cluster.get(Secret, image_name(self._identity, name))
        return _image(secret) if secret is not None else None

    def _is_named(self, secret: Secret) -> bool:
        """Return True if sessions refer to the Secret by its name."""
        return metadata(secret).name == image_name(self._identity, annotations_of(secret).get(IMAGE, ""))

    async def get(self, name: str, credentials: Credentials | None) -> AsyncIterator[int]:
        """Make a node pull the image. Raises PullError: with the node's reason."""
        yield 0
        object_ = image_name(self._identity, name)
        await self._keep(name, credentials)
        try:
            await self._cluster.create(getter_of(name, self._identity))
        except ContainerConflict:
            pass  # of an earlier attempt, which continues
        except StartError as error:
            raise PullError(f"The image {name} could not be fetched: {error.message}") from error
        digest: str | None = None
        try:
            async with aclosing(self._watch_pull(name, object_)) as got:
                async for digest in got:
                    if digest is None:
                        yield 0
        finally:
            await self._cluster.delete(Pod, object_, grace_s=0)
        await self._cluster.patch(Secret, object_, {"metadata": {"annotations": {DIGEST: digest}}})
        yield 100

    async def _keep(self, name: str, credentials: Credentials | None) -> None:
        wanted = log_in_of(name, credentials, self._identity)
        try:
            await self._cluster.create(wanted)
        except ContainerConflict:
            await self._cluster.patch(Secret, image_name(self._identity, name), {"data": data_of(wanted)})

    async def _watch_pull(self, name: str, pod_name: str) -> AsyncGenerator[str | None]:
        """Yield the digest once a node has the image; before that None at intervals, while a node reports that it pulls
        it."""
        limits, said = TimeLimits(), time.monotonic()
        async with aclosing(states(self._cluster, pod_name)) as seen:
            async for pod in seen:
                if pod is None or metadata(pod).deletionTimestamp is not None:
                    break
                if (digest := digest_of(pod)) is not None:
                    yield digest
                    return
                await self._go_anywhere(pod)
                now = time.monotonic()
                if (problem := limits.problem(pod, now)) is not None:
                    raise PullError(f"The image {name} could not be fetched: {problem.message}")
                is_late = limits.is_late(pod, now)
                if now - said >= SAID_EVERY_S and is_being_created(pod):
                    said = now
                    event = await newest_event(self._cluster, pod)
                    if is_pull(event):
                        yield None
                    elif is_late and (why := reason_of(pod, event)):
                        raise PullError(f"The image {name} could not be fetched: {why}.")
        raise PullError(f"The image {name} could not be fetched: the Pod that pulls it was deleted.")

    async def _go_anywhere(self, pod: Pod) -> None:
        """Add a toleration of all taints if every node has a taint, so that any node can pull the image. It is not set
        from the beginning, because nodes that are cordoned or do not answer have taints too.
        """
        given = pod.spec.tolerations or [] if pod.spec is not None else []
        if TAINT in unschedulable(pod) and EVERYTHING not in given:
            changes: Json = {"spec": {"tolerations": msgspec.to_builtins([*given, EVERYTHING])}}
            with suppress(ContainerMissing, StartError):  # the scheduler's message is reported then
                await self._cluster.patch(Pod, metadata(pod).name or "", changes)

    async def keep_log_ins(self, wanted: Collection[str], known: Mapping[str, Credentials | None]) -> None:
        """Implements `contract.LogInKeeper`; an image without a Secret gets its log-in when it is pulled.

        Secrets that are not wanted, or have a name of an earlier version, are deleted, even while running Pods refer to
        them: a Pod needs them only until its container is created, which happens only once.
        """
        found, _ = await self._cluster.list(Secret, self._identity.of_agent("image"))
        for secret in found:
            image = annotations_of(secret).get(IMAGE, "")
            try:
                if image not in wanted or not self._is_named(secret):
                    await self._cluster.delete(Secret, metadata(secret).name or "", metadata(secret).uid)
                elif image in known:
                    await self._follow(secret, image, known[image])
            except (ContainerMissing, StartError) as error:
                log.warning("the registry log-in of an image was not stored", image=image, reason=error.message)

    async def _follow(self, secret: Secret, image: str, credentials: Credentials | None) -> None:
        data = data_of(log_in_of(image, credentials, self._identity))
        if data_of(secret) != data:
            await self._cluster.patch(Secret, metadata(secret).name or "", {"data": data})
            log.info("the registry log-in of an image has changed", image=image)

    async def remove_all(self) -> None:
        found, _ = await self._cluster.list(Secret, self._identity.selector("image"))
        for secret in found:
            await self._cluster.delete(Secret, metadata(secret).name or "", metadata(secret).uid)


def _image(secret: Secret) -> Image | None:
    noted = annotations_of(secret)
    return Image(name=noted[IMAGE], digest=noted[DIGEST]) if noted.get(DIGEST) and IMAGE in noted else None


def digest_of(pod: Pod) -> str | None:
    """Return the digest of the image's content, `sha256:unknown` if a node has the image without a known digest, and
    None if no node has it.
    """
    for container in status(pod).containerStatuses or []:
        state = container.state
        waiting = state.waiting.reason if state is not None and state.waiting is not None else None
        if container.imageID:
            return container.imageID.rpartition("://")[2].rpartition("@")[2]
        if waiting in GOT or (state is not None and (state.running or state.terminated)):
            return "sha256:unknown"
    return None


def log_in_of(name: str, credentials: Credentials | None, identity: ObjectOwner) -> Secret:
    """The Secret with the log-in for an image, empty if its registry needs none."""
    log_ins: Json = {}
    if credentials is not None:
        registry = registry_of(name)
        pair = base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()
        known = {"username": credentials.user, "password": credentials.password, "auth": pair}
        log_ins[HUB if registry == DEFAULT_REGISTRY else registry] = known
    return Secret(
        metadata=ObjectMeta(
            name=image_name(identity, name), labels=identity.labels("image"), annotations={IMAGE: name}
        ),
        type="kubernetes.io/dockerconfigjson",
        data={LOG_IN: encoded(msgspec.json.encode({"auths": log_ins}))},
    )


def getter_of(name: str, identity: ObjectOwner) -> Pod:
    """A Pod that makes a node pull the image; its command may fail."""
    needs = {"cpu": "1m", "memory": "16Mi"}
    container = Container(
        name="image",
        image=name,
        command=["/bin/true"],
        imagePullPolicy="IfNotPresent",
        resources=ResourceRequirements(requests=needs, limits=needs),
        securityContext=locked(),
    )
    return Pod(
        metadata=ObjectMeta(name=image_name(identity, name), labels=identity.labels("image")),
        spec=PodSpec(
            containers=[container],
            restartPolicy="Never",
            automountServiceAccountToken=False,
            enableServiceLinks=False,
            terminationGracePeriodSeconds=0,
            tolerations=of_lost_nodes(),
            imagePullSecrets=[LocalObjectReference(name=image_name(identity, name))],
            securityContext=unprivileged(),
        ),
    )

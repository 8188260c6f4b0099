"""The images of a namespace: each has a Secret with the log-in at its registry, and has been got by a node once.

Nodes get images themselves. Here one is got ahead by a Pod that does nothing with it, so that a registry's refusal is
known before a session waits for it; from then on it counts as there.
"""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

import msgspec
from lightkube.models.core_v1 import Container, LocalObjectReference, PodSpec, ResourceRequirements
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod, Secret

from greenroom.core.workspace.definition import DEFAULT_REGISTRY, registry_of
from greenroom.runtimes.contract import ContainerConflict, Credentials, Image, ImageMissing, PullError, StartError
from greenroom.runtimes.kubernetes.cluster import Cluster, Json
from greenroom.runtimes.kubernetes.manifest import locked, unprivileged
from greenroom.runtimes.kubernetes.names import IMAGE, Identity, image_name
from greenroom.runtimes.kubernetes.objects import annotations_of, data_of, encoded, metadata, status
from greenroom.runtimes.kubernetes.starting import TimeLimits, states

DIGEST: Final = "greenroom.digest"
HUB: Final = "https://index.docker.io/v1/"
LOG_IN: Final = ".dockerconfigjson"
GOT: Final = frozenset(
    {"CreateContainerError", "RunContainerError", "CreateContainerConfigError", "ContainerCannotRun"}
)
"""What a Pod waits for once its image is there."""


class Images:
    """Those that this installation has had got."""

    def __init__(self, cluster: Cluster, identity: Identity) -> None:
        self._cluster = cluster
        self._identity = identity

    async def all(self) -> list[Image]:
        found, _ = await self._cluster.list(Secret, self._identity.selector("image"))
        return [image for secret in found if (image := _image(secret)) is not None]

    async def one(self, name: str) -> Image | None:
        secret = await self._cluster.get(Secret, image_name(name))
        return _image(secret) if secret is not None else None

    async def get(self, name: str, credentials: Credentials | None) -> AsyncIterator[int]:
        """Raises PullError: the node's reason."""
        yield 0
        object_ = image_name(name)
        await self._keep(name, credentials)
        try:
            await self._cluster.create(getter_of(name, self._identity))
        except ContainerConflict:
            pass  # of an earlier attempt, which goes on
        except StartError as error:
            raise PullError(f"The image {name} could not be fetched: {error.message}") from error
        try:
            digest = await self._got(name, object_)
        finally:
            await self._cluster.delete(Pod, object_, grace_s=0)
        await self._cluster.patch(Secret, object_, {"metadata": {"annotations": {DIGEST: digest}}})
        yield 100

    async def _keep(self, name: str, credentials: Credentials | None) -> None:
        wanted = log_in_of(name, credentials, self._identity)
        try:
            await self._cluster.create(wanted)
        except ContainerConflict:
            await self._cluster.patch(Secret, image_name(name), {"data": data_of(wanted)})

    async def _got(self, name: str, pod_name: str) -> str:
        limits = TimeLimits()
        async with aclosing(states(self._cluster, pod_name)) as seen:
            async for pod in seen:
                if pod is None:
                    break
                if (digest := digest_of(pod)) is not None:
                    return digest
                problem = limits.problem(pod, time.monotonic())
                if isinstance(problem, ImageMissing | StartError):
                    raise PullError(f"The image {name} could not be fetched: {problem.message}")
        raise PullError(f"The image {name} could not be fetched: the Pod that was to get it is gone.")

    async def remove_all(self) -> None:
        found, _ = await self._cluster.list(Secret, self._identity.selector("image"))
        for secret in found:
            await self._cluster.delete(Secret, metadata(secret).name or "", metadata(secret).uid)


def _image(secret: Secret) -> Image | None:
    noted = annotations_of(secret)
    return Image(name=noted[IMAGE], digest=noted[DIGEST]) if noted.get(DIGEST) and IMAGE in noted else None


def digest_of(pod: Pod) -> str | None:
    """What identifies the image's content, once a node has it; empty if the node has it and does not say."""
    for container in status(pod).containerStatuses or []:
        state = container.state
        waiting = state.waiting.reason if state is not None and state.waiting is not None else None
        if container.imageID:
            return container.imageID.rpartition("://")[2].rpartition("@")[2]
        if waiting in GOT or (state is not None and (state.running or state.terminated)):
            return "sha256:unknown"
    return None


def log_in_of(name: str, credentials: Credentials | None, identity: Identity) -> Secret:
    """The log-in for an image, without one if its registry needs none."""
    log_ins: Json = {}
    if credentials is not None:
        registry = registry_of(name)
        pair = base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()
        known = {"username": credentials.user, "password": credentials.password, "auth": pair}
        log_ins[HUB if registry == DEFAULT_REGISTRY else registry] = known
    return Secret(
        metadata=ObjectMeta(name=image_name(name), labels=identity.labels("image"), annotations={IMAGE: name}),
        type="kubernetes.io/dockerconfigjson",
        data={LOG_IN: encoded(msgspec.json.encode({"auths": log_ins}))},
    )


def getter_of(name: str, identity: Identity) -> Pod:
    """A Pod for which a node gets the image; what it runs may fail."""
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
        metadata=ObjectMeta(name=image_name(name), labels=identity.labels("image")),
        spec=PodSpec(
            containers=[container],
            restartPolicy="Never",
            automountServiceAccountToken=False,
            enableServiceLinks=False,
            terminationGracePeriodSeconds=0,
            imagePullSecrets=[LocalObjectReference(name=image_name(name))],
            securityContext=unprivileged(),
        ),
    )

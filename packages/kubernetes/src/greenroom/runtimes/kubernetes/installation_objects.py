"""The objects of an installation in a namespace: Secrets of sessions, web filters and images, Pods without a Secret,
and claims of kept homes.

Two kinds of objects are omitted: objects that Kubernetes deletes with their Secret, and claims for folders that an
administrator chose.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from lightkube.resources.core_v1 import PersistentVolumeClaim as Claim
from lightkube.resources.core_v1 import Pod, Secret

from greenroom.core.session.leftovers import RuntimeObject
from greenroom.core.workspace.homes import HomeId, home_of
from greenroom.runtimes.contract import AGENT, SESSION
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.names import PROFILE_FOLDER, ObjectOwner
from greenroom.runtimes.kubernetes.objects import Resource as Object
from greenroom.runtimes.kubernetes.objects import annotations_of, labels_of, metadata
from greenroom.runtimes.kubernetes.settings import KubernetesSettings

KINDS: Final[dict[str, type[Secret | Pod | Claim]]] = {"Secret": Secret, "Pod": Pod, "claim": Claim}


class NamespaceObjects:
    """Implements `contract.InstallationObjects`."""

    def __init__(self, cluster: Cluster, installation_id: str) -> None:
        self._cluster = cluster
        self._owner = ObjectOwner(installation_id=installation_id, agent_id="")

    async def list(self) -> list[RuntimeObject]:
        pods, _ = await self._cluster.list(Pod, self._owner.selector("session"))
        secrets, _ = await self._cluster.list(Secret, self._owner.selector("session"))
        filters, _ = await self._cluster.list(Secret, self._owner.selector("filter"))
        log_ins, _ = await self._cluster.list(Secret, self._owner.selector("image"))
        pull_pods, _ = await self._cluster.list(Pod, self._owner.selector("image"))
        claims, _ = await self._cluster.list(Claim, self._owner.selector("home"))
        others: list[Object] = [*filters, *log_ins, *pull_pods]
        return [*_session_objects(secrets, pods), *map(_runtime_object, others), *_kept_homes(claims)]

    async def remove(self, item: RuntimeObject) -> None:
        await self._cluster.delete(KINDS[item.kind], item.name, item.ref)


def _session_objects(secrets: list[Secret], pods: list[Pod]) -> Iterator[RuntimeObject]:
    """Yield the Secrets, and the Pods whose Secret does not exist."""
    session_ids = {labels_of(secret).get(SESSION) for secret in secrets}
    yield from map(_runtime_object, secrets)
    yield from (_runtime_object(pod) for pod in pods if labels_of(pod).get(SESSION) not in session_ids)


def _kept_homes(claims: list[Claim]) -> Iterator[RuntimeObject]:
    for claim in claims:
        home = home_of(annotations_of(claim).get(PROFILE_FOLDER, ""))
        if home is not None:
            yield _runtime_object(claim, home)


def _runtime_object(resource: Object, home: HomeId | None = None) -> RuntimeObject:
    object_metadata, labels = metadata(resource), labels_of(resource)
    created = object_metadata.creationTimestamp
    return RuntimeObject(
        kind=next(kind for kind, resource_type in KINDS.items() if isinstance(resource, resource_type)),
        name=object_metadata.name or "",
        ref=object_metadata.uid or "",
        age_s=time.time() - created.timestamp() if created is not None else 0.0,
        agent_id=labels.get(AGENT, ""),
        session_id=labels.get(SESSION, ""),
        home=home,
    )


@asynccontextmanager
async def namespace_objects(settings: KubernetesSettings, installation_id: str) -> AsyncGenerator[NamespaceObjects]:
    """Open the objects of an installation.

    Raises:
        SetupError: the settings or the kubeconfig cannot be used.
        RuntimeUnavailable: a certificate or key of the kubeconfig cannot be read.
    """
    cluster = Cluster(settings)
    await cluster.open()
    try:
        yield NamespaceObjects(cluster, installation_id)
    finally:
        await cluster.close()

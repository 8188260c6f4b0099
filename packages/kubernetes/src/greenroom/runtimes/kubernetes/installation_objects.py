"""The objects of an installation in a namespace: Secrets of sessions, web filters and images, Pods, and claims of kept
homes.

Not included are a session's Pod and the parts of a filter, which are deleted with their Secret, and claims for folders
that an administrator named, which belong to no row.
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
from greenroom.runtimes.kubernetes.names import OWNER, ObjectOwner
from greenroom.runtimes.kubernetes.objects import Resource as Object
from greenroom.runtimes.kubernetes.objects import annotations_of, labels_of, metadata
from greenroom.runtimes.kubernetes.settings import KubernetesSettings

KINDS: Final[dict[str, type[Secret | Pod | Claim]]] = {"Secret": Secret, "Pod": Pod, "claim": Claim}


class NamespaceObjects:
    """Implements `contract.InstallationObjects`."""

    def __init__(self, cluster: Cluster, installation_id: str) -> None:
        self._cluster = cluster
        self._identity = ObjectOwner(installation_id=installation_id, agent_id="")

    async def list(self) -> list[RuntimeObject]:
        pods, _ = await self._cluster.list(Pod, self._identity.selector("session"))
        secrets, _ = await self._cluster.list(Secret, self._identity.selector("session"))
        filters, _ = await self._cluster.list(Secret, self._identity.selector("filter"))
        log_ins, _ = await self._cluster.list(Secret, self._identity.selector("image"))
        getters, _ = await self._cluster.list(Pod, self._identity.selector("image"))
        claims, _ = await self._cluster.list(Claim, self._identity.selector("home"))
        others: list[Object] = [*filters, *log_ins, *getters]
        return [*_things(secrets, pods), *map(_thing, others), *_things_of_users(claims)]

    async def remove(self, thing: RuntimeObject) -> None:
        await self._cluster.delete(KINDS[thing.kind], thing.name, thing.ref)


def _things(secrets: list[Secret], pods: list[Pod]) -> Iterator[RuntimeObject]:
    """Yield the Secrets, and the Pods whose Secret does not exist."""
    session_ids = {labels_of(secret).get(SESSION) for secret in secrets}
    yield from map(_thing, secrets)
    yield from (_thing(pod) for pod in pods if labels_of(pod).get(SESSION) not in session_ids)


def _things_of_users(claims: list[Claim]) -> Iterator[RuntimeObject]:
    for claim in claims:
        home = home_of(annotations_of(claim).get(OWNER, ""))
        if home is not None:
            yield _thing(claim, home)


def _thing(resource: Object, home: HomeId | None = None) -> RuntimeObject:
    object_metadata, labels = metadata(resource), labels_of(resource)
    created = object_metadata.creationTimestamp
    return RuntimeObject(
        kind=next(kind for kind, of in KINDS.items() if isinstance(resource, of)),
        name=object_metadata.name or "",
        ref=object_metadata.uid or "",
        age_s=time.time() - created.timestamp() if created is not None else 0.0,
        agent_id=labels.get(AGENT, ""),
        session_id=labels.get(SESSION, ""),
        home=home,
    )


@asynccontextmanager
async def namespace_objects(settings: KubernetesSettings, installation_id: str) -> AsyncGenerator[NamespaceObjects]:
    """Open the things of an installation.

    Raises:
        SetupError: the settings or the kubeconfig cannot be used.
        RuntimeUnavailable: its certificates cannot be read.
    """
    cluster = Cluster(settings)
    await cluster.open()
    try:
        yield NamespaceObjects(cluster, installation_id)
    finally:
        await cluster.close()

"""Profiles of users as claims, one for each folder that a profile would have on a host, or for each kept home.

A claim is removed in two visible steps: it is marked with the removal, then deleted; the cluster keeps it as long as a
Pod uses it. A session that needs it in the meantime waits until it is deleted, and gets a new one.

The class of a claim cannot be changed. A claim that never got a volume, and that names another class than the settings
do now, is empty and may wait forever: it is replaced.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Final

import structlog
from lightkube.models.core_v1 import PersistentVolumeClaimSpec, VolumeResourceRequirements
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import PersistentVolumeClaim as Claim
from lightkube.resources.core_v1 import Secret

from greenroom.core.workspace.homes import HomeId, home_of
from greenroom.core.workspace.session_spec import Mount
from greenroom.runtimes.contract import (
    SESSION,
    ContainerConflict,
    HomeError,
    HomeInUseError,
    HomeSize,
    RuntimeUnavailable,
    StartError,
    StoredHome,
)
from greenroom.runtimes.kubernetes.amounts import number, of_mapping
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.names import CLASS, HOMES, OWNER, REMOVAL, ObjectOwner, home_name
from greenroom.runtimes.kubernetes.objects import annotations_of, labels_of, metadata
from greenroom.runtimes.kubernetes.settings import KubernetesSettings

log = structlog.get_logger(__name__)

GONE_WITHIN_S: Final = 30.0
POLL_S: Final = 0.2


class KubernetesHomes:
    """Implements `contract.Homes` with the claims of one installation."""

    def __init__(self, cluster: Cluster, identity: ObjectOwner, settings: KubernetesSettings) -> None:
        self._cluster = cluster
        self._identity = identity
        self._settings = settings

    # For sessions -------------------------------------------------------------------------------------------------

    async def prepare(self, mounts: Sequence[Mount]) -> None:
        """Create the missing claims; a claim that must be reset is replaced.

        Raises:
            StartError: the cluster refuses it, or its name belongs to another object.
            RuntimeUnavailable: it is still in use, or could not be created at present.
        """
        for mount in mounts:
            if mount.profile is not None:
                wanted = claim_of(mount.source, self._identity, self._settings)
                await self._prepare(wanted, is_reset=mount.profile == "Reset")

    async def _prepare(self, wanted: Claim, *, is_reset: bool) -> None:
        name, found = metadata(wanted).name or "", await self._own(wanted)
        if found is not None:
            is_in_vain = _waits_for_another_class(found, wanted)
            if not (is_reset or is_in_vain or _is_leaving(found)):
                return
            if is_in_vain:
                log.info("a claim without a volume is replaced, because its storage class changed", claim=name)
            if is_reset or is_in_vain:
                await self._cluster.delete(Claim, name, metadata(found).uid)
            await self._wait_until_deleted(name, metadata(found).uid)
        try:
            await self._cluster.create(wanted)
        except ContainerConflict as error:
            # created in the meantime by another session of that user; or another conflict, such as a quota that was
            # just counted
            if await self._own(wanted) is None:
                raise RuntimeUnavailable(f"The claim {name} has not been created yet. {error.message}") from error

    async def _own(self, wanted: Claim) -> Claim | None:
        """The existing claim with this name."""
        name, owner = metadata(wanted).name or "", annotations_of(wanted)[OWNER]
        found = await self._cluster.get(Claim, name)
        if found is not None and annotations_of(found).get(OWNER) != owner:
            raise StartError(f"The claim {name} does not belong to the profile {owner}; delete it.")
        return found

    async def _wait_until_deleted(self, name: str, uid: str | None) -> None:
        try:
            async with asyncio.timeout(GONE_WITHIN_S):
                while True:
                    left = await self._cluster.get(Claim, name)
                    if left is None or metadata(left).uid != uid:
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise RuntimeUnavailable(
                f"The claim {name} is still in use; it is created again after its deletion."
            ) from error

    # For the management of homes ----------------------------------------------------------------------------------

    async def list(self) -> list[StoredHome]:
        found, _ = await self._cluster.list(Claim, self._identity.selector("home"))
        homes = [(home_of(annotations_of(claim).get(OWNER, "")), annotations_of(claim)) for claim in found]
        return [StoredHome(home=home, removal_id=noted.get(REMOVAL, "")) for home, noted in homes if home is not None]

    async def in_use(self) -> dict[HomeId, str]:
        found, _ = await self._cluster.list(Secret, self._identity.selector("session"))
        return {
            home: labels_of(secret).get(SESSION, "")
            for secret in found
            for source in json.loads(annotations_of(secret).get(HOMES) or "[]")
            if (home := home_of(source)) is not None
        }

    async def measure(self, home: HomeId) -> HomeSize | None:
        """The capacity of the claim, which does not depend on its content."""
        claim = await self._cluster.get(Claim, self._name(home))
        if claim is None:
            return None
        given = of_mapping(claim.status, "capacity").get("storage")
        return HomeSize(size_bytes=int(number(given)))

    async def remove(self, home: HomeId, removal_id: str) -> None:
        name = self._name(home)
        claim = await self._cluster.get(Claim, name)
        if claim is None or annotations_of(claim).get(REMOVAL, removal_id) != removal_id:
            return
        try:
            await self._cluster.patch(Claim, name, {"metadata": {"annotations": {REMOVAL: removal_id}}})
            if (session := (await self.in_use()).get(home)) is not None:
                await self._cluster.patch(Claim, name, {"metadata": {"annotations": {REMOVAL: None}}})
                raise HomeInUseError(f"The session {session} uses this home.")
            await self._cluster.delete(Claim, name, metadata(claim).uid)
            await self._wait_until_deleted(name, metadata(claim).uid)
        except (StartError, RuntimeUnavailable) as error:
            raise HomeError(f"The claim {name} could not be removed: {error.message}") from error

    def _name(self, home: HomeId) -> str:
        return home_name(self._identity.installation_id, home.source)


def _is_leaving(claim: Claim) -> bool:
    return metadata(claim).deletionTimestamp is not None or REMOVAL in annotations_of(claim)


def _waits_for_another_class(found: Claim, wanted: Claim) -> bool:
    """Return True if the claim has no volume and another storage class is wanted now. Without the annotation, as on
    older claims, the class in its spec counts.
    """
    had = found.spec.storageClassName if found.spec else None
    asked = annotations_of(found).get(CLASS, had or "")
    has_volume = found.spec is not None and bool(found.spec.volumeName)
    is_pending = found.status is None or found.status.phase == "Pending"
    return is_pending and not has_volume and asked != annotations_of(wanted)[CLASS]


def claim_of(folder: str, identity: ObjectOwner, settings: KubernetesSettings) -> Claim:
    """The claim for a profile. Its annotation names the owner; it outlives sessions and this Agent."""
    return Claim(
        metadata=ObjectMeta(
            name=home_name(identity.installation_id, folder),
            labels=identity.selector("home"),
            annotations={OWNER: folder, CLASS: settings.kube_storage_class},
        ),
        spec=PersistentVolumeClaimSpec(
            accessModes=["ReadWriteOnce"],
            resources=VolumeResourceRequirements(requests={"storage": settings.kube_home_size}),
            storageClassName=settings.kube_storage_class or None,
        ),
    )

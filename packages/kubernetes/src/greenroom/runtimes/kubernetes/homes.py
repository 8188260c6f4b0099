"""Homes and profiles of users as PersistentVolumeClaims. Each folder of a profile corresponds to one claim.

A claim is removed in two steps: it gets an annotation with the id of the removal, then it is deleted. The cluster keeps
the claim while a Pod uses it. A session that needs the claim during its removal waits for the deletion and gets a new
claim.

The storage class of a claim cannot be changed. A claim without a volume is empty, and may wait forever for a volume.
Therefore such a claim is replaced if its class differs from the class in the settings.
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
from greenroom.runtimes.kubernetes.capacity import mapping_of, quantity_value
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.names import (
    PROFILE_FOLDER,
    PROFILE_FOLDERS,
    REMOVAL_ID,
    STORAGE_CLASS,
    ObjectOwner,
    home_name,
)
from greenroom.runtimes.kubernetes.objects import annotations_of, labels_of, metadata
from greenroom.runtimes.kubernetes.settings import KubernetesSettings

log = structlog.get_logger(__name__)

DELETION_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.2


class KubernetesHomes:
    """Implements `contract.Homes` with the claims of one installation."""

    def __init__(self, cluster: Cluster, owner: ObjectOwner, settings: KubernetesSettings) -> None:
        self._cluster = cluster
        self._owner = owner
        self._settings = settings

    # For sessions -------------------------------------------------------------------------------------------------

    async def prepare(self, mounts: Sequence[Mount]) -> None:
        """Create the missing claims, and replace the claims whose profiles must be reset.

        Raises:
            StartError: the cluster refuses a claim, or its name belongs to another profile.
            RuntimeUnavailable: a claim is still in use, or cannot be created at present.
        """
        for mount in mounts:
            if mount.profile is not None:
                expected = claim_of(mount.source, self._owner, self._settings)
                await self._prepare(expected, is_reset=mount.profile == "Reset")

    async def _prepare(self, expected: Claim, *, is_reset: bool) -> None:
        name, existing = metadata(expected).name or "", await self._find_own(expected)
        if existing is not None:
            needs_other_class = _waits_for_another_class(existing, expected)
            if not (is_reset or needs_other_class or _is_being_removed(existing)):
                return
            if needs_other_class:
                log.info("a claim without a volume is replaced, because its storage class changed", claim=name)
            if is_reset or needs_other_class:
                await self._cluster.delete(Claim, name, metadata(existing).uid)
            await self._wait_until_deleted(name, metadata(existing).uid)
        try:
            await self._cluster.create(expected)
        except ContainerConflict as error:
            # another session of this user created the claim, or the conflict is temporary, such as one of a quota
            if await self._find_own(expected) is None:
                raise RuntimeUnavailable(f"The claim {name} has not been created yet. {error.message}") from error

    async def _find_own(self, expected: Claim) -> Claim | None:
        """Return the existing claim of the profile, or None. Raises StartError: the claim with its name belongs to
        another profile."""
        name, folder = metadata(expected).name or "", annotations_of(expected)[PROFILE_FOLDER]
        claim = await self._cluster.get(Claim, name)
        if claim is not None and annotations_of(claim).get(PROFILE_FOLDER) != folder:
            raise StartError(f"The claim {name} does not belong to the profile {folder}; delete it.")
        return claim

    async def _wait_until_deleted(self, name: str, uid: str | None) -> None:
        try:
            async with asyncio.timeout(DELETION_TIMEOUT_S):
                while True:
                    current = await self._cluster.get(Claim, name)
                    if current is None or metadata(current).uid != uid:
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise RuntimeUnavailable(
                f"The claim {name} is still in use; it is created again after its deletion."
            ) from error

    # For the management of homes ----------------------------------------------------------------------------------

    async def list(self) -> list[StoredHome]:
        claims, _ = await self._cluster.list(Claim, self._owner.selector("home"))
        homes = [(home_of(annotations_of(claim).get(PROFILE_FOLDER, "")), annotations_of(claim)) for claim in claims]
        return [
            StoredHome(home=home, removal_id=annotations.get(REMOVAL_ID, ""))
            for home, annotations in homes
            if home is not None
        ]

    async def in_use(self) -> dict[HomeId, str]:
        secrets, _ = await self._cluster.list(Secret, self._owner.selector("session"))
        return {
            home: labels_of(secret).get(SESSION, "")
            for secret in secrets
            for source in json.loads(annotations_of(secret).get(PROFILE_FOLDERS) or "[]")
            if (home := home_of(source)) is not None
        }

    async def measure(self, home: HomeId) -> HomeSize | None:
        """Return the capacity of the claim; None if there is no claim. The size of its content is not known."""
        claim = await self._cluster.get(Claim, self._name(home))
        if claim is None:
            return None
        capacity = mapping_of(claim.status, "capacity").get("storage")
        return HomeSize(size_bytes=int(quantity_value(capacity)))

    async def remove(self, home: HomeId, removal_id: str) -> None:
        name = self._name(home)
        claim = await self._cluster.get(Claim, name)
        if claim is None or annotations_of(claim).get(REMOVAL_ID, removal_id) != removal_id:
            return
        try:
            await self._cluster.patch(Claim, name, {"metadata": {"annotations": {REMOVAL_ID: removal_id}}})
            if (session := (await self.in_use()).get(home)) is not None:
                await self._cluster.patch(Claim, name, {"metadata": {"annotations": {REMOVAL_ID: None}}})
                raise HomeInUseError(f"The session {session} uses this home.")
            await self._cluster.delete(Claim, name, metadata(claim).uid)
            await self._wait_until_deleted(name, metadata(claim).uid)
        except (StartError, RuntimeUnavailable) as error:
            raise HomeError(f"The claim {name} could not be removed: {error.message}") from error

    def _name(self, home: HomeId) -> str:
        return home_name(self._owner.installation_id, home.source)


def _is_being_removed(claim: Claim) -> bool:
    return metadata(claim).deletionTimestamp is not None or REMOVAL_ID in annotations_of(claim)


def _waits_for_another_class(existing: Claim, expected: Claim) -> bool:
    """Return True if the claim has no volume and its storage class is not the expected one."""
    requested_class = annotations_of(existing).get(STORAGE_CLASS, "")
    has_volume = existing.spec is not None and bool(existing.spec.volumeName)
    is_pending = existing.status is None or existing.status.phase == "Pending"
    return is_pending and not has_volume and requested_class != annotations_of(expected)[STORAGE_CLASS]


def claim_of(folder: str, owner: ObjectOwner, settings: KubernetesSettings) -> Claim:
    """Return the claim for a profile. It stays when sessions or this Agent are deleted."""
    return Claim(
        metadata=ObjectMeta(
            name=home_name(owner.installation_id, folder),
            labels=owner.selector("home"),
            annotations={PROFILE_FOLDER: folder, STORAGE_CLASS: settings.kube_storage_class},
        ),
        spec=PersistentVolumeClaimSpec(
            accessModes=["ReadWriteOnce"],
            resources=VolumeResourceRequirements(requests={"storage": settings.kube_home_size}),
            storageClassName=settings.kube_storage_class or None,
        ),
    )

"""Conversion of mounts to volumes of a Pod: claims, and folders of nodes that the administrator allowed. This module
sends no requests."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from lightkube.models.core_v1 import (
    HostPathVolumeSource,
    PersistentVolumeClaimVolumeSource,
    Volume,
    VolumeMount,
)
from lightkube.resources.core_v1 import Pod

from greenroom.core.workspace.session_spec import Mount
from greenroom.core.workspace.volumes import is_within, source_problem
from greenroom.runtimes.contract import StartError
from greenroom.runtimes.kubernetes.names import CLAIM_PREFIX, HOME_PREFIX, home_name

_CLAIM_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """The volumes and mounts of a session. `homes` maps the name of each claim for a profile to its folder."""

    volumes: tuple[Volume, ...] = ()
    mounts: tuple[VolumeMount, ...] = ()
    homes: dict[str, str] = field(default_factory=dict[str, str])


def volumes_of(mounts: Sequence[Mount], installation_id: str, allowed: Collection[str]) -> Volumes:
    """Return the volumes and mounts of a Pod for a session's mounts.

    Each profile has its own claim. The source `/claims/NAME` is an existing claim; claims of profiles are refused,
    because they may belong to other users. Any other source is a folder of the node below an `allowed` folder. The
    allowed folder is the volume, and the rest of the path is its `subPath`, so that links cannot lead outside.

    Raises:
        StartError: a mount is not allowed. The message names the mount.
    """
    volumes: dict[str, Volume] = {}
    volume_mounts: list[VolumeMount] = []
    homes: dict[str, str] = {}
    for mount in mounts:
        if mount.profile is not None:
            name = home_name(installation_id, mount.source)
            homes[name] = mount.source
            volume, sub_path = _claim_volume(name), ""
        elif mount.source.startswith(CLAIM_PREFIX):
            volume, sub_path = _existing_claim_volume(mount.source)
        else:
            volume, sub_path = _folder_volume(mount.source, allowed)
        existing = next((other for other in volumes.values() if _has_same_source(other, volume)), None)
        volume.name = existing.name if existing else f"volume-{len(volumes)}"
        volumes.setdefault(volume.name, volume)
        volume_mounts.append(
            VolumeMount(
                name=volume.name, mountPath=mount.target, subPath=sub_path or None, readOnly=mount.read_only or None
            )
        )
    return Volumes(volumes=tuple(volumes.values()), mounts=tuple(volume_mounts), homes=homes)


def profiles_of(pod: Pod) -> frozenset[str]:
    """Return the names of the claims for profiles that a Pod mounts."""
    claims = (volume.persistentVolumeClaim for volume in (pod.spec.volumes if pod.spec else None) or [])
    return frozenset(claim.claimName for claim in claims if claim and claim.claimName.startswith(HOME_PREFIX))


def _claim_volume(name: str) -> Volume:
    return Volume(name="", persistentVolumeClaim=PersistentVolumeClaimVolumeSource(claimName=name))


def _existing_claim_volume(source: str) -> tuple[Volume, str]:
    name, _, sub_path = posixpath.normpath(source).removeprefix(CLAIM_PREFIX).partition("/")
    if ".." in source.split("/") or not _CLAIM_NAME.fullmatch(name):
        raise StartError(f"{source} does not name a claim; write {CLAIM_PREFIX}NAME or {CLAIM_PREFIX}NAME/folder.")
    if name.startswith(HOME_PREFIX):
        raise StartError(f"{source} may not be mounted: it is the profile of a user.")
    return _claim_volume(name), sub_path


def _folder_volume(source: str, allowed: Collection[str]) -> tuple[Volume, str]:
    if problem := source_problem(source):
        raise StartError(problem)
    path = posixpath.normpath(source)
    matching = [folder for folder in map(posixpath.normpath, allowed) if is_within(path, folder)]
    if not matching:
        raise StartError(
            f"{source} may not be mounted: it is not below a folder of GREENROOM_VOLUME_FOLDERS. To mount a"
            f" PersistentVolumeClaim, write {CLAIM_PREFIX}NAME."
        )
    allowed_folder = max(matching, key=len)
    volume = Volume(name="", hostPath=HostPathVolumeSource(path=allowed_folder, type="Directory"))
    return volume, path.removeprefix(allowed_folder).strip("/")


def _has_same_source(first: Volume, second: Volume) -> bool:
    return (first.hostPath, first.persistentVolumeClaim) == (second.hostPath, second.persistentVolumeClaim)

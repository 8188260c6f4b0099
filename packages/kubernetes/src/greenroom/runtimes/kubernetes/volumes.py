"""Conversion of mounts to volumes of a Pod: claims, and folders of nodes that the administrator allowed. Pure."""

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
from greenroom.runtimes.kubernetes.names import CLAIMS, HOME_PREFIX, home_name

_CLAIM: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """The volumes and mounts of a session. `homes` are the claims that must exist, with the folders that they
    represent.
    """

    volumes: tuple[Volume, ...] = ()
    mounts: tuple[VolumeMount, ...] = ()
    homes: dict[str, str] = field(default_factory=dict[str, str])


def volumes_of(mounts: Sequence[Mount], installation_id: str, allowed: Collection[str]) -> Volumes:
    """The volumes of a session's mounts.

    A profile has its own claim. `/claims/NAME` is an existing claim, never one of a profile: a mapping could name that
    of another user. Any other folder is one of the node, below an `allowed` folder. Only the allowed folder is mounted
    as such, and the rest of the path is resolved inside it, so that no link leads out.

    Raises:
        StartError: a mount is not allowed; the sentence names it.
    """
    volumes: dict[str, Volume] = {}
    placed: list[VolumeMount] = []
    homes: dict[str, str] = {}
    for mount in mounts:
        if mount.profile is not None:
            name = home_name(installation_id, mount.source)
            homes[name] = mount.source
            volume, inner = _claim(name), ""
        elif mount.source.startswith(CLAIMS):
            volume, inner = _named_claim(mount.source)
        else:
            volume, inner = _folder(mount.source, allowed)
        known = next((one for one in volumes.values() if _same(one, volume)), None)
        volume.name = known.name if known else f"volume-{len(volumes)}"
        volumes.setdefault(volume.name, volume)
        placed.append(
            VolumeMount(
                name=volume.name, mountPath=mount.target, subPath=inner or None, readOnly=mount.read_only or None
            )
        )
    return Volumes(volumes=tuple(volumes.values()), mounts=tuple(placed), homes=homes)


def profiles_of(pod: Pod) -> frozenset[str]:
    """Names of the claims for profiles that a Pod mounts."""
    claims = (volume.persistentVolumeClaim for volume in (pod.spec.volumes if pod.spec else None) or [])
    return frozenset(claim.claimName for claim in claims if claim and claim.claimName.startswith(HOME_PREFIX))


def _claim(name: str) -> Volume:
    return Volume(name="", persistentVolumeClaim=PersistentVolumeClaimVolumeSource(claimName=name))


def _named_claim(source: str) -> tuple[Volume, str]:
    name, _, inner = posixpath.normpath(source).removeprefix(CLAIMS).partition("/")
    if ".." in source.split("/") or not _CLAIM.fullmatch(name):
        raise StartError(f"{source} does not name a claim; write {CLAIMS}NAME or {CLAIMS}NAME/folder.")
    if name.startswith(HOME_PREFIX):
        raise StartError(f"{source} may not be mounted: it is the profile of a user.")
    return _claim(name), inner


def _folder(source: str, allowed: Collection[str]) -> tuple[Volume, str]:
    if problem := source_problem(source):
        raise StartError(problem)
    path = posixpath.normpath(source)
    held = [folder for folder in map(posixpath.normpath, allowed) if is_within(path, folder)]
    if not held:
        raise StartError(
            f"{source} may not be mounted: no folder of GREENROOM_VOLUME_FOLDERS holds it; a claim is {CLAIMS}NAME."
        )
    outer = max(held, key=len)
    volume = Volume(name="", hostPath=HostPathVolumeSource(path=outer, type="Directory"))
    return volume, path.removeprefix(outer).strip("/")


def _same(one: Volume, other: Volume) -> bool:
    return (one.hostPath, one.persistentVolumeClaim) == (other.hostPath, other.persistentVolumeClaim)

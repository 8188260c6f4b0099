"""Typed access to objects of the cluster: the client leaves the types of its mappings open. Pure."""

from __future__ import annotations

import base64
from typing import Any, cast

from lightkube.models.core_v1 import PodStatus
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import PersistentVolumeClaim, Pod, Secret, Service
from lightkube.resources.networking_v1 import NetworkPolicy

Thing = Pod | Secret | PersistentVolumeClaim | Service | NetworkPolicy


def metadata(thing: Thing) -> ObjectMeta:
    """The metadata of an object, empty if it has none."""
    return thing.metadata or ObjectMeta()


def status(pod: Pod) -> PodStatus:
    """The status of a Pod; empty at first."""
    return pod.status or PodStatus()


def labels_of(thing: Thing) -> dict[str, str]:
    """The labels of an object."""
    return cast("Any", metadata(thing)).labels or {}


def annotations_of(thing: Thing) -> dict[str, str]:
    """The annotations of an object."""
    return cast("Any", metadata(thing)).annotations or {}


def data_of(secret: Secret) -> dict[str, str]:
    """The data of a Secret: key → content in base64."""
    return cast("Any", secret).data or {}


def encoded(content: bytes) -> str:
    """Encode content for the data of a Secret."""
    return base64.b64encode(content).decode()


def decoded(secret: Secret, key: str) -> bytes:
    """The content of a key; empty if it is missing."""
    return base64.b64decode(data_of(secret).get(key, ""))

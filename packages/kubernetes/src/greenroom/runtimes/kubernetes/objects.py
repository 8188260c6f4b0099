"""Typed access to parts of Kubernetes objects, because the client has no types for mappings."""

from __future__ import annotations

import base64
from typing import Any, cast

from lightkube.models.core_v1 import PodStatus
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import PersistentVolumeClaim, Pod, Secret, Service
from lightkube.resources.networking_v1 import NetworkPolicy

Resource = Pod | Secret | PersistentVolumeClaim | Service | NetworkPolicy


def metadata(resource: Resource) -> ObjectMeta:
    """Return the metadata of an object; empty if it has none."""
    return resource.metadata or ObjectMeta()


def status(pod: Pod) -> PodStatus:
    """Return the status of a Pod; empty if it has none yet."""
    return pod.status or PodStatus()


def labels_of(resource: Resource) -> dict[str, str]:
    """Return the labels of an object."""
    return cast("Any", metadata(resource)).labels or {}


def annotations_of(resource: Resource) -> dict[str, str]:
    """Return the annotations of an object."""
    return cast("Any", metadata(resource)).annotations or {}


def data_of(secret: Secret) -> dict[str, str]:
    """Return the data of a Secret: key → content in base64."""
    return cast("Any", secret).data or {}


def encoded(content: bytes) -> str:
    """Return the content in base64, for the data of a Secret."""
    return base64.b64encode(content).decode()


def decoded(secret: Secret, key: str) -> bytes:
    """Return the decoded content of a key; empty if the key is missing."""
    return base64.b64decode(data_of(secret).get(key, ""))

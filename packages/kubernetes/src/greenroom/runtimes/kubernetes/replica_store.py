"""The store of Agent replicas in a namespace. The record of the election is a Kubernetes Lease; other records are
Secrets.

Each write names the `resourceVersion` of the object that it replaces, so that it fails after another write.
"""

from __future__ import annotations

import base64
import re
import zlib
from datetime import UTC, datetime
from typing import Final, cast

from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Secret

from greenroom.core.errors import SetupError
from greenroom.core.fleet.election import ElectionRecord
from greenroom.runtimes.contract import (
    ContainerConflict,
    ContainerMissing,
    RuntimeUnavailable,
    StartError,
    StoredRecord,
)
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.settings import KubernetesSettings

GROUP_PATTERN: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
NAME_PREFIX: Final = "greenroom-agent"
ADDRESS_ANNOTATION: Final = "greenroom.address"
TTL_ANNOTATION: Final = "greenroom.ttl-s"
BEAT_ANNOTATION: Final = "greenroom.beat"
COPY_ANNOTATION: Final = "greenroom.copy"
"""The number of the last copy of the Agent's data for standby processes (`ElectionRecord.copy`)."""
CONTENT_KEY: Final = "content"
REQUEST_TIMEOUT_S: Final = 1.0
"""The time limit of a request to the API server."""
MAX_RECORD_BYTES: Final = 1_000_000
"""Maximum size of a record in bytes; the API server limits a Secret to 1 MiB."""


class NamespaceStore:
    """Implements `contract.ReplicaStore` for the Agent replicas of `group` in a namespace.

    Raises:
        SetupError: the settings or the name of the group cannot be used.
    """

    def __init__(self, settings: KubernetesSettings, group: str) -> None:
        if not GROUP_PATTERN.fullmatch(group):
            raise SetupError(f"GREENROOM_AGENT_GROUP {group!r} must be up to 40 of a-z, 0-9 and -.")
        self._cluster = Cluster(settings, timeout_s=REQUEST_TIMEOUT_S)
        self._group = group
        self._place_id = ""

    @property
    def place_id(self) -> str:
        """The uid of the Lease, which identifies the store; empty before the record was read or written."""
        return self._place_id

    @property
    def name(self) -> str:
        return f"{self._cluster.namespace}/{self._group}"

    async def open(self) -> None:
        await self._cluster.open()

    async def close(self) -> None:
        await self._cluster.close()

    async def read_election_record(self) -> tuple[ElectionRecord | None, str | None]:
        lease = await self._cluster.get(Lease, f"{NAME_PREFIX}-{self._group}")
        if lease is None or lease.metadata is None:
            return None, None
        self._place_id = (lease.metadata.uid or "").replace("-", "")
        spec, annotations = lease.spec or LeaseSpec(), cast("dict[str, str]", lease.metadata.annotations or {})
        record = ElectionRecord(
            holder=spec.holderIdentity or "",
            address=annotations.get(ADDRESS_ANNOTATION, ""),
            term=(spec.leaseTransitions or 0) + 1,
            ttl_s=_parse_number(annotations.get(TTL_ANNOTATION), float(spec.leaseDurationSeconds or 0)),
            beat=int(_parse_number(annotations.get(BEAT_ANNOTATION))),
            copy=int(_parse_number(annotations.get(COPY_ANNOTATION))),
        )
        return record, lease.metadata.resourceVersion

    async def write_election_record(self, record: ElectionRecord, version: str | None) -> str:
        now = datetime.now(UTC)
        annotations = {
            ADDRESS_ANNOTATION: record.address,
            TTL_ANNOTATION: f"{record.ttl_s:g}",
            BEAT_ANNOTATION: str(record.beat),
            COPY_ANNOTATION: str(record.copy),
        }
        lease = Lease(
            metadata=ObjectMeta(name=f"{NAME_PREFIX}-{self._group}", resourceVersion=version, annotations=annotations),
            spec=LeaseSpec(
                holderIdentity=record.holder,
                leaseDurationSeconds=max(1, round(record.ttl_s)),
                leaseTransitions=record.term - 1,
                renewTime=now,
            ),
        )
        written = await self._write(lease, version)
        if written.metadata is not None:
            self._place_id = (written.metadata.uid or "").replace("-", "")
        return _version(written)

    async def read(self, name: str) -> StoredRecord | None:
        secret = await self._cluster.get(Secret, self._secret_name(name))
        if secret is None or secret.metadata is None:
            return None
        compressed = base64.b64decode(cast("dict[str, str]", secret.data or {}).get(CONTENT_KEY, ""))
        try:
            content = zlib.decompress(compressed)
        except zlib.error as error:
            raise RuntimeUnavailable(
                f"The Secret {self._secret_name(name)} is damaged ({error}); delete it."
            ) from error
        return StoredRecord(content, secret.metadata.resourceVersion or "")

    async def write(self, name: str, content: bytes, version: str | None) -> str:
        encoded = base64.b64encode(zlib.compress(content)).decode()
        if len(encoded) > MAX_RECORD_BYTES:
            raise RuntimeUnavailable(
                f"{name} has {len(encoded)} bytes, more than a Secret can contain; add another zone."
            )
        secret = Secret(
            metadata=ObjectMeta(name=self._secret_name(name), resourceVersion=version),
            data={CONTENT_KEY: encoded},
            type="Opaque",
        )
        return _version(await self._write(secret, version))

    async def _write(self, resource: Lease | Secret, version: str | None) -> Lease | Secret:
        try:
            return await (self._cluster.create(resource) if version is None else self._cluster.replace(resource))
        except ContainerMissing as error:
            raise ContainerConflict("The record was deleted in the meantime.") from error
        except StartError as error:
            raise RuntimeUnavailable(error.message) from error

    def _secret_name(self, name: str) -> str:
        return f"{NAME_PREFIX}-{self._group}-{name}"


def _version(resource: Lease | Secret) -> str:
    return (resource.metadata.resourceVersion or "") if resource.metadata is not None else ""


def _parse_number(text: str | None, default: float = 0.0) -> float:
    try:
        return float(text) if text else default
    except ValueError:
        return default

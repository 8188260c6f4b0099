"""Converts a session's specification to its Secret and its Pod. This module sends no requests.

The Pod satisfies the restricted profile of Pod security: no root, no privileges, no capabilities, and the default
seccomp profile. Secret values are only in the Secret, because more users may read Pods.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from lightkube.models.core_v1 import (
    Capabilities,
    Container,
    ContainerPort,
    EmptyDirVolumeSource,
    EnvVar,
    EnvVarSource,
    LocalObjectReference,
    PodDNSConfig,
    PodSecurityContext,
    PodSpec,
    ResourceRequirements,
    SeccompProfile,
    SecretKeySelector,
    SecurityContext,
    Toleration,
    Volume,
    VolumeMount,
)
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference
from lightkube.resources.core_v1 import Pod, Secret

from greenroom.core.errors import Invalid
from greenroom.core.workspace import run_config
from greenroom.core.workspace.launch_environment import user_variables_problem
from greenroom.core.workspace.run_config import SHM_BYTES, TMPFS_SIZE, RunConfig, size_in_bytes
from greenroom.core.workspace.session_spec import SessionFile, SessionSpec
from greenroom.core.workspace.volumes import SESSION_UID
from greenroom.runtimes.contract import SPEC_HASH, StartError
from greenroom.runtimes.kubernetes.names import (
    CONTAINER,
    CREDENTIAL,
    EXTRA_LABELS,
    IMAGE,
    PAGE_PORT,
    PENDING_FILES,
    POD_TEMPLATE,
    POLICY,
    PROFILE_FOLDERS,
    SERVICES,
    VARIABLE_PREFIX,
    ObjectOwner,
    image_name,
    object_name,
)
from greenroom.runtimes.kubernetes.objects import decoded, encoded, metadata
from greenroom.runtimes.kubernetes.volumes import Volumes

LOST_AFTER_S: Final = 30
"""The time after which Kubernetes deletes a Pod whose node does not answer. The default of Kubernetes is five minutes.
"""
GRACE_S: Final = 10
MIN_CORES: Final = 0.001
ALLOWED_CAPABILITIES: Final = frozenset({"NET_BIND_SERVICE"})
"""The only capability that the restricted profile allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedResources:
    """The runtime classes and the folders of nodes that sessions may use."""

    runtime_classes: Collection[str] = ()
    """Names of RuntimeClasses."""
    folders: Collection[str] = ()
    """Folders of the nodes; sessions may also mount their subfolders."""


def variables_of(spec: SessionSpec) -> dict[str, str]:
    """Return the environment variables of a session, without its credential.

    Raises:
        StartError: the launch sets a variable that it may not set.
    """
    workspace_variables: dict[str, str] = spec.run_config.get("environment") or {}
    if problem := user_variables_problem(spec.environment, of_workspace=workspace_variables):
        raise StartError(problem)
    return {**spec.environment, **workspace_variables}


def secret_of(
    session_id: str, spec: SessionSpec, owner: ObjectOwner, labels: Mapping[str, str] | None = None
) -> Secret:
    """Return the session's Secret. The session exists in the namespace as long as its Secret."""
    data = {CREDENTIAL: spec.credential, **{VARIABLE_PREFIX + name: text for name, text in variables_of(spec).items()}}
    return Secret(
        metadata=ObjectMeta(
            name=object_name(session_id),
            labels=_labels(session_id, spec, owner),
            annotations={
                EXTRA_LABELS: json.dumps(dict(labels or {}), sort_keys=True),
                IMAGE: spec.image,
                PROFILE_FOLDERS: json.dumps([mount.source for mount in spec.mounts if mount.profile is not None]),
            },
        ),
        data={name: encoded(text.encode()) for name, text in data.items()},
        type="Opaque",
    )


def _labels(session_id: str, spec: SessionSpec, owner: ObjectOwner) -> dict[str, str]:
    policy = {POLICY: spec.filter_policy} if spec.filter_policy is not None else {}
    return {**owner.session_labels(session_id), **policy, SPEC_HASH: spec.hash()}


def pending_files(secret: Secret, files: Sequence[SessionFile] = ()) -> list[SessionFile]:
    """Return the files in the Secret that are not unpacked yet, and `files`, which replace files with the same
    paths."""
    stored = msgspec.json.decode(decoded(secret, PENDING_FILES) or b"[]", type=list[SessionFile])
    return list({file.path: file for file in (*stored, *files)}.values())


def pending_entry(files: Sequence[SessionFile]) -> dict[str, str]:
    """Return the entry of the Secret's data with these files."""
    return {PENDING_FILES: encoded(msgspec.json.encode(list(files)))}


def template_entry(pod: Pod) -> dict[str, str]:
    """Return the entry of the Secret's data with the template of its Pod."""
    return {POD_TEMPLATE: encoded(msgspec.json.encode(pod))}


def pod_from_template(secret: Secret) -> Pod:
    """Return the Pod from the template in this Secret, with the Secret as its owner."""
    pod = msgspec.json.decode(decoded(secret, POD_TEMPLATE), type=Pod)
    pod_metadata, secret_metadata = metadata(pod), metadata(secret)
    owner_reference = OwnerReference(
        apiVersion="v1", kind="Secret", name=secret_metadata.name or "", uid=secret_metadata.uid or ""
    )
    pod_metadata.ownerReferences = [owner_reference]
    pod.metadata = pod_metadata
    return pod


def pod_of(
    session_id: str, spec: SessionSpec, owner: ObjectOwner, *, volumes: Volumes, allowed: AllowedResources
) -> Pod:
    """Return the session's Pod.

    Raises:
        StartError: an option cannot be used in Kubernetes. The message names the option.
    """
    options = _validated(spec.run_config)
    if spec.network is not None:
        raise StartError(f"A session in a Pod cannot use the network {spec.network!r}, which is a network of Docker.")
    services = {service.name: service.port for service in spec.services if service.port and service.allowed}
    ports = dict.fromkeys((spec.port, *services.values()))
    name = object_name(session_id)
    memory = _memory_volumes(options, {mount.mountPath for mount in volumes.mounts})
    container = Container(
        name=CONTAINER,
        image=spec.image,
        imagePullPolicy="IfNotPresent",
        args=options.get("command"),
        workingDir=options.get("working_dir"),
        env=_environment(name, spec),
        ports=[ContainerPort(containerPort=port) for port in ports],
        resources=resources_of(spec),
        securityContext=_container_security(options),
        volumeMounts=[*memory.mounts, *volumes.mounts],
    )
    return Pod(
        metadata=ObjectMeta(
            name=name,
            labels=_labels(session_id, spec, owner),
            annotations={
                PAGE_PORT: str(spec.port),
                SERVICES: ",".join(f"{service}={port}" for service, port in services.items()),
            },
        ),
        spec=PodSpec(
            containers=[container],
            volumes=[*memory.volumes, *volumes.volumes],
            restartPolicy="Never",
            terminationGracePeriodSeconds=GRACE_S,
            automountServiceAccountToken=False,
            enableServiceLinks=False,
            hostname=_hostname(options),
            imagePullSecrets=[LocalObjectReference(name=image_name(owner, spec.image))],
            nodeSelector=options.get("node_selector"),
            tolerations=_tolerations(options),
            runtimeClassName=_runtime_class(options, allowed),
            securityContext=restricted_pod(*_user(options)),
            **_dns(options),
        ),
    )


def resources_of(spec: SessionSpec) -> ResourceRequirements:
    """Return the resource requests and limits of a session."""
    cores = f"{round(max(MIN_CORES, spec.cores) * 1000)}m"
    limits = {"memory": str(spec.memory_bytes)}
    if spec.cpu_mode == "Quotas":
        limits["cpu"] = cores
    if spec.disk_limit_bytes:
        limits["ephemeral-storage"] = str(spec.disk_limit_bytes)
    requests = {"cpu": cores, "memory": str(spec.memory_bytes)}
    if spec.disk_limit_bytes:
        requests["ephemeral-storage"] = "0"  # without it the request is equal to the limit
    return ResourceRequirements(requests=requests, limits=limits)


def _environment(secret: str, spec: SessionSpec) -> list[EnvVar]:
    keys = {**{name: VARIABLE_PREFIX + name for name in variables_of(spec)}, "VNC_PW": CREDENTIAL}
    return [
        EnvVar(name=name, valueFrom=EnvVarSource(secretKeyRef=SecretKeySelector(name=secret, key=key)))
        for name, key in sorted(keys.items())
    ]


def _validated(config: RunConfig) -> RunConfig:
    """Check the run config of the administrator again, because other programs can write to the database."""
    try:
        return run_config.validated(config)
    except Invalid as error:
        raise StartError(error.message) from error


def _container_security(options: RunConfig) -> SecurityContext:
    added: list[str] = options.get("cap_add") or []
    if refused := sorted(set(added) - ALLOWED_CAPABILITIES):
        raise StartError(
            f"The run config adds {', '.join(refused)}, which the restricted profile of Pods forbids; the image"
            " requires a host with Docker."
        )
    return restricted_container(added, read_only=bool(options.get("read_only")))


def restricted_container(added: Sequence[str] = (), *, read_only: bool = False) -> SecurityContext:
    """Return the security context of a container in the restricted profile."""
    return SecurityContext(
        allowPrivilegeEscalation=False,
        privileged=False,
        readOnlyRootFilesystem=read_only,
        capabilities=Capabilities(drop=["ALL"], add=list(added) or None),
    )


def restricted_pod(user: int = SESSION_UID, group: int = SESSION_UID) -> PodSecurityContext:
    """Return the security context of a Pod in the restricted profile. The group owns the files of its claims."""
    return PodSecurityContext(
        runAsNonRoot=True,
        runAsUser=user,
        runAsGroup=group,
        fsGroup=group,
        fsGroupChangePolicy="OnRootMismatch",
        seccompProfile=SeccompProfile(type="RuntimeDefault"),
    )


def _user(options: RunConfig) -> tuple[int, int]:
    """Return the numbers of the user and the group. A node cannot check by name that the user is not root."""
    name, _, group = str(options.get("user") or SESSION_UID).partition(":")
    if not name.isdecimal() or not (group or name).isdecimal():
        raise StartError(f"The run config names the user {name}; in a Pod it must be a number, like {SESSION_UID}.")
    return int(name), int(group or SESSION_UID)


def _hostname(options: RunConfig) -> str | None:
    name: str | None = options.get("hostname")
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")[:63] if name else None


def _runtime_class(options: RunConfig, allowed: AllowedResources) -> str | None:
    name: str = options.get("runtime") or ""
    if name and name not in allowed.runtime_classes:
        raise StartError(f"This Agent does not offer the runtime {name} (GREENROOM_RUNTIME_CLASSES).")
    return name or None


def _tolerations(options: RunConfig) -> list[Toleration]:
    """Return the tolerations of a Pod. Kubernetes uses the first toleration that matches. The tolerations for lost
    nodes are first, because the tolerations of the workspace may match all taints.
    """
    entries: list[dict[str, Any]] = options.get("tolerations") or []
    return [*lost_node_tolerations(), *(Toleration(**entry) for entry in entries)]


def lost_node_tolerations() -> list[Toleration]:
    """Return the tolerations with which Kubernetes ends a Pod `LOST_AFTER_S` after its node stops answering."""
    return [
        Toleration(
            key=f"node.kubernetes.io/{condition}", operator="Exists", effect="NoExecute", tolerationSeconds=LOST_AFTER_S
        )
        for condition in ("not-ready", "unreachable")
    ]


def _dns(options: RunConfig) -> dict[str, Any]:
    servers: list[str] = options.get("dns") or []
    return {"dnsPolicy": "None", "dnsConfig": PodDNSConfig(nameservers=servers)} if servers else {}


def _memory_volumes(options: RunConfig, mounted: Collection[str]) -> Volumes:
    """Return the volumes for shared memory and for the in-memory folders (tmpfs) of the run config, except folders that
    a mount replaces.
    """
    sizes = {"/dev/shm": int(options.get("shm_size") or SHM_BYTES)}  # noqa: S108 -- a path in the container
    tmpfs: dict[str, str] = options.get("tmpfs") or {}
    sizes |= {path: _tmpfs_bytes(option) for path, option in tmpfs.items() if path not in mounted}
    volumes = [
        Volume(name=f"memory-{number}", emptyDir=EmptyDirVolumeSource(medium="Memory", sizeLimit=str(size)))
        for number, size in enumerate(sizes.values())
    ]
    mounts = [VolumeMount(name=f"memory-{number}", mountPath=path) for number, path in enumerate(sizes)]
    return Volumes(volumes=tuple(volumes), mounts=tuple(mounts))


def _tmpfs_bytes(options: str) -> int:
    sizes = [part.removeprefix("size=") for part in options.split(",") if part.startswith("size=")]
    return size_in_bytes(sizes[-1] if sizes else TMPFS_SIZE)

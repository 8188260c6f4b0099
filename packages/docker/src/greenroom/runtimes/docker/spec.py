"""Conversion of a session's specification to requests of the Docker API, and of its answers to containers. This module
sends no requests."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from greenroom.core.errors import Invalid
from greenroom.core.session.reconcile import ContainerState
from greenroom.core.workspace import run_config
from greenroom.core.workspace.launch_environment import user_variables, user_variables_problem
from greenroom.core.workspace.run_config import SHM_BYTES, RunConfig
from greenroom.core.workspace.session_spec import Mount, SessionSpec
from greenroom.core.workspace.volumes import source_problem
from greenroom.runtimes.contract import AGENT, INSTALLATION, SESSION, SPEC_HASH, Container, StartError
from greenroom.runtimes.docker.daemon import DockerJson

USER_VARIABLES: Final = "greenroom.chosen-variables"
"""Label: the comma-separated names of the variables that the session's user set, for `exec`."""
POLICY: Final = "greenroom.filter-policy"
"""Label: the id of the web filter policy."""
LOOPBACK: Final = "127.0.0.1"
PAGE_PORT: Final = "greenroom.page-port"
"""Label of sessions under a web filter, whose ports are not published: the port of the page in the container."""
SERVICES: Final = "greenroom.services"
"""Label: the services that viewers may reach, with their ports in the container, as `audio=4901,uploads=4902`."""

MAX_PIDS: Final = 512
MAX_OPEN_FILES: Final = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerOwner:
    """The installation and the Agent that own containers. Names on the host contain the first 8 hex digits of the
    installation's id.
    """

    installation_id: str
    agent_id: str

    @property
    def short(self) -> str:
        return self.installation_id.replace("-", "")[:8]

    @property
    def network(self) -> str:
        """The name of the network of sessions whose specification has no network."""
        return f"greenroom-{self.short}"

    @property
    def bridge(self) -> str:
        """The name of the network's interface on the host (at most 15 characters)."""
        return f"gr-{self.short}"


def container_name(session_id: str) -> str:
    """Return the name of a session's container. It is unique, so a session cannot get a second container."""
    return f"gr-{session_id}"


def container_config(
    session_id: str,
    spec: SessionSpec,
    owner: ContainerOwner,
    labels: Mapping[str, str] | None = None,
    runtime_classes: Collection[str] = (),
    *,
    mounts: Sequence[Mount] | None = None,
    image_variables: Collection[str] = (),
) -> DockerJson:
    """Return the body of `POST /containers/create`. `mounts` are the mounts of `spec` with their folders on this host;
    None = unchanged. `image_variables` are the names of the variables that the image sets.

    The container has no capabilities except those of `core.workspace.run_config.CAPABILITIES` that `run_config` adds,
    gains no privileges and has the default seccomp profile. Processes, memory (without swap), CPU and open files are
    limited. The page and the allowed services are published only on 127.0.0.1. The OOM score is not set, because
    negative scores fail on some hosts.

    Raises:
        StartError: `run_config`, its runtime, a variable, the network or a mount is not allowed. The message names it.
    """
    if problem := next(filter(None, (source_problem(mount.source) for mount in spec.mounts)), None):
        raise StartError(problem)
    options = _validated(spec.run_config)
    services = {service.name: service.port for service in spec.services if service.port and service.allowed}
    ports = [f"{port}/tcp" for port in dict.fromkeys((spec.port, *services.values()))]
    workspace_variables = options.pop("environment", {})
    if problem := user_variables_problem(spec.environment, of_workspace=workspace_variables, of_image=image_variables):
        raise StartError(problem)
    environment = {**spec.environment, **workspace_variables, "VNC_PW": spec.credential}
    network = _network(spec, owner)
    mounted = {mount.target for mount in spec.mounts}  # a mount replaces an in-memory folder
    own_labels = {
        INSTALLATION: owner.installation_id,
        SESSION: session_id,
        AGENT: owner.agent_id,
        SPEC_HASH: spec.hash(),
        USER_VARIABLES: ",".join(name for name in user_variables(spec.environment) if name not in workspace_variables),
        **({SERVICES: ",".join(f"{name}={port}" for name, port in services.items())} if services else {}),
    }
    host_config: DockerJson = {
        "CapDrop": ["ALL"],
        "CapAdd": options.pop("cap_add", []),
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "PidsLimit": MAX_PIDS,
        "Memory": spec.memory_bytes,
        "MemorySwap": spec.memory_bytes,
        "Ulimits": [{"Name": "nofile", "Soft": MAX_OPEN_FILES, "Hard": MAX_OPEN_FILES}],
        "ShmSize": options.pop("shm_size", SHM_BYTES),
        "Dns": options.pop("dns", []),
        "Tmpfs": {path: value for path, value in options.pop("tmpfs", {}).items() if path not in mounted},
        "ReadonlyRootfs": options.pop("read_only", False),
        "RestartPolicy": {"Name": "no"},
        "NetworkMode": network,
        "PortBindings": {port: [{"HostIp": LOOPBACK, "HostPort": ""}] for port in ports},
        "Mounts": [
            {"Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}
            for mount in (spec.mounts if mounts is None else mounts)
        ],
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
        **_cpu_limits(spec),
        **_runtime(options.pop("runtime", ""), runtime_classes),
    }
    return {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in sorted(environment.items())],
        "Labels": {**(labels or {}), **own_labels},
        "ExposedPorts": {port: {} for port in ports},
        "HostConfig": host_config,
        "NetworkingConfig": {"EndpointsConfig": {network: {}}},
        **{_DOCKER_FIELDS[name]: value for name, value in options.items() if name in _DOCKER_FIELDS},
    }


def _network(spec: SessionSpec, owner: ContainerOwner) -> str:
    """Return the network of the session. Only networks of this installation are allowed, because others have no
    firewall rules.
    """
    if spec.network is None or spec.network.startswith(f"{owner.network}-"):
        return spec.network or owner.network
    raise StartError(f"A session cannot join the network {spec.network!r}; it does not belong to this installation.")


SHARES_PER_CORE: Final = 1024
MIN_SHARES: Final = 2
LOW_SHARE_DIVISOR: Final = 20
"""A container with a low CPU share has its normal CPU shares divided by this number."""


def cpu_shares(spec: SessionSpec) -> int:
    """Return the CPU shares of a session, which have an effect only while the CPU is busy."""
    cores = 1.0 if spec.cpu_mode == "Quotas" else spec.cores  # the shares of 1.0 core are Docker's default
    return max(MIN_SHARES, round(cores * SHARES_PER_CORE))


def _cpu_limits(spec: SessionSpec) -> dict[str, int]:
    if spec.cpu_mode == "Quotas":
        return {"NanoCpus": max(1, round(spec.cores * 1e9))}
    return {"CpuShares": cpu_shares(spec)}


def _runtime(name: str, allowed: Collection[str]) -> dict[str, str]:
    if name and name not in allowed:
        raise StartError(f"This Agent does not offer the runtime {name} (GREENROOM_RUNTIME_CLASSES).")
    return {"Runtime": name} if name else {}


_DOCKER_FIELDS: Final = {"hostname": "Hostname", "user": "User", "working_dir": "WorkingDir", "command": "Cmd"}


def _validated(config: RunConfig) -> RunConfig:
    """Check the run config of the administrator again, because other programs can write to the database."""
    try:
        return run_config.validated(config)
    except Invalid as error:
        raise StartError(error.message) from error


_STATES: Final = {
    "created": ContainerState.CREATED,
    "running": ContainerState.RUNNING,
    "restarting": ContainerState.RUNNING,
    "paused": ContainerState.PAUSED,
}


def container_from_list(entry: DockerJson) -> Container:
    """Convert an entry of `GET /containers/json`, which has no exit code."""
    published: list[DockerJson] = entry.get("Ports") or []
    ports = {p["PrivatePort"]: p["PublicPort"] for p in published if p.get("IP") == LOOPBACK and p.get("PublicPort")}
    addresses = _addresses(ports, entry["Labels"], entry.get("NetworkSettings") or {})
    return _container(entry["Id"], entry["Labels"], entry["State"], addresses, None)


def container_from_inspect(inspection: DockerJson) -> Container:
    """Convert the answer of `GET /containers/<id>/json`."""
    settings = inspection["NetworkSettings"]
    bindings: dict[str, list[dict[str, str]] | None] = settings.get("Ports") or {}
    ports = {
        int(port.partition("/")[0]): int(binding["HostPort"])
        for port, group in bindings.items()
        for binding in group or []
        if binding["HostIp"] == LOOPBACK
    }
    labels, state = inspection["Config"]["Labels"], inspection["State"]
    addresses = _addresses(ports, labels, settings)
    return _container(inspection["Id"], labels, state["Status"], addresses, state.get("ExitCode"))


def _addresses(
    ports: Mapping[int, int], labels: Mapping[str, str], settings: DockerJson
) -> tuple[str | None, dict[str, str]]:
    """Return the addresses at which this host reaches the page and the services. `ports`: port in the container →
    published port of the host. Under a web filter no port is published, and the container's address is used.
    """
    parts = [part.partition("=") for part in labels.get(SERVICES, "").split(",") if part]
    # Other programs can set labels, too. One container with an invalid label must not end the inventory of the host.
    services = {name: int(port) for name, _, port in parts if re.fullmatch("[0-9]{1,5}", port)}
    if ports:
        page = next((host_port for port, host_port in ports.items() if port not in services.values()), None)
        service_addresses = {name: f"{LOOPBACK}:{ports[port]}" for name, port in services.items() if port in ports}
        return (f"{LOOPBACK}:{page}" if page else None), service_addresses
    networks: dict[str, dict[str, str]] = settings.get("Networks") or {}
    container_address = next((network["IPAddress"] for network in networks.values() if network.get("IPAddress")), None)
    if container_address is None or PAGE_PORT not in labels:
        return None, {}
    return f"{container_address}:{labels[PAGE_PORT]}", {
        name: f"{container_address}:{port}" for name, port in services.items()
    }


def _container(
    container_id: str,
    labels: Mapping[str, str],
    status: str,
    addresses: tuple[str | None, dict[str, str]],
    exit_code: int | None,
) -> Container:
    state = _STATES.get(status, ContainerState.EXITED)
    address, services = addresses if state is ContainerState.RUNNING else (None, {})
    return Container(
        session_id=labels[SESSION],
        agent_id=labels.get(AGENT, ""),
        container_id=container_id,
        state=state,
        spec_hash=labels.get(SPEC_HASH, ""),
        address=address,
        services=services,
        exit_code=exit_code if state is ContainerState.EXITED else None,
        labels=dict(labels),
    )

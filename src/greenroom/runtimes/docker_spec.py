"""From a session's specification to what the Docker API is asked for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from greenroom.core.reconcile import ContainerState
from greenroom.core.sessions import SessionSpec
from greenroom.core.volumes import source_problem
from greenroom.runtimes.base import Container, StartError

INSTALLATION: Final = "greenroom.installation"
SESSION: Final = "greenroom.session"
AGENT: Final = "greenroom.agent"
SPEC_HASH: Final = "greenroom.spec-hash"

PIDS_MAX: Final = 512
OPEN_FILES_MAX: Final = 16384
SHM_BYTES: Final = 512 << 20

CAPABILITIES: Final = frozenset(
    {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID"}
)
"""What an image may get back by `cap_add`: what programs need that start as root and become someone else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose containers these are. Names on the host are made of the first 8 hex digits of the installation's id."""

    installation_id: str
    agent_id: str

    @property
    def short(self) -> str:
        """8 hex digits."""
        return self.installation_id.replace("-", "")[:8]

    @property
    def network(self) -> str:
        """The network all sessions are on, unless their specification names another."""
        return f"greenroom-{self.short}"

    @property
    def bridge(self) -> str:
        """The network's interface on the host (at most 15 characters)."""
        return f"gr-{self.short}"


def container_name(session_id: str) -> str:
    """The container's name is that of its session: a second one for the same session cannot be made."""
    return f"gr-{session_id}"


def container_config(
    session_id: str, spec: SessionSpec, identity: Identity, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The body of `POST /containers/create`.

    Without any capability unless `run_config` gives one of `CAPABILITIES` back, without new privileges, under the
    default seccomp profile, with limits on processes, memory (no swap), CPU and open files; its page is published on
    127.0.0.1 alone. Negative OOM scores fail on some hosts and are never set.

    Raises:
        StartError: `run_config`, the network or a mount is not allowed; the sentence names it.
    """
    if problem := next(filter(None, (source_problem(mount.source) for mount in spec.mounts)), None):
        raise StartError(problem)
    override = _allowed(spec.run_config)
    port = f"{spec.port}/tcp"
    environment = {**spec.environment, **override.pop("environment", {}), "VNC_PW": spec.credential}
    network = _network(spec, identity)
    own = {
        INSTALLATION: identity.installation_id,
        SESSION: session_id,
        AGENT: identity.agent_id,
        SPEC_HASH: spec.hash(),
    }
    host: dict[str, Any] = {
        "CapDrop": ["ALL"],
        "CapAdd": override.pop("cap_add", []),
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "PidsLimit": PIDS_MAX,
        "Memory": spec.memory_bytes,
        "MemorySwap": spec.memory_bytes,
        "Ulimits": [{"Name": "nofile", "Soft": OPEN_FILES_MAX, "Hard": OPEN_FILES_MAX}],
        "ShmSize": override.pop("shm_size", SHM_BYTES),
        "Dns": override.pop("dns", []),
        "Tmpfs": override.pop("tmpfs", {}),
        "RestartPolicy": {"Name": "no"},
        "NetworkMode": network,
        "PortBindings": {port: [{"HostIp": "127.0.0.1", "HostPort": ""}]},
        "Mounts": [
            {"Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}
            for mount in spec.mounts
        ],
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
        **_cpu(spec),
    }
    return {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in sorted(environment.items())],
        "Labels": {**(labels or {}), **own},
        "ExposedPorts": {port: {}},
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {network: {}}},
        **{_FIELDS[name]: value for name, value in override.items()},
    }


def _network(spec: SessionSpec, identity: Identity) -> str:
    """The sessions' network, or another one of this installation; the host's own or a foreign one has no rules."""
    if spec.network is None or spec.network.startswith(f"{identity.network}-"):
        return spec.network or identity.network
    raise StartError(f"A session may not be on the network {spec.network!r}; it is not of this installation.")


def _cpu(spec: SessionSpec) -> dict[str, int]:
    if spec.cpu_mode == "Quotas":
        return {"NanoCpus": max(1, round(spec.cores * 1e9))}
    return {"CpuShares": max(2, round(spec.cores * 1024))}


_FIELDS: Final = {"hostname": "Hostname", "user": "User", "working_dir": "WorkingDir", "command": "Cmd"}


def _allowed(run_config: Mapping[str, Any]) -> dict[str, Any]:
    """The administrator's override: an allow-list, so that no key can weaken what keeps sessions apart.

    hostname, user, working_dir: text · command: list of text · environment: {name: text} · shm_size: bytes or "512m" ·
    dns: list of addresses · tmpfs: {path: options} · cap_add: some of CAPABILITIES.
    """
    known: dict[str, Any] = {
        "hostname": str,
        "user": str,
        "working_dir": str,
        "command": list,
        "environment": dict,
        "shm_size": (int, str),
        "dns": list,
        "tmpfs": dict,
        "cap_add": list,
    }
    for name, value in run_config.items():
        if name not in known:
            raise StartError(f"The run configuration may not set {name!r}; allowed are {', '.join(sorted(known))}.")
        if not isinstance(value, known[name]):
            raise StartError(f"{name!r} in the run configuration has the wrong type: {value!r}.")
    result = dict(run_config)
    refused = sorted(set(map(str, result.get("cap_add", []))) - CAPABILITIES)
    if refused:
        raise StartError(f"The run configuration may not add the capability {', '.join(refused)}.")
    if "shm_size" in result:
        result["shm_size"] = size_in_bytes(result["shm_size"])
    return result


def size_in_bytes(size: int | str) -> int:
    """`512m`, `1g`, `64k` or a number of bytes.

    Raises:
        StartError: it is none of these.
    """
    text = str(size).strip().lower().removesuffix("b")
    factor = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isdecimal() or int(digits) == 0:
        raise StartError(f"{size!r} is not a size; write a number of bytes, or like 512m or 1g.")
    return int(digits) * factor


_STATES: Final = {
    "created": ContainerState.CREATED,
    "running": ContainerState.RUNNING,
    "restarting": ContainerState.RUNNING,
    "paused": ContainerState.PAUSED,
}


def seen_in_list(entry: Mapping[str, Any]) -> Container:
    """An entry of `GET /containers/json`. The exit code is not in it."""
    published: list[dict[str, Any]] = entry.get("Ports") or []
    ports = [p["PublicPort"] for p in published if p.get("IP") == "127.0.0.1" and p.get("PublicPort")]
    return _container(entry["Id"], entry["Labels"], entry["State"], ports, None)


def seen_in_inspect(data: Mapping[str, Any]) -> Container:
    """The answer of `GET /containers/<id>/json`."""
    bindings: dict[str, list[dict[str, str]] | None] = data["NetworkSettings"].get("Ports") or {}
    ports = [int(b["HostPort"]) for group in bindings.values() for b in group or [] if b["HostIp"] == "127.0.0.1"]
    state = data["State"]
    return _container(data["Id"], data["Config"]["Labels"], state["Status"], ports, state.get("ExitCode"))


def _container(
    container_id: str, labels: Mapping[str, str], status: str, ports: list[int], exit_code: int | None
) -> Container:
    state = _STATES.get(status, ContainerState.EXITED)
    running = state is ContainerState.RUNNING
    return Container(
        session_id=labels[SESSION],
        agent_id=labels.get(AGENT, ""),
        container_id=container_id,
        state=state,
        spec_hash=labels.get(SPEC_HASH, ""),
        address=f"127.0.0.1:{ports[0]}" if running and ports else None,
        exit_code=exit_code if state is ContainerState.EXITED else None,
        labels=dict(labels),
    )

"""The rules for a workspace as a whole, and its default fields. Single fields have their rules in separate modules.

The name of an image contains its maker: `kasmweb/chrome`, `lscr.io/linuxserver/webtop`, `r.example/a/kasmweb/gimp`.

A tag can move: its registry then has another image with the same name. The pull policy of a workspace defines how often
an Agent checks this. An administrator can request a refresh at any time. An image whose name has a digest, and an image
that the Agent builds from a recipe, are never refreshed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from greenroom.core.errors import Invalid
from greenroom.core.rate_limits import Backoff
from greenroom.core.workspace.exec_config import ExecConfig, commands_problem
from greenroom.core.workspace.page import PortMap
from greenroom.core.workspace.run_config import RunConfig, merged, size_in_bytes
from greenroom.core.workspace.session_spec import Protocol
from greenroom.core.workspace.volumes import VolumeMappings, is_writable

DEFAULTS_BY_MAKER: Final[Mapping[str, Mapping[str, Any]]] = {
    "kasmweb": {
        "port": 6901,
        "protocol": "https",
        "auth_user": "kasm_user",
        "start_page": "vnc.html?autoconnect=1&resize=remote&path={path}/websockify"
        "&clipboard_up={allow_kasm_clipboard_up}&clipboard_down={allow_kasm_clipboard_down}",
        "port_map": {
            "audio": 4901,
            "audio_input": 4904,
            "uploads": 4902,
            "downloads": "Downloads",
            "gamepad": 4903,
            "webcam": 4905,
        },
    },
    "linuxserver": {
        "port": 3000,
        "protocol": "http",
        "auth_user": "abc",
        "page_path": "/{path}/",
        "port_map": {"audio": "audio", "uploads": "files", "downloads": "files"},
        "run_config": {
            "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"],
            "environment": {
                "CUSTOM_USER": "abc",
                "PASSWORD": "{password}",
                "SUBFOLDER": "/{path}/",
                "PUID": "1000",
                "PGID": "1000",
                "START_DOCKER": "false",
                "SELKIES_AUDIO_ENABLED": "{allow_kasm_audio}|locked",
                "SELKIES_MICROPHONE_ENABLED": "{allow_kasm_microphone}|locked",
                "SELKIES_GAMEPAD_ENABLED": "{allow_kasm_gamepad}|locked",
                "SELKIES_CLIPBOARD_IN_ENABLED": "{allow_kasm_clipboard_up}|locked",
                "SELKIES_CLIPBOARD_OUT_ENABLED": "{allow_kasm_clipboard_down}|locked",
                "SELKIES_FILE_TRANSFERS": "{transfers}",
                "SELKIES_ENABLE_SHARING": "false|locked",
            },
        },
    },
}
"""Maker, as a part of the name of an image → fields of the workspace (docs/reference/foreign-images.md)."""


def with_defaults(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a new workspace of the image `name`: `values`, and the additional fields that images of its
    maker need. `values` can override single options of `run_config` and single variables.
    """
    maker = next((part for part in name.split("/")[:-1] if part in DEFAULTS_BY_MAKER), None)
    if maker is None:
        return dict(values)
    defaults = DEFAULTS_BY_MAKER[maker]
    fields = {**defaults, **values}
    if "run_config" in defaults and "run_config" in values:
        fields["run_config"] = merged(defaults["run_config"], values["run_config"])
    return fields


PullPolicy = Literal["missing", "daily", "always"]
"""missing: the Agent pulls the image only if the host does not have it; daily: the Agent asks the registry for a newer
image every day; always: every 15 minutes.
"""

CHECK_EVERY_S: Final[dict[PullPolicy, float]] = {"daily": 86_400.0, "always": 900.0}
BACKOFF: Final = Backoff(first_s=60.0, max_s=3600.0)
"""The pause after a refresh that failed."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """The state of the refreshes of one image by an Agent. Times are seconds of the Agent's monotonic clock,
    except `admin_request`."""

    done: float | None = None
    """The time of the last successful request to the registry; None if there was none since the Agent started."""
    admin_request: float = 0.0
    """The time of the newest request of an administrator that was carried out, in seconds since 1970."""
    failures: int = 0
    failed: float = 0.0
    """The time of the last failure."""
    error: str = ""
    """The reason why the last attempt failed, as a sentence; empty if it succeeded."""

    def succeeded(self, now: float, admin_request: float) -> Refresh:
        return Refresh(done=now, admin_request=max(admin_request, self.admin_request))

    def failed_at(self, now: float, error: str) -> Refresh:
        return replace(self, failures=self.failures + 1, failed=now, error=error)

    def due(self, policy: PullPolicy, admin_request: float) -> float | None:
        """Return the time of the next request to the registry; -inf = now, None = never. `admin_request` is the time of
        the newest request of an administrator."""
        every_s = CHECK_EVERY_S.get(policy)
        if admin_request > self.admin_request or (every_s is not None and self.done is None):
            due = float("-inf")
        elif every_s is not None and self.done is not None:
            due = self.done + every_s
        else:
            return None
        return max(due, self.failed + BACKOFF.delay_s(self.failures)) if self.failures else due


def may_be_refreshed(name: str, *, has_recipe: bool) -> bool:
    """True if the registry may get another image with this name."""
    return "@" not in name and not has_recipe


_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
_PART: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG: Final = r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
REFERENCE: Final = re.compile(f"(?:(?=localhost/|[^/]*[.:]){_HOST}/)?{_PART}(?:/{_PART})*{_TAG}")
"""The pattern of a reference to an image: [registry/]name[:tag][@digest]; a registry has a dot or a port."""

DEFAULT_REGISTRY: Final = "docker.io"
"""The registry of an image without a registry in its name."""
DOCKER_HUB: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})

MAX_REPOSITORY: Final = 255
"""Maximum characters of the name of an image with its registry, without tag and digest."""
HEX_ID: Final = re.compile("[0-9a-f]{64}")


def reference_problem(name: str) -> str | None:
    """Return the reason why Docker refuses this reference to an image, as a sentence; None if it accepts it."""
    if not REFERENCE.fullmatch(name):
        return "The name of an image has the form [registry/]name[:tag], in lower case, like greenroom/desktop:xfce."
    repository, colon, tag = name.partition("@")[0].rpartition(":")
    if not colon or "/" in tag:
        repository = name.partition("@")[0]
    if HEX_ID.fullmatch(repository):
        return "The name of an image cannot be 64 hexadecimal digits, because Docker reads them as an id."
    path = repository.removeprefix(f"{DEFAULT_REGISTRY}/")
    if registry_of(name) == DEFAULT_REGISTRY:
        repository = f"{DEFAULT_REGISTRY}/{'' if '/' in path else 'library/'}{path}"
    if len(repository) > MAX_REPOSITORY:
        return (
            f"The name of the image has {len(repository)} characters with its registry ({repository[:40]}…), and Docker"
            f" accepts at most {MAX_REPOSITORY}."
        )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """The settings of a workspace. Memory and disk are in bytes, the time limit in seconds."""

    name: str
    friendly_name: str
    description: str = ""
    notes: str = ""
    image_src: str = ""
    enabled: bool = True
    hidden: bool = False
    cores: float = 2.0
    memory: int = 2_768_000_000
    memory_limit: int | None = None
    disk_limit_bytes: int | None = 10_000_000_000
    cpu_allocation_method: Literal["Inherit", "Shares", "Quotas"] = "Inherit"
    pull_policy: PullPolicy = "missing"
    docker_registry: str = ""
    docker_user: str = ""
    docker_token_encrypted: bytes | None = field(default=None, repr=False)
    port: int = 6901
    protocol: Protocol = "https"
    auth_user: str = "kasm_user"
    page_path: str = "/"
    start_page: str = ""
    ready_path: str = ""
    port_map: PortMap = field(default_factory=PortMap)
    run_config: RunConfig = field(default_factory=RunConfig)
    exec_config: ExecConfig = field(default_factory=ExecConfig)
    volume_mappings: VolumeMappings = field(default_factory=VolumeMappings)
    categories: list[str] = field(default_factory=list[str])
    persistent_profile_path: str | None = None
    restrict_to_zone: bool = False
    zone_id: str | None = None
    restrict_to_server: bool = False
    server_id: str | None = None
    session_time_limit: int | None = None
    filter_policy_id: str | None = None
    filter_policy_force_disabled: bool = False
    allow_launch_variables: bool = True
    record_sessions: bool = False


def require_consistent(workspace: Definition) -> None:
    """Refuse a workspace with contradictory fields. Raises Invalid: the message has the problem and its solution."""
    if workspace.restrict_to_zone and workspace.zone_id is None:
        raise Invalid("restrict_to_zone needs zone_id, the zone of the restriction.")
    if workspace.restrict_to_server and workspace.server_id is None:
        raise Invalid("restrict_to_server needs server_id, the Agent of the restriction.")
    if workspace.port in workspace.port_map.values():
        raise Invalid(f"Port {workspace.port} is the port of the page; a service of the port map needs another port.")
    shm_bytes, memory_bytes = workspace.run_config.get("shm_size", 0), workspace.memory_limit or workspace.memory
    if shm_bytes and size_in_bytes(shm_bytes) > memory_bytes:
        raise Invalid(
            f"The run config has a shm_size of {shm_bytes}, and sessions of the workspace have {memory_bytes} "
            "bytes of memory, which include the shared memory. Set a smaller shm_size or more memory."
        )
    if problem := registry_problem(workspace.name, workspace.docker_registry):
        raise Invalid(problem)
    writable = workspace.persistent_profile_path or is_writable(workspace.volume_mappings)
    if writable and (problem := commands_problem(workspace.exec_config)):
        raise Invalid(problem)


def registry_of(name: str) -> str:
    """Return the registry of an image, as host[:port]."""
    first, slash, _ = name.partition("/")
    has_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return first.lower() if has_registry else DEFAULT_REGISTRY


def token_problem(before: str, after: str) -> str | None:
    """Return the reason why a stored token must not be kept when the image `before` becomes `after`, as a sentence;
    None if it may be kept. An administrator who changes a workspace cannot see its token, and must not be able to send
    the token to another registry.
    """
    old, new = registry_of(before), registry_of(after)
    if old == new or {old, new} <= DOCKER_HUB:
        return None
    return (
        f"The stored docker_token is for {old}, and {after} comes from {new}. Set docker_token for {new}, "
        "or null to remove it."
    )


def registry_problem(name: str, docker_registry: str) -> str | None:
    """Return the reason why the credentials of `docker_registry` would be sent to another registry, as a sentence; None
    if they would not. Docker sends credentials to the registry in the name of the image, even if they are for another
    registry.
    """
    if not docker_registry:
        return None
    address = docker_registry if "://" in docker_registry else f"//{docker_registry}"
    try:
        host = urlsplit(address).netloc.rpartition("@")[2].lower()
    except ValueError:
        host = ""
    if not re.fullmatch(_HOST, host):
        return (
            f"docker_registry {docker_registry!r} is not the address of a registry; write one like "
            "registry.example:5000."
        )
    image_registry = registry_of(name)
    if host == image_registry or {host, image_registry} <= DOCKER_HUB:
        return None
    path = name.partition("/")[2] if name.lower().startswith(f"{image_registry}/") else name
    return (
        f"The image {name} comes from {image_registry}, so the user and token for {host} would be sent there. Write "
        f"the image as {host}/{path}, or change docker_registry."
    )

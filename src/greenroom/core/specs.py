"""From workspace, zone, permissions and launch to the specification of a container.

Pure: ids and the credential are arguments. `fingerprint` leaves out what differs from session to session, so two
staged sessions of one config have the same one exactly when they are interchangeable (column `config_hash`).
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, cast

from greenroom.core.errors import Invalid
from greenroom.core.sessions import CpuMode, Exec, Mount, Protocol, SessionSpec

REQUEST_HOST: Final = "$request_host$"

HOME: Final = "/home/kasm-user"
"""The home folder in session images, where a persistent profile is mounted."""

TOGGLES: Final[dict[str, tuple[str, str]]] = {
    "allow_kasm_audio": ("KASM_SVC_AUDIO", ""),
    "allow_kasm_microphone": ("KASM_SVC_AUDIO_INPUT", ""),
    "allow_kasm_uploads": ("KASM_SVC_UPLOADS", ""),
    "allow_kasm_downloads": ("KASM_SVC_DOWNLOADS", ""),
    "allow_kasm_gamepad": ("KASM_SVC_GAMEPAD", ""),
    "allow_kasm_webcam": ("KASM_SVC_WEBCAM", ""),
    "allow_kasm_clipboard_down": ("KASM_SVC_SEND_CUT_TEXT", "-SendCutText "),
    "allow_kasm_clipboard_up": ("KASM_SVC_ACCEPT_CUT_TEXT", "-AcceptCutText "),
}
"""Permission → (variable of the session image, prefix): the clipboard ones are put on the VNC server's command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """A workspace as far as its containers depend on it. Cores and memory (bytes) are the reservation."""

    image_id: str
    name: str
    friendly_name: str
    enabled: bool = True
    cores: float = 0.1
    memory: int = 256_000_000
    memory_limit: int | None = None
    cpu_mode: CpuMode = "Shares"
    port: int = 6901
    protocol: Protocol = "https"
    auth_user: str = "kasm_user"
    run_config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    exec_config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    volume_mappings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    persistent_profile_path: str | None = None
    filter_policy: str | None = None
    only_zone_id: str | None = None
    """The zone it is restricted to."""
    only_agent_id: str | None = None
    """The Agent it is restricted to."""
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneFacts:
    """A zone as far as sessions depend on it."""

    zone_id: str
    zone_name: str
    allow_origin_domain: str = REQUEST_HOST
    upstream_auth_address: str = REQUEST_HOST

    def needs_request_host(self) -> tuple[str, ...]:
        """Titles of the settings that name the host of a request, and so cannot serve staged sessions."""
        values = (
            ("Allow Origin Domain", self.allow_origin_domain),
            ("Upstream Auth Address", self.upstream_auth_address),
        )
        return tuple(title for title, value in values if REQUEST_HOST in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchExtras:
    """What only a launch has and a staged session never: the user, the request, settings applied at creation.

    `request_host` is `host[:port]` of the launching request, already checked to be one the gateway serves.
    """

    request_host: str
    username: str
    user_id: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    kasm_url: str = ""
    language: str | None = None
    timezone: str | None = None
    expose_user: bool = False
    run_config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    volume_mapping: Mapping[str, Any] = field(default_factory=dict[str, Any])
    filter_policy: str | None = None
    profile: bool = False
    """Whether the workspace's persistent profile is mounted as home."""


def staged_spec(
    image: ImageFacts, zone: ZoneFacts, permissions: Mapping[str, bool], *, session_id: str, credential: str
) -> SessionSpec:
    """The container of a session that has no user yet."""
    return SessionSpec(
        image=image.name,
        image_id=image.image_id,
        credential=credential,
        environment={**toggles(permissions), **({"KASM_ID": session_id} if session_id else {})},
        cores=image.cores,
        memory_bytes=image.memory_limit or image.memory,
        cpu_mode=image.cpu_mode,
        port=image.port,
        protocol=image.protocol,
        auth_user=image.auth_user,
        mounts=mounts(image.volume_mappings, {"image_id": image.image_id}),
        filter_policy=image.filter_policy,
        first_launch=command_of(image.exec_config, "first_launch"),
        run_config=dict(image.run_config),
        allow_origin=host_list(zone.allow_origin_domain),
        upstream_auth=zone.upstream_auth_address,
    )


def on_demand_spec(
    image: ImageFacts,
    zone: ZoneFacts,
    permissions: Mapping[str, bool],
    extras: LaunchExtras,
    *,
    session_id: str,
    credential: str,
) -> SessionSpec:
    """The container of a session made for one user, with everything of that user applied at its creation."""
    base = staged_spec(image, zone, permissions, session_id=session_id, credential=credential)
    tokens = {"image_id": image.image_id, "user_id": extras.user_id, "username": folder_name(extras.username)}
    host = extras.request_host
    profile = (
        {image.persistent_profile_path: {"bind": HOME}} if extras.profile and image.persistent_profile_path else {}
    )
    volumes = {**image.volume_mappings, **extras.volume_mapping, **profile}
    return replace(
        base,
        environment={**extras.environment, **_user_environment(extras), **base.environment},
        mounts=mounts(volumes, tokens),
        run_config={**base.run_config, **extras.run_config},
        filter_policy=extras.filter_policy or base.filter_policy,
        # Without a port any port is meant: the frame of a session comes from another port than the console.
        allow_origin=host_list(zone.allow_origin_domain.replace(REQUEST_HOST, host_name(host))),
        upstream_auth=zone.upstream_auth_address.replace(REQUEST_HOST, host),
    )


def fingerprint(image: ImageFacts, zone: ZoneFacts, permissions: Mapping[str, bool], revision: int) -> str:
    """16 hex digits over everything that makes a staged session what it is; `revision` is the config's."""
    spec = staged_spec(image, zone, permissions, session_id="", credential="")
    parts = [asdict(spec), dict(image.exec_config), image.memory, image.revision, revision]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def toggles(permissions: Mapping[str, bool]) -> dict[str, str]:
    """The variables by which permissions reach the container."""
    return {variable: f"{prefix}{1 if permissions.get(name) else 0}" for name, (variable, prefix) in TOGGLES.items()}


def command_of(exec_config: Mapping[str, Any], name: str) -> Exec | None:
    """The command `first_launch`, `go` or `assign` of a workspace; a string is split once by shell rules.

    Raises:
        Invalid: the string cannot be split, the entry has no command, or its environment is no object.
    """
    if not exec_config.get(name):
        return None
    entry = _object(exec_config[name], f"The command {name}")
    command = cast("str | list[object] | None", entry.get("cmd"))
    try:
        argv = tuple(shlex.split(command)) if isinstance(command, str) else tuple(str(part) for part in command or ())
    except ValueError as error:
        raise Invalid(f"The command {name} cannot be split into words: {error}.") from error
    if not argv:
        raise Invalid(f"The command {name} is empty.")
    given = _object(entry.get("environment") or {}, f"The environment of command {name}")
    environment = {str(key): str(value) for key, value in given.items()}
    return Exec(argv=argv, user=entry.get("user"), environment=environment, workdir=entry.get("workdir"))


def _object(value: object, title: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"{title} must be an object.")
    return cast("dict[str, Any]", value)


def mounts(volume_mappings: Mapping[str, Any], tokens: Mapping[str, str]) -> tuple[Mount, ...]:
    """Folders of the host inside the container; mappings with a user's token that is not in `tokens` are left out.

    Raises:
        Invalid: an entry does not say where in the container it goes.
    """
    made: list[Mount] = []
    for path, options in sorted(volume_mappings.items()):
        source = path
        for token, value in tokens.items():
            source = source.replace("{" + token + "}", value)
        if "{username}" in source or "{user_id}" in source:
            continue
        if not options.get("bind"):
            raise Invalid(f"The volume mapping {path} has no `bind`, the folder inside the container.")
        made.append(Mount(source=source, target=str(options["bind"]), read_only=options.get("mode") == "ro"))
    return tuple(made)


def folder_name(username: str) -> str:
    """A user's name as one folder name: nothing in it can leave the folder, different names stay different."""
    safe = re.sub(r"[^A-Za-z0-9._@-]", "_", username).lstrip(".") or "_"
    if safe == username:
        return safe
    return f"{safe}-{hashlib.sha256(username.encode()).hexdigest()[:8]}"


def host_list(text: str) -> tuple[str, ...]:
    """A comma list of `host` or `host:port` as a tuple, in lower case."""
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())


def host_name(host: str) -> str:
    """`host[:port]` without the port; IPv6 addresses keep their brackets."""
    return re.sub(r":\d+$", "", host)


def _user_environment(extras: LaunchExtras) -> dict[str, str]:
    made: dict[str, str] = {}
    if extras.kasm_url:
        made["KASM_URL"] = extras.kasm_url
    if extras.timezone:
        made["TZ"] = extras.timezone
    if extras.language:
        made["LANG"] = made["LC_ALL"] = f"{extras.language.replace('-', '_')}.UTF-8"
    if extras.expose_user:
        made["KASM_USER"] = extras.username
        made["KASM_USER_ID"] = extras.user_id
    return made

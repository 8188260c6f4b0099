"""The specification of a container and its files, built from workspace, zone, permissions, launch and user.

Ids and the credential are arguments. `config_hash_of` omits the values that differ between sessions, so that staged
sessions of one config with the same hash are interchangeable (column `config_hash`). A user's SSH keys are files of the
home folder (group setting `inject_ssh_keys`).
"""

from __future__ import annotations

import hashlib
import json
import locale
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from greenroom.core.web_filter import policy_in_force
from greenroom.core.workspace.exec_config import ExecConfig, command_of
from greenroom.core.workspace.page import GATEWAY_PATH, PortMap, services_of
from greenroom.core.workspace.run_config import RunConfig, merged
from greenroom.core.workspace.session_spec import PROXY_PATH, CpuMode, ProfileMode, Protocol, SessionFile, SessionSpec
from greenroom.core.workspace.volumes import VolumeMappings, folder_name, merged_mounts, mounts, profile_mount

REQUEST_HOST: Final = "$request_host$"

PERMISSION_VARIABLES: Final[dict[str, tuple[str, str]]] = {
    "allow_kasm_audio": ("KASM_SVC_AUDIO", ""),
    "allow_kasm_microphone": ("KASM_SVC_AUDIO_INPUT", ""),
    "allow_kasm_uploads": ("KASM_SVC_UPLOADS", ""),
    "allow_kasm_downloads": ("KASM_SVC_DOWNLOADS", ""),
    "allow_kasm_gamepad": ("KASM_SVC_GAMEPAD", ""),
    "allow_kasm_webcam": ("KASM_SVC_WEBCAM", ""),
    "allow_kasm_clipboard_down": ("KASM_SVC_SEND_CUT_TEXT", "-SendCutText "),
    "allow_kasm_clipboard_up": ("KASM_SVC_ACCEPT_CUT_TEXT", "-AcceptCutText "),
}
"""Permission → (variable of the image, prefix of its value). The values of the clipboard permissions are options of the
command line of the VNC server, so they have a prefix.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """The fields of a workspace on which its containers depend. `cores` and `memory` (bytes) are the reservation."""

    image_id: str
    name: str
    friendly_name: str
    enabled: bool = True
    cores: float = 0.1
    memory: int = 256_000_000
    memory_limit: int | None = None
    disk_limit_bytes: int | None = None
    cpu_mode: CpuMode = "Shares"
    port: int = 6901
    protocol: Protocol = "https"
    auth_user: str = "kasm_user"
    page_path: str = "/"
    ready_path: str = ""
    port_map: PortMap = field(default_factory=PortMap)
    run_config: RunConfig = field(default_factory=RunConfig)
    exec_config: ExecConfig = field(default_factory=ExecConfig)
    volume_mappings: VolumeMappings = field(default_factory=VolumeMappings)
    persistent_profile_path: str | None = None
    filter_policy: str | None = None
    filter_policy_force_disabled: bool = False
    allow_launch_variables: bool = True
    record_sessions: bool = False
    only_zone_id: str | None = None
    only_agent_id: str | None = None
    session_time_limit: int | None = None
    """Seconds from the assignment until a session is deleted in any case; None or 0 = no limit."""
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneFacts:
    """The fields of a zone on which sessions depend."""

    zone_id: str
    zone_name: str
    allow_origin_domain: str = REQUEST_HOST
    upstream_auth_address: str = REQUEST_HOST
    proxy_path: str = PROXY_PATH

    def request_host_settings(self) -> tuple[str, ...]:
        """Return the titles of the settings that depend on the host of a request, which a staged session does
        not have.
        """
        values = (
            ("Allow Origin Domain", self.allow_origin_domain),
            ("Upstream Auth Address", self.upstream_auth_address),
        )
        return tuple(title for title, value in values if REQUEST_HOST in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchExtras:
    """The part of a launch that a staged session does not have: the user, the request, and the settings that apply to
    the creation of a container.

    `request_host` is the `host[:port]` of the launching request; the caller has checked that the gateway serves it.
    `profile` is the mode of the persistent profile, which is mounted as the home folder; None = no profile is mounted.
    `filter_policy` is the policy of the user's groups; `lease_filter_policy` is the separate policy of a lease,
    which has priority.
    """

    request_host: str
    username: str
    username_reused: bool = False
    """True if another user had this name before: the folders with the name belong to that user."""
    user_id: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    kasm_url: str = ""
    language: str | None = None
    timezone: str | None = None
    expose_user: bool = False
    run_config: RunConfig = field(default_factory=RunConfig)
    volume_mapping: VolumeMappings = field(default_factory=VolumeMappings)
    filter_policy: str | None = None
    lease_filter_policy: str | None = None
    profile: ProfileMode | None = None
    files: tuple[SessionFile, ...] = ()


def staged_spec(
    image: ImageFacts, zone: ZoneFacts, permissions: Mapping[str, bool], *, session_id: str, credential: str
) -> SessionSpec:
    """Return the specification of a session that has no user yet."""
    return SessionSpec(
        image=image.name,
        image_id=image.image_id,
        credential=credential,
        environment={**permission_variables(permissions), **({"KASM_ID": session_id} if session_id else {})},
        cores=image.cores,
        memory_bytes=image.memory_limit or image.memory,
        disk_limit_bytes=image.disk_limit_bytes or 0,
        cpu_mode=image.cpu_mode,
        port=image.port,
        protocol=image.protocol,
        auth_user=image.auth_user,
        proxy_path=zone.proxy_path,
        page_path=image.page_path,
        ready_path=image.ready_path,
        services=services_of(image.port_map, permissions),
        mounts=mounts(image.volume_mappings, {"image_id": image.image_id}),
        filter_policy=_filter_policy(image, None),
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
    """Return the specification of a session for one user, with all settings of that user applied."""
    base = staged_spec(image, zone, permissions, session_id=session_id, credential=credential)
    username = folder_name(extras.username, extras.user_id if extras.username_reused else "")
    tokens = {"image_id": image.image_id, "user_id": extras.user_id, "username": username}
    path, mode = image.persistent_profile_path, extras.profile
    profile = (profile_mount(path, tokens, mode),) if path and mode else ()
    applied = replace(
        base,
        environment={**extras.environment, **_user_environment(extras), **base.environment},
        mounts=merged_mounts(mounts(image.volume_mappings, tokens), mounts(extras.volume_mapping, tokens), profile),
        run_config=merged(base.run_config, extras.run_config),
        filter_policy=extras.lease_filter_policy or _filter_policy(image, extras.filter_policy),
        files=extras.files,
    )
    return spec_for_zone(applied, zone, extras.request_host)


def spec_for_zone(spec: SessionSpec, zone: ZoneFacts, request_host: str) -> SessionSpec:
    """Return the specification with the values of this zone: the hosts that may frame the page, the address at which
    the Agent checks viewers, and the proxy path.
    """
    return replace(
        spec,
        # A host without a port allows all its ports: the stream may have another port than the console.
        allow_origin=host_list(zone.allow_origin_domain.replace(REQUEST_HOST, host_name(request_host))),
        upstream_auth=zone.upstream_auth_address.replace(REQUEST_HOST, request_host),
        proxy_path=zone.proxy_path,
    )


def spec_for_replacement(spec: SessionSpec, *, old_id: str, session_id: str, credential: str) -> SessionSpec:
    """Return the specification for the session that replaces session `old_id`, with the new id and credential."""
    environment = {name: session_id if value == old_id else value for name, value in spec.environment.items()}
    return replace(spec, environment=environment, credential=credential)


def _filter_policy(image: ImageFacts, group_policy: str | None) -> str | None:
    return policy_in_force(image.filter_policy, group_policy, force_disabled=image.filter_policy_force_disabled)


def config_hash_of(image: ImageFacts, zone: ZoneFacts, permissions: Mapping[str, bool]) -> str:
    """Return a hash (16 hex digits) of all properties that a staged session must have to be claimed.

    The hash omits properties whose change may wait until the sessions are replaced; such a change sets
    `staging_configs.recycled` (`core.pool.rotation`).
    """
    spec = staged_spec(image, zone, permissions, session_id="", credential="")
    compared_spec = replace(spec, image="", cores=0.0, memory_bytes=0, mounts=())
    if image.page_path != GATEWAY_PATH:  # the container does not use the proxy path
        compared_spec = replace(compared_spec, proxy_path=PROXY_PATH)
    parts: list[object] = [compared_spec.parts(), dict(image.exec_config), image.revision]
    if image.only_agent_id is not None:  # sessions on other Agents must be replaced
        parts.append(image.only_agent_id)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def permissions_in_environment(environment: Mapping[str, str]) -> dict[str, bool]:
    """Return the permissions from the variables of a container (`permission_variables`)."""
    return {name: environment.get(variable, "").endswith("1") for name, (variable, _) in PERMISSION_VARIABLES.items()}


def permission_variables(permissions: Mapping[str, bool]) -> dict[str, str]:
    """Return the variables that pass permissions to the container."""
    variables = PERMISSION_VARIABLES.items()
    return {variable: f"{prefix}{1 if permissions.get(name) else 0}" for name, (variable, prefix) in variables}


def host_list(text: str) -> tuple[str, ...]:
    """Return a comma list of `host` or `host:port` as a tuple, in lower case."""
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())


def host_name(host: str) -> str:
    """Return `host[:port]` without the port; an IPv6 address keeps its brackets."""
    return re.sub(r":\d+$", "", host)


def locale_of(language: str) -> str:
    """Return the locale of a language in the form that programs use: `de` → `de_DE.UTF-8`, `pt-BR` → `pt_BR.UTF-8`. If
    the language has no region, or a region that is no country, as in `es-419`, the locale has the usual country of the
    language.
    """
    parts = language.split("-")
    country = parts[-1] if len(parts) > 1 and re.fullmatch("[A-Z]{2}", parts[-1]) else None
    usual_locale = _USUAL_LOCALES.get("-".join(parts[:2])) or _USUAL_LOCALES.get(parts[0])
    name = f"{parts[0]}_{country}" if country else usual_locale or locale.normalize(parts[0])
    return f"{name.partition('.')[0]}.UTF-8"


_USUAL_LOCALES: Final = {
    "ar": "ar_EG",
    "ast": "ast_ES",
    "ckb": "ckb_IQ",
    "fil": "fil_PH",
    "no": "nb_NO",
    "yue": "yue_HK",
    "zh-Hant": "zh_TW",
}
"""Locales that the Python library does not derive from these languages alone."""


def _user_environment(extras: LaunchExtras) -> dict[str, str]:
    environment: dict[str, str] = {}
    if extras.kasm_url:
        environment["KASM_URL"] = extras.kasm_url
    if extras.timezone:
        environment["TZ"] = extras.timezone
    if extras.language:
        environment["LANG"] = environment["LC_ALL"] = locale_of(extras.language)
    if extras.expose_user:
        environment["KASM_USER"] = extras.username
        environment["KASM_USER_ID"] = extras.user_id
    return environment


SSH_FOLDER: Final = "/home/kasm-user/.ssh"

_KEY_KINDS: Final = {
    "ssh-rsa": "rsa",
    "ssh-ed25519": "ed25519",
    "ssh-dss": "dsa",
    "sk-ssh-ed25519@openssh.com": "ed25519_sk",
    "sk-ecdsa-sha2-nistp256@openssh.com": "ecdsa_sk",
}
"""First word of a public key → kind in the name of its file (`id_<kind>`), as ssh expects it."""


def ssh_files(public_key: str | None, private_key: str | None) -> tuple[SessionFile, ...]:
    """Return the files `id_*`, `id_*.pub` and `authorized_keys` of the keys that are not empty, in a folder that only
    the owner can read. Without a public key, the private key is still usable: ssh reads its kind from its content.
    """
    files: list[SessionFile] = []
    public = public_key.strip() if public_key else ""
    name = f"{SSH_FOLDER}/id_{_key_kind(public)}"
    if private_key and private_key.strip():
        files.append(SessionFile(path=name, content=_key_text(private_key)))
    if public:
        files.append(SessionFile(path=f"{name}.pub", content=_key_text(public), mode=0o644))
        files.append(SessionFile(path=f"{SSH_FOLDER}/authorized_keys", content=_key_text(public)))
    return tuple(files)


def _key_kind(public_key: str) -> str:
    word = public_key.split(maxsplit=1)[0] if public_key else ""
    return _KEY_KINDS.get(word) or ("ecdsa" if word.startswith("ecdsa-") else "rsa")


def _key_text(key: str) -> str:
    """Return the key with Unix line ends and exactly one line end after it: ssh refuses other files."""
    return key.replace("\r\n", "\n").strip() + "\n"

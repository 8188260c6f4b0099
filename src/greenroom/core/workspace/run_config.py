"""The `run_config` of workspaces and groups: the container options that they may set.

The options are an allow-list, because permission to edit a workspace or a group must not give control of the host: no
option weakens the isolation of sessions. The list is checked when a config is saved and again when a container is
created.
"""

from __future__ import annotations

import ipaddress
import math
import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from greenroom.core.errors import Invalid

RunConfig = dict[str, Any]
"""JSON from an administrator: options of Docker that `validated` allows."""
Variables = Mapping[str, Any]
"""Variables as JSON from an administrator or a launching user: name → value. `environment_problem` checks that the
values are texts, numbers or booleans.
"""

CAPABILITIES: Final = frozenset(
    {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID"}
)
"""The capabilities that `cap_add` may restore. Programs that start as root and change their account need them."""

SHM_BYTES: Final = 512 << 20
"""The size of the shared memory of a session whose run config has no `shm_size`."""
SHM_MAX_BYTES: Final = 64 << 30
"""The maximum size of the shared memory. It counts toward the memory limit of the container."""

MAX_STRING_BYTES: Final = (128 << 10) - 1
"""The maximum size of a word of a command, and of NAME=VALUE of a variable: Linux starts no program with a longer one
(MAX_ARG_STRLEN).
"""

RESERVED_VARIABLES: Final = ("VNC_PW", "VNC_VIEW_ONLY_PW")
RESERVED_PREFIX: Final = "KASM_"
"""Only Greenroom sets `RESERVED_VARIABLES` and the variables with this prefix: the session's credential, user and
permissions.
"""

_WEAKENS: Final = "weakens the isolation of sessions"
_NETWORK: Final = "the network of sessions isolates them from each other and from the host"
_MOUNTS: Final = "folders of the host are volume mappings"
_SIZES: Final = "cores and memory are fields of the workspace, which the placement uses"
_LIMITS: Final = "these limits are the same for all sessions"

_REASONS: Final[dict[str, tuple[str, ...]]] = {
    _WEAKENS: (
        *("privileged", "devices", "device_requests", "device_cgroup_rules", "security_opt", "userns_mode", "sysctls"),
        *("pid_mode", "ipc_mode", "uts_mode", "cgroupns", "cgroup_parent", "isolation", "group_add"),
    ),
    _NETWORK: ("network", "network_mode", "networks", "ports", "links", "extra_hosts", "publish_all_ports"),
    _MOUNTS: ("volumes", "volumes_from", "mounts", "volume_driver"),
    _SIZES: (
        *("mem_limit", "memswap_limit", "mem_reservation"),
        *("cpus", "nano_cpus", "cpu_shares", "cpu_quota", "cpuset_cpus"),
    ),
    _LIMITS: ("ulimits", "pids_limit", "oom_score_adj", "oom_kill_disable"),
    "it prepares the session's page; use `command`": ("entrypoint",),
    "Greenroom identifies its containers by name and labels": ("labels", "name"),
}
_REFUSED: Final = {name: reason for reason, names in _REASONS.items() for name in names}
"""Well-known options → the reason why they are refused."""


def validated(config: RunConfig, *, subject: str = "The run config") -> RunConfig:
    """Return the options in their normal form: sizes in bytes, variables as text.

    hostname, working_dir: text · user: name or number, not root · command: list of texts · environment: {name: text} ·
    shm_size: bytes or like "512m" · dns: list of IP addresses · tmpfs: {path: options} · cap_add: some of CAPABILITIES
    · read_only: only tmpfs and mounted folders can be written · runtime: name of a runtime class · node_selector: {name
    of a label: text} · tolerations: list of objects (both for nodes of Kubernetes, elsewhere without effect). Raises
    Invalid: an option is unknown, refused or unusable; the sentence begins with `subject` and has the name of the
    option and the reason.
    """
    checked_options: RunConfig = {}
    for name, value in config.items():
        if name in _REFUSED and not value:
            continue  # an empty value has no effect: "privileged": false
        if name not in _CHECKS:
            reason = _REFUSED.get(name)
            raise Invalid(
                f"{subject} may not set `{name}`{f': {reason}' if reason else ''}; allowed are {', '.join(ALLOWED)}."
            )
        try:
            checked_options[name] = _CHECKS[name](value)
        except Invalid as error:
            raise Invalid(f"{subject} has a `{name}` that cannot be used: {error.message}") from error
    return checked_options


def check_of_workspace(config: RunConfig) -> None:
    """Refuse a config that `validated` refuses. Refused options may have the values `false` and null, which turn them
    off, but no other empty value. Raises Invalid: as for `validated`."""
    for name, value in config.items():
        if name in _REFUSED and not value and value is not False and value is not None:
            raise Invalid(f"The run config may not set `{name}`, even to an empty value: {_REFUSED[name]}; remove it.")
    validated(config)


def validated_of_group(config: RunConfig) -> RunConfig:
    """Return the options like `validated`, but without the runtime, because only a workspace may decide which hosts a
    session can use. Raises Invalid: as for `validated`, or the group sets the runtime."""
    if config.get("runtime"):
        raise Invalid(
            "The run config of a group may not set `runtime`; only a workspace can set it, because the "
            "placement uses it."
        )
    return validated(config)


def merged(*configs: RunConfig) -> RunConfig:
    """Merge run configs; a later config has precedence. `environment` and `tmpfs` are merged by entry."""
    merged_config: RunConfig = {}
    for config in configs:
        for name, value in config.items():
            earlier_value = merged_config.get(name)
            is_merged = name in _MERGED and isinstance(earlier_value, dict) and isinstance(value, dict)
            merged_config[name] = {**cast("RunConfig", earlier_value), **value} if is_merged else value
    return merged_config


def environment_problem(environment: Variables) -> str | None:
    """Return the reason why these variables cannot be set in a container, as a sentence; None if they can be."""
    for name, value in environment.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            return f"{name!r} is not the name of a variable."
        if name in RESERVED_VARIABLES or name.startswith(RESERVED_PREFIX):
            return f"{name} is set by Greenroom: it contains the session's credential, user or permissions."
        is_finite = not isinstance(value, float) or math.isfinite(value)  # JSON in the database has no NaN
        if isinstance(value, (dict, list)) or value is None or not is_finite or "\0" in str(value):
            return f"the value of {name} must be a text."
        if _string_bytes(f"{name}={value}") > MAX_STRING_BYTES:
            return f"the value of {name} is too long: name and value together may have {MAX_STRING_BYTES - 1} bytes."
    return None


def _string_bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def size_in_bytes(size: object) -> int:
    """Return the bytes of `512m`, `1g`, `64k` or a number. Raises Invalid: another form, or 0."""
    text = "" if isinstance(size, bool) else str(size).strip().lower().removesuffix("b")
    factor = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    if not re.fullmatch(r"[0-9]{1,15}", digits) or int(digits) == 0:
        raise Invalid(f"{size!r} is not a size; write a number of bytes, or a size like 512m or 1g.")
    return int(digits) * factor


def _hostname(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?", value):
        raise Invalid("it must be a host name of at most 63 characters.")
    return value


_USER: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*|[0-9]{1,10})(:[A-Za-z0-9_.-]+)?")


def _user(value: object) -> str:
    """Refuse root: root in a container is root of the host wherever a folder of the host is mounted writable."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _USER.fullmatch(text):
        raise Invalid("it must be the name or number of a user, or user:group.")
    name = text.partition(":")[0]
    if name == "root" or (name.isdecimal() and int(name) == 0):
        raise Invalid("a session does not run as root; an image that must start as root sets this in its recipe.")
    return text


def _path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/") or ".." in value.split("/") or "\0" in value:
        raise Invalid(f"{value!r} must be an absolute path without `..`.")
    return posixpath.normpath("/" + value.lstrip("/"))


def _command(value: object) -> list[str]:
    problem = "it must be a list of texts, one for each word."
    if not (words := _texts(value, problem)):
        raise Invalid(problem)
    if any(_string_bytes(word) > MAX_STRING_BYTES for word in words):
        raise Invalid(f"a word may have at most {MAX_STRING_BYTES} bytes.")
    return words


def _environment(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise Invalid("it must be an object, name → text.")
    variables = cast("Variables", value)
    if problem := environment_problem(variables):
        raise Invalid(problem)
    return {name: str(text) for name, text in variables.items()}


def _shm_size(value: object) -> int:
    size = size_in_bytes(value)
    if size > SHM_MAX_BYTES:
        raise Invalid(f"the maximum is {SHM_MAX_BYTES >> 30}g.")
    return size


def _dns(value: object) -> list[str]:
    servers = _texts(value, "it must be a list of IP addresses.")
    try:
        return [str(ipaddress.ip_address(server)) for server in servers]
    except ValueError as error:
        raise Invalid("it must be a list of IP addresses.") from error


def _texts(value: object, problem: str) -> list[str]:
    words = cast("list[object]", value) if isinstance(value, list) else [None]
    if not all(isinstance(word, str) and "\0" not in word for word in words):
        raise Invalid(problem)
    return cast("list[str]", words)


_TMPFS_OPTION: Final = re.compile(
    r"rw|ro|exec|noexec|nosuid|nodev|size=0*[1-9][0-9]{0,11}[kmg]?|mode=[01]?[0-7]{3}|[ug]id=[0-9]{1,9}"
)

TMPFS_SIZE: Final = "512m"
"""The size of a tmpfs whose options have no size. It counts toward the memory of the session."""

_SYSTEM_FOLDERS: Final = frozenset(
    {"proc", "sys", "dev", "etc", "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "boot"}
)
"""Folders in `/` that contain programs, their settings, or files of the kernel."""


def _tmpfs(value: object) -> dict[str, str]:
    """Return path → options of each tmpfs, completed by a size and by `nosuid` and `nodev`."""
    if not isinstance(value, dict):
        raise Invalid('it must be an object, path → options, like {"/scratch": "size=64m"}.')
    checked_mounts: dict[str, str] = {}
    for path, options in cast("Variables", value).items():
        mount_point = _path(path)
        if mount_point == "/" or mount_point.split("/")[1] in _SYSTEM_FOLDERS:
            raise Invalid(f"{path} belongs to the system of the container, which a tmpfs would hide.")
        option_list = [option for option in options.split(",") if option] if isinstance(options, str) else [""]
        if not all(_TMPFS_OPTION.fullmatch(option) for option in option_list):
            raise Invalid(
                f"the options of {path} may be size=, mode=, uid=, gid=, rw, ro, exec, noexec, nosuid, nodev."
            )
        if not any(option.startswith("size=") for option in option_list):
            option_list.append(f"size={TMPFS_SIZE}")
        checked_mounts[mount_point] = ",".join(
            [*option_list, *(option for option in ("nosuid", "nodev") if option not in option_list)]
        )
    return checked_mounts


def _runtime(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", value):
        raise Invalid("it must be the name of a runtime that Agents offer (GREENROOM_RUNTIME_CLASSES), like runsc.")
    return value


def _read_only(value: object) -> bool:
    if not isinstance(value, bool):
        raise Invalid("it must be true or false.")
    return value


def _cap_add(value: object) -> list[str]:
    names = _texts(value, "it must be a list of capabilities.")
    capabilities = {name.upper().removeprefix("CAP_") for name in names}
    if refused := sorted(capabilities - CAPABILITIES):
        raise Invalid(f"{', '.join(refused)} {_WEAKENS}; allowed are {', '.join(sorted(CAPABILITIES))}.")
    return sorted(capabilities)


_LABEL: Final = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def _node_selector(value: object) -> dict[str, str]:
    problem = 'it must be an object of labels of nodes, like {"disk": "fast"}.'
    if not isinstance(value, dict):
        raise Invalid(problem)
    labels = cast("dict[object, object]", value)
    checked_labels = {str(name): text for name, text in labels.items() if isinstance(text, str)}
    if len(checked_labels) < len(labels) or not all(
        _LABEL.fullmatch(k) and _LABEL_VALUE.fullmatch(v) for k, v in checked_labels.items()
    ):
        raise Invalid(problem)
    return checked_labels


_TOLERATION: Final[dict[str, re.Pattern[str]]] = {
    "key": _LABEL,
    "operator": re.compile("Exists|Equal"),
    "value": _LABEL_VALUE,
    "effect": re.compile("NoSchedule|PreferNoSchedule|NoExecute"),
}


def _tolerations(value: object) -> list[dict[str, str]]:
    problem = (
        'it must be a list of objects of key, operator, value, effect, like [{"key": "gpu", "operator": "Exists"}].'
    )
    tolerations: list[dict[str, str]] = []
    for entry in cast("list[object]", value) if isinstance(value, list) else [None]:
        if not isinstance(entry, dict):
            raise Invalid(problem)
        fields = cast("dict[object, object]", entry)
        texts = {str(name): text for name, text in fields.items() if isinstance(text, str)}
        is_valid = all(name in _TOLERATION and _TOLERATION[name].fullmatch(text) for name, text in texts.items())
        if len(texts) < len(fields) or not is_valid or ("key" not in texts and texts.get("operator") != "Exists"):
            raise Invalid(problem)
        if texts.get("operator") == "Exists" and texts.get("value"):
            raise Invalid("a toleration with the operator Exists must not have a value.")
        tolerations.append(texts)
    return tolerations


_CHECKS: Final[dict[str, Callable[[object], Any]]] = {
    "cap_add": _cap_add,
    "command": _command,
    "dns": _dns,
    "environment": _environment,
    "hostname": _hostname,
    "node_selector": _node_selector,
    "read_only": _read_only,
    "runtime": _runtime,
    "shm_size": _shm_size,
    "tmpfs": _tmpfs,
    "tolerations": _tolerations,
    "user": _user,
    "working_dir": _path,
}
_MERGED: Final = frozenset({"environment", "tmpfs"})

ALLOWED: Final = tuple(sorted(_CHECKS))

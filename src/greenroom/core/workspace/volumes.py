"""Folders of the host in containers: volume mappings of workspaces and groups, and persistent profiles.

Permission to edit the mappings must not give control of the host. An Agent mounts only folders below those that the
administrator of its host named, and below its own volumes folder. It never mounts the socket of the container daemon,
the configuration of the system, data of Greenroom, or a folder that contains one of them. If a folder is mounted
writable, no process in the container runs as root (`core.workspace.exec_config`).
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from greenroom.core.errors import Invalid
from greenroom.core.workspace.homes import STORED_HOMES_PATH, HomeId
from greenroom.core.workspace.session_spec import Mount, ProfileMode

HOME: Final = "/home/kasm-user"
"""The home folder in session images, where a persistent profile is mounted."""

USER_TOKENS: Final = ("{username}", "{user_id}")
TOKENS: Final = (*USER_TOKENS, "{image_id}")
"""The tokens in a path. They are replaced by the name and the id of the launching user, and the id of the workspace."""

VolumeMappings = dict[str, Any]
"""JSON of an administrator: folder of the host → mount options that `mappings_problem` allows."""

SESSION_UID: Final = 1000
"""The uid and gid of the user in session images. New folders belong to them, unless a mapping names others."""

FORBIDDEN: Final = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/snap",
    "/sys",
    "/usr",
    "/var/backups",
    "/var/lib/cloud",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/dpkg",
    "/var/lib/greenroom",
    "/var/lib/kubelet",
    "/var/lib/postgresql",
    "/var/lib/snapd",
    "/var/lib/systemd",
    "/var/run",
    "/var/spool/cron",
)
"""Folders of the host that are never mounted, with the folders below them, except `VOLUMES_FOLDER`."""

VOLUMES_FOLDER: Final = "/var/lib/greenroom/volumes"
"""The folder of a default instance whose content may be mounted, although the folder around it is forbidden."""

_ACCOUNT_FILES: Final = frozenset({"/etc", "/etc/passwd", "/etc/group"})
"""Paths in a container that define its users. If a folder of the host were mounted there, a session could write user
entries of its own, also for root."""

_OPTIONS: Final = ("bind", "gid", "mode", "required", "skip_check", "uid")
_MAX_NAME: Final = 200
_MAX_TOKEN: Final = _MAX_NAME + 17
"""The maximum characters of the value of a token: a name of a folder with its digest (`folder_name`)."""
MAX_PROFILE_BYTES: Final = 2000
"""The maximum bytes of the path of a profile with its values. The index of the paths in use stores no longer ones."""


def source_problem(source: str, private: Iterable[str] = (), volumes_folder: str = VOLUMES_FOLDER) -> str | None:
    """Return the reason why this path of the host may not be mounted, as a sentence; None if it may be.

    The tokens in `source` must have been replaced. `private` are forbidden folders in addition to `FORBIDDEN`.
    `volumes_folder` and the folders below it may be mounted even if they are below a forbidden folder.
    """
    if not source.startswith("/") or ".." in source.split("/") or re.search(r"[\0-\x1f\x7f]", source):
        return f"{source!r} must be an absolute path without `..`."
    path = _normalize(source)
    if is_within(path, volumes_folder):
        return None
    forbidden_folders = (*FORBIDDEN, *(posixpath.normpath(folder) for folder in private))
    containing_folder = next((folder for folder in forbidden_folders if is_within(path, folder)), None)
    if containing_folder:
        return f"{source} may not be put into a container: {containing_folder} belongs to the host itself."
    contained_folder = next(
        (folder for folder in forbidden_folders if f"{folder}/".startswith(f"{path.rstrip('/')}/")), None
    )
    return (
        f"{source} may not be put into a container: it contains {contained_folder}, which belongs to the host itself."
        if contained_folder
        else None
    )


def is_within(path: str, folder: str) -> bool:
    """True if a normalized absolute path is the folder itself, or lies in it."""
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


MAX_NAMED_HOSTS: Final = 3


def unmountable_warning(paths: Iterable[str], folders: Sequence[tuple[str, Sequence[str] | None]]) -> str | None:
    """Return a warning about the path that most Agents may not mount; None if there is none. `folders` has the hostname
    and the permitted folders of each Agent; None = not known. Tokens in a path are parts of it like others, because a
    value of a token names one folder."""
    known = [(hostname, each) for hostname, each in folders if each is not None]
    refusing, refused_path = list[str](), ""
    for path in paths:
        hosts = [hostname for hostname, each in known if not _is_permitted(path, each)]
        if len(hosts) > len(refusing):
            refusing, refused_path = hosts, path
    if not refusing:
        return None
    if len(refusing) == len(folders):
        permitted = dict.fromkeys(folder for _, each in known for folder in each)
        return (
            f"No Agent may mount {refused_path}, so sessions with it cannot start: the hosts allow only folders below "
            f"{', '.join(permitted)}. Choose such a folder, or let the administrator of the hosts allow this one."
        )
    hosts_text = ", ".join(refusing[:MAX_NAMED_HOSTS])
    if (omitted := len(refusing) - MAX_NAMED_HOSTS) > 0:
        hosts_text += f" and {omitted} more"
    return (
        f"Sessions with the folder {refused_path} cannot start on {hosts_text}, which may not mount it. Let the"
        " administrator of these hosts allow it, or restrict these sessions to other Agents."
    )


def _is_permitted(path: str, folders: Sequence[str]) -> bool:
    return path == STORED_HOMES_PATH or any(is_within(_normalize(path), folder) for folder in folders)


def mappings_problem(mappings: VolumeMappings) -> str | None:
    """Return the problem with volume mappings, as a sentence; None if there is none.

    `{path of the host: {"bind": path in the container, "mode": "rw" or "ro", "uid", "gid": owner of a new folder,
    "required": the folder must exist and is not created, "skip_check": another name for required}}`.
    """
    sources_by_target: dict[str, str] = {}
    for source, value in mappings.items():
        if not isinstance(value, dict) or not isinstance(cast("VolumeMappings", value).get("bind"), str):
            return f"{source} must be an object with bind, the path in the container."
        options = cast("VolumeMappings", value)
        problem = _path_problem(source) or _target_problem(options["bind"]) or _options_problem(source, options)
        if problem:
            return problem
        target = _normalize(str(options["bind"]))
        if target in sources_by_target:
            return f"{sources_by_target[target]} and {source} cannot both be {target} in the container."
        sources_by_target[target] = source
    return None


def is_writable(mappings: VolumeMappings) -> bool:
    """True if one of these volume mappings lets a session write to a folder of the host."""
    return any(options.get("mode") != "ro" for options in mappings.values())


def profile_problem(path: str) -> str | None:
    """Return the problem with the path of a persistent profile, as a sentence; None if there is none."""
    if path == STORED_HOMES_PATH:
        return None
    if STORED_HOMES_PATH in path:
        return (
            f"{path} cannot be used: {STORED_HOMES_PATH} must be the whole path; the installation then chooses the"
            " folder."
        )
    if "://" in path:
        return f"{path} is not a folder of the host; profiles need a folder, which may be on a network file system."
    longest = path
    for token in TOKENS:
        longest = longest.replace(token, "x" * _MAX_TOKEN)
    if len(longest.encode()) > MAX_PROFILE_BYTES:
        return f"The path must have at most {MAX_PROFILE_BYTES} bytes, also for the longest name of a user."
    return _path_problem(path)


def _path_problem(source: str) -> str | None:
    plain = source
    for token in TOKENS:
        plain = plain.replace(token, "x")
    if "{" in plain or "}" in plain:
        return f"{source} has an unknown token; the tokens are {', '.join(TOKENS)}."
    if "{" in source.lstrip("/").partition("/")[0]:
        return f"{source} must begin with a fixed folder, with tokens only below it."
    return source_problem(plain)


def _target_problem(bind: object) -> str | None:
    path = str(bind)
    if not path.startswith("/") or ".." in path.split("/") or re.search(r"[\0-\x1f\x7f]", path):
        return f"bind {path!r} must be an absolute path of the container without `..`."
    target = _normalize(path)
    is_reserved = target.split("/")[1] in {"", "proc", "sys", "dev"} or target in _ACCOUNT_FILES
    return f"bind {path} belongs to the container itself." if is_reserved else None


def _options_problem(source: str, options: VolumeMappings) -> str | None:
    if unknown_options := sorted(options.keys() - set(_OPTIONS)):
        return f"{source} may not have {', '.join(unknown_options)}; it may have {', '.join(_OPTIONS)}."
    if options.get("mode", "rw") not in ("rw", "ro"):
        return f"The mode of {source} must be rw or ro."
    for name in ("uid", "gid"):
        value = options.get(name, SESSION_UID)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
            return f"The {name} of {source} must be a number of at least 0."
    for name in ("required", "skip_check"):
        if not isinstance(options.get(name, False), bool):
            return f"{name} of {source} must be true or false."
    return None


def merged(*mappings: VolumeMappings) -> VolumeMappings:
    """Merge volume mappings. If two entries have the same folder of the host, or the same path in the container, the
    later entry replaces the earlier entry."""
    merged_mappings: VolumeMappings = {}
    for mapping in mappings:
        replaced_targets = {target for options in mapping.values() if (target := _target_of(options))}
        merged_mappings = {
            path: options for path, options in merged_mappings.items() if _target_of(options) not in replaced_targets
        }
        merged_mappings |= mapping
    return merged_mappings


def _target_of(options: object) -> str | None:
    """Return the path of an entry in the container; None if the entry has none (`mounts` then refuses the entry)."""
    bind = cast("VolumeMappings", options).get("bind") if isinstance(options, dict) else None
    return _normalize(bind) if isinstance(bind, str) else None


def mounts(mappings: VolumeMappings, tokens: Mapping[str, str]) -> tuple[Mount, ...]:
    """Return the mounts of the mappings. An entry whose path needs a user is omitted if `tokens` contains no user.
    Raises Invalid: an entry has no path in the container."""
    mount_list: list[Mount] = []
    for path, options in sorted(mappings.items()):
        source = _replace_tokens(path, tokens)
        if any(token in source for token in USER_TOKENS):
            continue
        if not options.get("bind"):
            raise Invalid(f"The volume mapping {path} has no `bind`, the folder inside the container.")
        mount_list.append(
            Mount(
                source=_normalize(source),
                target=_normalize(str(options["bind"])),
                read_only=options.get("mode") == "ro",
                uid=int(options.get("uid", SESSION_UID)),
                gid=int(options.get("gid", SESSION_UID)),
                required=bool(options.get("required") or options.get("skip_check")),
            )
        )
    return tuple(mount_list)


def profile_mount(path: str, tokens: Mapping[str, str], mode: ProfileMode) -> Mount:
    """Return the mount of the persistent profile as the home folder. If `path` is `homes.STORED_HOMES_PATH`, the mount
    is the home of the user and the workspace. A path without a token for the user gets the user's id as its last
    folder, so that no two users share a profile.
    """
    if path == STORED_HOMES_PATH:
        return Mount(source=HomeId(tokens["user_id"], tokens["image_id"]).source, target=HOME, profile=mode)
    user_path = path if any(token in path for token in USER_TOKENS) else f"{path.rstrip('/')}/{{user_id}}"
    return Mount(source=_normalize(_replace_tokens(user_path, tokens)), target=HOME, profile=mode)


def home_write_warning(path: str | None, user: object) -> str | None:
    """Return a warning if sessions cannot write the persistent profile at `path`; None if they can. `user` is the user
    in the run config. If it is a name, the result is also None, because only the image defines the uid of the name.
    """
    uid = str(user or SESSION_UID).partition(":")[0]
    if not path or not uid.isdecimal() or int(uid) == SESSION_UID:
        return None
    return (
        "Sessions cannot write their home folder on a host with Docker: the run config has the user "
        f"{uid}, and folders of profiles belong to user {SESSION_UID}. Remove `user` from the run config, or "
        "the persistent profile from the workspace."
    )


def merged_mounts(*layers: Iterable[Mount]) -> tuple[Mount, ...]:
    """Return the mounts of all layers. A mount of a later layer replaces a mount with the same path in the
    container.
    """
    mounts_by_target = {mount.target: mount for layer in layers for mount in layer}
    return tuple(mounts_by_target[target] for target in sorted(mounts_by_target))


def folder_name(username: str, user_id: str = "") -> str:
    """Return a user's name as one folder name: it cannot lead out of the folder, and different names stay different.

    A safe name is unchanged. Any other name is shortened, its unsafe characters are replaced, and a digest is appended.
    A safe name that seems to end with a digest also gets a digest. Pass `user_id` if another user had the name before:
    it becomes part of the digest, so that the folder differs.
    """
    safe_name = re.sub(r"[^A-Za-z0-9._@-]", "_", username).lstrip(".")[:_MAX_NAME] or "_"
    if safe_name == username and not user_id and not re.search(r"-[0-9a-f]{16}$", username):
        return safe_name
    hashed_text = f"{username}\0{user_id}" if user_id else username
    return f"{safe_name}-{hashlib.sha256(hashed_text.encode(errors='surrogatepass')).hexdigest()[:16]}"


def _normalize(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _replace_tokens(path: str, tokens: Mapping[str, str]) -> str:
    """Replace all tokens in one pass, so that a value that looks like a token is not replaced again."""
    return re.sub(r"\{(\w+)\}", lambda match: tokens.get(match[1], match[0]), path)

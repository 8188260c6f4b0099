"""The settings of groups: their definitions, their values, and the values in force for a user.

For most settings, the value of the group with the lowest priority *number* applies ("Administrators" has 1). Mappings
(`volume_mapping`, `run_config`) are merged over all groups: for each key, the value of the group with the lowest number
applies. The same rule applies to each variable of `environment`, path of `tmpfs` and mount point in the container.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, LiteralString, cast

from greenroom.core.recording.descriptions import RECORDING_MODES
from greenroom.core.recording.session_video import SETTING
from greenroom.core.workspace import run_config, volumes

Kind = Literal["bool", "int", "float", "string", "choice", "mapping"]

STAGED_PERMISSIONS: Final[tuple[LiteralString, ...]] = (
    "allow_kasm_audio",
    "allow_kasm_uploads",
    "allow_kasm_downloads",
    "allow_kasm_clipboard_down",
    "allow_kasm_clipboard_up",
    "allow_kasm_microphone",
    "allow_kasm_gamepad",
    "allow_kasm_webcam",
)
"""The permissions that a container has from its creation. A user only gets a staged session with equal permissions."""

SettingValues = Mapping[str, Any]
"""Name of a setting → its value, of the kind in `SETTINGS`; JSON in the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting that a group can have.

    `unit` is displayed after the value. `minimum` is for the kinds int and float, `choices` for the kind choice.
    `excludes_staging`: the container must have the value from its creation, so a user with this setting gets no staged
    session. `looseness` maps a value to a number: a larger number permits more, and users who may change only their own
    groups cannot increase it (`core.access.permissions`). `stored_with_session`: the session stores the value, for its
    Agent and viewers.
    """

    name: str
    kind: Kind
    default: Any
    description: str
    unit: str = ""
    minimum: float | None = None
    choices: tuple[str, ...] = ()
    excludes_staging: bool = False
    looseness: Callable[[Any], float] | None = None
    stored_with_session: bool = False


def _no_limit_at_0(value: float) -> float:
    return value or float("inf")


_KEEPALIVE_ACTIONS: Final = ("delete", "stop", "pause")
"""Sorted by the state that remains: none (delete), the disk (stop), the disk and the memory (pause)."""


def _switch(
    name: str,
    description: str,
    *,
    default: bool = False,
    guarded: bool = False,
    restricts: bool = False,
    stored: bool = False,
    excludes_staging: bool = False,
) -> Setting:
    """Return a boolean setting. `guarded`: users who may change only their own groups cannot turn it on (`looseness`);
    `restricts`: cannot turn it off. `stored` is `stored_with_session`.
    """
    return Setting(
        name=name,
        kind="bool",
        default=default,
        description=description,
        excludes_staging=excludes_staging,
        looseness=float if guarded else operator.not_ if restricts else None,
        stored_with_session=stored,
    )


def _permission(name: str, description: str) -> Setting:
    return _switch(name, description, guarded=True, stored=True)


def _enforced_by_image(variable: str) -> str:
    """Return the end of the description of a permission that only the programs of an image can enforce."""
    return f"sets {variable} in the container, for images with this service; the Greenroom desktop does not have it"


def _maximum(
    name: str, unit: str, default: int, text: str, *, unlimited: bool = False, minimum: int = 0, stored: bool = False
) -> Setting:
    """Return a setting whose value is a maximum, with the description `text`. `unlimited`: 0 means no maximum."""
    looseness = _no_limit_at_0 if unlimited else float
    return Setting(
        name=name,
        kind="int",
        default=default,
        minimum=minimum,
        unit=unit,
        looseness=looseness,
        stored_with_session=stored,
        description=text,
    )


_DEFINITIONS: Final = (
    _permission("allow_kasm_audio", "Play the sound of the session"),
    _permission("allow_kasm_uploads", "Upload files to ~/Uploads in the session"),
    _permission("allow_kasm_downloads", "Download files from ~/Downloads in the session"),
    _permission("allow_kasm_clipboard_down", "Copy from the session to the local computer"),
    _permission("allow_kasm_clipboard_up", "Copy from the local computer to the session"),
    _permission("allow_kasm_microphone", "Use the local microphone in the session"),
    _permission("allow_kasm_gamepad", f"Use game controllers in the session: {_enforced_by_image('KASM_SVC_GAMEPAD')}"),
    _permission("allow_kasm_webcam", f"Use the camera in the session: {_enforced_by_image('KASM_SVC_WEBCAM')}"),
    _maximum(
        "max_kasms_per_user",
        "sessions",
        5,
        "Maximum number of sessions of a user; leases do not count; 0 = the user can have no session",
    ),
    _maximum(
        "max_leases_per_user", "leases", 100, "Maximum number of leases of a user; 0 = the user can have no lease"
    ),
    _maximum(
        "keepalive_expiration",
        "s",
        3600,
        "Time without a viewer after which `keepalive_expiration_action` applies to a running session",
        minimum=1,
    ),
    Setting(
        name="keepalive_expiration_action",
        kind="choice",
        default="delete",
        choices=_KEEPALIVE_ACTIONS,
        looseness=_KEEPALIVE_ACTIONS.index,
        description="Action after `keepalive_expiration`: delete, stop (the disk remains) or pause the session. If its"
        " Agent cannot stop or pause sessions, the session is deleted",
    ),
    Setting(
        name="keepalive_interval",
        kind="int",
        default=300,
        minimum=5,
        unit="s",
        description="Interval at which an open window reports its viewer; at most half of `keepalive_expiration`",
    ),
    _maximum(
        "session_time_limit",
        "s",
        0,
        "Maximum lifetime of a session or lease after its assignment to a user; 0 = no limit. A shorter"
        " limit of the workspace has priority",
        unlimited=True,
    ),
    Setting(
        name="idle_disconnect",
        kind="float",
        default=20.0,
        minimum=0,
        unit="min",
        looseness=_no_limit_at_0,
        stored_with_session=True,
        description="Time without input after which a viewer with control is disconnected; the session continues; 0 ="
        " never. For third-party images, the time during which the window is hidden counts instead",
    ),
    _maximum(
        "max_upload_mb",
        "MB",
        0,
        "Maximum size of a file that is uploaded into a session; 0 = no limit",
        unlimited=True,
        stored=True,
    ),
    _switch("allow_kasm_delete", "Delete own sessions", default=True),
    _switch(
        "allow_kasm_force_delete", "Delete own sessions immediately in any status, even if their Agent does not respond"
    ),
    _switch(
        "allow_kasm_stop",
        "Stop own sessions: programs end, the disk remains; users can always resume their sessions",
        default=True,
    ),
    _switch(
        "allow_kasm_pause",
        "Pause own sessions: programs are frozen in memory; users can always resume their sessions",
        default=True,
    ),
    _switch(
        "allow_kasm_screenshot",
        "Other users with the required permissions can take screenshots of members' sessions, read the"
        " elements on their screens and perform actions. Members do not need this setting for their own sessions",
        default=True,
        guarded=True,
    ),
    _permission("allow_kasm_sharing", "Share own sessions with other users, who can watch them"),
    _switch(
        "allow_guest_links",
        "With `allow_kasm_sharing`: share own sessions by a link with guests, who need no account",
        guarded=True,
    ),
    _switch(
        "allow_shared_control",
        "With `allow_kasm_sharing`: let named users, and guests with `allow_guest_links`, use keyboard and pointer",
        guarded=True,
    ),
    _switch(
        "watermark",
        "Show a watermark over the desktop in the console, for all viewers of a member's session: the name of the"
        " viewer, `watermark_text` and the time in UTC",
        restricts=True,
        stored=True,
    ),
    Setting(
        name="watermark_text",
        kind="string",
        default="",
        stored_with_session=True,
        description="Text in the watermark, such as the name of the organization; at most 80 characters are shown",
    ),
    _maximum(
        "max_share_seconds", "s", 28_800, "Maximum duration of a share; 0 = until the session ends", unlimited=True
    ),
    _switch(
        "require_second_factor",
        "A log-in with a password needs a second factor; members without one must enroll one right after the password."
        " Log-ins through sign-on providers do not need one",
        restricts=True,
    ),
    _switch(
        SETTING,
        "Record the screen of members' sessions as a video, which is announced to all viewers. A session that cannot be"
        " recorded is ended. Sessions of a workspace with Record sessions are always recorded",
        restricts=True,
        stored=True,
    ),
    Setting(
        name="record_leases",
        kind="choice",
        default="none",
        choices=RECORDING_MODES,
        looseness=lambda mode: -RECORDING_MODES.index(mode),
        description="Minimum recording of members' leases: nothing, the actions of programs, or actions and pictures",
    ),
    Setting(
        name="default_image",
        kind="string",
        default="",
        description="Default workspace of launches, by id or friendly name; the default of the user has priority",
    ),
    _switch("allow_zone_selection", "Choose the zone in which a launch begins", guarded=True),
    Setting(
        name="nearest_zone",
        kind="choice",
        default="off",
        choices=("off", "suggest", "on"),
        description="Zone in which launches begin. `off`: the zone of the gateway that the user opened. `on`: the zone"
        " nearest to the user's browser. `suggest`: the launcher suggests the nearest zone to users with"
        " `allow_zone_selection`. Proxy Connections must be off in the nearest zone. Search Alternate Zones must be on"
        " in the nearest zone and in the zone of the gateway",
    ),
    _permission(
        "allow_persistent_profile",
        "Keep the home folder between sessions. Allow: in all workspaces with kept home folders or a persistent profile"
        " path. Deny: in none. If no group sets it (Inherit): only in workspaces with kept home folders. A launch with"
        " a kept home folder or profile gets no staged session",
    ),
    _switch("expose_user_environment_vars", "Set KASM_USER and KASM_USER_ID in the container", excludes_staging=True),
    _switch(
        "inject_ssh_keys",
        "Write the user's SSH keys to ~/.ssh in the container; users without keys can get staged sessions",
        excludes_staging=True,
    ),
    Setting(
        name="run_config",
        kind="mapping",
        default={},
        excludes_staging=True,
        description="Options of the container as JSON, in addition to those of the workspace; merged over all groups",
    ),
    Setting(
        name="volume_mapping",
        kind="mapping",
        default={},
        excludes_staging=True,
        description="Folders of the host in the container as JSON, in addition to those of the workspace;"
        " merged over all groups. {username}, {user_id} and {image_id} are replaced with the values of the launch",
    ),
    Setting(
        name="web_filter_policy",
        kind="string",
        default="",
        excludes_staging=True,
        description="Web filter policy of members' sessions, in place of the policy of the workspace; a workspace with"
        " disabled filters ignores it",
    ),
    _switch(
        "staged_session_language_and_timezone_preference_override",
        "Use a staged session even if its language or time zone differs from the user's preference",
    ),
)

SETTINGS: Final[dict[str, Setting]] = {setting.name: setting for setting in _DEFINITIONS}
"""Name → setting, in display order."""


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """A group of a user, with the settings that have a value in it."""

    group_id: str
    name: str
    priority: int
    settings: SettingValues = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """The value of a setting that applies to a user. `groups` names its source groups, lowest priority number first.

    `trace` is part of a sentence, such as "`idle_disconnect` = 20 from group Students, priority 5". For a mapping, it
    has only the keys, because the values may be secrets.
    """

    name: str
    value: Any
    groups: tuple[str, ...]
    trace: str


def resolve(memberships: Sequence[GroupSettings]) -> dict[str, EffectiveSetting]:
    """Return the settings that apply to a user in these groups, in any order."""
    ranked = sorted(memberships, key=rank)
    return {setting.name: _effective_setting(setting, ranked) for setting in _DEFINITIONS}


def rank(group: GroupSettings) -> tuple[int, str, str]:
    """Return the sort key of a group: the group with the lowest key has priority."""
    return group.priority, group.name, group.group_id


def permissions_of(resolved: Mapping[str, EffectiveSetting]) -> dict[str, bool]:
    """Return name → value of the settings in `STAGED_PERMISSIONS`."""
    return {name: bool(resolved[name].value) for name in STAGED_PERMISSIONS}


ClientSettings = Mapping[str, bool | int | float | str]
"""Name → value of the settings with `stored_with_session`, and of `keepalive_interval` in seconds."""


def client_settings_of(resolved: Mapping[str, EffectiveSetting]) -> ClientSettings:
    """Return the user's settings that a session stores at its launch."""
    stored = {name: resolved[name].value for name, setting in SETTINGS.items() if setting.stored_with_session}
    return stored | {"keepalive_interval": keepalive_interval_s(resolved)}


def keepalive_interval_s(resolved: Mapping[str, EffectiveSetting]) -> float:
    """Return the seconds between two keepalives of a viewer: at most half of the limit, so that one may be lost."""
    return min(float(resolved["keepalive_interval"].value), float(resolved["keepalive_expiration"].value) / 2)


def _effective_setting(setting: Setting, ranked: Sequence[GroupSettings]) -> EffectiveSetting:
    with_value = [group for group in ranked if setting.name in group.settings]
    if not with_value:
        trace = f"`{setting.name}` = {value_text(setting.default)} by default"
        return EffectiveSetting(setting.name, setting.default, (), trace)
    if setting.kind == "mapping":
        merged = run_config.merged if setting.name == "run_config" else volumes.merged
        value: Any = merged(*(group.settings[setting.name] for group in reversed(with_value)))
        sources = with_value
    else:
        value, sources = with_value[0].settings[setting.name], with_value[:1]
    named = ", ".join(f"group {group.name}, priority {group.priority}" for group in sources)
    return EffectiveSetting(
        setting.name, value, tuple(g.name for g in sources), f"`{setting.name}` = {value_text(value)} from {named}"
    )


def value_text(value: object) -> str:
    """Return a value as text for sentences: true or false, a number without `.0`, or only the keys of a mapping."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(map(str, cast("dict[object, object]", value))) or "(empty)"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if value != "" else "(empty)"

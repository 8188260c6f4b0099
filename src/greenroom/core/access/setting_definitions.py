"""The definition of a setting, and the definitions of the settings of groups.

The api, the documentation and the console take title, section, unit, range and description from these definitions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from greenroom.core.recording.descriptions import RECORDING_MODES
from greenroom.core.recording.session_video import SETTING

Kind = Literal["bool", "int", "float", "string", "choice", "mapping"]

_CENTURY_S: Final = 100 * 365 * 86_400
_MAXIMA: Final = {"s": _CENTURY_S, "min": _CENTURY_S // 60, "days": _CENTURY_S // 86_400}
"""The maximum of each unit of time is 100 years, so that a date computed from it is valid in Python and PostgreSQL."""
_MAXIMUM: Final = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting that a group or the installation can have.

    `title` names it for people, and `section` is the heading below which it is listed. `unit` is displayed after the
    value. `minimum` is for the kinds int and float, `choices` for the kind choice. `excludes_staging`: the container
    must have the value from its creation, so a user with this setting gets no staged session. `looseness` maps a value
    to a number: a larger number permits more, and users who may change only their own groups cannot increase it
    (`core.access.permissions`). `stored_with_session`: the session stores the value, for its Agent and viewers.
    """

    name: str
    title: str
    section: str = ""
    kind: Kind
    default: Any
    description: str
    unit: str = ""
    minimum: float | None = None
    choices: tuple[str, ...] = ()
    excludes_staging: bool = False
    looseness: Callable[[Any], float] | None = None
    stored_with_session: bool = False

    @property
    def maximum(self) -> int | None:
        """The largest number; None = the value is not a number."""
        return _MAXIMA.get(self.unit, _MAXIMUM) if self.kind in ("int", "float") else None


def _section(section: str, *settings: Setting) -> Iterator[Setting]:
    return (replace(setting, section=section) for setting in settings)


def _no_limit_at_0(value: float) -> float:
    return value or float("inf")


_KEEPALIVE_ACTIONS: Final = ("delete", "stop", "pause")
"""Sorted by the state that remains: none (delete), the disk (stop), the disk and the memory (pause)."""


def _switch(
    name: str,
    title: str,
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
        title=title,
        kind="bool",
        default=default,
        description=description,
        excludes_staging=excludes_staging,
        looseness=float if guarded else operator.not_ if restricts else None,
        stored_with_session=stored,
    )


def _permission(name: str, title: str, description: str) -> Setting:
    return _switch(name, title, description, guarded=True, stored=True)


def _enforced_by_image(variable: str) -> str:
    """Return the end of the description of a permission that only the programs of an image can enforce."""
    return f"sets {variable} in the container, for images with this service; the Greenroom desktop does not have it"


def _maximum(
    name: str,
    title: str,
    unit: str,
    default: int,
    text: str,
    *,
    unlimited: bool = False,
    minimum: int = 0,
    stored: bool = False,
) -> Setting:
    """Return a setting whose value is a maximum, with the description `text`. `unlimited`: 0 means no maximum."""
    looseness = _no_limit_at_0 if unlimited else float
    return Setting(
        name=name,
        title=title,
        kind="int",
        default=default,
        minimum=minimum,
        unit=unit,
        looseness=looseness,
        stored_with_session=stored,
        description=text,
    )


DEFINITIONS: Final = (
    *_section(
        "Data and devices",
        _permission("allow_kasm_audio", "Audio", "Play the sound of the session"),
        _permission("allow_kasm_uploads", "Uploads", "Upload files to ~/Uploads in the session"),
        _permission("allow_kasm_downloads", "Downloads", "Download files from ~/Downloads in the session"),
        _permission("allow_kasm_clipboard_down", "Clipboard Down", "Copy from the session to the local computer"),
        _permission("allow_kasm_clipboard_up", "Clipboard Up", "Copy from the local computer to the session"),
        _permission("allow_kasm_microphone", "Microphone", "Use the local microphone in the session"),
        _permission(
            "allow_kasm_gamepad",
            "Gamepad",
            f"Use game controllers in the session: {_enforced_by_image('KASM_SVC_GAMEPAD')}",
        ),
        _permission(
            "allow_kasm_webcam", "Webcam", f"Use the camera in the session: {_enforced_by_image('KASM_SVC_WEBCAM')}"
        ),
        _maximum(
            "max_upload_mb",
            "Maximum upload",
            "MB",
            0,
            "Maximum size of a file that is uploaded into a session; 0 = no limit",
            unlimited=True,
            stored=True,
        ),
    ),
    *_section(
        "Limits",
        _maximum(
            "max_kasms_per_user",
            "Maximum sessions per user",
            "sessions",
            5,
            "Maximum number of sessions of a user; leases do not count; 0 = the user can have no session",
        ),
        _maximum(
            "max_leases_per_user",
            "Maximum leases per user",
            "leases",
            100,
            "Maximum number of leases of a user; 0 = the user can have no lease",
        ),
        _maximum(
            "session_time_limit",
            "Session time limit",
            "s",
            0,
            "Maximum lifetime of a session or lease after its assignment to a user; 0 = no limit. A shorter"
            " limit of the workspace has priority",
            unlimited=True,
        ),
    ),
    *_section(
        "Unused sessions",
        _maximum(
            "keepalive_expiration",
            "Keepalive expiration",
            "s",
            3600,
            "Time without a viewer after which `keepalive_expiration_action` applies to a running session",
            minimum=1,
        ),
        Setting(
            name="keepalive_expiration_action",
            title="Keepalive expiration action",
            kind="choice",
            default="delete",
            choices=_KEEPALIVE_ACTIONS,
            looseness=_KEEPALIVE_ACTIONS.index,
            description="Action after `keepalive_expiration`: delete, stop (the disk remains) or pause the session. If"
            " its Agent cannot stop or pause sessions, the session is deleted",
        ),
        Setting(
            name="keepalive_interval",
            title="Keepalive interval",
            kind="int",
            default=300,
            minimum=5,
            unit="s",
            description="Interval at which an open window reports its viewer; at most half of `keepalive_expiration`",
        ),
        Setting(
            name="idle_disconnect",
            title="Idle disconnect",
            kind="float",
            default=20.0,
            minimum=0,
            unit="min",
            looseness=_no_limit_at_0,
            stored_with_session=True,
            description="Time without input after which a viewer with control is disconnected; the session continues;"
            " 0 = never. For third-party images, the time during which the window is hidden counts instead",
        ),
    ),
    *_section(
        "Own sessions",
        _switch("allow_kasm_delete", "Delete", "Delete own sessions", default=True),
        _switch(
            "allow_kasm_force_delete",
            "Force Delete",
            "Delete own sessions immediately in any status, even if their Agent does not respond",
        ),
        _switch(
            "allow_kasm_stop",
            "Stop",
            "Stop own sessions: programs end, the disk remains; users can always resume their sessions",
            default=True,
        ),
        _switch(
            "allow_kasm_pause",
            "Pause",
            "Pause own sessions: programs are frozen in memory; users can always resume their sessions",
            default=True,
        ),
        _switch(
            "allow_kasm_screenshot",
            "Screenshot",
            "Other users with the required permissions can take screenshots of members' sessions, read the"
            " elements on their screens and perform actions. Members do not need this setting for their own sessions",
            default=True,
            guarded=True,
        ),
    ),
    *_section(
        "Sharing and watermark",
        _permission("allow_kasm_sharing", "Sharing", "Share own sessions with other users, who can watch them"),
        _switch(
            "allow_guest_links",
            "Guest links",
            "With `allow_kasm_sharing`: share own sessions by a link with guests, who need no account",
            guarded=True,
        ),
        _switch(
            "allow_shared_control",
            "Shared control",
            "With `allow_kasm_sharing`: let named users, and guests with `allow_guest_links`, use keyboard and pointer",
            guarded=True,
        ),
        _maximum(
            "max_share_seconds",
            "Maximum duration of a share",
            "s",
            28_800,
            "Maximum duration of a share; 0 = until the session ends",
            unlimited=True,
        ),
        _switch(
            "watermark",
            "Watermark",
            "Show a watermark over the desktop in the console, for all viewers of a member's session: the name of the"
            " viewer, `watermark_text` and the time in UTC",
            restricts=True,
            stored=True,
        ),
        Setting(
            name="watermark_text",
            title="Watermark text",
            kind="string",
            default="",
            stored_with_session=True,
            description="Text in the watermark, such as the name of the organization; at most 80 characters are shown",
        ),
    ),
    *_section(
        "Security and recording",
        _switch(
            "require_second_factor",
            "Require second factor",
            "A log-in with a password needs a second factor; members without one must enroll one right after the"
            " password. Log-ins through sign-on providers do not need one",
            restricts=True,
        ),
        _switch(
            SETTING,
            "Record sessions",
            "Record the screen of members' sessions as a video, which is announced to all viewers. A session that"
            " cannot be recorded is ended. Sessions of a workspace with Record sessions are always recorded",
            restricts=True,
            stored=True,
        ),
        Setting(
            name="record_leases",
            title="Record leases",
            kind="choice",
            default="none",
            choices=RECORDING_MODES,
            looseness=lambda mode: -RECORDING_MODES.index(mode),
            description="Minimum recording of members' leases: nothing, the actions of programs, or actions and"
            " pictures",
        ),
    ),
    *_section(
        "Launches",
        Setting(
            name="default_image",
            title="Default workspace",
            kind="string",
            default="",
            description="Default workspace of launches, by id or friendly name; the default of the user has priority",
        ),
        _switch("allow_zone_selection", "Zone selection", "Choose the zone in which a launch begins", guarded=True),
        Setting(
            name="nearest_zone",
            title="Nearest zone",
            kind="choice",
            default="off",
            choices=("off", "suggest", "on"),
            description="Zone in which launches begin. `off`: the zone of the gateway that the user opened. `on`: the"
            " zone nearest to the user's browser. `suggest`: the launcher suggests the nearest zone to users with"
            " `allow_zone_selection`. Proxy Connections must be off in the nearest zone. Search Alternate Zones must"
            " be on in the nearest zone and in the zone of the gateway",
        ),
        _switch(
            "staged_session_language_and_timezone_preference_override",
            "Staged sessions in any language",
            "Use a staged session even if its language or time zone differs from the user's preference",
        ),
    ),
    *_section(
        "Container",
        _permission(
            "allow_persistent_profile",
            "Persistent profile",
            "Keep the home folder between sessions. Allow: in all workspaces with kept home folders or a persistent"
            " profile path. Deny: in none. If no group sets it (Inherit): only in workspaces with kept home folders. A"
            " launch with a kept home folder or profile gets no staged session",
        ),
        _switch(
            "expose_user_environment_vars",
            "Expose user environment variables",
            "Set KASM_USER and KASM_USER_ID in the container",
            excludes_staging=True,
        ),
        _switch(
            "inject_ssh_keys",
            "Inject SSH keys",
            "Write the user's SSH keys to ~/.ssh in the container; users without keys can get staged sessions",
            excludes_staging=True,
        ),
        Setting(
            name="run_config",
            title="Run config",
            kind="mapping",
            default={},
            excludes_staging=True,
            description="Options of the container as JSON, in addition to those of the workspace; merged over all"
            " groups",
        ),
        Setting(
            name="volume_mapping",
            title="Volume mapping",
            kind="mapping",
            default={},
            excludes_staging=True,
            description="Folders of the host in the container as JSON, in addition to those of the workspace;"
            " merged over all groups. {username}, {user_id} and {image_id} are replaced with the values of the launch",
        ),
        Setting(
            name="web_filter_policy",
            title="Web filter policy",
            kind="string",
            default="",
            excludes_staging=True,
            description="Web filter policy of members' sessions, in place of the policy of the workspace; a workspace"
            " with disabled filters ignores it",
        ),
    ),
)
"""The settings of groups by section, in display order."""

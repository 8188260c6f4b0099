"""The settings of groups: their values, and the values in force for a user. `setting_definitions` defines them.

For most settings, the value of the group with the lowest priority *number* applies ("Administrators" has 1). Mappings
(`volume_mapping`, `run_config`) are merged over all groups: for each key, the value of the group with the lowest number
applies. The same rule applies to each variable of `environment`, path of `tmpfs` and mount point in the container.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString, cast

from greenroom.core.access.setting_definitions import DEFINITIONS, Setting
from greenroom.core.workspace import run_config, volumes

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

SETTINGS: Final[dict[str, Setting]] = {setting.name: setting for setting in DEFINITIONS}
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
    return {setting.name: _effective_setting(setting, ranked) for setting in DEFINITIONS}


def resolve_one(name: str, memberships: Sequence[GroupSettings]) -> EffectiveSetting:
    """Return one of the settings of `resolve`."""
    return _effective_setting(SETTINGS[name], sorted(memberships, key=rank))


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
    """Return a value as text for sentences: true or false, a number without `.0`, the items of a list, or only the keys
    of a mapping."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return ", ".join(map(str, cast("dict[object, object] | list[object]", value))) or "(empty)"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if value != "" else "(empty)"

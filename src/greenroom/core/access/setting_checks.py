"""Validates the values of settings. The error for an invalid value names the values that are permitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from greenroom.core.access.group_settings import SETTINGS, SettingValues, value_text
from greenroom.core.access.setting_definitions import Kind, Setting
from greenroom.core.errors import Invalid
from greenroom.core.text import suggest_name
from greenroom.core.workspace import run_config
from greenroom.core.workspace.run_config import RunConfig
from greenroom.core.workspace.volumes import VolumeMappings, mappings_problem


def validated_setting(name: str, value: object) -> Any:
    """Return `value` as it is stored for the setting `name`. Raises Invalid: no such setting, wrong type or range."""
    setting = SETTINGS.get(name)
    if setting is None:
        suggestion = suggest_name(name, SETTINGS, f"the settings are {', '.join(SETTINGS)}.")
        raise Invalid(f"There is no group setting `{name}`; {suggestion}")
    return validated_value(setting, value)


def problems_of(values: SettingValues, validate: Callable[[str, object], object]) -> list[tuple[str, str]]:
    """Return the name and the reason of each value that `validate` refuses. None removes a value and is accepted."""
    problems: list[tuple[str, str]] = []
    for name, value in values.items():
        try:
            if value is not None:
                validate(name, value)
        except Invalid as error:
            problems.append((name, error.message))
    return problems


def validated_value(setting: Setting, value: object) -> Any:
    """Return `value` as it is stored for `setting`. Raises Invalid: the value has the wrong type or range."""
    if not _CHECKS[setting.kind](setting, value):
        raise Invalid(f"`{setting.name}` must be {_expected(setting)}, not {value!r}.")
    if setting.name in _CONTAINER_CHECKS:
        _CONTAINER_CHECKS[setting.name](cast("RunConfig | VolumeMappings", value))
    return float(cast("float", value)) if setting.kind == "float" else value


def _is_number_in_range(setting: Setting, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    is_small = setting.maximum is None or abs(value) <= setting.maximum
    return is_small and (setting.minimum is None or value >= setting.minimum)


def _check_volumes(value: VolumeMappings) -> None:
    if problem := mappings_problem(value):
        raise Invalid(problem)


_CONTAINER_CHECKS: Final[dict[str, Callable[[RunConfig | VolumeMappings], object]]] = {
    "run_config": run_config.validated_of_group,
    "volume_mapping": _check_volumes,
}
"""Additional checks of settings that a container uses. Each raises Invalid with the reason."""


def _is_mapping(_setting: Setting, value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in cast("dict[object, object]", value))


_CHECKS: Final[dict[Kind, Callable[[Setting, object], bool]]] = {
    "bool": lambda _, value: isinstance(value, bool),
    "int": lambda setting, value: isinstance(value, int) and _is_number_in_range(setting, value),
    "float": _is_number_in_range,
    "string": lambda _, value: isinstance(value, str) and len(value) <= 4096,
    "choice": lambda setting, value: value in setting.choices,
    "mapping": _is_mapping,
}

_TYPE_TEXTS: Final[dict[Kind, str]] = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "a text of at most 4096 characters",
    "mapping": "a JSON object",
}


def _expected(setting: Setting) -> str:
    if setting.kind == "choice":
        return "one of " + ", ".join(setting.choices)
    has_bounds = setting.kind in ("int", "float") and setting.minimum is not None
    bounds = f" from {value_text(setting.minimum)} to {setting.maximum}" if has_bounds else ""
    unit = f" ({setting.unit})" if setting.unit else ""
    return _TYPE_TEXTS[setting.kind] + bounds + unit

"""The settings of the installation: one value for everybody, changed by an administrator while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from greenroom.core.errors import Invalid
from greenroom.core.settings import Setting, checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """All values in force; each field is the setting of that name in `INSTALLATION_SETTINGS`."""

    session_lifetime_s: int = 288_000
    session_idle_s: int = 43_200
    max_login_attempts: int = 5
    login_window_s: int = 300
    log_retention_rows: int = 400_000


def _setting(name: str, unit: str, minimum: int, description: str) -> Setting:
    default = getattr(Installation(), name)
    return Setting(name=name, kind="int", default=default, unit=unit, minimum=minimum, description=description)


INSTALLATION_SETTINGS: Final[dict[str, Setting]] = {
    setting.name: setting
    for setting in (
        _setting("session_lifetime_s", "s", 60, "A log-in at the console ends after this time in any case"),
        _setting("session_idle_s", "s", 60, "A log-in at the console that is not used for this long ends"),
        _setting("max_login_attempts", "attempts", 1, "Wrong passwords per account and address within the window"),
        _setting("login_window_s", "s", 1, "Length of that window; afterwards the account can be tried again"),
        _setting("log_retention_rows", "rows", 1000, "Rows kept in Diagnostics; the oldest are deleted"),
    )
}
"""name → setting, in the order in which they are shown."""


def installation_of(stored: Mapping[str, Any]) -> Installation:
    """The values in force, given the stored ones; a stored value that is not allowed any more counts as absent."""
    values: dict[str, Any] = {}
    for field in fields(Installation):
        if field.name in stored:
            try:
                values[field.name] = checked(INSTALLATION_SETTINGS[field.name], stored[field.name])
            except Invalid:
                continue
    return Installation(**values)


def validated_installation(name: str, value: object) -> Any:
    """`value` as it is stored for the setting `name` of the installation.

    Raises:
        Invalid: there is no such setting, or the value is not allowed.
    """
    setting = INSTALLATION_SETTINGS.get(name)
    if setting is None:
        raise Invalid(f"There is no setting `{name}`; the settings are {', '.join(INSTALLATION_SETTINGS)}.")
    return checked(setting, value)

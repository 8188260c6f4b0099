"""The settings of the installation. Each has one value for all users, which an administrator can change at run time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from greenroom.core.access.group_settings import Setting, SettingValues
from greenroom.core.access.setting_checks import checked
from greenroom.core.errors import Invalid
from greenroom.core.outgoing import SETTING as WEBHOOK_HOSTS
from greenroom.core.outgoing import Reach, trusted_hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """All values in force, by the names of `INSTALLATION_SETTINGS`."""

    session_lifetime_s: int = 43_200
    session_idle_s: int = 3600
    min_password_length: int = 12
    require_password_change: bool = False
    max_login_attempts: int = 5
    max_login_attempts_per_address: int = 50
    login_window_s: int = 300
    log_retention_rows: int = 400_000
    log_retention_days: int = 30
    security_log_retention_rows: int = 100_000
    security_log_retention_days: int = 365
    launch_retention_days: int = 90
    failed_session_retention_s: int = 3600
    manager_record_retention_days: int = 0
    add_images_to_default_group: bool = True
    anonymous_user_retention_s: int = 3600
    auto_agent: bool = False
    default_cpu_allocation_method: str = "Shares"
    allow_silent_assist: bool = False
    share_outside_groups: bool = False
    control_away_s: int = 60
    max_lease_days: int = 7
    recording_retention_days: int = 14
    recording_max_mb: int = 100
    recordings_max_mb: int = 5000
    recordings_reserved_percent: int = 50
    recordings_user_max_mb: int = 500
    catalogues_on_this_host: bool = False
    catalogues_on_private_networks: bool = False
    machines_on_this_host: bool = False
    webhook_hosts: str = ""

    @property
    def catalogue_reach(self) -> Reach:
        return Reach(this_host=self.catalogues_on_this_host, private_networks=self.catalogues_on_private_networks)


def _setting(name: str, unit: str, minimum: int, description: str) -> Setting:
    default = getattr(Installation(), name)
    return Setting(name=name, kind="int", default=default, unit=unit, minimum=minimum, description=description)


def _switch(name: str, description: str) -> Setting:
    return Setting(name=name, kind="bool", default=getattr(Installation(), name), description=description)


INSTALLATION_SETTINGS: Final[dict[str, Setting]] = {
    setting.name: setting
    for setting in (
        _setting("session_lifetime_s", "s", 60, "A log-in at the console ends after this time in any case"),
        _setting("session_idle_s", "s", 60, "A log-in ends after this time without an open console; streams go on"),
        _setting("min_password_length", "characters", 8, "Characters a new password must have at least"),
        _switch("require_password_change", "Who logs in with a one-time password may do nothing before it is changed"),
        _setting("max_login_attempts", "attempts", 1, "Wrong passwords per account and address within the window"),
        _setting(
            "max_login_attempts_per_address",
            "attempts",
            1,
            "Wrong passwords of all accounts from one address within the window, as many links, ten times as many keys"
            " and tokens",
        ),
        _setting("login_window_s", "s", 1, "Length of that window; afterwards the account can be tried again"),
        _setting("log_retention_rows", "rows", 1000, "Log rows, and as many requests, kept in Diagnostics at most"),
        _setting("log_retention_days", "days", 1, "Rows of Diagnostics older than this are deleted"),
        _setting(
            "security_log_retention_rows",
            "rows",
            1000,
            "Rows of each code of security events (log-ins, refusals, changes) kept at most; no others drive them out",
        ),
        _setting("security_log_retention_days", "days", 1, "Rows of security events older than this are deleted"),
        _setting("launch_retention_days", "days", 1, "How long the ledger says how each launch came about"),
        _setting("failed_session_retention_s", "s", 60, "How long a user's failed session can be read"),
        _setting(
            "manager_record_retention_days",
            "days",
            0,
            "Records of Managers silent for this long are removed, but for a zone's last enabled one; 0: never",
        ),
        _switch("add_images_to_default_group", "A new workspace for which no groups are named is for All Users"),
        _setting(
            "anonymous_user_retention_s", "s", 0, "An anonymous user is deleted this long after their last session"
        ),
        _switch(
            "auto_agent", "A new Agent is enabled at once; off: it waits, unless its join token says that it is enabled"
        ),
        Setting(
            name="default_cpu_allocation_method",
            kind="choice",
            default="Shares",
            choices=("Shares", "Quotas"),
            description="CPU of workspaces that say Inherit: Shares may use what is idle, Quotas are a hard limit",
        ),
        _switch(
            "allow_silent_assist",
            "Administrators with `sessions_assist_silent` may join a session without its user seeing it, where the law"
            " allows that; each time is a row of the log",
        ),
        _setting(
            "control_away_s",
            "s",
            10,
            "A leased desktop goes back to its program when the person who took it over has been away for so long",
        ),
        _setting("max_lease_days", "days", 1, "A lease lasts at most so long in all, however often it is extended"),
        _setting(
            "recording_retention_days", "days", 1, "Recordings of leases are deleted so long after the lease was over"
        ),
        _setting("recording_max_mb", "MB", 0, "Pictures of one recording; what programs did is kept without more"),
        _setting("recordings_max_mb", "MB", 0, "Pictures of all recordings, which are in the database"),
        _setting(
            "recordings_reserved_percent",
            "%",
            0,
            "Of `recordings_max_mb`, for recordings whose pictures a group requires (`record_leases`)",
        ),
        _setting("recordings_user_max_mb", "MB", 0, "Pictures of one user's recordings that no group requires"),
        _switch(
            "share_outside_groups",
            "Users find all users to share a session with, not only those of their own groups besides All Users",
        ),
        _switch(
            "catalogues_on_this_host", "Lists of workspaces may also be read from the api's own host (127.0.0.1, ::1)"
        ),
        _switch(
            "catalogues_on_private_networks",
            "Lists of workspaces may also be read from private networks, as 10.0.0.0/8 and 192.168.0.0/16",
        ),
        _switch(
            "machines_on_this_host", "Ordered machines may join at an address of this host itself (127.0.0.1, ::1)"
        ),
        Setting(
            name=WEBHOOK_HOSTS,
            kind="string",
            default="",
            description="Hosts to which webhooks, also those of machine pools, may also send by http or at private"
            " addresses: host or host:port, separated by commas",
        ),
    )
}
"""Name → setting, in display order."""


def installation_of(stored: SettingValues) -> Installation:
    """Return the values in force. A stored value that is no longer allowed counts as absent."""
    found = Installation()
    for name in INSTALLATION_SETTINGS.keys() & stored.keys():
        with suppress(Invalid):
            found = replace(found, **{name: validated_installation(name, stored[name])})
    return found


def validated_installation(name: str, value: object) -> Any:
    """Return `value` as it is stored for the setting `name`; hosts may also be a list.

    Raises:
        Invalid: there is no such setting, or the value is not allowed.
    """
    setting = INSTALLATION_SETTINGS.get(name)
    if setting is None:
        raise Invalid(f"There is no setting `{name}`; the settings are {', '.join(INSTALLATION_SETTINGS)}.")
    if name == WEBHOOK_HOSTS and isinstance(value, list):
        value = ",".join(map(str, cast("list[object]", value)))
    usable = checked(setting, value)
    if name == WEBHOOK_HOSTS:
        trusted_hosts(usable)
    return usable

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
        _setting("session_lifetime_s", "s", 60, "Maximum duration of a log-in at the console, and of a session token"),
        _setting("session_idle_s", "s", 60, "Time without an open console after which a log-in ends; streams continue"),
        _setting("min_password_length", "characters", 8, "Minimum length of a new password"),
        _switch("require_password_change", "Users with a one-time password must change it before any other request"),
        _setting(
            "max_login_attempts",
            "attempts",
            1,
            "Maximum number of wrong passwords per account and address within `login_window_s`; a known device counts"
            " separately",
        ),
        _setting(
            "max_login_attempts_per_address",
            "attempts",
            1,
            "Maximum number of wrong passwords for all accounts, and of wrong links, from one address within"
            " `login_window_s`; ten times as many wrong keys and tokens",
        ),
        _setting(
            "login_window_s",
            "s",
            1,
            "Time within which failed log-ins are counted, and after which log-ins are possible again",
        ),
        _setting(
            "log_retention_rows",
            "rows",
            1000,
            "Maximum number of log rows, and of requests, in Diagnostics; security events have separate limits",
        ),
        _setting(
            "log_retention_days",
            "days",
            1,
            "Age at which rows of Diagnostics are deleted; security events have separate limits",
        ),
        _setting(
            "security_log_retention_rows",
            "rows",
            1000,
            "Maximum number of rows of each code of security events (log-ins, refusals, changes); other rows do not"
            " count",
        ),
        _setting("security_log_retention_days", "days", 1, "Age at which rows of security events are deleted"),
        _setting("launch_retention_days", "days", 1, "Time for which the ledger keeps launches"),
        _setting(
            "failed_session_retention_s",
            "s",
            60,
            "Maximum time for which a failed session of a user remains readable; the user's next session of the"
            " workspace removes it earlier",
        ),
        _setting(
            "manager_record_retention_days",
            "days",
            0,
            "Time without a report after which the record of a Manager is removed, except the last enabled one of a"
            " zone; 0 = never",
        ),
        _switch("add_images_to_default_group", "New workspaces without groups are for All Users"),
        _setting(
            "anonymous_user_retention_s",
            "s",
            0,
            "Time after the last session of an anonymous user at which the user is deleted",
        ),
        _switch(
            "auto_agent", "New Agents are enabled immediately; off: an administrator or the join token must enable them"
        ),
        Setting(
            name="default_cpu_allocation_method",
            kind="choice",
            default="Shares",
            choices=("Shares", "Quotas"),
            description="CPU allocation of workspaces with Inherit: Shares can use idle cores, Quotas are a hard limit",
        ),
        _switch(
            "allow_silent_assist",
            "Administrators with `sessions_assist_silent` may join a session without an announcement to its user;"
            " check the applicable law first; each join is logged",
        ),
        _setting(
            "control_away_s",
            "s",
            10,
            "Time without the person who took over a leased desktop after which control returns to the program",
        ),
        _setting("max_lease_days", "days", 1, "Maximum total duration of a lease, including all extensions"),
        _setting(
            "recording_retention_days", "days", 1, "Time after the end of a lease at which its recording is deleted"
        ),
        _setting(
            "recording_max_mb",
            "MB",
            0,
            "Maximum total size of the pictures of one recording; further actions are recorded without pictures",
        ),
        _setting(
            "recordings_max_mb",
            "MB",
            0,
            "Maximum total size of the pictures of all recordings, which the database stores",
        ),
        _setting(
            "recordings_reserved_percent",
            "%",
            0,
            "Part of `recordings_max_mb` that is reserved for recordings whose pictures a group requires"
            " (`record_leases`)",
        ),
        _setting(
            "recordings_user_max_mb",
            "MB",
            0,
            "Maximum total size of the pictures of a user's recordings that no group requires",
        ),
        _switch(
            "share_outside_groups",
            "Users can share sessions with all users, not only with members of their own groups (except All Users)",
        ),
        _switch("catalogues_on_this_host", "Lists of workspaces can also be on the host of the api (127.0.0.1, ::1)"),
        _switch(
            "catalogues_on_private_networks",
            "Lists of workspaces can also be in private networks, such as 10.0.0.0/8 and 192.168.0.0/16",
        ),
        _switch("machines_on_this_host", "Ordered machines can join at an address of this host (127.0.0.1, ::1)"),
        Setting(
            name=WEBHOOK_HOSTS,
            kind="string",
            default="",
            description="Hosts to which webhooks, including those of machine pools, can send by http or at private"
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
    """Return `value` as it is stored for the setting `name`; hosts may also be a list. Raises Invalid: there is no such
    setting, or the value is not allowed."""
    setting = INSTALLATION_SETTINGS.get(name)
    if setting is None:
        raise Invalid(f"There is no setting `{name}`; the settings are {', '.join(INSTALLATION_SETTINGS)}.")
    if name == WEBHOOK_HOSTS and isinstance(value, list):
        value = ",".join(map(str, cast("list[object]", value)))
    usable = checked(setting, value)
    if name == WEBHOOK_HOSTS:
        trusted_hosts(usable)
    return usable

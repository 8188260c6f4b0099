"""The settings of the installation. Each setting has one value for all users. Administrators change it at run time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, cast

from greenroom.core.access.group_settings import SettingValues
from greenroom.core.access.setting_checks import validated_value
from greenroom.core.access.setting_definitions import Kind, Setting
from greenroom.core.branding import BRANDING_LENGTHS, check_branding
from greenroom.core.errors import Invalid
from greenroom.core.outgoing import WEBHOOK_HOSTS, AllowedNetworks, trusted_hosts
from greenroom.core.text import suggest_name

_LOG_IN: Final = "Log-in"
_USERS: Final = "Users and workspaces"
_SESSIONS: Final = "Sessions"
_LEASES: Final = "Leases and recordings"
_FLEET: Final = "Agents and Managers"
_LOGS: Final = "Logs and audit"
_OUTGOING: Final = "Outgoing connections"
_APPEARANCE: Final = "Appearance"


def _number(section: str, title: str, default: int, unit: str, description: str, *, minimum: int) -> int:
    facts = {"section": section, "title": title, "unit": unit, "minimum": minimum, "description": description}
    return field(default=default, metadata=facts | {"kind": "int"})


def _switch(section: str, title: str, description: str, *, default: bool = False) -> bool:
    facts = {"section": section, "title": title, "description": description}
    return field(default=default, metadata=facts | {"kind": "bool"})


def _text(
    section: str,
    title: str,
    default: str,
    description: str,
    *,
    kind: Kind = "string",
    choices: tuple[str, ...] = (),
) -> str:
    facts = {"section": section, "title": title, "description": description}
    return field(default=default, metadata=facts | {"kind": kind, "choices": choices})


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The values of all settings. Each field defines its setting: section, title, default, kind, unit, minimum, and
    description."""

    session_lifetime_s: int = _number(
        _LOG_IN,
        "Log-in lifetime",
        43_200,
        "s",
        "Maximum duration of a log-in at the console, and of a token with which a program acts for a user; sessions"
        " continue after it",
        minimum=60,
    )
    session_idle_s: int = _number(
        _LOG_IN,
        "Log-in idle time",
        3600,
        "s",
        "Time after which a user without an open console is logged out; open desktops continue",
        minimum=60,
    )
    min_password_length: int = _number(
        _LOG_IN, "Minimum password length", 12, "characters", "Minimum length of a new password", minimum=8
    )
    require_password_change: bool = _switch(
        _LOG_IN,
        "Require password change",
        "The password that Greenroom generated at its first start must be changed at the first log-in, before the"
        " console can be used",
    )
    max_login_attempts: int = _number(
        _LOG_IN,
        "Maximum log-in attempts",
        5,
        "attempts",
        "Maximum number of wrong passwords per account and address within `login_window_s`. Attempts from a known"
        " device (a browser in which the user logged in within the last 90 days) count separately",
        minimum=1,
    )
    max_login_attempts_per_address: int = _number(
        _LOG_IN,
        "Maximum log-in attempts per address",
        50,
        "attempts",
        "Maximum number of failed attempts from one address within `login_window_s`: wrong passwords, wrong links, and"
        " refused log-ins of sign-on providers. The maximum for wrong keys and tokens is ten times as high",
        minimum=1,
    )
    login_window_s: int = _number(
        _LOG_IN,
        "Log-in attempt window",
        300,
        "s",
        "Time in which failed log-ins are counted, and for which log-ins are then refused",
        minimum=1,
    )
    add_images_to_default_group: bool = _switch(
        _USERS,
        "New workspaces for All Users",
        "New workspaces without groups are available to the group All Users",
        default=True,
    )
    anonymous_user_retention_s: int = _number(
        _USERS,
        "Anonymous user retention",
        3600,
        "s",
        "Time after the last session of an anonymous user at which the user is deleted",
        minimum=0,
    )
    homes_of_deleted_users_days: int = _number(
        _USERS,
        "Home folders of deleted users",
        0,
        "days",
        "Time after its last use at which a home folder of a deleted user is deleted; 0 = never, and an administrator"
        " deletes it",
        minimum=0,
    )
    default_cpu_allocation_method: str = _text(
        _SESSIONS,
        "Default CPU allocation method",
        "Shares",
        "CPU allocation of workspaces whose own method is Inherit: Shares can use idle cores, Quotas are a hard limit",
        kind="choice",
        choices=("Shares", "Quotas"),
    )
    failed_session_retention_s: int = _number(
        _SESSIONS,
        "Failed session retention",
        3600,
        "s",
        "Time after which a failed session of a user is removed, with its error; the user's next session of the"
        " workspace removes it earlier",
        minimum=60,
    )
    share_outside_groups: bool = _switch(
        _SESSIONS,
        "Share outside groups",
        "Users can share sessions with all users; off: only with members of their own groups other than All Users",
    )
    allow_silent_assist: bool = _switch(
        _SESSIONS,
        "Allow silent assist",
        "Administrators with `sessions_assist_silent` may join a session without an announcement to its user;"
        " check the applicable law first; each join is logged",
    )
    control_away_s: int = _number(
        _LEASES,
        "Control return time",
        60,
        "s",
        "Time after which control of a leased desktop returns to the program if the user who took over has left",
        minimum=10,
    )
    max_lease_days: int = _number(
        _LEASES,
        "Maximum lease duration",
        7,
        "days",
        "Maximum total duration of a lease, including all extensions",
        minimum=1,
    )
    recording_retention_days: int = _number(
        _LEASES,
        "Recording retention",
        14,
        "days",
        "Time after the end of a lease at which its recording is deleted",
        minimum=1,
    )
    recording_max_mb: int = _number(
        _LEASES,
        "Maximum size of a recording",
        100,
        "MB",
        "Maximum total size of the pictures of one recording; further actions are recorded without pictures",
        minimum=0,
    )
    recordings_max_mb: int = _number(
        _LEASES,
        "Maximum size of all recordings",
        5000,
        "MB",
        "Maximum total size of the pictures of all recordings, which the database stores",
        minimum=0,
    )
    recordings_reserved_percent: int = _number(
        _LEASES,
        "Reserved recording space",
        50,
        "%",
        "Part of `recordings_max_mb` that is reserved for members of groups whose `record_leases` is `pictures`",
        minimum=0,
    )
    recordings_user_max_mb: int = _number(
        _LEASES,
        "Maximum size of the recordings of a user",
        500,
        "MB",
        "Maximum total size of the pictures of a user's recordings; does not apply to members of groups whose"
        " `record_leases` is `pictures`",
        minimum=0,
    )
    session_video_retention_days: int = _number(
        _LEASES,
        "Session video retention",
        30,
        "days",
        "Time after the last picture of a session video at which the video is deleted",
        minimum=1,
    )
    auto_agent: bool = _switch(
        _FLEET,
        "Enable new Agents",
        "New Agents are enabled immediately; off: an administrator or the join token must enable them",
    )
    manager_record_retention_days: int = _number(
        _FLEET,
        "Manager record retention",
        0,
        "days",
        "Time without a report after which the record of a Manager is removed, except the last enabled one of a"
        " zone; 0 = never",
        minimum=0,
    )
    log_retention_rows: int = _number(
        _LOGS,
        "Maximum log rows",
        400_000,
        "rows",
        "Maximum number of log rows, and of requests to Managers; security events have separate limits",
        minimum=1000,
    )
    log_retention_days: int = _number(
        _LOGS,
        "Log retention",
        30,
        "days",
        "Age at which log rows and requests are deleted; security events have separate limits",
        minimum=1,
    )
    security_log_retention_rows: int = _number(
        _LOGS,
        "Maximum security log rows",
        100_000,
        "rows",
        "Maximum number of rows for each kind (code) of security event, such as log-ins, refusals and changes",
        minimum=1000,
    )
    security_log_retention_days: int = _number(
        _LOGS, "Security log retention", 365, "days", "Age at which rows of security events are deleted", minimum=1
    )
    launch_retention_days: int = _number(
        _LOGS, "Launch retention", 90, "days", "Time for which launches are kept", minimum=1
    )
    audit_retention_days: int = _number(
        _LOGS,
        "Audit retention",
        365,
        "days",
        "Age at which whole days of the audit are deleted, at least 30 days; 0 = never",
        minimum=0,
    )
    backup_warning_days: int = _number(
        _LOGS,
        "Age of backups",
        2,
        "days",
        "Age of the last successful backup from which on Today shows a warning, if there ever was one; 0 = never",
        minimum=0,
    )
    audit_hold: bool = _switch(
        _LOGS, "Legal hold", "Legal hold: no events of the audit and no session videos are deleted"
    )
    catalogues_on_this_host: bool = _switch(
        _OUTGOING, "Catalogues on this host", "Third-party catalogues can be on the host of the api (127.0.0.1, ::1)"
    )
    catalogues_on_private_networks: bool = _switch(
        _OUTGOING,
        "Catalogues on private networks",
        "Third-party catalogues can be in private networks, such as 10.0.0.0/8 and 192.168.0.0/16",
    )
    machines_on_this_host: bool = _switch(
        _OUTGOING, "Machines on this host", "Ordered machines can join at an address of this host (127.0.0.1, ::1)"
    )
    webhook_hosts: str = _text(
        _OUTGOING,
        "Webhook hosts",
        "",
        "Hosts to which webhooks, including those of machine pools, can send by http or at private addresses: host or"
        " host:port, separated by commas",
    )
    installation_name: str = _text(
        _APPEARANCE,
        "Installation name",
        "",
        "Name of the installation on the log-in page, in the header and in titles; empty = Greenroom",
    )
    login_notice: str = _text(
        _APPEARANCE, "Log-in notice", "", "Notice on the log-in page, visible to everyone, such as terms of use"
    )
    support_url: str = _text(
        _APPEARANCE,
        "Support link",
        "",
        "Address of the support link on the log-in page and in the menu of the account: https:// or mailto:",
    )

    @property
    def catalogue_networks(self) -> AllowedNetworks:
        return AllowedNetworks(
            this_host=self.catalogues_on_this_host, private_networks=self.catalogues_on_private_networks
        )


INSTALLATION_SETTINGS: Final = {
    each.name: Setting(name=each.name, default=each.default, **each.metadata) for each in fields(Installation)
}
"""Name → setting, in display order."""


def installation_of(stored: SettingValues) -> Installation:
    """Return the values in force: for each setting, the stored value if it is valid, otherwise the default."""
    installation = Installation()
    for name in INSTALLATION_SETTINGS.keys() & stored.keys():
        with suppress(Invalid):
            installation = replace(installation, **{name: validated_installation(name, stored[name])})
    return installation


def validated_installation(name: str, value: object) -> Any:
    """Return `value` as it is stored for the setting `name`. The value of `WEBHOOK_HOSTS` may also be a list. Raises
    Invalid: there is no such setting, or the value is invalid."""
    setting = INSTALLATION_SETTINGS.get(name)
    if setting is None:
        suggestion = suggest_name(name, INSTALLATION_SETTINGS, f"the settings are {', '.join(INSTALLATION_SETTINGS)}.")
        raise Invalid(f"There is no setting `{name}`; {suggestion}")
    if name == WEBHOOK_HOSTS and isinstance(value, list):
        value = ",".join(map(str, cast("list[object]", value)))
    checked_value = validated_value(setting, value)
    if name == WEBHOOK_HOSTS:
        trusted_hosts(checked_value)
    if name in BRANDING_LENGTHS:
        check_branding(name, checked_value)
    return checked_value

"""The settings of the installation. Each setting has one value for all users. Administrators change it at run time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, cast

from greenroom.core.access.group_settings import Kind, Setting, SettingValues
from greenroom.core.access.setting_checks import validated_value
from greenroom.core.branding import BRANDING_LENGTHS, check_branding
from greenroom.core.errors import Invalid
from greenroom.core.outgoing import WEBHOOK_HOSTS, AllowedNetworks, trusted_hosts


def _number(default: int, unit: str, minimum: int, description: str) -> int:
    return field(
        default=default, metadata={"kind": "int", "unit": unit, "minimum": minimum, "description": description}
    )


def _switch(description: str, *, default: bool = False) -> bool:
    return field(default=default, metadata={"kind": "bool", "description": description})


def _text(default: str, description: str, *, kind: Kind = "string", choices: tuple[str, ...] = ()) -> str:
    return field(default=default, metadata={"kind": kind, "choices": choices, "description": description})


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The values of all settings. Each field defines its setting: default, kind, unit, minimum, and description."""

    session_lifetime_s: int = _number(
        43_200,
        "s",
        60,
        "Maximum duration of a log-in at the console, and of a token that a program got for a user; desktop sessions"
        " do not depend on it",
    )
    session_idle_s: int = _number(
        3600, "s", 60, "Time without an open console after which a log-in ends; streams continue"
    )
    min_password_length: int = _number(12, "characters", 8, "Minimum length of a new password")
    require_password_change: bool = _switch(
        "The password that Greenroom generated at its first start must be changed at the first log-in, before the"
        " console can be used"
    )
    max_login_attempts: int = _number(
        5,
        "attempts",
        1,
        "Maximum number of wrong passwords per account and address within `login_window_s`. Attempts from a known"
        " device (a browser in which the user logged in within the last 90 days) count separately",
    )
    max_login_attempts_per_address: int = _number(
        50,
        "attempts",
        1,
        "Maximum number of failed attempts from one address within `login_window_s`: wrong passwords, wrong links, and"
        " refused log-ins of sign-on providers. The maximum for wrong keys and tokens is ten times as high",
    )
    login_window_s: int = _number(
        300, "s", 1, "Time within which failed log-ins are counted, and after which log-ins are possible again"
    )
    log_retention_rows: int = _number(
        400_000,
        "rows",
        1000,
        "Maximum number of log rows, and of requests to Managers; security events have separate limits",
    )
    log_retention_days: int = _number(
        30, "days", 1, "Age at which log rows and requests are deleted; security events have separate limits"
    )
    security_log_retention_rows: int = _number(
        100_000,
        "rows",
        1000,
        "Maximum number of rows for each kind (code) of security event, such as log-ins, refusals and changes",
    )
    security_log_retention_days: int = _number(365, "days", 1, "Age at which rows of security events are deleted")
    audit_retention_days: int = _number(
        365, "days", 0, "Age at which whole days of the audit are deleted, at least 30 days; 0 = never"
    )
    audit_hold: bool = _switch("Legal hold: no events of the audit and no session videos are deleted")
    launch_retention_days: int = _number(90, "days", 1, "Time for which launches are kept")
    failed_session_retention_s: int = _number(
        3600,
        "s",
        60,
        "Time after which a failed session of a user is removed, with its error; the user's next session of the"
        " workspace removes it earlier",
    )
    manager_record_retention_days: int = _number(
        0,
        "days",
        0,
        "Time without a report after which the record of a Manager is removed, except the last enabled one of a"
        " zone; 0 = never",
    )
    add_images_to_default_group: bool = _switch(
        "New workspaces without groups are available to the group All Users", default=True
    )
    anonymous_user_retention_s: int = _number(
        3600, "s", 0, "Time after the last session of an anonymous user at which the user is deleted"
    )
    homes_of_deleted_users_days: int = _number(
        0,
        "days",
        0,
        "Time after its last use at which a home folder of a deleted user is deleted; 0 = never, and an administrator"
        " deletes it",
    )
    auto_agent: bool = _switch(
        "New Agents are enabled immediately; off: an administrator or the join token must enable them"
    )
    default_cpu_allocation_method: str = _text(
        "Shares",
        "CPU allocation of workspaces with Inherit: Shares can use idle cores, Quotas are a hard limit",
        kind="choice",
        choices=("Shares", "Quotas"),
    )
    allow_silent_assist: bool = _switch(
        "Administrators with `sessions_assist_silent` may join a session without an announcement to its user;"
        " check the applicable law first; each join is logged"
    )
    control_away_s: int = _number(
        60,
        "s",
        10,
        "Time after which control of a leased desktop returns to the program if the user who took over has left",
    )
    max_lease_days: int = _number(7, "days", 1, "Maximum total duration of a lease, including all extensions")
    recording_retention_days: int = _number(
        14, "days", 1, "Time after the end of a lease at which its recording is deleted"
    )
    recording_max_mb: int = _number(
        100,
        "MB",
        0,
        "Maximum total size of the pictures of one recording; further actions are recorded without pictures",
    )
    recordings_max_mb: int = _number(
        5000, "MB", 0, "Maximum total size of the pictures of all recordings, which the database stores"
    )
    recordings_reserved_percent: int = _number(
        50,
        "%",
        0,
        "Part of `recordings_max_mb` that is reserved for members of groups whose `record_leases` is `pictures`",
    )
    recordings_user_max_mb: int = _number(
        500,
        "MB",
        0,
        "Maximum total size of the pictures of a user's recordings; does not apply to members of groups whose"
        " `record_leases` is `pictures`",
    )
    session_video_retention_days: int = _number(
        30, "days", 1, "Time after the last picture of a session video at which the video is deleted"
    )
    share_outside_groups: bool = _switch(
        "Users can share sessions with all users; off: only with members of their own groups other than All Users"
    )
    catalogues_on_this_host: bool = _switch("Third-party catalogues can be on the host of the api (127.0.0.1, ::1)")
    catalogues_on_private_networks: bool = _switch(
        "Third-party catalogues can be in private networks, such as 10.0.0.0/8 and 192.168.0.0/16"
    )
    machines_on_this_host: bool = _switch("Ordered machines can join at an address of this host (127.0.0.1, ::1)")
    installation_name: str = _text(
        "", "Name of the installation on the log-in page, in the header and in titles; empty = Greenroom"
    )
    login_notice: str = _text("", "Notice on the log-in page, visible to everyone, such as terms of use")
    support_url: str = _text(
        "", "Address of the support link on the log-in page and in the menu of the account: https:// or mailto:"
    )
    webhook_hosts: str = _text(
        "",
        "Hosts to which webhooks, including those of machine pools, can send by http or at private addresses: host or"
        " host:port, separated by commas",
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
        raise Invalid(f"There is no setting `{name}`; the settings are {', '.join(INSTALLATION_SETTINGS)}.")
    if name == WEBHOOK_HOSTS and isinstance(value, list):
        value = ",".join(map(str, cast("list[object]", value)))
    checked_value = validated_value(setting, value)
    if name == WEBHOOK_HOSTS:
        trusted_hosts(checked_value)
    if name in BRANDING_LENGTHS:
        check_branding(name, checked_value)
    return checked_value

"""The codes of log rows: meaning, level, and whether they are security events. Codes are for programs and never change.

docs/reference/logs.md has the same table; a test compares.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal

from greenroom.core.session.states import SessionStatus

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LEVELS: Final[tuple[Level, ...]] = ("DEBUG", "INFO", "WARNING", "ERROR")

LogDetails = dict[str, Any]
"""JSON with the sentence of a row: `who`, `before` and `after` of a change, otherwise data for programs."""

INFO: Final = "INFO"
WARNING: Final = "WARNING"
ERROR: Final = "ERROR"
SECURITY: Final = "security"


class LogCode(StrEnum):
    """Code, default level, the event that it records, and whether it is a security event."""

    level: Level
    meaning: str
    is_security: bool

    def __new__(cls, code: str, level: Level, meaning: str, mark: Literal["security", ""] = "") -> LogCode:
        member = str.__new__(cls, code)
        member._value_ = code
        member.level, member.meaning, member.is_security = level, meaning, mark == SECURITY
        return member

    # Launches and staging
    SESSION_LAUNCHED = (
        "session-launched",
        INFO,
        "a user got a session: staged or created on demand, with the zone and the Agent",
        SECURITY,
    )
    LAUNCH_REFUSED = (
        "launch-refused",
        WARNING,
        "another session uses the profile, so a launch was refused; once a minute per user and workspace",
    )
    LAUNCH_FAILED = "launch-failed", WARNING, "a launch got no session; `details` has each step with its reason"
    STAGING_VIOLATION = (
        "staging-violation",
        WARNING,
        "a setting excluded a user from staged sessions; one row per setting",
    )
    STAGING_MISS = "staging-miss", WARNING, "a user got no staged session, with the reason"
    STAGING_SHORTFALL = "staging-shortfall", WARNING, "a pool is short, with the cause as `details.code`"
    STAGING_RECOVERED = "staging-recovered", INFO, "the cause of a shortfall is over: the pool is full or fills again"
    STAGED_SESSION_CREATED = "staged-session-created", INFO, "the pool started a session, with the reason"
    STAGED_SESSION_ENDED = "staged-session-ended", INFO, "the pool ended a session, with the reason"
    STAGED_SESSION_FAILED = "staged-session-failed", ERROR, "a session of the pool failed to start, with the reason"
    STAGED_SESSION_BROKEN = (
        "staged-session-broken",
        ERROR,
        "a session of the pool failed, with the reason: no user gets it, and the pool replaces it",
    )
    SESSION_SET_ASIDE = (
        "session-set-aside",
        WARNING,
        "a hand-over failed: the session is quarantined for inspection, and the user gets another session",
    )
    SET_ASIDE_RECOVERED = (
        "set-aside-recovered",
        INFO,
        "a session that was quarantined because it was slow responds again, and ends",
    )
    SESSION_START_FAILED = "session-start-failed", WARNING, "a user's session failed to start; a retry may follow"

    # The life of a session
    SESSION_REQUESTED = "session-requested", INFO, "the session waits for its Agent"
    SESSION_STARTING = "session-starting", INFO, "the container of the session is starting, or runs again"
    SESSION_RUNNING = "session-running", INFO, "the session is usable"
    SESSION_ASSIGNING = "session-assigning", INFO, "the hand-over of the session to a user has begun"
    SESSION_STOPPING = "session-stopping", INFO, "the stop of the session has begun"
    SESSION_STOPPED = "session-stopped", INFO, "the programs of the session have ended; its disk stays"
    SESSION_PAUSING = "session-pausing", INFO, "the pause of the session has begun"
    SESSION_PAUSED = "session-paused", INFO, "the programs of the session are frozen"
    SESSION_DELETING = "session-deleting", INFO, "the deletion of the session has begun"
    SESSION_DELETED = "session-deleted", INFO, "its container is removed, and its reservation is released"
    SESSION_FAILED = "session-failed", ERROR, "it failed, with the reason; it has the last log lines of its container"
    SESSION_UNREACHABLE = "session-unreachable", INFO, "its Agent is missing; it has no user and is not assigned"
    SESSION_LOST = "session-lost", WARNING, "its Agent has been missing for long; the session returns with its Agent"
    SESSION_STOP_REQUESTED = "session-stop-requested", INFO, "a stop was requested"
    SESSION_PAUSE_REQUESTED = "session-pause-requested", INFO, "a pause was requested"
    SESSION_RESUME_REQUESTED = "session-resume-requested", INFO, "a resume was requested"
    SESSION_DELETE_REQUESTED = "session-delete-requested", INFO, "a deletion was requested"
    SESSION_FORCE_DELETED = "session-force-deleted", WARNING, "a user deleted the session by force", SECURITY
    SESSION_EXPIRED = "session-expired", INFO, "the session expired, with the setting, its value and its group"
    SESSION_COMMAND = (
        "session-command",
        INFO,
        "a user ran a command in the session: the program and the account, never arguments or variables",
        SECURITY,
    )
    SESSION_SCREENSHOT = (
        "session-screenshot",
        INFO,
        "a user takes screenshots of another user's session, which displays this; at most one row in ten minutes",
        SECURITY,
    )
    SESSION_ENTERED = "session-entered", INFO, "a user acts in another user's session, or reads from it", SECURITY
    SHARE_CREATED = (
        "share-created",
        INFO,
        "a session was shared, with the users or guests, the access and the duration",
        SECURITY,
    )
    SHARE_ENDED = "share-ended", INFO, "a share ended, with the reason", SECURITY
    CONTROL_TAKEN_BACK = "control-taken-back", INFO, "all other viewers of a session can only watch now", SECURITY
    SECRETS_GRANTED = "secrets-granted", INFO, "a lease has secrets, with its caller and their names", SECURITY
    CONTROL_TAKEN_OVER = (
        "control-taken-over",
        INFO,
        "a person took over a leased desktop, with the person who had control before",
        SECURITY,
    )
    CONTROL_HANDED_BACK = "control-handed-back", INFO, "control returned to the program, with the reason", SECURITY
    RECORDING_VIEWED = "recording-viewed", INFO, "a user viewed a recording of another user; once in 10 min", SECURITY
    RECORDING_EXPORTED = "recording-exported", INFO, "a user exported a recording of another user", SECURITY
    RECORDINGS_FULL = "recordings-full", WARNING, "pictures of recordings are omitted, with the limit; once an hour"
    RECORDING_DELETED = "recording-deleted", INFO, "a recording was deleted, with the caller and the owner", SECURITY
    VIEWER_JOINED = "viewer-joined", INFO, "a viewer joined a shared session: name, share and address", SECURITY
    VIEWER_LEFT = "viewer-left", INFO, "a viewer left a shared session, or was disconnected", SECURITY
    SESSION_ASSISTED = (
        "session-assisted",
        INFO,
        "an administrator joined the session of a user: the name, view-only or control, and whether announced",
        SECURITY,
    )
    STREAM_OPENED = (
        "stream-opened",
        INFO,
        (
            "a viewer opened the stream of a session, with the address; at most one row in ten minutes for each "
            "log-in or token and address"
        ),
        SECURITY,
    )
    STREAM_CLOSED = (
        "stream-closed",
        INFO,
        (
            "a viewer left the stream, with the session, the address and the duration, accurate to about "
            "five seconds; one row for each visit. A viewer who returns from the same address within 30 s "
            "has not left. The row is missing if the Agent was restarted in between or its host was lost"
        ),
        SECURITY,
    )
    STREAM_REFUSED = "stream-refused", WARNING, "a viewer was refused, with the reason", SECURITY

    # Managers and Agents
    PRIMARY_ELECTED = "primary-elected", INFO, "a Manager became Primary of its zone, with the term and the reason"
    PRIMARY_RESIGNED = "primary-resigned", INFO, "a Manager is no longer Primary: it was disabled or is being stopped"
    PRIMARY_LOST = (
        "primary-lost",
        WARNING,
        "a Manager lost the leadership, because it did not renew it in time or lost its connection to the database",
    )
    PRIMARY_TASK_FAILED = (
        "primary-task-failed",
        ERROR,
        "a task of the Primary failed, with the row and the reason; it is retried, and the others continue",
    )
    MANAGER_ENABLED = "manager-enabled", INFO, "a Manager noticed that it was enabled"
    MANAGER_DISABLED = "manager-disabled", INFO, "a Manager noticed that it was disabled"
    MANAGER_RESTARTED = (
        "manager-restarted",
        WARNING,
        "`greenroom up` restarted a Manager that hung or did not respond, with the reason",
    )
    PART_RESTARTED = (
        "part-restarted",
        WARNING,
        "`greenroom up` restarted the api or an Agent that had not responded for two minutes",
    )
    MANAGER_REMOVED = (
        "manager-removed",
        INFO,
        "the record of a Manager that did not report for `manager_record_retention_days` was removed",
    )
    MANAGER_REQUESTS_DROPPED = (
        "manager-requests-dropped",
        WARNING,
        "requests of Agents are missing in *Manager requests*",
    )
    AGENT_REGISTERED = "agent-registered", INFO, "an Agent registered, with its properties", SECURITY
    AGENT_REFUSED = (
        "agent-refused",
        WARNING,
        "a host with the identity of a known Agent was refused, with its address and the reason",
        SECURITY,
    )
    JOIN_REFUSED = (
        "join-refused",
        WARNING,
        (
            "a host with a join token was refused, with its address and the reason; like `agent-refused`, at "
            "most 20 a minute from one address"
        ),
        SECURITY,
    )
    EDGE_ADDRESS_CHANGED = (
        "edge-address-changed",
        WARNING,
        "a known Agent joined again with a token and another address of its edge gateway, with the former address",
        SECURITY,
    )
    EDGE_ADDRESS_REQUESTED = (
        "edge-address-requested",
        WARNING,
        "an Agent reports another address of its edge gateway, which waits for confirmation, with the command for it",
        SECURITY,
    )
    EDGE_CERTIFICATE_ISSUED = (
        "edge-certificate-issued",
        INFO,
        "an Agent got a certificate for its edge gateway",
        SECURITY,
    )
    IMAGE_COPIED = "image-copied", INFO, "an Agent copies an image to another one", SECURITY
    EDGE_CERTIFICATE_FAILED = (
        "edge-certificate-failed",
        ERROR,
        "a certificate could not be signed, because the key of the fleet's authority is unreadable",
        SECURITY,
    )
    AGENT_RUNNING = "agent-running", INFO, "an Agent is promoted, or has returned"
    AGENT_MISSING = "agent-missing", WARNING, "an Agent has not reported for 15 s and gets no new sessions"
    AGENT_DEAD = "agent-dead", WARNING, "an Agent has not reported for an hour; its sessions end"
    AGENT_NEW_DATABASE = "agent-new-database", WARNING, "an Agent noticed that the database was restored or replaced"
    CRASH_LOOPING = "crash-looping", ERROR, "the api started three times within five minutes, with its last error"
    LOOP_FAILED = "loop-failed", ERROR, "a loop of a process failed, with the reason; it restarts after a pause"
    AGENT_ACTION_FAILED = (
        "agent-action-failed",
        ERROR,
        "an Agent could not create, start, stop or remove a container, with the runtime's message",
    )
    AGENT_FIRST_LAUNCH = "agent-first-launch", ERROR, "the command `first_launch` failed"
    AGENT_SPEC = "agent-spec", ERROR, "an Agent cannot read the specification of a session"
    AGENT_REPORT_UNKNOWN = "agent-report-unknown", WARNING, "an Agent reported a container without a session"
    AGENT_REPORT_MISMATCH = (
        "agent-report-mismatch",
        WARNING,
        "the specification of a container differs from the desired one",
    )
    AGENT_STRANGER_REMOVED = "agent-stranger-removed", WARNING, "a container without a session was removed"
    AGENT_OFFERS_NOTHING = (
        "agent-offers-nothing",
        ERROR,
        "the Docker daemon of a host has not responded for 30 s, so no session is placed there",
    )
    AGENT_OFFERS_AGAIN = "agent-offers-again", INFO, "the Docker daemon of a host responds again"
    MACHINE_ORDERED = "machine-ordered", INFO, "a machine pool ordered a machine, with the reason"
    MACHINE_MOVED = (
        "machine-moved",
        INFO,
        "an ordered machine was created, joined, drains, is used again, is released or is gone, with the reason",
    )
    MACHINE_ORDER_FAILED = (
        "machine-order-failed",
        WARNING,
        "an ordered machine failed, with the reason; the pool orders the next machine later",
    )
    MACHINE_PROVIDER_FAILED = (
        "machine-provider-failed",
        WARNING,
        "the provider of a machine pool failed, with the time of the next attempt",
    )
    MACHINE_UNKNOWN = (
        "machine-unknown",
        WARNING,
        ("a provider lists a machine without an order, for example after a restore, or two of one order; they stay"),
    )
    AGENT_DISK_SHORT = "agent-disk-short", ERROR, "a host has too little free disk space and accepts no new session"
    AGENT_DISK_FREE = "agent-disk-free", INFO, "a host has enough free disk space again"
    HOME_NOT_REMOVED = (
        "home-folder-not-removed",
        WARNING,
        "an Agent failed to delete a home folder, with the reason; it retries",
    )
    SESSION_DISK_FULL = (
        "session-disk-full",
        WARNING,
        "a session was stopped because of its [disk use](workspaces.md#disk)",
    )
    AGENT_HOST_LIMIT = (
        "agent-host-limit",
        WARNING,
        "a host has more containers than one of its [limits](host-limits.md) allows, with the limit and the solution",
    )
    AGENT_OFFER_CHANGED = (
        "agent-offer-changed",
        INFO,
        "the offer of an Agent changed with its report or an override, with the values before and after",
    )
    CAPACITY_CORRECTED = (
        "capacity-corrected",
        WARNING,
        ("the reserved resources of an Agent differed from its sessions and were corrected, with both values"),
    )
    WEB_FILTER_DENIED = "web-filter-denied", INFO, "a web filter refused a request of a session"
    WEB_FILTER_DOWN = (
        "web-filter-down",
        WARNING,
        "the web filter of a policy does not run; its sessions have no network",
    )
    WEBHOOK_GIVEN_UP = (
        "webhook-given-up",
        WARNING,
        "messages of a webhook were discarded after all attempts, or because too many wait, with the reason",
    )
    LOG_ROWS_DROPPED = "log-rows-dropped", WARNING, "log rows were lost, with their number"

    # People and changes
    LOGIN = "login", INFO, "a user logged in", SECURITY
    LOGOUT = "logout", INFO, "a user logged out, or ended one of their log-ins", SECURITY
    LOGIN_FAILED = "login-failed", WARNING, "a wrong password, or an invalid link", SECURITY
    LOGIN_THROTTLED = (
        "login-throttled",
        WARNING,
        (
            "too many wrong passwords, links, keys or tokens of one account or from one address; further attempts"
            " get 429"
        ),
        SECURITY,
    )
    LOGIN_LINK_CREATED = "login-link-created", INFO, "a program got a link that logs a user in once", SECURITY
    SESSION_TOKEN_CREATED = "session-token-created", INFO, "a program got a session token of a user", SECURITY
    PASSWORD_CHANGED = "password-changed", INFO, "a user changed their password", SECURITY
    PERMISSION_DENIED = "permission-denied", WARNING, "a user tried a change without permission", SECURITY
    API_KEY_REFUSED = "api-key-refused", WARNING, "an API key had a wrong secret, was disabled or expired", SECURITY
    USER_CREATED = "user-created", INFO, "users, their attributes and log-ins"
    USER_CHANGED = "user-changed", INFO, "users, their attributes and log-ins"
    USER_DELETED = "user-deleted", INFO, "users, their attributes and log-ins"
    GROUP_CREATED = "group-created", INFO, "groups, their settings, members and workspaces"
    GROUP_CHANGED = "group-changed", INFO, "groups, their settings, members and workspaces"
    GROUP_DELETED = "group-deleted", INFO, "groups, their settings, members and workspaces"
    API_KEY_CREATED = "api-key-created", INFO, "API keys"
    API_KEY_CHANGED = "api-key-changed", INFO, "API keys"
    API_KEY_DELETED = "api-key-deleted", INFO, "API keys"
    WORKSPACE_CREATED = "workspace-created", INFO, "workspaces"
    WORKSPACE_CHANGED = "workspace-changed", INFO, "workspaces"
    WORKSPACE_DELETED = "workspace-deleted", INFO, "workspaces"
    HOME_FOLDER_DELETED = "home-folder-deleted", INFO, "home folders"
    CATALOGUE_CREATED = "catalogue-created", INFO, "catalogues of other registries"
    CATALOGUE_DELETED = "catalogue-deleted", INFO, "catalogues of other registries"
    MACHINE_POOL_CREATED = "machine-pool-created", INFO, "machine pools"
    MACHINE_POOL_CHANGED = "machine-pool-changed", INFO, "machine pools"
    MACHINE_POOL_DELETED = "machine-pool-deleted", INFO, "machine pools"
    STAGING_CONFIG_CREATED = "staging-config-created", INFO, "staging configs"
    STAGING_CONFIG_CHANGED = "staging-config-changed", INFO, "staging configs"
    STAGING_CONFIG_DELETED = "staging-config-deleted", INFO, "staging configs"
    WEB_FILTER_POLICY_CREATED = "web-filter-policy-created", INFO, "web filter policies"
    WEB_FILTER_POLICY_CHANGED = "web-filter-policy-changed", INFO, "web filter policies"
    WEB_FILTER_POLICY_DELETED = "web-filter-policy-deleted", INFO, "web filter policies"
    SECRET_CREATED = "secret-created", INFO, "secrets that leases use, never their values"
    SECRET_CHANGED = "secret-changed", WARNING, "secrets that leases use, never their values"
    SECRET_DELETED = "secret-deleted", INFO, "secrets that leases use, never their values"
    ZONE_CREATED = "zone-created", INFO, "zones"
    ZONE_CHANGED = "zone-changed", INFO, "zones"
    ZONE_DELETED = "zone-deleted", INFO, "zones"
    ZONE_ADDRESSES_CHANGED = "zone-addresses-changed", WARNING, "zones with the address of a host that is not served"
    MANAGER_CHANGED = "manager-changed", INFO, "Managers"
    MANAGER_DELETED = "manager-deleted", INFO, "Managers"
    AGENT_CHANGED = "agent-changed", INFO, "Agents and their credentials"
    AGENT_DELETED = "agent-deleted", INFO, "Agents and their credentials"
    AGENT_CREDENTIAL_DELETED = "agent-credential-deleted", INFO, "Agents and their credentials"
    JOIN_TOKEN_CREATED = "join-token-created", INFO, "join tokens created and revoked"
    JOIN_TOKEN_DELETED = "join-token-deleted", INFO, "join tokens created and revoked"
    GATEWAY_DELETED = "gateway-deleted", INFO, "web gateways on their own hosts"
    WEBHOOK_CREATED = "webhook-created", INFO, "webhooks"
    WEBHOOK_CHANGED = "webhook-changed", INFO, "webhooks"
    WEBHOOK_DELETED = "webhook-deleted", INFO, "webhooks"
    SETTING_CHANGED = "setting-changed", INFO, "settings of the installation"


SESSION_IS: Final = {status: LogCode(f"session-{status}") for status in SessionStatus}
"""The code of the row that reports that a session has reached this status."""

SECURITY_CODES: Final = frozenset(code for code in LogCode if code.is_security)


def is_security_event(component: str, code: str, details: LogDetails) -> bool:
    """True if a log row is evidence: log-ins, refusals, access to others' sessions, changes.

    Such rows are kept by age and up to a number per code, so that a source of many rows of one kind displaces only the
    oldest of that kind (`greenroom.db.diagnostics.retention`). Changes by administrators are recognized by
    `details.who`, which only the api can write, not an Agent.
    """
    return code in SECURITY_CODES or (component == "api" and "who" in details)

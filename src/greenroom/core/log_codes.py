"""The codes of log rows, with their levels and a mark for security events. A code never changes: programs use it.

docs/reference/logs.md explains each code; a test compares the codes there with the codes here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal

from greenroom.core.session.states import SessionStatus

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LEVELS: Final[tuple[Level, ...]] = ("DEBUG", "INFO", "WARNING", "ERROR")

LogDetails = dict[str, Any]
"""JSON in addition to the sentence of a row: for a change, `who`, `before` and `after`; otherwise data for programs."""

INFO: Final = "INFO"
WARNING: Final = "WARNING"
ERROR: Final = "ERROR"
SECURITY: Final = "security"


class LogCode(StrEnum):
    """The code of a log row, with its default level and the mark of a security event."""

    level: Level
    is_security: bool

    def __new__(cls, code: str, level: Level, mark: Literal["security", ""] = "") -> LogCode:
        member = str.__new__(cls, code)
        member._value_ = code
        member.level, member.is_security = level, mark == SECURITY
        return member

    # Launches and staging
    SESSION_LAUNCHED = "session-launched", INFO, SECURITY
    LAUNCH_REFUSED = "launch-refused", WARNING
    LAUNCH_FAILED = "launch-failed", WARNING
    STAGING_VIOLATION = "staging-violation", WARNING
    STAGING_MISS = "staging-miss", WARNING
    STAGING_SHORTFALL = "staging-shortfall", WARNING
    STAGING_REFILL_BLOCKED = "staging-refill-blocked", WARNING
    STAGING_RECOVERED = "staging-recovered", INFO
    STAGED_SESSION_CREATED = "staged-session-created", INFO
    STAGED_SESSION_ENDED = "staged-session-ended", INFO
    STAGED_SESSION_FAILED = "staged-session-failed", ERROR
    STAGED_SESSION_BROKEN = "staged-session-broken", ERROR
    SESSION_SET_ASIDE = "session-set-aside", WARNING
    SET_ASIDE_RECOVERED = "set-aside-recovered", INFO
    SESSION_START_FAILED = "session-start-failed", WARNING

    # Sessions, shares, recordings and viewers
    SESSION_REQUESTED = "session-requested", INFO
    SESSION_STARTING = "session-starting", INFO
    SESSION_RUNNING = "session-running", INFO
    SESSION_ASSIGNING = "session-assigning", INFO
    SESSION_STOPPING = "session-stopping", INFO
    SESSION_STOPPED = "session-stopped", INFO
    SESSION_PAUSING = "session-pausing", INFO
    SESSION_PAUSED = "session-paused", INFO
    SESSION_DELETING = "session-deleting", INFO
    SESSION_DELETED = "session-deleted", INFO
    SESSION_FAILED = "session-failed", ERROR
    SESSION_UNREACHABLE = "session-unreachable", INFO
    SESSION_LOST = "session-lost", WARNING
    SESSION_STOP_REQUESTED = "session-stop-requested", INFO
    SESSION_PAUSE_REQUESTED = "session-pause-requested", INFO
    SESSION_RESUME_REQUESTED = "session-resume-requested", INFO
    SESSION_DELETE_REQUESTED = "session-delete-requested", INFO
    SESSION_FORCE_DELETED = "session-force-deleted", WARNING, SECURITY
    SESSION_EXPIRED = "session-expired", INFO
    SESSION_COMMAND = "session-command", INFO, SECURITY
    SESSION_SCREENSHOT = "session-screenshot", INFO, SECURITY
    SESSION_ENTERED = "session-entered", INFO, SECURITY
    SHARE_CREATED = "share-created", INFO, SECURITY
    SHARE_ENDED = "share-ended", INFO, SECURITY
    CONTROL_TAKEN_BACK = "control-taken-back", INFO, SECURITY
    SECRETS_GRANTED = "secrets-granted", INFO, SECURITY
    CONTROL_TAKEN_OVER = "control-taken-over", INFO, SECURITY
    CONTROL_HANDED_BACK = "control-handed-back", INFO, SECURITY
    RECORDING_VIEWED = "recording-viewed", INFO, SECURITY
    RECORDING_EXPORTED = "recording-exported", INFO, SECURITY
    SESSION_VIDEO_NOT_STORED = "session-video-not-stored", ERROR, SECURITY
    SESSION_VIDEO_STORED = "session-video-stored", INFO
    SESSION_VIDEO_ENDED = "session-video-ended", INFO, SECURITY
    SESSION_VIDEO_VIEWED = "session-video-viewed", INFO, SECURITY
    RECORDINGS_FULL = "recordings-full", WARNING
    RECORDING_DELETED = "recording-deleted", INFO, SECURITY
    VIEWER_JOINED = "viewer-joined", INFO, SECURITY
    VIEWER_LEFT = "viewer-left", INFO, SECURITY
    SESSION_ASSISTED = "session-assisted", INFO, SECURITY
    STREAM_OPENED = "stream-opened", INFO, SECURITY
    STREAM_CLOSED = "stream-closed", INFO, SECURITY
    STREAM_REFUSED = "stream-refused", WARNING, SECURITY

    # Managers and Agents
    PRIMARY_ELECTED = "primary-elected", INFO
    PRIMARY_RESIGNED = "primary-resigned", INFO
    PRIMARY_LOST = "primary-lost", WARNING
    PRIMARY_TASK_FAILED = "primary-task-failed", ERROR
    MANAGER_ENABLED = "manager-enabled", INFO
    MANAGER_DISABLED = "manager-disabled", INFO
    MANAGER_RESTARTED = "manager-restarted", WARNING
    PART_RESTARTED = "part-restarted", WARNING
    MANAGER_REMOVED = "manager-removed", INFO
    MANAGER_REQUESTS_DROPPED = "manager-requests-dropped", WARNING
    AGENT_REGISTERED = "agent-registered", INFO, SECURITY
    AGENT_REFUSED = "agent-refused", WARNING, SECURITY
    JOIN_REFUSED = "join-refused", WARNING, SECURITY
    EDGE_ADDRESS_CHANGED = "edge-address-changed", WARNING, SECURITY
    EDGE_ADDRESS_REQUESTED = "edge-address-requested", WARNING, SECURITY
    EDGE_CERTIFICATE_ISSUED = "edge-certificate-issued", INFO, SECURITY
    IMAGE_COPIED = "image-copied", INFO, SECURITY
    EDGE_CERTIFICATE_FAILED = "edge-certificate-failed", ERROR, SECURITY
    CERTIFICATE_EXPIRES = "certificate-expires", WARNING
    AGENT_RUNNING = "agent-running", INFO
    AGENT_MISSING = "agent-missing", WARNING
    AGENT_DEAD = "agent-dead", WARNING
    AGENT_CHECK_IN_REFUSED = "agent-check-in-refused", ERROR
    AGENT_NEW_DATABASE = "agent-new-database", WARNING
    CRASH_LOOPING = "crash-looping", ERROR
    LOOP_FAILED = "loop-failed", ERROR
    AGENT_ACTION_FAILED = "agent-action-failed", ERROR
    AGENT_FIRST_LAUNCH = "agent-first-launch", ERROR
    SESSION_NOT_RECORDED = "session-not-recorded", ERROR, SECURITY
    AGENT_SPEC = "agent-spec", ERROR
    AGENT_REPORT_UNKNOWN = "agent-report-unknown", WARNING
    AGENT_REPORT_MISMATCH = "agent-report-mismatch", WARNING
    AGENT_LOG_UNKNOWN = "agent-log-unknown", WARNING
    AGENT_STRANGER_REMOVED = "agent-stranger-removed", WARNING
    AGENT_OFFERS_NOTHING = "agent-offers-nothing", ERROR
    AGENT_OFFERS_AGAIN = "agent-offers-again", INFO
    MACHINE_ORDERED = "machine-ordered", INFO
    MACHINE_MOVED = "machine-moved", INFO
    MACHINE_ORDER_FAILED = "machine-order-failed", WARNING
    MACHINE_PROVIDER_FAILED = "machine-provider-failed", WARNING
    MACHINE_UNKNOWN = "machine-unknown", WARNING
    AGENT_DISK_SHORT = "agent-disk-short", ERROR
    AGENT_DISK_FREE = "agent-disk-free", INFO
    HOME_NOT_REMOVED = "home-folder-not-removed", WARNING
    SESSION_DISK_FULL = "session-disk-full", WARNING
    AGENT_HOST_LIMIT = "agent-host-limit", WARNING
    AGENT_OFFER_CHANGED = "agent-offer-changed", INFO
    CAPACITY_CORRECTED = "capacity-corrected", WARNING
    WEB_FILTER_DENIED = "web-filter-denied", INFO
    WEB_FILTER_DOWN = "web-filter-down", WARNING
    WEBHOOK_GIVEN_UP = "webhook-given-up", WARNING
    ROWS_WAITING = "rows-waiting", ERROR
    CLEAN_UP_FAILED = "clean-up-failed", ERROR
    BACKUP_FAILED = "backup-failed", ERROR
    LOG_ROWS_DROPPED = "log-rows-dropped", WARNING

    # Users and changes
    LOGIN = "login", INFO, SECURITY
    BREAK_GLASS_LOGIN = "break-glass-login", WARNING, SECURITY
    LOGOUT = "logout", INFO, SECURITY
    LOGIN_FAILED = "login-failed", WARNING, SECURITY
    LOGIN_THROTTLED = "login-throttled", WARNING, SECURITY
    SIGN_ON_REFUSED = "sign-on-refused", WARNING, SECURITY
    SIGN_ON_ENDED = "sign-on-ended", WARNING, SECURITY
    SIGN_ON_CLAIM_MISSING = "sign-on-claim-missing", WARNING, SECURITY
    DIRECTORY_SKIPPED = "directory-skipped", WARNING, SECURITY
    DIRECTORY_SYNC_STOPPED = "directory-sync-stopped", WARNING, SECURITY
    LOGIN_LINK_CREATED = "login-link-created", INFO, SECURITY
    SESSION_TOKEN_CREATED = "session-token-created", INFO, SECURITY
    PASSWORD_CHANGED = "password-changed", INFO, SECURITY
    SECOND_FACTOR_CREATED = "second-factor-created", INFO, SECURITY
    SECOND_FACTOR_DELETED = "second-factor-deleted", WARNING, SECURITY
    RECOVERY_CODES_CREATED = "recovery-codes-created", INFO, SECURITY
    RECOVERY_CODE_USED = "recovery-code-used", WARNING, SECURITY
    PERMISSION_DENIED = "permission-denied", WARNING, SECURITY
    API_KEY_REFUSED = "api-key-refused", WARNING, SECURITY
    SCIM_TOKEN_REFUSED = "scim-token-refused", WARNING, SECURITY
    AUDIT_VIEWED = "audit-viewed", INFO, SECURITY
    AUDIT_EXPORTED = "audit-exported", INFO, SECURITY
    AUDIT_DELIVERY_FAILED = "audit-delivery-failed", WARNING
    AUDIT_ROLLED_BACK = "audit-rolled-back", ERROR, SECURITY
    USER_CREATED = "user-created", INFO
    USER_CHANGED = "user-changed", INFO
    USER_DELETED = "user-deleted", INFO
    GROUP_CREATED = "group-created", INFO
    GROUP_CHANGED = "group-changed", INFO
    GROUP_DELETED = "group-deleted", INFO
    API_KEY_CREATED = "api-key-created", INFO
    API_KEY_CHANGED = "api-key-changed", INFO
    API_KEY_DELETED = "api-key-deleted", INFO
    WORKSPACE_CREATED = "workspace-created", INFO
    WORKSPACE_CHANGED = "workspace-changed", INFO
    WORKSPACE_DELETED = "workspace-deleted", INFO
    HOME_FOLDER_DELETED = "home-folder-deleted", INFO
    CATALOGUE_CREATED = "catalogue-created", INFO
    CATALOGUE_DELETED = "catalogue-deleted", INFO
    MACHINE_POOL_CREATED = "machine-pool-created", INFO
    MACHINE_POOL_CHANGED = "machine-pool-changed", INFO
    MACHINE_POOL_DELETED = "machine-pool-deleted", INFO
    STAGING_CONFIG_CREATED = "staging-config-created", INFO
    STAGING_CONFIG_CHANGED = "staging-config-changed", INFO
    STAGING_CONFIG_DELETED = "staging-config-deleted", INFO
    WEB_FILTER_POLICY_CREATED = "web-filter-policy-created", INFO
    WEB_FILTER_POLICY_CHANGED = "web-filter-policy-changed", INFO
    WEB_FILTER_POLICY_DELETED = "web-filter-policy-deleted", INFO
    SECRET_CREATED = "secret-created", INFO
    SECRET_CHANGED = "secret-changed", WARNING
    SECRET_DELETED = "secret-deleted", INFO
    ZONE_CREATED = "zone-created", INFO
    ZONE_CHANGED = "zone-changed", INFO
    ZONE_DELETED = "zone-deleted", INFO
    ZONE_ADDRESSES_CHANGED = "zone-addresses-changed", WARNING
    MANAGER_CHANGED = "manager-changed", INFO
    MANAGER_DELETED = "manager-deleted", INFO
    AGENT_CHANGED = "agent-changed", INFO
    AGENT_DELETED = "agent-deleted", INFO
    AGENT_CREDENTIAL_DELETED = "agent-credential-deleted", INFO
    JOIN_TOKEN_CREATED = "join-token-created", INFO
    JOIN_TOKEN_DELETED = "join-token-deleted", INFO
    GATEWAY_DELETED = "gateway-deleted", INFO
    WEBHOOK_CREATED = "webhook-created", INFO
    WEBHOOK_CHANGED = "webhook-changed", INFO
    WEBHOOK_DELETED = "webhook-deleted", INFO
    SIGN_ON_PROVIDER_CREATED = "sign-on-provider-created", INFO
    SIGN_ON_PROVIDER_CHANGED = "sign-on-provider-changed", INFO
    SIGN_ON_PROVIDER_DELETED = "sign-on-provider-deleted", INFO
    SCIM_CLIENT_CREATED = "scim-client-created", INFO
    SCIM_CLIENT_CHANGED = "scim-client-changed", INFO
    SCIM_CLIENT_DELETED = "scim-client-deleted", INFO
    DIRECTORY_CREATED = "directory-created", INFO
    DIRECTORY_CHANGED = "directory-changed", INFO
    DIRECTORY_DELETED = "directory-deleted", INFO
    IDENTITY_CREATED = "identity-created", INFO
    IDENTITY_DELETED = "identity-deleted", INFO
    SERVICE_ACCOUNT_CREATED = "service-account-created", INFO
    SERVICE_ACCOUNT_CHANGED = "service-account-changed", INFO
    SERVICE_ACCOUNT_DELETED = "service-account-deleted", INFO
    SETTING_CHANGED = "setting-changed", INFO


CODE_OF_STATUS: Final = {status: LogCode(f"session-{status}") for status in SessionStatus}
"""The code of the row that reports that a session has reached this status."""

LOGIN_CODES: Final = frozenset({LogCode.LOGIN, LogCode.BREAK_GLASS_LOGIN})
"""The codes of log-ins. The row names the user, because the request had no log-in yet."""

SECURITY_CODES: Final = frozenset(code for code in LogCode if code.is_security)


def is_security_event(component: str, code: str, details: LogDetails) -> bool:
    """True if a log row is a security event: a log-in, a refusal, access to another user's session, or a change.

    Security events have separate limits of age and of the number of rows per code, so that many rows with one code
    displace only older rows with this code (`greenroom.db.diagnostics.retention`). `details.who` identifies a change by
    an administrator; only the api can write it, not an Agent.
    """
    return code in SECURITY_CODES or (component == "api" and "who" in details)

"""The authorization table: each act on a session, the kinds of caller that may perform it, and the conditions.

Every entry point calls `decide`: the routes of sessions and leases, the published interface, and the Agent for each
request to a stream. An act that is not in `TABLE` cannot be requested. A refusal is a sentence for the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from greenroom.core.access.group_settings import EffectiveSetting
from greenroom.core.access.permissions import allows, missing_admin_codes
from greenroom.core.lease import person_has_control_text


class Kind(StrEnum):
    """The kind of a caller, in relation to one session."""

    USER = "user"
    """The user of the session, with a log-in or a connect token."""
    PROGRAM = "program"
    """A program with the token of the lease of the session."""
    LEASE_KEY = "holder"
    """The API key that created the lease."""
    FOR_USERS = "for-users"
    """An API key with `users_auth_session` that acts for users through `/api/public`."""
    API = "api"
    """The api as a client of the page of the session, after it has checked its own caller."""
    GUEST_VIEW = "guest-view"
    """A viewer with a share for watching only."""
    GUEST_CONTROL = "guest-control"
    """A viewer with a share that permits control."""
    OTHER = "other"
    """Another user or API key, whose permissions decide."""


class Act(StrEnum):
    """An act on a session."""

    SEE = "see"
    """Read its row, its lease, its progress, its shares, and who has control."""
    OPEN = "open"
    """Get the address and the token of its stream."""
    WATCH = "watch"
    """Receive its stream, and read the files of its page."""
    TYPE = "type"
    """Send other requests to its page: keys, clipboard, uploads."""
    SCREENSHOT = "screenshot"
    INPUT = "input"
    """Actions on the screen, which also return screenshots."""
    TREE = "tree"
    EXEC = "exec"
    """Commands as the account of the session, through the page of the session."""
    READ_FILES = "read-files"
    WRITE_FILES = "write-files"
    COMMAND = "command"
    """Commands through the Agent."""
    COMMAND_AS = "command-as"
    """Commands through the Agent as another account of the container."""
    COMMAND_OF_WORKSPACE = "command-of-workspace"
    """Run the `go` command of the workspace, which opens an address in the session."""
    OUTPUT_OF_WORKSPACE = "output-of-workspace"
    """Read the output of the `go` command."""
    DESK = "desk"
    """Requests to the folder `desk/` of its page. The api sends them to perform the acts above."""
    DEVTOOLS = "cdp"
    WEBDRIVER = "webdriver"
    STREAM_AS_PROGRAM = "stream-as-program"
    """Requests to its page and stream with the token of the lease."""
    CONTROL = "control"
    """Take control from the program, or return it."""
    SHARE = "share"
    UNSHARE = "unshare"
    """End shares, remove viewers, take control back from viewers."""
    SHARE_BY_NAME = "share-by-name"
    """Let users join, or withdraw this, through the calls for session permissions of the published interface."""
    ASSIST = "assist"
    """Join the session of another user to help them."""
    KEEP_ALIVE = "keep-alive"
    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"
    DELETE = "delete"
    DESTROY_FOR_USERS = "destroy-for-users"
    """`destroy_kasm` of the published interface, to which no group setting applies."""
    FORCE_DELETE = "force_delete"
    EXTEND = "extend"
    """Move the deadline of its lease."""
    RELEASE = "release"
    """End its lease, and the session with it."""
    SEE_RECORDING = "see-recording"
    DELETE_RECORDING = "delete-recording"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActConditions:
    """The conditions of an act."""

    kinds: frozenset[Kind]
    """The kinds of callers who may perform the act without additional permissions."""
    others_need: tuple[str, ...] = ()
    """All permissions that callers of other kinds need; empty = they may not perform the act."""
    session_needs: tuple[str, ...] = ()
    """All permissions with which the session must have been created."""
    session_needs_one_of: tuple[str, ...] = ()
    """The session must have been created with at least one of these permissions."""
    exempting_permission: str = ""
    """A caller with this permission needs neither `session_needs` nor `session_needs_one_of`."""
    user_setting: str = ""
    """A group setting that must be on for the user of the session, unless the caller has `others_need`."""
    target_needs_right_over: bool = False
    """True if another user needs the right over the user of the session, as for a change of this user: who watches a
    session or acts in it can get what its user has. Acts that only end, pause, resume or extend a session do not need
    the right: they reveal nothing, and operators of hosts must be able to end every session. Recordings are evidence
    about all users, and have their own permissions.
    """
    watch_setting: str = ""
    """A group setting that must be on for the user of the session if another user performs the act."""
    allowed_while_held: bool = True
    """False if the program must not perform the act while a person has control. Files can be programs that the next
    shell or log-in of the person starts. `INPUT`, DevTools and WebDriver are
    refused by the page of the session itself, because it also ends acts in progress.
    """
    is_unrecorded: bool = False
    """True if recordings do not contain the act. It is then refused if the groups of the user require a recording."""
    logged: Literal["never", "of others", "always"] = "never"
    """The callers whose act is logged. `of others`: callers who are neither the user nor a program of the user."""
    informs_user: bool = False
    """True if the user is informed that another user performed the act (`last_screenshot_at`)."""


_LEASE_HOLDERS: Final = frozenset({Kind.USER, Kind.PROGRAM, Kind.LEASE_KEY})
_API_USERS: Final = frozenset({Kind.USER, Kind.FOR_USERS})
_GUESTS: Final = frozenset({Kind.GUEST_VIEW, Kind.GUEST_CONTROL})
_SCREENSHOT: Final = "sessions_screenshot"
_MODIFY: Final = "sessions_modify"
_TRANSFER: Final = ("allow_kasm_uploads", "allow_kasm_downloads")
"""The permissions for commands and DevTools, which can transfer data in both directions."""

TABLE: Final[Mapping[Act, ActConditions]] = {
    Act.SEE: ActConditions(kinds=_LEASE_HOLDERS | _API_USERS, others_need=("sessions_view",)),
    Act.OPEN: ActConditions(kinds=_API_USERS, target_needs_right_over=True),
    Act.WATCH: ActConditions(kinds=frozenset({Kind.USER, *_GUESTS})),
    Act.TYPE: ActConditions(kinds=frozenset({Kind.USER, Kind.GUEST_CONTROL})),
    Act.SCREENSHOT: ActConditions(
        kinds=_LEASE_HOLDERS | _API_USERS,
        others_need=(_SCREENSHOT,),
        target_needs_right_over=True,
        watch_setting="allow_kasm_screenshot",
        allowed_while_held=False,
        logged="of others",
        informs_user=True,
    ),
    Act.INPUT: ActConditions(
        kinds=_LEASE_HOLDERS,
        others_need=(_MODIFY, _SCREENSHOT),
        target_needs_right_over=True,
        watch_setting="allow_kasm_screenshot",
        logged="of others",
        informs_user=True,
    ),
    Act.TREE: ActConditions(
        kinds=_LEASE_HOLDERS,
        others_need=(_SCREENSHOT,),
        session_needs_one_of=("allow_kasm_downloads", "allow_kasm_clipboard_down"),
        target_needs_right_over=True,
        watch_setting="allow_kasm_screenshot",
        allowed_while_held=False,
        logged="of others",
        informs_user=True,
    ),
    Act.EXEC: ActConditions(
        kinds=_LEASE_HOLDERS,
        others_need=(_MODIFY,),
        session_needs=_TRANSFER,
        target_needs_right_over=True,
        allowed_while_held=False,
        logged="always",
    ),
    Act.READ_FILES: ActConditions(
        kinds=_LEASE_HOLDERS,
        others_need=(_MODIFY,),
        session_needs=("allow_kasm_downloads",),
        target_needs_right_over=True,
        logged="of others",
    ),
    Act.WRITE_FILES: ActConditions(
        kinds=_LEASE_HOLDERS,
        others_need=(_MODIFY,),
        session_needs=("allow_kasm_uploads",),
        target_needs_right_over=True,
        allowed_while_held=False,
        logged="of others",
    ),
    Act.COMMAND: ActConditions(
        kinds=frozenset({Kind.USER}),
        others_need=(_MODIFY,),
        session_needs=_TRANSFER,
        exempting_permission=_MODIFY,
        target_needs_right_over=True,
        logged="always",
    ),
    Act.COMMAND_AS: ActConditions(
        kinds=frozenset(), others_need=(_MODIFY,), target_needs_right_over=True, logged="always"
    ),
    Act.COMMAND_OF_WORKSPACE: ActConditions(
        kinds=frozenset({Kind.USER}), others_need=(_MODIFY,), target_needs_right_over=True, logged="always"
    ),
    Act.OUTPUT_OF_WORKSPACE: ActConditions(
        kinds=frozenset({Kind.USER}),
        others_need=(_MODIFY,),
        session_needs=("allow_kasm_downloads",),
        exempting_permission=_MODIFY,
        target_needs_right_over=True,
    ),
    Act.DESK: ActConditions(kinds=frozenset({Kind.API})),
    Act.DEVTOOLS: ActConditions(kinds=frozenset({Kind.PROGRAM}), session_needs=_TRANSFER, is_unrecorded=True),
    Act.WEBDRIVER: ActConditions(kinds=frozenset({Kind.PROGRAM}), session_needs=_TRANSFER, is_unrecorded=True),
    Act.STREAM_AS_PROGRAM: ActConditions(kinds=frozenset({Kind.PROGRAM}), is_unrecorded=True),
    Act.CONTROL: ActConditions(kinds=frozenset({Kind.USER, Kind.LEASE_KEY, Kind.GUEST_CONTROL})),
    Act.SHARE: ActConditions(kinds=_API_USERS, others_need=("users_auth_session",), target_needs_right_over=True),
    Act.UNSHARE: ActConditions(kinds=_API_USERS, others_need=(_MODIFY,)),
    Act.SHARE_BY_NAME: ActConditions(kinds=frozenset(), others_need=(_MODIFY,), target_needs_right_over=True),
    Act.ASSIST: ActConditions(kinds=frozenset(), others_need=("sessions_assist",), target_needs_right_over=True),
    Act.KEEP_ALIVE: ActConditions(kinds=_API_USERS, others_need=(_MODIFY,)),
    Act.STOP: ActConditions(kinds=_API_USERS, others_need=(_MODIFY,), user_setting="allow_kasm_stop"),
    Act.PAUSE: ActConditions(kinds=_API_USERS, others_need=(_MODIFY,), user_setting="allow_kasm_pause"),
    Act.RESUME: ActConditions(kinds=_API_USERS, others_need=(_MODIFY,)),
    Act.DELETE: ActConditions(kinds=_API_USERS, others_need=("sessions_delete",), user_setting="allow_kasm_delete"),
    Act.DESTROY_FOR_USERS: ActConditions(kinds=frozenset({Kind.FOR_USERS})),
    Act.FORCE_DELETE: ActConditions(
        kinds=frozenset({Kind.USER}), others_need=("sessions_delete",), user_setting="allow_kasm_force_delete"
    ),
    Act.EXTEND: ActConditions(kinds=_LEASE_HOLDERS, others_need=(_MODIFY,)),
    Act.RELEASE: ActConditions(kinds=_LEASE_HOLDERS, others_need=("sessions_delete",)),
    Act.SEE_RECORDING: ActConditions(kinds=frozenset({Kind.USER, Kind.LEASE_KEY}), others_need=("recordings_view",)),
    Act.DELETE_RECORDING: ActConditions(kinds=frozenset(), others_need=("recordings_delete",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCaller:
    """A caller. `owns` is True if the caller is the user of the session, or an API key that this user created.
    `permissions` are the codes that count for the session, and `codes` those that the caller has, with their places.
    """

    kind: Kind
    permissions: Collection[str] = ()
    codes: Collection[str] = ()
    owns: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """The data of a session on which the conditions depend.

    `permitted` are the permissions with which its container was created. `settings` are the group settings in force for
    its user; they are read only if `needs_settings` is True. `user` is the name of its user, empty for a staged
    session. `user_permissions` are the codes of its user; they are read only if `needs_right_over` is True. `held_by`
    is the person who has control; empty = the program. `must_record` is True if the groups of the user require a
    recording.
    """

    permitted: Mapping[str, bool] = field(default_factory=dict[str, bool])
    settings: Mapping[str, EffectiveSetting] = field(default_factory=dict[str, EffectiveSetting])
    user: str = ""
    user_permissions: Collection[str] = ()
    held_by: str = ""
    must_record: bool = False


RefusalKind = Literal["", "hidden", "forbidden", "held"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of `decide`. An empty `refused` means permitted; `hidden` means that the caller must not learn that
    the session exists; `held` means that a person has control. `missing` are the permissions that would permit the act.
    If `logged`, this act is logged; if `informs_user`, the user of the session is informed about it.
    """

    refused: RefusalKind = ""
    reason: str = ""
    missing: tuple[str, ...] = ()
    logged: bool = False
    informs_user: bool = False


REQUIRES_RECORDING: Final = (
    "The groups of this session's user require a recording of programs, which would not include this "
    "request. Use the actions, commands and files of the lease."
)
NOT_ALLOWED: Final = "This is not allowed here."
RIGHT_OVER_USERS: Final = "users_modify_admin"
"""The permission that gives the right over users with permissions that the caller lacks."""


def needs_settings(act: Act, caller: SessionCaller) -> bool:
    """True if `decide` needs `SessionFacts.settings` for this act of this caller."""
    conditions = TABLE[act]
    return bool(conditions.user_setting or (conditions.watch_setting and is_other_user(caller)))


def needs_right_over(act: Act, caller: SessionCaller) -> bool:
    """True if `decide` needs `SessionFacts.user_permissions` for this act of this caller."""
    return TABLE[act].target_needs_right_over and is_other_user(caller)


def decide(act: Act, caller: SessionCaller, facts: SessionFacts) -> Verdict:
    """Return the verdict on this act of this caller on this session."""
    conditions = TABLE[act]
    has_permissions = bool(conditions.others_need) and allows(caller.permissions, conditions.others_need)
    if not (caller.kind in conditions.kinds or has_permissions):
        return _missing_permission(conditions, caller)
    if needs_right_over(act, caller) and _is_above(facts, caller):
        reason = f"{facts.user} has permissions that you do not have, so this needs the permission {RIGHT_OVER_USERS}."
        return Verdict(refused="forbidden", reason=reason, missing=(RIGHT_OVER_USERS,))
    reason = _missing_session_permission(conditions, caller, facts) or _setting_refusal(
        act, caller, facts, has_permissions=has_permissions
    )
    if not reason and facts.must_record and conditions.is_unrecorded:
        reason = REQUIRES_RECORDING
    if reason:
        return Verdict(refused="forbidden", reason=reason)
    if facts.held_by and not conditions.allowed_while_held and caller.kind in {Kind.PROGRAM, Kind.LEASE_KEY}:
        return Verdict(refused="held", reason=person_has_control_text(facts.held_by))
    is_by_other = is_other_user(caller) and bool(facts.user)
    logged = conditions.logged == "always" or (conditions.logged == "of others" and is_by_other)
    return Verdict(logged=logged, informs_user=conditions.informs_user and is_by_other)


def is_other_user(caller: SessionCaller) -> bool:
    """True if the caller is neither the user of the session nor a program of this user."""
    return caller.kind in {Kind.OTHER, Kind.FOR_USERS} and not caller.owns


def _is_above(facts: SessionFacts, caller: SessionCaller) -> bool:
    """True if the caller has no right over the user of the session."""
    is_exempt = allows(caller.permissions, (RIGHT_OVER_USERS,))
    return not is_exempt and bool(missing_admin_codes(caller.codes, facts.user_permissions))


def _missing_permission(conditions: ActConditions, caller: SessionCaller) -> Verdict:
    missing = tuple(code for code in conditions.others_need if not allows(caller.permissions, (code,)))
    if not conditions.others_need:
        return Verdict(refused="forbidden", reason=NOT_ALLOWED)
    is_known = caller.kind is not Kind.OTHER or len(missing) < len(conditions.others_need)
    reason = f"This needs the permission {', '.join(missing)}."
    return Verdict(refused="forbidden" if is_known else "hidden", reason=reason, missing=missing)


def _missing_session_permission(conditions: ActConditions, caller: SessionCaller, facts: SessionFacts) -> str:
    if conditions.exempting_permission and allows(caller.permissions, (conditions.exempting_permission,)):
        return ""
    if missing := [name for name in conditions.session_needs if not facts.permitted.get(name)]:
        return f"This is not allowed in a session without {' and '.join(missing)}."
    if conditions.session_needs_one_of and not any(
        facts.permitted.get(name) for name in conditions.session_needs_one_of
    ):
        return f"This is not allowed in a session without {' or '.join(conditions.session_needs_one_of)}."
    return ""


def _setting_refusal(act: Act, caller: SessionCaller, facts: SessionFacts, *, has_permissions: bool) -> str:
    conditions = TABLE[act]
    if conditions.user_setting and not has_permissions:
        setting = facts.settings[conditions.user_setting]
        if not setting.value:
            return f"You may not {act.replace('_', ' ')} your sessions: {setting.trace}."
    if conditions.watch_setting and facts.user and is_other_user(caller):
        setting = facts.settings[conditions.watch_setting]
        if not setting.value:
            return f"Only {facts.user} may take pictures of their sessions: {setting.trace}."
    return ""

"""Version 1 of the check-in and of the Agent's question about a viewer (docs/explanation/protocols.md §2).

All messages are JSON. Times are seconds unless a name says otherwise; ids are uuids as text with dashes.
Routes, all POST: `/manager_api/v1/register` (Register → Registered), `/manager_api/v1/check-in` (CheckIn → Answer),
`/manager_api/v1/edge-certificate` (EdgeRequest → EdgeCertificate), served by a Manager without the prefix as `/v1/…`;
`/api/internal/stream` (Stream → StreamVerdict) at the api. All but the first carry the Agent's credential as
`Authorization: Bearer <agent_id>.<credential>`. Refusals of a Manager are `{"code", "message"}`: 401 unknown or
revoked credential or join token, 409 the identity is used by another process, 422 a malformed message, 503 ask
another Manager.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from greenroom.core.catalogue.ways import Way
from greenroom.core.fleet.liveness import ON_TIME, Lateness
from greenroom.core.named_secrets import Brokered
from greenroom.core.session.streams import Access, AnyAccess
from greenroom.core.web_filter import FilterPolicy
from greenroom.core.workspace.definition import PullPolicy
from greenroom.wire.parts import HomeRemoval, HomeReport, Moment

VERSION: Final = 1


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all messages; unknown fields are ignored so that newer peers can add some."""


class ReportedCapacity(Message, frozen=True, kw_only=True):
    """What the host offers to sessions, before the administrator's overrides."""

    cores: float
    memory_bytes: int


class Usage(Message, frozen=True, kw_only=True):
    """The host's present use: load as a fraction of its cores, memory in bytes; and what else it has for sessions."""

    cpu: float = 0.0
    memory_bytes: int = 0
    disk_free_bytes: int | None = None
    """Where its containers and this Agent write; None = not reported."""
    disk_free_inodes: float | None = None
    """Part of all inodes there, 0 to 1; None = not reported, or there is no fixed number of them."""
    disk_kept_bytes: int = 0
    """With less than this it takes no new session."""
    runtime_classes: tuple[str, ...] = ()
    """The runtimes that a workspace may ask for, besides Docker's default one."""
    simulated: bool = False
    """Its sessions have no containers."""
    pauses: bool = True
    """Its sessions can be stopped and paused, and go on later."""
    brokers: bool = False
    """Its web filters can add secrets to requests."""
    keeps_log_ins: bool = False
    """Its machines get images at any time, with log-ins at registries that it keeps for them: it has all passwords."""


class ImageReport(Message, frozen=True, kw_only=True):
    """One image as the Agent sees it; `how` it is on its way here and `progress`, 0-100, while it is `pulling`."""

    name: str
    state: Literal["present", "pulling", "absent", "failed"]
    how: Way = ""
    reason: str = ""
    """Why it comes this way, as a sentence."""
    digest: str = ""
    size_bytes: int = 0
    """On this host's disk, or what there is to copy; 0 = not known."""
    progress: int = 0
    error: str = ""
    """Why it could not be fetched, or refreshed while it is `present`."""
    refreshed: float = 0.0
    """The newest `DesiredImage.refresh` that was carried out."""


class Register(Message, frozen=True, kw_only=True):
    """An Agent registers, with a join token the first time, with its credential afterwards."""

    v: int = VERSION
    machine_id: str
    hostname: str
    agent_id: str | None = None
    join_token: str | None = None
    credential: str | None = None
    route: str | None = None
    edge_url: str = ""
    """`https://host:port` of the edge gateway on this host, as web gateways and browsers reach it
    (core.fleet.addresses); empty on one machine, where the web gateway is also the edge.
    """
    place: str = ""
    """Digest of the machine's start and the Agent's folder: distinguishes a process from one with a copied identity."""


class ManagerAddress(Message, frozen=True, kw_only=True):
    """A Manager of the zone, to be tried in the order given (Primary first); `/manager_api/v1/…` follows its `url`."""

    instance_id: str
    url: str


class Registered(Message, frozen=True, kw_only=True):
    """The identity of the Agent; `credential` only where a new one was issued. Not `enabled` = it waits."""

    v: int = VERSION
    agent_id: str
    credential: str | None = None
    incarnation: int
    installation_id: str
    db_epoch: str
    zone_id: str
    enabled: bool = True
    managers: list[ManagerAddress] = []


class EdgeRequest(Message, frozen=True, kw_only=True):
    """An Agent asks for the certificate of the edge gateway beside it; of `csr` (PEM) only the key counts."""

    v: int = VERSION
    agent_id: str
    incarnation: int
    csr: str


class EdgeCertificate(Message, frozen=True, kw_only=True):
    """The edge gateway's certificate (PEM) for `core.fleet.addresses.edge_name`, signed by the fleet's `authority`."""

    v: int = VERSION
    certificate: str
    authority: str


class AssignmentReport(Message, frozen=True, kw_only=True):
    """How far the hand-over is: `received` after the probe, then `assigned` or `failed`. `slow`: it failed because
    something took too long, and is not known to be broken."""

    assignment_id: str
    state: Literal["received", "assigned", "failed"]
    exit_code: int | None = None
    error: str = ""
    slow: bool = False


class CommandReport(Message, frozen=True, kw_only=True):
    """Result of a command; `unknown` when the Agent died before it. Of a screenshot: `picture` is the JPEG, or `output`
    says why none could be taken."""

    command_id: str
    state: Literal["started", "done", "unknown"]
    exit_code: int | None = None
    output: str = ""
    output_complete: bool = True
    """False: more could have come after the time limit."""
    picture: bytes = b""


class Step(Message, frozen=True, kw_only=True):
    """A step of a start that happened, for the connecting screen; `at` is seconds since the epoch."""

    name: str
    at: Moment


class Observed(Message, frozen=True, kw_only=True):
    """One session as the Agent sees it."""

    session_id: str
    generation: int
    state: Literal["creating", "running", "stopped", "paused", "failed", "absent"]
    container_id: str | None = None
    spec_hash: str | None = None
    address: str | None = None
    """host:port at which the Agent's host reaches the session's page."""
    usable: bool = False
    broken: bool = False
    """It runs, but several probes in a row failed; `probe_error` is the result of the last one."""
    probe_error: str = ""
    exit_code: int | None = None
    log_tail: str = ""
    error: str = ""
    """Why `failed`, as a sentence."""
    assignment: AssignmentReport | None = None
    commands: list[CommandReport] = []
    steps: list[Step] = []


class LogLine(Message, frozen=True, kw_only=True):
    """A log row of the Agent for Diagnostics."""

    at: Moment
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    code: str
    message: str
    session_id: str | None = None
    user_id: str | None = None
    details: dict[str, Any] = {}


class CheckIn(Message, frozen=True, kw_only=True):
    """What the Agent saw and which instructions it has.

    `have_digest` is `digest()` over the desired list it holds; `full` asks for the whole list; `seq` grows by one with
    every message of an incarnation; `hold_s` is how long the answer may be held back while there is no news. `unknown`
    names containers of this installation that no desired session accounts for.
    """

    v: int = VERSION
    installation_id: str
    db_epoch: str
    agent_id: str
    incarnation: int
    seq: int
    hold_s: float
    term_seen: int
    have_digest: str
    have_filter_policies: str | None = None
    """The last `Answer.filter_policies_digest`, empty before; None = an Agent without web filter."""
    full: bool = False
    takes_changes: bool = False
    """`Answer.changes` is understood; else the answer has the whole list."""
    inventory_complete: bool = False
    capacity: ReportedCapacity
    usage: Usage = Usage()
    lateness: Lateness = ON_TIME
    """How late the Agent and its host are, so that it is waited for longer."""
    runtime_error: str = ""
    """Why the container runtime does not answer, as a sentence; nothing is offered meanwhile. Empty when it does."""
    crash_loop: str = ""
    """Why the Agent counts as crash-looping, as a sentence; empty if it does not."""
    images: list[ImageReport] | None = None
    homes: list[HomeReport] | None = None
    """All that are there; None = as reported before, or none are kept here."""
    sessions: list[Observed] = []
    unknown: list[str] = []
    logs: list[LogLine] = []


class Assignment(Message, frozen=True, kw_only=True):
    """The hand-over of a staged session to a user; `argv` empty when the image has no `assign` command."""

    assignment_id: str
    argv: list[str] = []
    user: str | None = None
    env: dict[str, str] = {}
    workdir: str | None = None
    deadline_s: float = 3.0


class Authorised(Message, frozen=True, kw_only=True):
    """Who may view the session; a higher `epoch` revokes everything before.

    `idle_disconnect_s` is how long a viewer may give no input before being disconnected, 0 = no limit; `max_upload_mb`
    how much one request may upload, 0 = no limit. `program` and `api` are the SHA-256 (hex) of the tokens of program
    and api for its lease, empty = none. `permitted` are the switches it was made with, of those that DevTools need;
    `must_record`: its user's groups require a recording of the lease.
    """

    user_id: str
    epoch: int
    idle_disconnect_s: float = 0.0
    max_upload_mb: int = 0
    guests: dict[str, Access] = {}
    """Who was let in besides: viewer id → what they may do. One who is not in it (any more) is cut off."""
    program: str = ""
    program_epoch: int | None = None
    """As `epoch`, for programs with the lease's token; None = the session has no lease."""
    api: str = ""
    permitted: list[str] = []
    must_record: bool = False


class ScreenshotSize(Message, frozen=True, kw_only=True):
    """Maximum size of a picture, in pixels."""

    width: int
    height: int


class SessionCommand(Message, frozen=True, kw_only=True):
    """Run `argv` once inside the session's container, or take a `screenshot` of at most this size."""

    command_id: str
    session_id: str
    generation: int
    argv: list[str]
    user: str | None = None
    env: dict[str, str] = {}
    workdir: str | None = None
    deadline_s: float = 60.0
    screenshot: ScreenshotSize | None = None


class Desired(Message, frozen=True, kw_only=True):
    """One session as it should be; `spec` is a `core.workspace.session_spec.SessionSpec`, None if it is to be gone."""

    session_id: str
    generation: int
    want: Literal["running", "stopped", "paused", "absent"]
    spec: dict[str, Any] | None = None
    assignment: Assignment | None = None
    authorised: Authorised | None = None
    secrets: tuple[Brokered, ...] = ()
    """What its web filter adds to requests; the session itself never has them."""
    has_run: bool = False
    """Its container was running once: if it is gone, what was in it is lost, and no other one is created."""


class DesiredChanges(Message, frozen=True, kw_only=True):
    """What changed in a desired list since the one with digest `since`; an Agent that holds another ignores it."""

    since: str
    changed: list[Desired]
    left: list[str]
    """Session ids."""


class DesiredImage(Message, frozen=True, kw_only=True):
    """An image the Agent should hold."""

    name: str
    registry: str = ""
    user: str = ""
    password: str = ""
    password_withheld: bool = False
    """The registry has a password, which is sent once the Manager knows that it is needed here."""
    pull_policy: PullPolicy = "missing"
    refresh: float = 0.0
    """Seconds since 1970 of a request to ask the registry again; 0 = none that this Agent has not carried out."""


class Answer(Message, frozen=True, kw_only=True):
    """The Manager's reply. `desired` is a whole list, `changes` what differs from the one the Agent said it holds. Both
    are None for "no news" and when not `fresh`."""

    v: int = VERSION
    db_epoch: str
    zone_id: str
    term: int
    primary: str | None = None
    answered_by: str
    fresh: bool
    acked_seq: int
    desired: list[Desired] | None = None
    changes: DesiredChanges | None = None
    images: list[DesiredImage] | None = None
    filter_policies: list[FilterPolicy] | None = None
    """All web filter policies, where the Agent holds others."""
    filter_policies_digest: str = ""
    """Of these policies; the Agent repeats it in its check-ins."""
    commands: list[SessionCommand] = []
    homes_to_remove: list[HomeRemoval] = []
    """All of them, in every answer that is `fresh`."""
    verdicts: dict[str, Literal["destroy", "keep"]] = {}
    managers: list[ManagerAddress] = []
    hold_s: float = 5.0
    jitter_s: float = 0.0


class Stream(Message, frozen=True, kw_only=True):
    """May this viewer open the session's stream?"""

    session_id: str
    token: str
    username: str = ""
    origin: str = ""
    knows_api: bool = False
    """The Agent distinguishes the api from a program; an older Agent gets `program` for both."""


class StreamVerdict(Message, frozen=True, kw_only=True):
    """The api's answer; `reason` is a sentence for the log and the viewer when refused."""

    allow: bool
    user_id: str = ""
    epoch: int = 0
    viewer_ttl_s: float = 600.0
    reason: str = ""
    session_id: str = ""
    """The session that replaced the one asked about (docs/explanation/a-launch.md), if another one did."""
    path: str = ""
    """Where that session's stream is, with a slash at its end, if another Agent behind the same gateway runs it."""
    viewer_id: str = ""
    """Of a viewer by a share (core.session.sharing); empty for its user."""
    access: AnyAccess = "view"
    """`program` or `api` with their tokens for the session's lease; else of a viewer with an id: its user controls."""
    leased: bool = False
    """A program has it: one controls at a time (core.lease)."""


def digest(generations: Mapping[str, int]) -> str:
    """Digest over (session_id, generation) pairs, independent of order; equal digests mean equal desired lists."""
    text = ",".join(f"{session_id}:{generation}" for session_id, generation in sorted(generations.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:32]

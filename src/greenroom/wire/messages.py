"""Version 1 of the messages of the check-in (docs/explanation/protocols.md §2).

All messages are JSON. Times are in seconds unless the name has another unit; ids are UUIDs as text with dashes.
Routes, all POST: `/manager_api/v1/register` (Register → Registered), `/manager_api/v1/check-in` (CheckIn → Answer),
`/manager_api/v1/edge-certificate` (EdgeRequest → EdgeCertificate), served by a Manager without the prefix as `/v1/…`.
All but the first need the credential of the Agent as `Authorization: Bearer <agent_id>.<credential>`. Refusals are
`{"code", "message"}`: 401 unknown or revoked credential or join token, 409 the identity is used by another process,
422 a malformed message, 503 try another Manager.

Types check ids and limits at decoding. Texts from inside containers are cleaned when a message is created or decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from greenroom.core.catalogue.fetch_methods import FetchMethod
from greenroom.core.fleet.liveness import ON_TIME, Lateness
from greenroom.core.named_secrets import FilterSecret
from greenroom.core.session.streams import Access
from greenroom.core.web_filter import FilterPolicy
from greenroom.core.workspace.definition import PullPolicy
from greenroom.wire.fields import (
    MAX_METERED,
    MAX_SHORT_TEXT,
    UUID,
    HomeRemoval,
    HomeReport,
    Moment,
    ScreenshotSize,
    SessionUse,
    Step,
    Uuid,
    clean_texts,
)

VERSION: Final = 1
MAX_SESSIONS: Final = 2_000
MAX_HOMES: Final = 20_000
MAX_DETAILS: Final = 4_000
"""The maximum size of the `details` of a log line, in bytes of JSON."""
MAX_PICTURE_BYTES: Final = 256 << 10
JPEG: Final = b"\xff\xd8\xff"


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base class of all messages. Unknown fields are ignored, so that newer versions can add fields."""


class ReportedCapacity(Message, frozen=True, kw_only=True):
    """The capacity that the host offers to sessions. An administrator may override it."""

    cores: float
    memory_bytes: int


class Usage(Message, frozen=True, kw_only=True):
    """The present use of the host (`cpu` is the load as a fraction of its cores), and its features for sessions."""

    cpu: float = 0.0
    memory_bytes: int = 0
    disk_free_bytes: int | None = None
    """Free bytes of the disk to which the containers and the Agent write; None = not reported."""
    disk_free_inodes: float | None = None
    """Free inodes of this disk as a fraction, 0 to 1; None = not reported, or their number is not fixed."""
    disk_kept_bytes: int = 0
    """The host accepts no new session if it has less free disk than this."""
    runtime_classes: tuple[str, ...] = ()
    """The runtimes that a workspace may request, in addition to the default runtime of Docker."""
    mount_folders: tuple[str, ...] | None = None
    """The folders of the host below which sessions may mount folders; None = not known."""
    simulated: bool = False
    """True if its sessions have no containers."""
    pauses: bool = True
    """True if its sessions can be stopped, paused and resumed."""
    brokers: bool = False
    """True if its web filters can add secrets to requests."""
    keeps_log_ins: bool = False
    """True if the Agent stores log-ins for the nodes of its cluster. The Manager then sends all registry passwords."""
    sessions: Annotated[dict[str, SessionUse], msgspec.Meta(max_length=MAX_METERED)] = {}
    """The use of running sessions, by id. Other keys are removed, as in `CheckIn.unknown`."""

    def __post_init__(self) -> None:
        use = {session_id: use for session_id, use in self.sessions.items() if UUID.fullmatch(session_id)}
        msgspec.structs.force_setattr(self, "sessions", use)


class ImageReport(Message, frozen=True, kw_only=True):
    """The state of an image on the Agent. `how` (the kind of transfer) and `progress` (0 to 100) apply to `pulling`."""

    name: str
    state: Literal["present", "pulling", "absent", "failed"]
    how: FetchMethod = ""
    reason: str = ""
    """The reason for this kind of transfer, as a sentence."""
    digest: str = ""
    size_bytes: int = 0
    """The size on the disk of this host, or of the data to copy; 0 = not known."""
    progress: int = 0
    error: str = ""
    """The reason why the pull failed, or why the refresh of an image that is `present` failed."""
    refreshed: float = 0.0
    """The newest `DesiredImage.refresh` that was completed."""

    def __post_init__(self) -> None:
        clean_texts(self, "reason", "error")
        clean_texts(self, "name", "digest", max_length=MAX_SHORT_TEXT)


class Register(Message, frozen=True, kw_only=True):
    """The registration of an Agent: the first time with a join token, later with its credential."""

    v: int = VERSION
    machine_id: str
    hostname: str
    agent_id: str | None = None
    join_token: str | None = None
    credential: str | None = None
    edge_url: str = ""
    """`https://host:port` at which web gateways and browsers reach the edge gateway of this host
    (core.fleet.addresses); empty if the deployment has one machine, whose web gateway is also the edge gateway."""
    place: str
    """Digest of the boot id of the machine and of the Agent's folder, to detect a copied identity."""
    version: str = ""
    """The version of Greenroom that the Agent runs."""


class ManagerAddress(Message, frozen=True, kw_only=True):
    """A Manager of the zone, at `url` + `/manager_api/v1/…`. Agents try the list in its order (Primary first)."""

    instance_id: str
    url: str


class Registered(Message, frozen=True, kw_only=True):
    """The identity of the Agent. `credential` is set if a new one was issued. `incarnation` is the number of this
    registration, which the Agent repeats in later messages. An Agent waits until it is `enabled`."""

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
    """A request for the certificate of the edge gateway of the Agent. Only the key of `csr` (PEM) is used."""

    v: int = VERSION
    agent_id: str
    incarnation: int
    csr: str


class EdgeCertificate(Message, frozen=True, kw_only=True):
    """The certificate (PEM) of the edge gateway for `core.fleet.addresses.edge_name`, signed by `authority` (PEM)."""

    v: int = VERSION
    certificate: str
    authority: str


class AssignmentReport(Message, frozen=True, kw_only=True):
    """The state of a hand-over: `received` after the probe, then `assigned` or `failed`. `slow` is True if it failed
    only because of its time limit; the session may be usable."""

    assignment_id: Uuid
    state: Literal["received", "assigned", "failed"]
    exit_code: int | None = None
    error: str = ""
    slow: bool = False

    def __post_init__(self) -> None:
        clean_texts(self, "error")


class CommandReport(Message, frozen=True, kw_only=True):
    """The result of a command; `unknown` if the Agent ended before the result. For a screenshot, `picture` is the JPEG,
    or `output` is the reason for the failure. Data that are no JPEG or exceed `MAX_PICTURE_BYTES` are removed."""

    command_id: Uuid
    state: Literal["started", "done", "unknown"]
    exit_code: int | None = None
    output: str = ""
    output_complete: bool = True
    """False if there may be more output after the time limit."""
    picture: bytes = b""

    def __post_init__(self) -> None:
        clean_texts(self, "output")
        if len(self.picture) > MAX_PICTURE_BYTES or not self.picture.startswith(JPEG):
            msgspec.structs.force_setattr(self, "picture", b"")


class Observed(Message, frozen=True, kw_only=True):
    """The state of a session, as the Agent observes it."""

    session_id: Uuid
    generation: int
    state: Literal["creating", "running", "stopped", "paused", "failed", "absent"]
    container_id: str | None = None
    spec_hash: str | None = None
    address: str | None = None
    """host:port at which the host of the Agent reaches the page of the session."""
    usable: bool = False
    broken: bool = False
    """True if the session runs, but several probes in a row failed. `probe_error` is the error of the last probe."""
    probe_error: str = ""
    exit_code: int | None = None
    log_tail: str = ""
    error: str = ""
    """The reason why the session is `failed`, as a sentence."""
    assignment: AssignmentReport | None = None
    commands: list[CommandReport] = []
    steps: list[Step] = []

    def __post_init__(self) -> None:
        clean_texts(self, "probe_error", "log_tail", "error")
        clean_texts(self, "container_id", "spec_hash", "address", max_length=MAX_SHORT_TEXT)


class LogLine(Message, frozen=True, kw_only=True):
    """A log row of the Agent, for Diagnostics. A session id that is no UUID, and `details` larger than `MAX_DETAILS`,
    are removed."""

    at: Moment
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    code: str
    message: str
    session_id: str | None = None
    user_id: str | None = None
    details: dict[str, Any] = {}

    def __post_init__(self) -> None:
        clean_texts(self, "message")
        clean_texts(self, "code", max_length=MAX_SHORT_TEXT)
        if self.session_id is not None and not UUID.fullmatch(self.session_id):
            msgspec.structs.force_setattr(self, "session_id", None)
        if len(msgspec.json.encode(self.details)) > MAX_DETAILS:
            msgspec.structs.force_setattr(self, "details", {})


class CheckIn(Message, frozen=True, kw_only=True):
    """The report of an Agent, with the digest of the desired list that it has.

    `have_digest` is the `digest()` of this list; `full` requests the whole list; `seq` grows by one with every message
    of an incarnation; `hold_s` is the maximum time that the Manager may wait for changes before it answers. `unknown`
    are the session ids of containers of this installation that belong to no desired session. It has at most
    `MAX_SESSIONS` ids. Texts that are no ids are removed: the label of one container must not end all check-ins."""

    v: int = VERSION
    installation_id: str
    db_epoch: str
    agent_id: Uuid
    incarnation: int
    seq: int
    hold_s: float
    term_seen: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    have_digest: str
    have_filter_policies: str | None = None
    """The last `Answer.filter_policies_digest`, empty before the first; None = an Agent without a web filter."""
    full: bool = False
    inventory_complete: bool = False
    """True if the Agent has listed all its containers since its start."""
    capacity: ReportedCapacity
    usage: Usage = Usage()
    lateness: Lateness = ON_TIME
    """The lateness of the Agent and its host, by which the Primary extends deadlines."""
    runtime_error: str = ""
    """The reason why the container runtime does not answer, as a sentence (no capacity is offered then); else empty."""
    crash_loop: str = ""
    """The reason why the Agent counts as crash-looping, as a sentence; empty if it does not."""
    images: list[ImageReport] | None = None
    homes: Annotated[list[HomeReport], msgspec.Meta(max_length=MAX_HOMES)] | None = None
    """All homes of the Agent; None = unchanged since the last report, or the Agent keeps no homes."""
    sessions: Annotated[list[Observed], msgspec.Meta(max_length=MAX_SESSIONS)] = []
    unknown: list[str] = []
    logs: list[LogLine] = []

    def __post_init__(self) -> None:
        clean_texts(self, "crash_loop", "runtime_error")
        session_ids = [text for text in self.unknown if UUID.fullmatch(text)]
        msgspec.structs.force_setattr(self, "unknown", session_ids[:MAX_SESSIONS])


class Assignment(Message, frozen=True, kw_only=True):
    """The hand-over of a staged session to a user. `argv` is empty if the image has no `assign` command."""

    assignment_id: str
    argv: list[str] = []
    user: str | None = None
    env: dict[str, str] = {}
    workdir: str | None = None
    deadline_s: float = 3.0


class Authorised(Message, frozen=True, kw_only=True):
    """The viewers that may open the session. A higher `epoch` revokes all earlier permissions. `idle_disconnect_s` is
    the time without input after which a viewer is disconnected, 0 = no limit; `max_upload_mb` is the maximum upload of
    one request, 0 = no limit. `program` and `api` are the SHA-256 (hex) of its lease's token for programs and token for
    the api, empty = none. `permitted` lists those permissions of the session that access to the DevTools of its browser
    requires. `must_record` is True if the groups of its user require a recording of the lease, and
    `recorded` if the Agent must record the video of the session."""

    user_id: str
    epoch: int
    idle_disconnect_s: float = 0.0
    max_upload_mb: int = 0
    guests: dict[str, Access] = {}
    """The other viewers: viewer id → access. A viewer who is not listed is disconnected."""
    program: str = ""
    program_epoch: int | None = None
    """The `epoch` for programs with the token of the lease; None = the session has no lease."""
    api: str = ""
    permitted: list[str] = []
    must_record: bool = False
    recorded: bool = False


class SessionCommand(Message, frozen=True, kw_only=True):
    """A command: run `argv` once in the container of the session, or take a screenshot (of at most `screenshot`)."""

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
    """The desired state of a session. `spec` is a `core.workspace.session_spec.SessionSpec`; None = `want: absent`."""

    session_id: str
    generation: int
    want: Literal["running", "stopped", "paused", "absent"]
    spec: dict[str, Any] | None = None
    assignment: Assignment | None = None
    authorised: Authorised | None = None
    secrets: tuple[FilterSecret, ...] = ()
    """The secrets that its web filter adds to requests; the session itself never gets them."""
    has_run: bool = False
    """True if its container has run. If that container no longer exists, the Agent does not create another one."""


class DesiredChanges(Message, frozen=True, kw_only=True):
    """The changes of a desired list since the list with digest `since`. An Agent with another list ignores them."""

    since: str
    changed: list[Desired]
    left: list[str]
    """The ids of the sessions that are no longer in the list."""


class DesiredImage(Message, frozen=True, kw_only=True):
    """An image that the Agent must have."""

    name: str
    registry: str = ""
    user: str = ""
    password: str = ""
    password_withheld: bool = False
    """True if the registry has a password that is not sent yet. It is sent when the Agent needs it."""
    pull_policy: PullPolicy = "missing"
    refresh: float = 0.0
    """The time of a request to check the registry again, in seconds since 1970; 0 = no such request is open."""


class Answer(Message, frozen=True, kw_only=True):
    """The answer to a check-in. `desired` is a whole list; `changes` has the changes since the list that the Agent
    reported. Both are None if there are no changes, or if the answer is not `fresh`: the Manager has not read the
    database recently. `db_epoch` identifies the database and changes after a restore. `primary` (None = there is none)
    and `answered_by` are instance ids. `acked_seq` is the newest stored `seq`."""

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
    """All web filter policies, if the Agent has other policies."""
    filter_policies_digest: str = ""
    """The digest of these policies, which the Agent repeats in its check-ins."""
    commands: list[SessionCommand] = []
    homes_to_remove: list[HomeRemoval] = []
    """All homes to remove, in every answer that is `fresh`."""
    verdicts: dict[str, Literal["destroy", "keep"]] = {}
    """Session id of an `unknown` container → what the Agent does with it. No verdict means that it is kept for now."""
    managers: list[ManagerAddress] = []
    hold_s: float = 5.0
    jitter_s: float = 0.0
    """The maximum random pause before the next check-in."""


def digest(generations: Mapping[str, int]) -> str:
    """Return the digest of (session_id, generation) pairs in any order. Equal digests mean equal desired lists."""
    text = ",".join(f"{session_id}:{generation}" for session_id, generation in sorted(generations.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:32]

"""The bodies of requests and answers about sessions, launches and their options, and connect addresses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from greenroom.api.access.schemas import Language
from greenroom.api.bodies import STORABLE, Body, MatchesPattern, Secret, Text, View
from greenroom.core.fleet.addresses import web_address_problem
from greenroom.core.launch.nearest import MAX_ROUND_TRIP_MS, MAX_ZONES, NearestZoneMode
from greenroom.core.launch.plan import TraceStep
from greenroom.core.recording.descriptions import RecordingMode

MAX_IDEMPOTENCY_KEY: Final = 255
MAX_FRAMES_S: Final = 1000.0
MAX_KBIT_S: Final = 10_000_000.0
"""The highest rates of frames and of kilobits that a page may report, per second."""

EnvironmentName = Annotated[
    str,
    MatchesPattern(
        r"[A-Za-z_][A-Za-z0-9_]{0,254}",
        "the name of a variable: 1 to 255 letters, digits and '_', without a digit at its beginning",
    ),
]
Environment = Annotated[
    dict[EnvironmentName, Text], Field(max_length=100, description="environment variables of the session")
]
Argument = Annotated[str, Field(max_length=65536), STORABLE]
TimezoneName = Annotated[
    str, MatchesPattern(r"[A-Za-z0-9_+/-]{1,64}", "a name of the tz database, such as Europe/Berlin")
]


def web_address(text: str) -> str:
    """Validate an address that a session may open; empty = none."""
    if text and (problem := web_address_problem(text)):
        raise ValueError(problem)
    return text


LastScreenshot = Annotated[
    datetime | None,
    Field(description="time of the last screenshot by another user, to the minute; null = never"),
]
LeaseId = Annotated[UUID | None, Field(description="lease of a program; null = the session has no lease")]
Watermark = Annotated[
    str | None, Field(description="text that the console shows over the desktop, with the time; null = no watermark")
]
Recorded = Annotated[bool, Field(description="true = the screen is recorded as a video; clients must show this")]
RecordedData = Annotated[RecordingMode, Field(description="recorded data of the lease")]


class SessionView(View):
    """A session. A staged session has no user yet. Memory is in bytes."""

    session_id: UUID
    user_id: UUID | None
    username: str | None
    staging_config_id: Annotated[
        UUID | None, Field(description="staging config that created it, also after its assignment")
    ]
    lease_id: LeaseId
    image_id: UUID
    image_friendly_name: str
    zone_id: UUID
    zone_name: str
    agent_id: UUID | None
    hostname: Annotated[str | None, Field(description="hostname of the Agent")]
    stream_url: Annotated[str | None, Field(description="address of the stream, which needs the session token")]
    status: str
    operational_status: Annotated[str, Field(description="status in the published interface")]
    operational_progress: Annotated[int, Field(description="0-100")]
    operational_message: str
    cores: float
    memory: int
    cpu_used: Annotated[
        float | None, Field(description="cores that it used, as its Agent last measured; null = not measured")
    ]
    memory_used: Annotated[
        int | None, Field(description="memory of its programs, as its Agent last measured; null = not measured")
    ]
    round_trip_ms: Annotated[
        float | None, Field(description="last round trip that the page of its user reported; null = none")
    ]
    frames_s: Annotated[
        float | None, Field(description="frames per second that the page of its user last reported; null = none")
    ]
    kbit_s: Annotated[
        float | None,
        Field(description="kilobits per second of the picture that the page of its user last reported; null = none"),
    ]
    client_address: Annotated[
        str | None, Field(description="address from which its user last viewed it in the console; null = none")
    ]
    permissions: Annotated[dict[str, bool], Field(description="permissions with which the container was created")]
    client_settings: dict[str, bool | int | float | str]
    kasm_url: str
    persistent_profile_mode: Annotated[
        str | None, Field(description="use of the persistent profile as home; null = no profile")
    ]
    created: datetime
    started: Annotated[datetime | None, Field(description="time at which the session became usable first")]
    assigned: datetime | None
    expires: Annotated[
        datetime | None,
        Field(description="time of `expires_action`; for a staged session, time of its end"),
    ]
    expires_action: Annotated[
        Literal["delete", "stop", "pause"] | None,
        Field(description="action at `expires`, unless a user views the session"),
    ]
    expires_reason: Annotated[str | None, Field(description="reason of that action, with setting, value and group")]
    expires_setting: Annotated[
        str | None,
        Field(description="group setting from which that time comes; null = the workspace, a lease or a pool has it"),
    ]
    time_limit_ends: Annotated[datetime | None, Field(description="time limit of the session; null = none")]
    stopped_reason: Annotated[str | None, Field(description="reason for a stop or pause")]
    actions: Annotated[
        list[Literal["stop", "pause", "resume", "delete", "force_delete"]],
        Field(description="actions that the caller may perform now"),
    ]
    keepalive: datetime | None
    last_screenshot_at: LastScreenshot
    ended: datetime | None
    ended_reason: str | None
    status_reason: Annotated[
        str | None,
        Field(description="reason why it is still starting, as its Agent reports it; null in the first seconds"),
    ]
    error: Annotated[str | None, Field(description="reason for a failure, as a sentence")]
    log_tail: str | None
    exit_code: int | None
    set_aside_reason: str | None
    superseded_by: Annotated[UUID | None, Field(description="session that replaced it when it was quarantined")]
    claimable: Annotated[bool, Field(description="true = staged, and a launch can claim it")]
    replaces: Annotated[UUID | None, Field(description="staged session that it replaces before that session expires")]


class SessionCreate(Body):
    """A launch. Without `user_id`, the session is for the caller."""

    image_id: Annotated[
        UUID | None, Field(description="workspace; null = default workspace of the user, or else of their groups")
    ] = None
    user_id: Annotated[UUID | None, Field(description="another user; needs users_auth_session")] = None
    zone_id: Annotated[
        UUID | None, Field(description="zone of the session; needs the group setting allow_zone_selection")
    ] = None
    environment: Environment = {}
    kasm_url: Annotated[Text, AfterValidator(web_address), Field(description="address to open in the session")] = ""
    network_id: Annotated[
        Text | None,
        Field(description="has no effect on the network; a launch with it gets no staged session"),
    ] = None
    persistent_profile_mode: Annotated[
        Literal["Enabled", "Disabled", "Reset"] | None, Field(description="use of the user's persistent profile")
    ] = None
    round_trips_ms: Annotated[
        dict[UUID, Annotated[float, Field(ge=0, le=MAX_ROUND_TRIP_MS)]],
        Field(
            max_length=MAX_ZONES, description="zone → round trip that the browser measured; applies with `nearest_zone`"
        ),
    ] = {}
    browser_language: Annotated[
        Language | None,
        Field(description="language of the browser, e.g. de-DE; applies without a `preferred_language` of the user"),
    ] = None
    browser_timezone: Annotated[
        TimezoneName | None,
        Field(
            description="time zone of the browser, e.g. Europe/Berlin; applies without a `preferred_timezone` of the"
            " user; an unknown time zone has no effect"
        ),
    ] = None


class Launched(View):
    """The session of a launch; it may still be starting (`GET /sessions/{id}/connection`)."""

    session_id: UUID
    user_id: UUID
    username: str
    image_id: UUID
    zone_id: Annotated[
        UUID, Field(description="zone in which it starts; not that of the request if the user may not choose it")
    ]
    zone_name: str
    status: str
    operational_status: str
    staged: Annotated[bool, Field(description="true = a staged session was claimed")]
    session_token: Annotated[str, Field(description="opens the stream; stays the same until it is revoked")]
    stream_url: Annotated[str | None, Field(description="address of the stream once the session is running")]
    connect_url: Annotated[str, Field(description="page of the console, relative to the deployment")]


class LifecycleOrder(Body):
    """A lifecycle order for a session.

    stop: its programs end, and its disk remains. pause: its programs are frozen in memory. resume: it runs again.
    """

    command: Literal["stop", "pause", "resume"]


class SessionState(View):
    """The status of a session after an order."""

    session_id: UUID
    status: str
    operational_status: str


class StepView(View):
    """A step of a start; `at` null = the step is not completed yet."""

    name: str
    title: str
    at: datetime | None


class ConnectionView(View):
    """The progress of a session, and the address of its stream once it may be opened."""

    session_id: UUID
    lease_id: LeaseId
    record: RecordedData
    status: str
    operational_status: str
    operational_progress: Annotated[int, Field(description="0-100")]
    operational_message: str
    steps: list[StepView]
    frame_url: Annotated[str | None, Field(description="address for a frame; null = the stream may not be opened yet")]
    own_page: Annotated[
        bool,
        Field(
            description="true = the frame has a page of Greenroom, which sends its state; false = it has another page"
        ),
    ]
    simulated: Annotated[bool, Field(description="true = without a container: it has pictures and no stream")]
    watermark: Watermark
    recorded: Recorded
    last_screenshot_at: LastScreenshot
    websocket_path: Annotated[
        str | None,
        Field(description="path of the websocket with RFB (VNC), at the host of frame_url; it needs authorization"),
    ]


class PlacementStep(View, row=TraceStep):
    """One step of a launch. Steps with the same `order` are several reasons for one decision."""

    step: Literal["turn", "staged_here", "staged_elsewhere", "on_demand_here", "on_demand_elsewhere"]
    candidate: Annotated[str | None, Field(description="considered staging config or Agent")]
    setting: str | None = None


class PlacementView(View):
    """The placement of a session."""

    outcome: Literal["staged", "on_demand", "failed"]
    steps: list[PlacementStep]
    at: datetime | None = None
    duration_ms: float | None = None


class CommandCreate(Body):
    """A command in a session. Greenroom does not pass it through a shell."""

    command: Annotated[list[Argument], Field(min_length=1, max_length=1000)]
    user: Annotated[Text | None, Field(description="another account of the container; needs sessions_modify")] = None
    environment: Environment = {}
    workdir: Annotated[Text | None, Field(description="working directory; null = that of the container")] = None
    deadline_s: Annotated[
        float,
        Field(
            gt=0,
            le=300,
            allow_inf_nan=False,
            description="time limit of the answer, in seconds; a command that exceeds it continues to run",
        ),
    ] = 60.0


class AddressChange(Body):
    """A new address for a running session."""

    kasm_url: Annotated[Text, AfterValidator(web_address), Field(min_length=1)]


class KeepaliveCreate(Body):
    """The report of a page that shows a session."""

    round_trip_ms: Annotated[
        float | None,
        Field(ge=0, le=MAX_ROUND_TRIP_MS, description="time of a round trip from the browser to the session"),
    ] = None
    frames_s: Annotated[
        float | None, Field(ge=0, le=MAX_FRAMES_S, description="frames that the page received in the last second")
    ] = None
    kbit_s: Annotated[
        float | None,
        Field(ge=0, le=MAX_KBIT_S, description="kilobits of the picture that the page received in the last second"),
    ] = None


class KeepaliveView(View):
    """The result of a keepalive."""

    usage_reached: Annotated[bool, Field(description="always false, for clients of the published interface")]
    expires: datetime


class ZoneChoice(View):
    """A zone in which the user may launch."""

    zone_id: UUID
    zone_name: str


class RoundTripTargetView(View):
    """The addresses at which a browser measures its round trip to a zone: `GET <address>/round_trip`."""

    zone_id: UUID
    zone_name: str
    current: Annotated[bool, Field(description="true = a launch begins here if no other zone is nearer")]
    addresses: Annotated[list[str], Field(description="empty text = the gateway of the request")]


class NearestView(View):
    """The selection of the zone nearest to the user for a launch."""

    mode: NearestZoneMode
    nearer_by_ms: Annotated[
        float, Field(description="minimum difference of the round trips by which a zone counts as nearer")
    ]
    targets: Annotated[list[RoundTripTargetView], Field(description="empty if there is no choice")]


class LaunchOptions(View):
    """The choices of the user for a launch; empty lists if there is no choice."""

    zones: Annotated[list[ZoneChoice], Field(description="empty without `allow_zone_selection`")]
    images_with_profile: Annotated[
        list[UUID], Field(description="workspaces with a persistent profile; empty without `allow_persistent_profile`")
    ]
    nearest: NearestView


class ConnectBody(Body):
    """The parts of a connect address, `/#/connect/kasm/<session_id>/<user_id>/<session_token>`."""

    session_id: UUID
    user_id: UUID
    session_token: Annotated[Secret, Field(description="opens the stream of this session and nothing else")]

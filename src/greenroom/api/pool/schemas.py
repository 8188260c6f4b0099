"""The bodies of staging configs, and of the previews of forms."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from greenroom.api.bodies import Body, Line, View
from greenroom.api.workspace.schemas import Bytes, Cores, CpuAllocationMethod
from greenroom.db.pool.configs import StagingConfig
from greenroom.db.pool.history import HourHitCounts, PoolHitCounts, PoolMiss, PoolMissReason

Number = Annotated[int, Field(ge=0, le=10_000, strict=True, description="number of sessions to keep staged")]
Hours = Annotated[
    float,
    Field(
        gt=0, le=87_600, allow_inf_nan=False, description="time after which an unassigned session is replaced, hours"
    ),
]


class ShortfallView(View):
    """The reason why fewer sessions are staged than desired."""

    code: str
    reason: str
    needs_action: Annotated[bool, Field(description="false = it ends by itself, or an administrator intends it")]


class StagingConfigView(
    View,
    row=StagingConfig,
    without={
        "zone_key",
        "zone",
        "image",
        "shortfall_code",
        "shortfall_reason",
        "refill_code",
        "refill_reason",
        "start_s",
        "has_manager",
    },
):
    """A staging config, with the state of its pool."""

    staging_config_id: UUID
    zone_id: UUID
    image_id: UUID
    num_current_sessions: Annotated[int, Field(description="claimable sessions without a user, on Agents that respond")]
    expiration: Annotated[float, Field(description="hours")]
    shortfall: ShortfallView | None
    refill_problem: Annotated[
        ShortfallView | None, Field(description="why the next session of a full pool cannot start; null = it can")
    ]
    failures: Annotated[int, Field(description="failed starts in a row")]
    hits_24h: Annotated[int, Field(description="launches that it served in the last 24 hours")]
    misses_24h: Annotated[
        int, Field(description="launches in the last 24 hours that considered it and got no staged session")
    ]
    next_try: datetime | None
    created: datetime
    warning: Annotated[str | None, Field(description="obstacle to the use of the config, or to a full pool")]


class StagingSaved(StagingConfigView):
    """A config after a change. `matching_users` is the number of users with its permissions; `warning` also contains
    the settings that prevent all of them from getting a session of the config."""

    matching_users: int


class StagingFields(Body):
    """The fields of a config."""

    num_sessions: Number = 0
    expiration: Hours = 1.0
    paused: Annotated[bool, Field(description="stage no more sessions and assign none")] = False
    allow_kasm_audio: bool = False
    allow_kasm_uploads: bool = False
    allow_kasm_downloads: bool = False
    allow_kasm_clipboard_down: bool = False
    allow_kasm_clipboard_up: bool = False
    allow_kasm_microphone: bool = False
    allow_kasm_gamepad: bool = False
    allow_kasm_webcam: bool = False


class StagingPatch(StagingFields):
    """Changes of a config; omitted fields keep their values. Zone and image cannot change."""

    zone_id: Annotated[UUID | None, Field(description="must not change")] = None
    image_id: Annotated[UUID | None, Field(description="must not change")] = None


class StagingCreate(StagingFields):
    """A new config. Omitted permissions get the values in force for the group All Users."""

    zone_id: UUID = Field(...)
    image_id: UUID = Field(...)
    num_sessions: Number = Field(...)
    expiration: Hours = Field(...)


class ExplainReason(View):
    """One reason why a user would not get a staged session; `group` is the source of the `setting`."""

    code: str
    setting: str | None
    group: str | None
    reason: str


class ExplainView(View):
    """The forecast of a launch by a user: a session of this config, or the reasons against it."""

    staging_config_id: UUID
    user_id: UUID
    username: str
    zone_name: Annotated[str, Field(description="zone in which the launch would begin")]
    step: Annotated[
        Literal["staged_here", "staged_elsewhere"], Field(description="step that would consider this config")
    ]
    would_get: bool
    reasons: list[ExplainReason]
    notes: Annotated[list[str], Field(description="remarks that do not prevent the launch")]


class Window(View, row=PoolHitCounts):
    """Launches that considered a config within the last hours.

    `hit_rate` is hits / (hits + misses), null without any.
    """

    hits: Annotated[int, Field(description="launches that this config served")]
    misses: Annotated[int, Field(description="launches that got no staged session")]
    served_elsewhere: Annotated[int, Field(description="launches that another config served; not counted as misses")]
    hit_rate: float | None


class HourView(View, row=HourHitCounts):
    """Hits and misses of one hour."""


class MissReason(View, row=PoolMissReason):
    """The reason why a config did not serve a launch; `setting` is null unless a setting is the reason."""


class ReasonView(MissReason):
    """A reason of misses, the number of launches with this reason, and the latest sentence."""

    launches: int
    last: datetime


class MissView(View, row=PoolMiss):
    """A launch that considered the config and got no staged session. Its user is included only with `sessions_view`."""

    launch_id: UUID
    user_id: UUID | None
    session_id: UUID | None
    reasons: list[MissReason]


class StagingHistoryView(View):
    """The results of the launches that considered a config."""

    staging_config_id: UUID
    windows: list[Window]
    reasons: Annotated[list[ReasonView], Field(description="reasons of all misses, most frequent first")]
    by_hour: Annotated[list[HourView], Field(description="oldest first, including hours without launches")]
    recent_misses: Annotated[list[MissView], Field(description="newest first")]


class Room(View):
    """The room for sessions of one size. `sessions` is the number for which there is room now. If there is none,
    `reason` names an obstacle of each Agent."""

    sessions: int
    reason: Annotated[str, Field(description="obstacles to more sessions, as a sentence; empty if there is room")]


class ImagePreviewRequest(Body):
    """The size, the placement and the groups of a workspace that is not saved."""

    cores: Cores
    memory: Bytes
    cpu_allocation_method: CpuAllocationMethod = "Inherit"
    runtime_class: Annotated[Line, Field(description="runtime of the run config; empty = the default")] = ""
    zone_id: Annotated[UUID | None, Field(description="only zone; null = any")] = None
    server_id: Annotated[UUID | None, Field(description="only Agent; null = any")] = None
    groups: Annotated[list[UUID], Field(max_length=1000, description="groups whose members may use it")] = []


class ImagePreview(View):
    """The room for sessions of a workspace, and the users who could launch it."""

    room: Room
    users: Annotated[int, Field(description="users in at least one of the groups")]
    all_users: int


class StagingPreviewRequest(StagingCreate):
    """A new config, or the changed values of a config."""

    staging_config_id: Annotated[UUID | None, Field(description="the config that is changed; null = a new one")] = None


class ExcludedUsers(View):
    """Users who may launch the workspace of a staging config, but get none of its sessions, for the same reasons."""

    users: int
    groups: Annotated[
        list[str], Field(description="names of the groups that set the values; empty without `groups_view`")
    ]
    reasons: Annotated[
        list[str],
        Field(description="permissions that differ; codes of rules if no config serves these users"),
    ]
    permissions: Annotated[
        dict[str, bool] | None, Field(description="permissions of a config that serves them; null = none does")
    ]
    is_served: Annotated[bool, Field(description="another config of the workspace and the zone serves them")]


class StagingPreview(View):
    """The room for more sessions of a staging config, their cost, and the users that it would serve."""

    room: Room
    cores: Annotated[float, Field(description="cores that the desired sessions reserve")]
    memory: Annotated[int, Field(description="bytes of memory that the desired sessions reserve")]
    matching_users: Annotated[int, Field(description="users with the permissions of the config")]
    users: Annotated[int, Field(description="users who may launch the workspace")]
    excluded: Annotated[list[ExcludedUsers], Field(description="users that it would not serve, most users first")]
    warnings: list[str]

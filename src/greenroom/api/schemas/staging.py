"""Staging configs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from greenroom.api.schemas.base import Body, View

Number = Annotated[int, Field(ge=0, le=10_000, strict=True, description="Desired Sessions")]
Hours = Annotated[float, Field(gt=0, le=87_600, allow_inf_nan=False, description="Expiration (Hours)")]


class ShortfallView(View):
    """Why fewer sessions are staged than desired."""

    code: str
    reason: str


class StagingConfigView(View):
    """A staging config with how full its pool is."""

    staging_config_id: UUID
    zone_id: UUID
    zone_name: str
    image_id: UUID
    image_friendly_name: str
    num_sessions: int
    num_current_sessions: Annotated[int, Field(description="without a user, claimable, on an Agent that is there")]
    num_starting_sessions: int
    expiration: Annotated[float, Field(description="h")]
    paused: bool
    allow_kasm_audio: bool
    allow_kasm_uploads: bool
    allow_kasm_downloads: bool
    allow_kasm_clipboard_down: bool
    allow_kasm_clipboard_up: bool
    allow_kasm_microphone: bool
    allow_kasm_gamepad: bool
    allow_kasm_webcam: bool
    shortfall: ShortfallView | None
    failures: Annotated[int, Field(description="failed starts in a row")]
    last_error: str | None
    next_try: datetime | None
    created: datetime


class StagingSaved(StagingConfigView):
    """A config as it was saved; `matching_users` would get its sessions, the warning says what is in their way."""

    matching_users: int
    warning: str | None


class StagingFields(Body):
    """What can be set of a config."""

    num_sessions: Number = 0
    expiration: Hours = 1.0
    paused: bool = False
    allow_kasm_audio: bool = False
    allow_kasm_uploads: bool = False
    allow_kasm_downloads: bool = False
    allow_kasm_clipboard_down: bool = False
    allow_kasm_clipboard_up: bool = False
    allow_kasm_microphone: bool = False
    allow_kasm_gamepad: bool = False
    allow_kasm_webcam: bool = False


class StagingPatch(StagingFields):
    """Changes of a config; omitted fields stay. Zone and image are those it was made with."""

    zone_id: Annotated[UUID | None, Field(description="cannot be changed; may be repeated")] = None
    image_id: Annotated[UUID | None, Field(description="cannot be changed; may be repeated")] = None


class StagingCreate(StagingFields):
    """A new config; permissions that are left out take the effective values of group All Users."""

    zone_id: UUID = Field(...)
    image_id: UUID = Field(...)
    num_sessions: Number = Field(...)
    expiration: Hours = Field(...)


class ExplainReason(View):
    """One thing that keeps a user from getting a staged session."""

    code: str
    setting: str | None
    group: str | None
    reason: str


class ExplainView(View):
    """Would this user get a session of this config now? Nothing is launched."""

    staging_config_id: UUID
    user_id: UUID
    username: str
    would_get: bool
    reasons: list[ExplainReason]

"""What is answered of recordings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from greenroom.api.bodies import View
from greenroom.core.recording.described import Mode


class RecordingView(View):
    """The recording of a lease."""

    lease_id: UUID
    session_id: UUID
    user_id: UUID | None
    username: str | None
    holder: Annotated[str, Field(description="who asked for the lease")]
    image_friendly_name: str
    zone_name: str
    record: Annotated[Mode, Field(description="what was to be kept")]
    record_text: Annotated[bool, Field(description="also what was typed, copied and opened, and whole commands")]
    begun: datetime
    ended: Annotated[datetime | None, Field(description="when the lease was over; null = it is not")]
    rows: Annotated[int, Field(description="they are numbered from 1")]
    rows_left_out: Annotated[int, Field(description="beyond 100,000")]
    pictures: int
    pictures_left_out: Annotated[int, Field(description="each such row says why")]
    picture_bytes: int


class RecordedPicture(View):
    """The size of a picture, in pixels."""

    width: int
    height: int


class RecordedRowView(View):
    """What was done at a time."""

    number: int
    began: datetime
    duration_ms: float
    what: Annotated[str, Field(description="click, type, exec, file-write, control, ended, …")]
    said: Annotated[str, Field(description="the same as a sentence")]
    who: Annotated[str, Field(description="who asked; empty = the program by the lease's token, or Greenroom")]
    details: Annotated[dict[str, Any], Field(description="such as `at`, a place on a `screen` of that size")]
    code: Annotated[str | None, Field(description="why it was not done; null = it was")]
    error: Annotated[str | None, Field(description="the same as a sentence")]
    picture: Annotated[RecordedPicture | None, Field(description="the screen afterwards, at `pictures/{number}`")]
    picture_left_out: Annotated[str | None, Field(description="why there is none, where one belongs to it")]

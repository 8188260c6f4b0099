"""What the launcher and the page of a connect address ask."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from greenroom.api.schemas.base import Body, Secret, View


class ZoneChoice(View):
    """A zone one may launch in."""

    zone_id: UUID
    zone_name: str


class LaunchOptions(View):
    """What the person may choose when launching; empty lists where nothing may be chosen."""

    zones: Annotated[list[ZoneChoice], Field(description="none unless `allow_zone_selection`")]
    images_with_profile: Annotated[
        list[UUID], Field(description="workspaces with a persistent profile; none unless `allow_persistent_profile`")
    ]


class ConnectBody(Body):
    """The parts of a connect address, `/#/connect/kasm/<session_id>/<user_id>/<session_token>`."""

    session_id: UUID
    user_id: UUID
    session_token: Annotated[Secret, Field(description="opens this session's stream, and nothing else")]

"""The settings of the installation, and the OpenAPI document.

The document describes the interface and holds no data, so everybody may read it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request

from greenroom.api import installation
from greenroom.api.access.schemas import InstallationSettingView
from greenroom.api.bodies import Json
from greenroom.api.deps import Db, Logs, SettingsSnapshot
from greenroom.api.problems import OpenApi
from greenroom.api.security import Caller, public_route, requires
from greenroom.core.installation import INSTALLATION_SETTINGS, Installation

router = APIRouter(tags=["settings"])


@router.get("/settings", dependencies=[requires("settings_view")])
async def list_settings(snapshot: SettingsSnapshot) -> list[InstallationSettingView]:
    """All settings with their values."""
    return _views(snapshot.installation)


@router.patch("/settings")
async def update_settings(
    body: Json,
    db: Db,
    logs: Logs,
    snapshot: SettingsSnapshot,
    caller: Annotated[Caller, requires("settings_modify")],
) -> list[InstallationSettingView]:
    """Set each name to its value; null brings the default back."""
    await installation.change_settings(db, logs, caller, snapshot, body)
    return _views(snapshot.installation)


def _views(values: Installation) -> list[InstallationSettingView]:
    return [
        InstallationSettingView.of(setting, value=getattr(values, setting.name))
        for setting in INSTALLATION_SETTINGS.values()
    ]


document_router = APIRouter()


@document_router.get(
    "/openapi.json", dependencies=[public_route("the description of the interface")], include_in_schema=False
)
async def openapi(request: Request) -> OpenApi:
    """OpenAPI 3.1 of `/api/v1`."""
    return request.app.openapi()

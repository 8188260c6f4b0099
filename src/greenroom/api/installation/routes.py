"""The settings of the installation, and the OpenAPI document.

The document describes the interface and holds no data, so everybody may read it.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request

from greenroom.api.access.schemas import InstallationSettingView
from greenroom.api.deps import Db, Logs, SettingsSnapshot
from greenroom.api.diagnostics.audit import audit
from greenroom.api.security import Caller, public_route, requires
from greenroom.core.installation import INSTALLATION_SETTINGS, Installation, validated_installation
from greenroom.core.log_codes import LogCode
from greenroom.db.installation import change_installation_settings

router = APIRouter(tags=["settings"])


@router.get("/settings", dependencies=[requires("settings_view")])
async def list_settings(snapshot: SettingsSnapshot) -> list[InstallationSettingView]:
    """All settings with their values."""
    return _views(snapshot.installation)


@router.patch("/settings")
async def update_settings(
    body: dict[str, Any],
    db: Db,
    logs: Logs,
    snapshot: SettingsSnapshot,
    caller: Annotated[Caller, requires("settings_modify")],
) -> list[InstallationSettingView]:
    """Set each name to its value; null brings the default back."""
    changes = {
        name: validated_installation(name, INSTALLATION_SETTINGS[name].default)
        if value is None and name in INSTALLATION_SETTINGS
        else validated_installation(name, value)
        for name, value in body.items()
    }
    before = snapshot.installation
    await change_installation_settings(
        db, {name: None if body[name] is None else value for name, value in changes.items()}
    )
    await snapshot.reload()
    old = {name: getattr(before, name) for name in changes}
    new = {name: getattr(snapshot.installation, name) for name in changes}
    audit(logs, caller, LogCode.SETTING_CHANGED, "of the installation", before=old, after=new)
    return _views(snapshot.installation)


def _views(values: Installation) -> list[InstallationSettingView]:
    return [
        InstallationSettingView(
            name=setting.name,
            kind=setting.kind,
            default=setting.default,
            unit=setting.unit,
            description=setting.description,
            minimum=setting.minimum,
            choices=list(setting.choices),
            excludes_staging=setting.excludes_staging,
            value=getattr(values, setting.name),
        )
        for setting in INSTALLATION_SETTINGS.values()
    ]


document_router = APIRouter()


@document_router.get(
    "/openapi.json", dependencies=[public_route("the description of the interface")], include_in_schema=False
)
async def openapi(request: Request) -> dict[str, Any]:
    """OpenAPI 3.1 of `/api/v1`."""
    return request.app.openapi()

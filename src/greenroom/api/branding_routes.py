"""The name, logo, notice and support link of the installation. They are public, because the log-in page shows them."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Request
from fastapi.responses import Response
from pydantic import Field

from greenroom.api.bodies import View
from greenroom.api.catalogue.routes import PICTURE_BODY, PICTURE_HEADERS, PICTURE_VERSION
from greenroom.api.catalogue.service import convert_picture
from greenroom.api.deps import ChangeDep, Db, SnapshotDep
from greenroom.api.problems import api_router
from greenroom.api.security import public_route, requires
from greenroom.core.errors import NotFound
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.installation import Installation
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.installation import change_logo, find_logo, logo_version

router = api_router("settings")

LOGO_PATH: Final = "/branding/logo"
ON_LOGIN_PAGE: Final = public_route("the log-in page shows it")


class BrandingView(View):
    """The name, logo, notice and support link of the installation, which are visible before a log-in."""

    name: Annotated[str, Field(description="name of the installation; empty = Greenroom")]
    notice: Annotated[str, Field(description="notice on the log-in page; may be empty")]
    support_url: Annotated[str, Field(description="https:// or mailto:; may be empty")]
    logo_url: Annotated[str | None, Field(description="address of the logo; it changes with the logo; null = no logo")]


@router.get("/branding", dependencies=[ON_LOGIN_PAGE])
async def get_branding(db: Db, snapshot: SnapshotDep) -> BrandingView:
    """Return the name, logo, notice and support link of the installation."""
    return await _view(db, snapshot.installation)


@router.get(
    LOGO_PATH,
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}, "description": "the logo"}},
    dependencies=[ON_LOGIN_PAGE, PICTURE_VERSION],
)
async def get_logo(db: Db) -> Response:
    """Return the logo of the installation."""
    if (logo := await find_logo(db)) is None:
        raise NotFound("The installation has no logo.")
    return Response(logo, media_type="image/webp", headers=PICTURE_HEADERS)


@router.put(LOGO_PATH, openapi_extra=PICTURE_BODY, dependencies=[requires("settings_modify")])
async def upload_logo(request: Request, change: ChangeDep, snapshot: SnapshotDep) -> BrandingView:
    """Set the logo: PNG, JPEG or WebP of at most 1 MB.

    The logo is stored as WebP with at most 512 pixels per side.
    """
    return await _changed(change, snapshot.installation, (await convert_picture(await request.body())).content)


@router.delete(LOGO_PATH, dependencies=[requires("settings_modify")])
async def remove_logo(change: ChangeDep, snapshot: SnapshotDep) -> BrandingView:
    """Remove the logo; the console shows the mark of Greenroom again."""
    return await _changed(change, snapshot.installation, None)


async def _changed(change: ChangeDep, installation: Installation, logo: bytes | None) -> BrandingView:
    before = await logo_version(change.db)
    async with change.db.transaction() as connection:
        await change_logo(connection, logo)
    after = await _view(change.db, installation)
    await change.db.notify(ChangeEvent(Topic.SETTINGS))
    change.audit(
        LogCode.SETTING_CHANGED,
        "of the installation",
        before={"logo": before},
        after={"logo": await logo_version(change.db)},
    )
    return after


async def _view(db: Database, installation: Installation) -> BrandingView:
    version = await logo_version(db)
    return BrandingView(
        name=installation.installation_name,
        notice=installation.login_notice,
        support_url=installation.support_url,
        logo_url=f"/api/v1{LOGO_PATH}?v={version}" if version else None,
    )

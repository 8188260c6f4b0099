"""The catalogue: its entries, imported lists, and pictures of workspaces."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from greenroom.api.bodies import View
from greenroom.api.catalogue import lists as catalogue_lists
from greenroom.api.catalogue import service
from greenroom.api.catalogue.schemas import CatalogueAdd, CatalogueCreate, CatalogueEntryView
from greenroom.api.catalogue.service import convert_picture
from greenroom.api.deps import ChangeDep, Db, SnapshotDep
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
from greenroom.api.security import Caller, requires, requires_one_of
from greenroom.api.workspace.routes import changed_view
from greenroom.api.workspace.schemas import ImageView
from greenroom.core.access.permissions import USER
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode
from greenroom.db import catalogue
from greenroom.db.catalogue import Catalogue

router = api_router("catalogue")

PictureCaller = Annotated[Caller, requires_one_of(USER, "images_view")]
"""A caller who may launch workspaces or see all workspaces."""

PICTURE_HEADERS: Final = {
    "Cache-Control": "private, max-age=300",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'",
}
"""With these headers, an SVG picture that is opened as a page runs no scripts and loads no other content."""


async def _picture_version(v: Annotated[str, Query(include_in_schema=False)] = "") -> None:
    """Accept the version in the address of a picture, with which browsers store it under another address."""


PICTURE_VERSION: Final = Depends(_picture_version)
_PICTURE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"image/svg+xml": {}, "image/webp": {}}, "description": "the picture"}
}
PICTURE_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in
                    ("image/png", "image/jpeg", "image/webp")},
    }
}  # fmt: skip


class CatalogueView(View, row=Catalogue, without={"etag"}):
    """A list of workspaces of another publisher."""

    catalogue_id: UUID
    entries: Annotated[int, Field(description="number of workspaces in the list")]
    left_out: Annotated[list[str], Field(description="unusable parts of the list, with reasons")]
    error: Annotated[
        str, Field(description="reason why the last attempt to read the list failed; empty = it succeeded")
    ]
    looked: Annotated[datetime | None, Field(description="time of the last attempt to read the list")]


@router.get("/catalogue", dependencies=[requires("images_view")])
async def list_catalogue(db: Db) -> list[CatalogueEntryView]:
    """List all entries, those of Greenroom first, then by friendly name, with the workspaces created from them."""
    return [service.entry_view(entry) for entry in await service.list_entries(db)]


@router.post("/catalogue/{name:path}", status_code=202, dependencies=[requires("images_create")])
async def add_from_catalogue(name: str, body: CatalogueAdd, change: ChangeDep) -> ImageView:
    """Add the workspace of an entry; Agents then fetch its image. A repeated request changes nothing.

    With `update`, the workspace of the entry gets the present image of the entry (needs `images_modify`): staged
    sessions are replaced one at a time, running sessions are not affected.
    """
    if body.update:
        change.caller.require("images_modify")
        return await changed_view(change, await service.update_workspace(change, name))
    groups = body.groups if "groups" in body.model_fields_set else None
    return await changed_view(change, await service.add_workspace(change, name, groups))


@router.get(
    "/catalogue/{name:path}/picture",
    response_class=Response,
    responses=_PICTURE_RESPONSES,
    dependencies=[PICTURE_VERSION],
)
async def get_catalogue_picture(name: str, db: Db, snapshot: SnapshotDep, caller: PictureCaller) -> Response:
    """Return the picture of an entry. Pictures of imported lists are for callers who may see workspaces."""
    if "/" in name:
        caller.require("images_view")
    picture = await service.entry_picture(db, name, networks=snapshot.installation.catalogue_networks)
    return Response(picture.content, media_type=picture.media_type, headers=PICTURE_HEADERS)


@router.get(
    "/images/{image_id}/picture",
    response_class=Response,
    responses=_PICTURE_RESPONSES,
    tags=["images"],
    dependencies=[PICTURE_VERSION],
)
async def get_picture(image_id: UUID, db: Db, caller: PictureCaller) -> Response:
    """Return the uploaded picture of a workspace, for callers who may use or see the workspace."""
    picture = await service.workspace_picture(db, caller, str(image_id))
    return Response(picture.content, media_type=picture.media_type, headers=PICTURE_HEADERS)


@router.put(
    "/images/{image_id}/picture", openapi_extra=PICTURE_BODY, tags=["images"], dependencies=[requires("images_modify")]
)
async def upload_picture(image_id: UUID, request: Request, change: ChangeDep) -> ImageView:
    """Set the picture of a workspace: PNG, JPEG or WebP of at most 1 MB.

    The picture is stored as WebP with at most 512 pixels per side.
    """
    picture = await convert_picture(await request.body())
    return await changed_view(change, await service.change_picture(change, str(image_id), picture))


@router.delete("/images/{image_id}/picture", tags=["images"], dependencies=[requires("images_modify")])
async def remove_picture(image_id: UUID, change: ChangeDep) -> ImageView:
    """Remove the uploaded picture. A workspace from the catalogue gets the picture of its entry again."""
    return await changed_view(change, await service.change_picture(change, str(image_id), None))


list_router = api_router("catalogue")


@list_router.get("/catalogues", dependencies=[requires("catalogues_view")])
async def list_catalogues(db: Db, page: Paging) -> list[CatalogueView]:
    """List the imported lists by name."""
    return [CatalogueView.model_validate(imported) for imported in await page.read(db, catalogue.CATALOGUES)]


@list_router.post("/catalogues", status_code=201, dependencies=[requires("catalogues_create")])
async def create_catalogue(body: CatalogueCreate, change: ChangeDep) -> CatalogueView:
    """Add a list in the format of workspace registries (schema 1.1). A list that cannot be read is refused."""
    return CatalogueView.model_validate(await catalogue_lists.add_catalogue(change, body))


@list_router.get("/catalogues/{catalogue_id}", dependencies=[requires("catalogues_view")])
async def get_catalogue(catalogue_id: UUID, db: Db) -> CatalogueView:
    """Return one list."""
    return CatalogueView.model_validate(await catalogue.get_catalogue(db, str(catalogue_id)))


@list_router.post("/catalogues/{catalogue_id}/read", dependencies=[requires("catalogues_create")])
async def read_catalogue(catalogue_id: UUID, db: Db, snapshot: SnapshotDep) -> CatalogueView:
    """Download a list now. After a failure, `error` contains the reason, and the previous entries stay."""
    imported = await catalogue.get_catalogue(db, str(catalogue_id))
    await catalogue_lists.refresh_list(db, imported, networks=snapshot.installation.catalogue_networks)
    await db.notify(ChangeEvent(Topic.IMAGES))
    return CatalogueView.model_validate(await catalogue.get_catalogue(db, imported.catalogue_id))


@list_router.delete("/catalogues/{catalogue_id}", status_code=204, dependencies=[requires("catalogues_delete")])
async def delete_catalogue(catalogue_id: UUID, change: ChangeDep) -> None:
    """Delete a list; workspaces that were added from it stay."""
    imported = await catalogue.get_catalogue(change.db, str(catalogue_id))
    async with change.db.transaction() as connection:
        await catalogue.delete_catalogue(connection, imported.catalogue_id)
    await change.db.notify(ChangeEvent(Topic.IMAGES))
    change.audit(
        LogCode.CATALOGUE_DELETED, imported.name, before={"name": imported.name, "list_url": imported.list_url}
    )

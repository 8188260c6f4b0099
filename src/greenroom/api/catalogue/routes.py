"""The catalogue: what one click adds; the lists of others; pictures of workspaces."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from greenroom.api.bodies import View
from greenroom.api.catalogue import lists as catalogue_lists
from greenroom.api.catalogue import service
from greenroom.api.catalogue.schemas import CatalogueAdd, CatalogueCreate, CatalogueEntryView
from greenroom.api.catalogue.service import Adding, made_picture
from greenroom.api.deps import Db, Logs, SecretsDep, SettingsSnapshot
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, requires, requires_one_of
from greenroom.api.workspace import service as workspaces
from greenroom.api.workspace.routes import view
from greenroom.api.workspace.schemas import ImageView
from greenroom.core.access.permissions import USER
from greenroom.db import catalogue
from greenroom.db.catalogue import Catalogue

router = APIRouter(tags=["catalogue"])

Viewer = Annotated[Caller, requires_one_of(USER, "images_view")]
"""Who sees pictures: on the launcher, or among the workspaces."""

PICTURE_HEADERS: Final = {
    "Cache-Control": "private, max-age=300",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'",
}
"""A drawing that is opened by itself can run nothing and load nothing."""
_PICTURES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"image/svg+xml": {}, "image/webp": {}}, "description": "the picture"}
}
_UPLOAD: Final = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in
                    ("image/png", "image/jpeg", "image/webp")},
    }
}  # fmt: skip


class CatalogueView(View, row=Catalogue, without={"etag"}):
    """A list of workspaces that others publish."""

    catalogue_id: UUID
    entries: Annotated[int, Field(description="how many workspaces it offers")]
    left_out: Annotated[list[str], Field(description="what of it cannot be used, and why")]
    error: Annotated[str, Field(description="why it could not be read the last time; empty = it could")]
    looked: Annotated[datetime | None, Field(description="when that was")]


@router.get("/catalogue", dependencies=[requires("images_view")])
async def list_catalogue(db: Db) -> list[CatalogueEntryView]:
    """All entries, ours first, then by friendly name: what can be added, and what was."""
    return [service.shown(entry) for entry in await service.catalogue(db)]


@router.post("/catalogue/{name:path}", status_code=202)
async def add_from_catalogue(
    name: str,
    body: CatalogueAdd,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    snapshot: SettingsSnapshot,
    caller: Annotated[Caller, requires("images_create")],
) -> ImageView:
    """Add the workspace of an entry; Agents then get its image by themselves. Asked again it changes nothing.

    With `update` the workspace that was added gets the entry's present image (needs `images_modify`): staged sessions
    are replaced one by one, running ones stay.
    """
    adding = Adding(db, logs, secrets, caller)
    if body.update:
        caller.require("images_modify")
        return await view(db, secrets, caller, await adding.update(name))
    groups = body.groups if "groups" in body.model_fields_set else None
    default = workspaces.default_groups(for_all_users=snapshot.installation.add_images_to_default_group)
    image = await adding.add(name, groups, default, reach=snapshot.installation.catalogue_reach)
    return await view(db, secrets, caller, image)


@router.get("/catalogue/{name:path}/picture", response_class=Response, responses=_PICTURES)
async def get_catalogue_picture(name: str, db: Db, snapshot: SettingsSnapshot, caller: Viewer) -> Response:
    """The picture of an entry; those of other lists are for who may see workspaces."""
    if "/" in name:
        caller.require("images_view")
    picture = await service.picture_of(db, name, reach=snapshot.installation.catalogue_reach)
    return Response(picture.content, media_type=picture.media_type, headers=PICTURE_HEADERS)


@router.get("/images/{image_id}/picture", response_class=Response, responses=_PICTURES, tags=["images"])
async def get_picture(image_id: UUID, db: Db, caller: Viewer) -> Response:
    """The picture that was uploaded for a workspace, for who may use or see it."""
    picture = await service.workspace_picture(db, caller, str(image_id))
    return Response(picture.content, media_type=picture.media_type, headers=PICTURE_HEADERS)


@router.put("/images/{image_id}/picture", openapi_extra=_UPLOAD, tags=["images"])
async def upload_picture(
    image_id: UUID,
    request: Request,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires("images_modify")],
) -> ImageView:
    """Give a workspace a picture: PNG, JPEG or WebP of at most 1 MB, which is made anew and at most 512 pixels wide."""
    picture = await made_picture(await request.body())
    image = await service.change_picture(db, logs, caller, str(image_id), picture)
    return await view(db, secrets, caller, image)


@router.delete("/images/{image_id}/picture", tags=["images"])
async def remove_picture(
    image_id: UUID, db: Db, logs: Logs, secrets: SecretsDep, caller: Annotated[Caller, requires("images_modify")]
) -> ImageView:
    """Take the uploaded picture away; one that was added from the catalogue has that entry's again."""
    image = await service.change_picture(db, logs, caller, str(image_id), None)
    return await view(db, secrets, caller, image)


list_router = APIRouter(tags=["catalogue"])


@list_router.get("/catalogues", dependencies=[requires("catalogues_view")])
async def list_catalogues(db: Db, page: Paging) -> list[CatalogueView]:
    """Lists of other registries by name."""
    found = await catalogue.list_catalogues(db, after=page.after_row(catalogue.BY_NAME), limit=page.limit)
    return [CatalogueView.model_validate(each) for each in page.rows(found, catalogue.BY_NAME)]


@list_router.post("/catalogues", status_code=201)
async def create_catalogue(
    body: CatalogueCreate,
    db: Db,
    logs: Logs,
    snapshot: SettingsSnapshot,
    caller: Annotated[Caller, requires("catalogues_create")],
) -> CatalogueView:
    """Add a list in the form that workspace registries publish (schema 1.1); one that cannot be read is refused."""
    reach = snapshot.installation.catalogue_reach
    made = await catalogue_lists.add_catalogue(db, logs, caller, body, reach=reach)
    return CatalogueView.model_validate(made)


@list_router.get("/catalogues/{catalogue_id}", dependencies=[requires("catalogues_view")])
async def get_catalogue(catalogue_id: UUID, db: Db) -> CatalogueView:
    """One list."""
    return CatalogueView.model_validate(await catalogue.get_catalogue(db, str(catalogue_id)))


@list_router.post("/catalogues/{catalogue_id}/read", dependencies=[requires("catalogues_create")])
async def read_catalogue(catalogue_id: UUID, db: Db, snapshot: SettingsSnapshot) -> CatalogueView:
    """Read it again now; `error` says why it could not be read, and what was read before stays."""
    reach = snapshot.installation.catalogue_reach
    return CatalogueView.model_validate(await catalogue_lists.read_again(db, str(catalogue_id), reach=reach))


@list_router.delete("/catalogues/{catalogue_id}", status_code=204)
async def delete_catalogue(
    catalogue_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("catalogues_delete")]
) -> None:
    """Forget a list; workspaces that were added from it stay."""
    await catalogue_lists.delete_catalogue(db, logs, caller, str(catalogue_id))

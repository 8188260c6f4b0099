"""The entries of the catalogue with their state, their pictures, and the workspaces that are created from them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog

from greenroom.api.bodies import validated
from greenroom.api.catalogue.schemas import CatalogueEntryView
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.security import Caller
from greenroom.api.workspace import service as workspaces
from greenroom.api.workspace.schemas import ImageCreate, ImagePatch
from greenroom.core.catalogue.entries import (
    CatalogueEntry,
    CatalogueEntryStatus,
    entry_of_list,
    entry_of_recipe,
    entry_statuses,
    free_name,
    workspace_update,
)
from greenroom.core.errors import Duplicate, Invalid, NotFound, Refused, TooLarge, require_row
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode
from greenroom.core.outgoing import AllowedNetworks
from greenroom.db import catalogue as catalogue_rows
from greenroom.db.catalogue import CataloguePicture
from greenroom.db.database import Database
from greenroom.db.workspace import images
from greenroom.db.workspace.images import WorkspaceRow
from greenroom.kit import recipes

MAX_UPLOAD_BYTES: Final = 1_000_000


async def convert_picture(upload: bytes) -> CataloguePicture:
    """Return the stored form of an uploaded picture.

    Raises:
        TooLarge: it has too many bytes or pixels.
        Invalid: it is not a picture, or has another format.
    """
    if len(upload) > MAX_UPLOAD_BYTES:
        raise TooLarge(f"A picture may have at most 1 MB; this one has {len(upload) / 1_000_000:.1f} MB.")
    from greenroom.kit.pictures import upload_as_webp  # noqa: PLC0415 -- it takes 3 MB, and uploads are rare

    return CataloguePicture("image/webp", await asyncio.to_thread(upload_as_webp, upload))


log = structlog.get_logger(__name__)

MAX_CACHED_PICTURES: Final = 256
"""The number of converted pictures of imported lists in memory, about 20 kB each."""
_cached_pictures: dict[str, CataloguePicture] = {}
"""Address → picture, for the pictures that were read last."""


def picture_address(name: str) -> str:
    """Return the address of the picture of an entry."""
    return f"/api/v1/catalogue/{name}/picture"


def recipe_entries() -> list[CatalogueEntry]:
    """Return the entries of the recipes of Greenroom; empty if their package is not installed."""
    if (installed := recipes.find_recipes()) is None:
        return []
    return [
        entry_of_recipe(recipe, installed.reference(recipe), picture_address(recipe.name))
        for recipe in installed.recipes()
    ]


async def all_entries(db: Database) -> list[CatalogueEntry]:
    """Return the entries of the recipes of Greenroom, and of the imported lists as they were last downloaded."""
    imported = await catalogue_rows.read_entries(db)
    return recipe_entries() + [entry_of_list(source, listed) for source, listed in imported]


async def list_entries(db: Database) -> list[CatalogueEntryStatus]:
    """Return all entries with their state in this installation."""
    entries = await all_entries(db)
    workspaces_of_entries = await catalogue_rows.read_catalogue_workspaces(db, [entry.image for entry in entries])
    return entry_statuses(entries, workspaces_of_entries, await catalogue_rows.read_sizes(db))


def entry_view(status: CatalogueEntryStatus) -> CatalogueEntryView:
    """Return the view of an entry."""
    entry = status.entry
    return CatalogueEntryView.of(
        entry,
        picture_url=picture_address(entry.name) if entry.picture_url or not entry.source else None,
        size_bytes=status.size_bytes,
        first_frame_ms=status.first_frame_ms,
        installed=status.workspace is not None,
        image_id=status.workspace and UUID(status.workspace.image_id),
        update_available=status.update_available,
    )


async def find_entry(db: Database, name: str) -> CatalogueEntry:
    """Return an entry. Raises NotFound: the catalogue has no such entry."""
    for entry in await all_entries(db):
        if entry.name == name:
            return entry
    raise NotFound(_missing_entry_message(name))


def _missing_entry_message(name: str) -> str:
    if "/" not in name and recipes.find_recipes() is None:
        return recipes.NOT_INSTALLED
    return f"There is no {name} in the catalogue; see GET /api/v1/catalogue."


async def add_workspace(change: CallerChange, name: str, groups: Sequence[UUID] | None) -> WorkspaceRow:
    """Create the workspace of an entry for `groups` (None = the default groups), and return it.

    If the entry already has a workspace, it is returned unchanged.

    Raises:
        NotFound: the catalogue has no such entry.
        Refused: the entry already has a workspace, with other groups than `groups`.
        Invalid: a workspace cannot be created from the entry, or a group does not exist.
    """
    db, entry = change.db, await find_entry(change.db, name)
    if (image_id := await catalogue_rows.find_workspace_of_entry(db, name)) is not None:
        image = await images.get_image(db, image_id)
        if groups is not None and {str(group) for group in groups} != set(image.groups):
            raise Refused(
                f"{entry.friendly_name} was already added as workspace {image.friendly_name}. Change the groups "
                "of the workspace."
            )
        return image
    friendly_name = free_name(entry.friendly_name, await catalogue_rows.friendly_names(db))
    fields = {**entry.workspace, "friendly_name": friendly_name}
    body = validated(ImageCreate, fields | ({} if groups is None else {"groups": list(groups)}))
    try:
        image = await workspaces.create_image(change, body, origin=entry.name)
    except Duplicate:
        if (image_id := await catalogue_rows.find_workspace_of_entry(db, name)) is None:
            raise
        return await images.get_image(db, image_id)  # another administrator added it at the same moment
    return await _with_picture(change, image, entry)


async def _with_picture(change: CallerChange, image: WorkspaceRow, entry: CatalogueEntry) -> WorkspaceRow:
    """Return the workspace with a copy of the picture of its entry, if there is one and it can be read."""
    if not entry.picture_url:
        return image
    try:
        picture = await _download_picture(entry.picture_url, networks=change.installation.catalogue_networks)
    except (Invalid, TooLarge) as error:
        log.info("a workspace has no picture", workspace=image.friendly_name, reason=error.message)
        return image
    async with change.db.transaction() as connection:
        await catalogue_rows.store_picture(connection, image.image_id, picture, upload_address(image.image_id, picture))
    return await images.get_image(change.db, image.image_id)


async def update_workspace(change: CallerChange, name: str) -> WorkspaceRow:
    """Give the workspace of an entry the present image of the entry.

    Staged sessions are replaced one at a time, but end at once if the update adds services for programs.

    Raises:
        NotFound: the catalogue has no such entry.
        Refused: no workspace was created from the entry.
    """
    entry = await find_entry(change.db, name)
    image_id = await catalogue_rows.find_workspace_of_entry(change.db, name)
    if image_id is None:
        raise Refused(f"{entry.friendly_name} was not added yet; add it first.")
    image = await images.get_image(change.db, image_id)
    body = validated(ImagePatch, workspace_update(entry, image.port_map))
    return await workspaces.update_image(change, image_id, body, origin=entry.name)


def upload_address(image_id: str, picture: CataloguePicture) -> str:
    """Return the address of an uploaded picture.

    The address changes with the picture, so browsers do not display an old one.
    """
    return f"/api/v1/images/{image_id}/picture?v={hashlib.sha256(picture.content).hexdigest()[:12]}"


async def entry_picture(db: Database, name: str, *, networks: AllowedNetworks) -> CataloguePicture:
    """Return the picture of an entry. Raises NotFound: there is no such entry, or its picture is missing or cannot be
    read."""
    if "/" not in name:
        if (installed := recipes.find_recipes()) is None:
            raise NotFound(recipes.NOT_INSTALLED)
        return CataloguePicture("image/svg+xml", installed.picture(name))
    entry = await find_entry(db, name)
    if not entry.picture_url:
        raise NotFound(f"{entry.friendly_name} has no picture.")
    try:
        return await _download_picture(entry.picture_url, networks=networks)
    except (Invalid, TooLarge) as error:
        raise NotFound(f"The picture of {entry.friendly_name} cannot be read: {error.message}") from error


async def _download_picture(url: str, *, networks: AllowedNetworks) -> CataloguePicture:
    """Return the converted picture at an address of another host.

    Raises:
        Invalid: it cannot be read, or it is not a picture.
        TooLarge: it has too many bytes or pixels.
    """
    from greenroom.api.catalogue import downloads  # noqa: PLC0415 -- it takes 20 MB, and few installations read lists

    if (picture := _cached_pictures.get(url)) is None:
        downloaded = await downloads.download(url, max_bytes=MAX_UPLOAD_BYTES, networks=networks)
        picture = await convert_picture(downloaded.content or b"")
        if len(_cached_pictures) >= MAX_CACHED_PICTURES:
            _cached_pictures.pop(next(iter(_cached_pictures)))
        _cached_pictures[url] = picture
    return picture


async def workspace_picture(db: Database, caller: Caller, image_id: str) -> CataloguePicture:
    """Return the uploaded picture of a workspace. Raises NotFound: it has no picture, or the caller may neither use nor
    see the workspace."""
    may_use = caller.user_id is not None and await images.may_use_image(db, image_id, caller.user_id)
    picture = await catalogue_rows.find_picture(db, image_id) if may_use or caller.may("images_view") else None
    return require_row(picture, "picture of workspace", image_id)


async def change_picture(change: CallerChange, image_id: str, picture: CataloguePicture | None) -> WorkspaceRow:
    """Set the picture of a workspace; None removes the uploaded picture. Raises NotFound: there is no such
    workspace."""
    async with change.db.transaction() as connection:
        before = await images.lock_image(connection, image_id)
        if picture is None:
            await catalogue_rows.remove_picture(connection, image_id)
        else:
            await catalogue_rows.store_picture(connection, image_id, picture, upload_address(image_id, picture))
    after = await images.get_image(change.db, image_id)
    await change.db.notify(ChangeEvent(Topic.IMAGES))
    old, new = ({"image_src": image.image_src} for image in (before, after))
    change.audit(LogCode.WORKSPACE_CHANGED, after.friendly_name, before=old, after=new)
    return after

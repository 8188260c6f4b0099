"""Imported catalogues, which are lists of workspaces by other publishers. A list is downloaded when an administrator
adds it, and once an hour.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from greenroom.api.catalogue.schemas import CatalogueCreate
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.installation import SettingsSnapshot
from greenroom.core.catalogue.published import MAX_LIST_BYTES, PublishedList, list_address, read_list
from greenroom.core.errors import GreenroomError, Unavailable
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode
from greenroom.core.outgoing import AllowedNetworks
from greenroom.db import catalogue as catalogue_rows
from greenroom.db.catalogue import Catalogue
from greenroom.db.database import Database
from greenroom.kit.concurrency import convert_item_error, log_item_error, warn_of_item_error

log = structlog.get_logger(__name__)

DOWNLOAD_EVERY_S: Final = 3600.0
CHECK_INTERVAL_S: Final = 60.0


async def add_catalogue(change: CallerChange, body: CatalogueCreate) -> Catalogue:
    """Download a list and add it as a catalogue. A list that cannot be downloaded is not added.

    Raises:
        Invalid: the list cannot be downloaded, or is not valid.
        Duplicate: the name or the address exists.
    """
    db, address = change.db, list_address(body.list_url)
    published = await _download_list(address, "", networks=change.installation.catalogue_networks)
    async with db.transaction() as connection:
        catalogue_id = await catalogue_rows.insert_catalogue(connection, body.name, address)
    if published is not None:
        await catalogue_rows.store_reading(db, catalogue_id, *published)
    await db.notify(ChangeEvent(Topic.IMAGES))
    catalogue = await catalogue_rows.get_catalogue(db, catalogue_id)
    change.audit(
        LogCode.CATALOGUE_CREATED, catalogue.name, after={"name": catalogue.name, "list_url": catalogue.list_url}
    )
    return catalogue


async def refresh_lists_periodically(db: Database, snapshot: SettingsSnapshot) -> None:
    """Download each list once an hour, forever. Several api processes can do this; each downloads the due lists."""
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        with warn_of_item_error(log, "the lists of workspaces were not read", "catalogs"):
            await refresh_due_lists(db, snapshot)


async def refresh_due_lists(db: Database, snapshot: SettingsSnapshot) -> None:
    """Download each list whose last download was an hour ago or more. Raises Unavailable: the database is
    unreachable."""
    for catalogue in await catalogue_rows.find_due_catalogues(db, DOWNLOAD_EVERY_S):
        with log_item_error("catalog", catalogue.name):
            await refresh_list(db, catalogue, networks=snapshot.installation.catalogue_networks)


async def refresh_list(db: Database, catalogue: Catalogue, *, networks: AllowedNetworks) -> None:
    """Download a list now. If that fails, store the reason; the previous entries stay. Raises Unavailable: the database
    is unreachable."""
    try:
        with convert_item_error("catalog", catalogue.name):
            published = await _download_list(catalogue.list_url, catalogue.etag, networks=networks)
            if published is None:
                await catalogue_rows.store_unchanged(db, catalogue.catalogue_id)
            else:
                await catalogue_rows.store_reading(db, catalogue.catalogue_id, *published)
    except Unavailable:
        raise  # the database is unreachable, so the reason cannot be stored
    except GreenroomError as error:
        log.warning("a list of workspaces cannot be read", catalogue=catalogue.name, reason=error.message)
        await catalogue_rows.store_failure(db, catalogue.catalogue_id, error.message)


async def _download_list(address: str, etag: str, *, networks: AllowedNetworks) -> tuple[PublishedList, str] | None:
    """Return the list and its ETag; None = unchanged. Raises Invalid: it cannot be downloaded, or it is not a list."""
    from greenroom.api.catalogue import downloads  # noqa: PLC0415 -- it takes 20 MB, and few installations read lists

    downloaded = await downloads.download(address, max_bytes=MAX_LIST_BYTES, etag=etag, networks=networks)
    if downloaded.content is None:
        return None
    return read_list(downloaded.content, address), downloaded.etag

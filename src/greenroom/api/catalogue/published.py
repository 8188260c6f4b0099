"""The lists of other registries in the published shape; the rules are those of `/api/v1/catalogues`."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter

from greenroom.api.catalogue import lists as catalogue_lists
from greenroom.api.catalogue.schemas import CatalogueCreate
from greenroom.api.deps import Db, Logs, SettingsSnapshot
from greenroom.api.published.calls import Answer, Call, date, requires_key, validated
from greenroom.core.errors import Invalid
from greenroom.db import catalogue as catalogue_rows
from greenroom.db.catalogue import Catalogue

router = APIRouter(include_in_schema=False)


@router.post("/get_registries", dependencies=[requires_key("catalogues_view")])
async def get_registries(db: Db) -> Answer:
    """The lists of workspaces that others publish."""
    return {"registries": [_shape(each) for each in (await catalogue_rows.list_catalogues(db)).rows]}


@router.post("/create_registry")
async def create_registry(
    db: Db, logs: Logs, snapshot: SettingsSnapshot, call: Annotated[Call, requires_key("catalogues_create")]
) -> Answer:
    """Add such a list and read it; its `name` is that of its host unless one is given."""
    address = call.text("registry")
    if call.text("channel"):
        raise Invalid("A list of workspaces has no channels here: leave channel out, or give the address of its list.")
    name = call.text("name") or _name_of(address)
    body = validated(CatalogueCreate, {"name": name, "list_url": address})
    reach = snapshot.installation.catalogue_reach
    return {"registry": _shape(await catalogue_lists.add_catalogue(db, logs, call.caller, body, reach=reach))}


@router.post("/delete_registry")
async def delete_registry(db: Db, logs: Logs, call: Annotated[Call, requires_key("catalogues_delete")]) -> Answer:
    """Forget a list; workspaces that were added from it stay."""
    await catalogue_lists.delete_catalogue(db, logs, call.caller, call.id("registry_id"))
    return {}


def _name_of(address: str) -> str:
    """The host of an address, in the letters that a name may have; empty if it has none."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        host = ""
    return re.sub(r"[^a-z0-9]+", "-", host).strip("-")[:63]


def _shape(catalogue: Catalogue) -> Answer:
    return {
        "registry_id": catalogue.catalogue_id,
        "registry_url": catalogue.list_url,
        "name": catalogue.name,
        "channel": None,
        "num_images": catalogue.entries,
        "error": catalogue.error or None,
        "last_read": date(catalogue.looked),
        "created": date(catalogue.created),
    }

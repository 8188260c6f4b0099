"""The search of the console: objects by words, with the permissions and the scopes of the caller."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from greenroom.api.bodies import Text, View
from greenroom.api.deps import Db
from greenroom.api.problems import api_router
from greenroom.api.scopes import LISTED
from greenroom.api.security import Caller, requires_one_of
from greenroom.core.access.permissions import VIEW_CODES
from greenroom.core.diagnostics.search import (
    KINDS,
    Hit,
    SearchKind,
    best,
    find_log_codes,
    find_settings,
    words_of_query,
)
from greenroom.db.diagnostics.search import STORED_KINDS, Places, find_objects

router = api_router("diagnostics")


class HitView(View, row=Hit):
    """An object that was found; `id` is its id or name, `note` distinguishes objects with equal titles, for example
    "running · eu"."""


SearchText = Annotated[Text, Query(max_length=200, description="words that a hit must have, in any order")]


@router.get("/search")
async def search(
    db: Db, caller: Annotated[Caller, requires_one_of(*VIEW_CODES, scope=LISTED)], q: SearchText = ""
) -> list[HitView]:
    """Find users, sessions, pools, workspaces, Agents, Managers, zones, groups, service accounts, API keys, secrets,
    machine pools, web filter policies, directories, webhooks, settings and codes of the log.

    The best hits come first; there are at most 30. The answer has only what the caller may see.
    """
    words = words_of_query(q)
    if not words:
        return []
    places: dict[SearchKind, Places] = {}
    for kind in STORED_KINDS:
        if (where := _places(caller, KINDS[kind])) is not None:
            places[kind] = where
    hits = await find_objects(db, words, places)
    if caller.may(KINDS["setting"]):
        hits += find_settings("setting", words)
    if caller.may(KINDS["group_setting"]):
        hits += find_settings("group_setting", words)
    if caller.may(KINDS["log_code"]):
        hits += find_log_codes(words)
    return [HitView.model_validate(hit) for hit in best(hits, q)]


def _places(caller: Caller, code: str) -> Places | None:
    """Return the places in which the caller has the code; None = nowhere."""
    places = Places(caller.ids_in_scope(code, "zone"), caller.ids_in_scope(code, "group"))
    return None if places.zones == [] and places.groups == [] else places

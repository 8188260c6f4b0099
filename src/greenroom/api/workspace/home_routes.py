"""Home folders that are kept: whose, how large, when they were last used; and their deletion."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from greenroom.api.bodies import View
from greenroom.api.deps import Db, Logs
from greenroom.api.diagnostics.audit import audit
from greenroom.api.paging import Counting, Paging, Search, Sorting
from greenroom.api.security import Caller, requires_own_or
from greenroom.core.errors import NotFound
from greenroom.core.listing import order_of, words_of
from greenroom.core.log_codes import LogCode
from greenroom.core.workspace.homes import loss, remark, state_of
from greenroom.db.database import Database
from greenroom.db.workspace import homes
from greenroom.db.workspace.homes import HOMES, Home, HomeFilter

router = APIRouter(tags=["homes"])

VIEW = "homes_view"
DELETE = "homes_delete"


class HomeView(View):
    """A home folder that an Agent keeps for a user and a workspace."""

    home_id: UUID
    user_id: UUID
    username: Annotated[str | None, Field(description="null = the user was deleted")]
    image_id: UUID
    image_friendly_name: Annotated[str | None, Field(description="null = the workspace was deleted")]
    agent_id: Annotated[UUID | None, Field(description="where it is; null for those who may not see Agents")]
    hostname: Annotated[str | None, Field(description="of that Agent; null like it")]
    size_bytes: Annotated[int | None, Field(description="on the disk, when it was measured; null = not yet")]
    measured: datetime | None
    last_used: datetime
    state: Annotated[Literal["kept", "in_use", "deleting"], Field(description="in_use: it cannot be deleted now")]
    remark: Annotated[str, Field(description="what is to be known of that, as a sentence; or empty")]
    sessions: Annotated[list[UUID], Field(description="that have it, stopped and paused ones, too")]
    loss: Annotated[str, Field(description="what deleting it loses, as a sentence")]


def _view(home: Home, caller: Caller) -> HomeView:
    state = state_of(home.sessions, home.removal_id)
    may_see_agents = caller.may("agents_view")
    return HomeView.model_validate(
        {
            **asdict(home),
            "agent_id": home.agent_id if may_see_agents else None,
            "hostname": home.hostname if may_see_agents else None,
            "state": state,
            "remark": remark(
                state,
                is_moved_away=home.moved_away,
                is_reached=home.agent_status == "running",
                problem=home.problem,
            ),
            "loss": loss(home.username or "a deleted user", home.image_friendly_name or "a deleted workspace"),
        }
    )


def _seen_by(caller: Caller, which: HomeFilter) -> HomeFilter:
    """Callers without the permission see their own."""
    if caller.may(VIEW):
        return which
    own = caller.own_user_id()
    if which.user_id not in {None, own}:
        caller.require(VIEW)
    return replace(which, user_id=own)


@router.get("/homes")
async def list_homes(
    db: Db,
    page: Paging,
    caller: Annotated[Caller, requires_own_or(VIEW)],
    user_id: UUID | None = None,
    image_id: UUID | None = None,
    agent_id: Annotated[UUID | None, Query(description="only what this Agent keeps")] = None,
    q: Search = "",
    sort: Sorting = "user",
    count: Counting = False,
) -> list[HomeView]:
    """The home folders that are kept; those of everybody with `homes_view`, else one's own."""
    given = HomeFilter(
        user_id=str(user_id) if user_id else None,
        image_id=str(image_id) if image_id else None,
        agent_id=str(agent_id) if agent_id else None,
    )
    which, words, order = _seen_by(caller, given), words_of(q, HOMES.columns), order_of(sort, HOMES.orders)
    if count:
        page.count(await homes.count_homes(db, which, words))
    part = await homes.list_homes(db, which, words, order=order, after=page.after_row(order), limit=page.limit)
    return [_view(home, caller) for home in page.rows(part, order)]


@router.get("/homes/{home_id}")
async def get_home(home_id: UUID, db: Db, caller: Annotated[Caller, requires_own_or(VIEW)]) -> HomeView:
    """One home folder."""
    return _view(await _home(db, caller, home_id, VIEW), caller)


@router.delete("/homes/{home_id}", status_code=202)
async def delete_home(
    home_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires_own_or(DELETE)]
) -> HomeView:
    """Delete a home folder with all its files (`loss`); users may delete their own. 409 while a session has it.

    The Agent does it as soon as it can, also after a restart; the folder is in the list until its files are gone.
    """
    home = await _home(db, caller, home_id, DELETE)
    await homes.request_removal(db, home.home_id)
    name = f"of {home.username or home.user_id} for {home.image_friendly_name or home.image_id} on {home.hostname}"
    if home.removal_id is None:
        before = {"size_bytes": home.size_bytes, "last_used": home.last_used}
        audit(logs, caller, LogCode.HOME_FOLDER_DELETED, name, before=before)
    return _view(await homes.get_home(db, home.home_id), caller)


async def _home(db: Database, caller: Caller, home_id: UUID, permission: str) -> Home:
    """Raises NotFound: there is none that this caller may see."""
    home = await homes.get_home(db, str(home_id))
    is_own = caller.user_id is not None and home.user_id == caller.user_id
    if not (is_own or caller.may(permission)):
        if caller.may(VIEW):
            caller.require(permission)
        raise NotFound(f"There is no home folder {home_id}; it may have been deleted.")
    return home

"""Workspaces (named `images` in addresses, fields and code), web filter policies, and home folders."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query
from pydantic import Field

from greenroom.api.bodies import View
from greenroom.api.deps import ChangeDep, Db, SecretsDep
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.paging import Counting, Paging, Search, Sorting
from greenroom.api.problems import api_router
from greenroom.api.security import Caller, requires, requires_own_or
from greenroom.api.workspace import service
from greenroom.api.workspace.schemas import (
    FilterDecisionView,
    FilterPolicyCreate,
    FilterPolicyPatch,
    FilterPolicyView,
    ImageCreate,
    ImagePatch,
    ImageView,
    Port,
)
from greenroom.core.errors import NotFound, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.listing import order_of, words_of
from greenroom.core.log_codes import LogCode
from greenroom.core.web_filter import decision, require_disjoint
from greenroom.core.workspace.homes import deletion_warning, home_remark, home_state
from greenroom.db.access.roles import read_grants
from greenroom.db.database import Database
from greenroom.db.rows import values_of
from greenroom.db.workspace import filter_policies, homes, images
from greenroom.db.workspace.filter_policies import PolicyFields
from greenroom.db.workspace.homes import HOMES, Home
from greenroom.db.workspace.images import WorkspaceRow
from greenroom.kit.secrets import Secrets

router = api_router("images")


@router.get("/images")
async def list_images(
    db: Db, page: Paging, secrets: SecretsDep, caller: Annotated[Caller, requires("images_view")]
) -> list[ImageView]:
    """List all workspaces by friendly name. For the workspaces that a user may launch see `GET /me/images`.

    The values of variables are only for callers who may change workspaces; others get `(secret)`.
    """
    rows = await page.read(db, images.IMAGES)
    return [await _image_view(db, secrets, caller, image, compare_agents=False) for image in rows]


@router.post("/images", status_code=201, dependencies=[requires("images_create")])
async def create_image(body: ImageCreate, change: ChangeDep) -> ImageView:
    """Create a workspace; without `groups` it is for All Users (setting `add_images_to_default_group`)."""
    return await changed_view(change, await service.create_image(change, body))


@router.get("/images/{image_id}")
async def get_image(
    image_id: UUID, db: Db, secrets: SecretsDep, caller: Annotated[Caller, requires("images_view")]
) -> ImageView:
    """Return one workspace."""
    return await _image_view(db, secrets, caller, await images.get_image(db, str(image_id)))


@router.patch("/images/{image_id}", dependencies=[requires("images_modify")])
async def update_image(image_id: UUID, body: ImagePatch, change: ChangeDep) -> ImageView:
    """Change a workspace. Running sessions are not affected; staged sessions are replaced if the change affects them.

    An environment variable with the value `(secret)` keeps its present value.
    """
    return await changed_view(change, await service.update_image(change, str(image_id), body))


@router.post("/images/{image_id}/refresh", status_code=202, dependencies=[requires("images_modify")])
async def refresh_image(image_id: UUID, change: ChangeDep) -> ImageView:
    """Make all Agents check the registry for a newer image once.

    Staged sessions of an older image are replaced one at a time.
    """
    image = await images.get_image(change.db, str(image_id))
    if not image.enabled:
        raise Refused(f"Workspace {image.friendly_name} is disabled, so no Agent pulls its image. Enable it first.")
    if "@" in image.name:
        raise Refused(
            f"The image {image.name} is specified by its digest, so it never changes. Change the image instead."
        )
    await images.request_refresh(change.db, image.image_id)
    await change.db.notify(ChangeEvent(Topic.IMAGES))
    before, after = {"image": ""}, {"image": "refresh requested"}
    change.audit(LogCode.WORKSPACE_CHANGED, image.friendly_name, before=before, after=after)
    return await changed_view(change, image)


@router.delete("/images/{image_id}", status_code=204, dependencies=[requires("images_delete")])
async def delete_image(image_id: UUID, change: ChangeDep) -> None:
    """Delete a workspace; 409 while sessions or staging configs use it."""
    image = await images.get_image(change.db, str(image_id))
    uses = await images.uses_of_image(change.db, image.image_id)
    if uses:
        raise Refused(f"Workspace {image.friendly_name} is in use: {uses}. Delete those first, or disable it.")
    async with change.db.transaction() as connection:
        await images.delete_image(connection, image.image_id)
    await change.db.notify(ChangeEvent(Topic.IMAGES))
    change.audit(LogCode.WORKSPACE_DELETED, image.friendly_name, before=service.audit_values(image))


async def changed_view(change: CallerChange, image: WorkspaceRow) -> ImageView:
    """Return a changed workspace with the values that the caller may see."""
    return await _image_view(change.db, change.secrets, change.caller, image)


async def _image_view(
    db: Database, secrets: Secrets, caller: Caller, image: WorkspaceRow, *, compare_agents: bool = True
) -> ImageView:
    """Return a workspace with the values that this caller may see (`compare_agents`: see `service.with_warnings`)."""
    image = await service.with_warnings(db, image, compare_agents=compare_agents)
    return ImageView.model_validate(service.redacted_image(image, secrets, caller))


filter_policy_router = api_router("filter-policies")

Host = Annotated[str, Query(min_length=1, max_length=255, description="host name or IP address")]


@filter_policy_router.get("/filter-policies", dependencies=[requires("webfilters_view")])
async def list_filter_policies(db: Db, page: Paging) -> list[FilterPolicyView]:
    """List all policies by name."""
    order = filter_policies.BY_NAME
    rows = await filter_policies.list_filter_policies(db, after=page.after_row(order), limit=page.limit)
    return [FilterPolicyView.model_validate(policy) for policy in page.rows(rows, order)]


@filter_policy_router.post("/filter-policies", status_code=201, dependencies=[requires("webfilters_create")])
async def create_filter_policy(body: FilterPolicyCreate, change: ChangeDep) -> FilterPolicyView:
    """Create a policy. It filters nothing until a workspace or a group uses it."""
    require_disjoint(body.allow, body.deny)
    async with change.db.transaction() as connection:
        policy_id = await filter_policies.insert_filter_policy(connection, PolicyFields(**body.model_dump()))
    policy = await filter_policies.get_filter_policy(change.db, policy_id)
    change.audit(LogCode.WEB_FILTER_POLICY_CREATED, policy.name, after=values_of(PolicyFields, policy))
    return FilterPolicyView.model_validate(policy)


@filter_policy_router.get("/filter-policies/{filter_policy_id}", dependencies=[requires("webfilters_view")])
async def get_filter_policy(filter_policy_id: UUID, db: Db) -> FilterPolicyView:
    """Return one policy."""
    return FilterPolicyView.model_validate(await filter_policies.get_filter_policy(db, str(filter_policy_id)))


@filter_policy_router.get("/filter-policies/{filter_policy_id}/decision", dependencies=[requires("webfilters_view")])
async def explain_filter_policy(filter_policy_id: UUID, db: Db, host: Host, port: Port = 443) -> FilterDecisionView:
    """Return the decision of the policy about a host, with its reason. The host is not contacted."""
    policy = await filter_policies.get_filter_policy(db, str(filter_policy_id))
    verdict = decision(policy.policy, host, port)
    return FilterDecisionView(host=host, port=port, action=verdict.action, reason=verdict.reason)


@filter_policy_router.patch("/filter-policies/{filter_policy_id}", dependencies=[requires("webfilters_modify")])
async def update_filter_policy(filter_policy_id: UUID, body: FilterPolicyPatch, change: ChangeDep) -> FilterPolicyView:
    """Change a policy. Within seconds, the change also applies to running sessions."""
    async with change.db.transaction() as connection:
        before = await filter_policies.lock_filter_policy(connection, str(filter_policy_id))
        fields = replace(before, **body.sent_fields())
        require_disjoint(fields.allow, fields.deny)
        await filter_policies.update_filter_policy(connection, str(filter_policy_id), fields)
    after = await filter_policies.get_filter_policy(change.db, str(filter_policy_id))
    old, new = values_of(PolicyFields, before), values_of(PolicyFields, after)
    change.audit(LogCode.WEB_FILTER_POLICY_CHANGED, after.name, before=old, after=new)
    return FilterPolicyView.model_validate(after)


@filter_policy_router.delete(
    "/filter-policies/{filter_policy_id}", status_code=204, dependencies=[requires("webfilters_delete")]
)
async def delete_filter_policy(filter_policy_id: UUID, change: ChangeDep) -> None:
    """Delete a policy; 409 while workspaces, groups or sessions use it."""
    policy = await filter_policies.get_filter_policy(change.db, str(filter_policy_id))
    async with change.db.transaction() as connection:
        await filter_policies.delete_filter_policy(connection, policy.filter_policy_id)
    change.audit(LogCode.WEB_FILTER_POLICY_DELETED, policy.name, before=values_of(PolicyFields, policy))


home_router = api_router("homes")

VIEW_HOMES = "homes_view"
DELETE_HOMES = "homes_delete"


class HomeView(View):
    """A home folder that an Agent keeps for a user and a workspace."""

    home_id: UUID
    user_id: UUID
    username: Annotated[str | None, Field(description="null = the user was deleted")]
    image_id: UUID
    image_friendly_name: Annotated[str | None, Field(description="null = the workspace was deleted")]
    agent_id: Annotated[UUID | None, Field(description="Agent that keeps it; null for callers who may not see Agents")]
    hostname: Annotated[str | None, Field(description="hostname of that Agent; null for the same callers")]
    size_bytes: Annotated[
        int | None, Field(description="size on the disk at the last measurement; null = not measured yet")
    ]
    measured: datetime | None
    last_used: datetime
    state: Annotated[Literal["kept", "in_use", "deleting"], Field(description="in_use: it cannot be deleted now")]
    remark: Annotated[str, Field(description="remark about the state, as a sentence; empty = none")]
    sessions: Annotated[list[UUID], Field(description="sessions that use it, including stopped and paused ones")]
    loss: Annotated[str, Field(description="data that is lost if it is deleted, as a sentence")]


def _home_view(home: Home, caller: Caller) -> HomeView:
    state = home_state(home.sessions, home.removal_id)
    may_see_agents = caller.may("agents_view")
    return HomeView.model_validate(
        {
            **asdict(home),
            "agent_id": home.agent_id if may_see_agents else None,
            "hostname": home.hostname if may_see_agents else None,
            "state": state,
            "remark": home_remark(
                state,
                is_moved_away=home.moved_away,
                is_reached=home.agent_status == "running",
                problem=home.problem,
            ),
            "loss": deletion_warning(
                home.username or "a deleted user", home.image_friendly_name or "a deleted workspace"
            ),
        }
    )


def _listed_user_id(caller: Caller, user_id: UUID | None) -> UUID | str | None:
    """Return the id of the user whose folders are listed; None = all users. Without `homes_view` it is the caller.

    Raises Forbidden: the request names another user.
    """
    if caller.may(VIEW_HOMES):
        return user_id
    own_user_id = caller.own_user_id()
    if user_id is not None and str(user_id) != own_user_id:
        caller.require(VIEW_HOMES)
    return own_user_id


@home_router.get("/homes")
async def list_homes(
    db: Db,
    page: Paging,
    caller: Annotated[Caller, requires_own_or(VIEW_HOMES)],
    user_id: UUID | None = None,
    image_id: UUID | None = None,
    agent_id: Annotated[UUID | None, Query(description="only homes on this Agent")] = None,
    q: Search = "",
    sort: Sorting = "user",
    count: Counting = False,
) -> list[HomeView]:
    """List home folders. Callers without `homes_view` get only their own home folders."""
    conditions = HOMES.matching(
        words_of(q, HOMES.columns), user_id=_listed_user_id(caller, user_id), image_id=image_id, agent_id=agent_id
    )
    order = order_of(sort, HOMES.orders)
    if count:
        page.set_total(await HOMES.count(db, conditions, "last_used"))
    return [_home_view(home, caller) for home in await page.read(db, HOMES, conditions, order)]


@home_router.get("/homes/{home_id}")
async def get_home(home_id: UUID, db: Db, caller: Annotated[Caller, requires_own_or(VIEW_HOMES)]) -> HomeView:
    """Return one home folder."""
    return _home_view(await _get_home(db, caller, home_id, VIEW_HOMES), caller)


@home_router.delete("/homes/{home_id}", status_code=202, dependencies=[requires_own_or(DELETE_HOMES)])
async def delete_home(home_id: UUID, change: ChangeDep) -> HomeView:
    """Delete a home folder with all its files (`loss`). Users may delete their own. 409 while a session uses it. The
    home folder of a user with permissions that the caller lacks needs `users_modify_admin`.

    The Agent deletes the files as soon as it can, also after a restart. Until then, the folder stays in the list.
    """
    home = await _get_home(change.db, change.caller, home_id, DELETE_HOMES)
    if home.user_id != change.caller.owner_id:
        change.caller.require_right_over(await read_grants(change.db, home.user_id))
    await homes.request_removal(change.db, home.home_id)
    name = f"of {home.username or home.user_id} for {home.image_friendly_name or home.image_id} on {home.hostname}"
    if home.removal_id is None:
        before = {"size_bytes": home.size_bytes, "last_used": home.last_used}
        change.audit(LogCode.HOME_FOLDER_DELETED, name, before=before)
    return _home_view(await homes.get_home(change.db, home.home_id), change.caller)


async def _get_home(db: Database, caller: Caller, home_id: UUID, permission: str) -> Home:
    """Return a home folder. Raises NotFound: it does not exist, or the caller may not see it."""
    home = await homes.get_home(db, str(home_id))
    is_own = caller.user_id is not None and home.user_id == caller.user_id
    if not (is_own or caller.may(permission)):
        if caller.may(VIEW_HOMES):
            caller.require(permission)
        raise NotFound(f"There is no home folder {home_id}; it may have been deleted.")
    return home

"""Images, the administrator's Workspaces; and web filter policies: which sites their sessions may open."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from greenroom.api.deps import Db, Logs, SecretsDep, SettingsSnapshot
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, requires
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
from greenroom.core.web_filter import decision
from greenroom.db.database import Database
from greenroom.db.workspace import filter_policies, images
from greenroom.db.workspace.images import Image
from greenroom.kit.secrets import Secrets

router = APIRouter(tags=["images"])


@router.get("/images")
async def list_images(
    db: Db, page: Paging, secrets: SecretsDep, caller: Annotated[Caller, requires("images_view")]
) -> list[ImageView]:
    """All workspaces by friendly name (what a user may launch: `GET /me/images`).

    The values of variables are for those who may change workspaces; others see `(secret)`.
    """
    found = await images.list_images(db, after=page.after_row(images.BY_NAME), limit=page.limit)
    shown = page.rows(found, images.BY_NAME)
    return [await view(db, secrets, caller, image, of_agents=False) for image in shown]


@router.post("/images", status_code=201)
async def create_image(
    body: ImageCreate,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    snapshot: SettingsSnapshot,
    caller: Annotated[Caller, requires("images_create")],
) -> ImageView:
    """Create a workspace; without `groups` it is for All Users (setting `add_images_to_default_group`)."""
    for_all_users = snapshot.installation.add_images_to_default_group
    groups = service.default_groups(for_all_users=for_all_users)
    image = await service.create_image(db, logs, caller, body, secrets=secrets, default_groups=groups)
    return await view(db, secrets, caller, image)


@router.get("/images/{image_id}")
async def get_image(
    image_id: UUID, db: Db, secrets: SecretsDep, caller: Annotated[Caller, requires("images_view")]
) -> ImageView:
    """One workspace."""
    return await view(db, secrets, caller, await images.get_image(db, str(image_id)))


@router.patch("/images/{image_id}")
async def update_image(
    image_id: UUID,
    body: ImagePatch,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires("images_modify")],
) -> ImageView:
    """Change a workspace. Running sessions stay as they are; staged ones are replaced where the change is in them.

    A variable whose value is given as `(secret)` keeps the one it has.
    """
    image = await service.update_image(db, logs, caller, str(image_id), body, secrets=secrets)
    return await view(db, secrets, caller, image)


@router.post("/images/{image_id}/refresh", status_code=202)
async def refresh_image(
    image_id: UUID, db: Db, logs: Logs, secrets: SecretsDep, caller: Annotated[Caller, requires("images_modify")]
) -> ImageView:
    """Let all Agents ask the registry for the image again.

    Staged sessions of an older image are replaced one by one.
    """
    return await view(db, secrets, caller, await service.refresh_image(db, logs, caller, str(image_id)))


@router.delete("/images/{image_id}", status_code=204)
async def delete_image(
    image_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("images_delete")]
) -> None:
    """Delete a workspace; 409 while sessions or staging configs use it."""
    await service.delete_image(db, logs, caller, str(image_id))


async def view(db: Database, secrets: Secrets, caller: Caller, image: Image, *, of_agents: bool = True) -> ImageView:
    """A workspace as it is answered to this caller; `of_agents` as in `service.with_warnings`."""
    seen = await service.with_warnings(db, image, of_agents=of_agents)
    return ImageView.model_validate(service.as_seen(seen, secrets, caller))


filter_policy_router = APIRouter(tags=["filter-policies"])

Host = Annotated[str, Query(min_length=1, max_length=255, description="a host name or an IP address")]


@filter_policy_router.get("/filter-policies", dependencies=[requires("webfilters_view")])
async def list_filter_policies(db: Db, page: Paging) -> list[FilterPolicyView]:
    """All policies by name."""
    order = filter_policies.BY_NAME
    found = await filter_policies.list_filter_policies(db, after=page.after_row(order), limit=page.limit)
    return [FilterPolicyView.model_validate(policy) for policy in page.rows(found, order)]


@filter_policy_router.post("/filter-policies", status_code=201)
async def create_filter_policy(
    body: FilterPolicyCreate, db: Db, logs: Logs, caller: Annotated[Caller, requires("webfilters_create")]
) -> FilterPolicyView:
    """Create a policy; it filters nothing until a workspace or a group uses it."""
    return FilterPolicyView.model_validate(await service.create_filter_policy(db, logs, caller, body))


@filter_policy_router.get("/filter-policies/{filter_policy_id}", dependencies=[requires("webfilters_view")])
async def get_filter_policy(filter_policy_id: UUID, db: Db) -> FilterPolicyView:
    """One policy."""
    return FilterPolicyView.model_validate(await filter_policies.get_filter_policy(db, str(filter_policy_id)))


@filter_policy_router.get("/filter-policies/{filter_policy_id}/decision", dependencies=[requires("webfilters_view")])
async def explain_filter_policy(filter_policy_id: UUID, db: Db, host: Host, port: Port = 443) -> FilterDecisionView:
    """Whether the policy lets sessions open a host, and why; nothing is opened."""
    policy = await filter_policies.get_filter_policy(db, str(filter_policy_id))
    verdict = decision(policy.policy, host, port)
    return FilterDecisionView(host=host, port=port, action=verdict.action, reason=verdict.reason)


@filter_policy_router.patch("/filter-policies/{filter_policy_id}")
async def update_filter_policy(
    filter_policy_id: UUID,
    body: FilterPolicyPatch,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("webfilters_modify")],
) -> FilterPolicyView:
    """Change a policy; within seconds it holds for running sessions, too."""
    policy = await service.update_filter_policy(db, logs, caller, str(filter_policy_id), body)
    return FilterPolicyView.model_validate(policy)


@filter_policy_router.delete("/filter-policies/{filter_policy_id}", status_code=204)
async def delete_filter_policy(
    filter_policy_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("webfilters_delete")]
) -> None:
    """Delete a policy; 409 while workspaces, groups or sessions use it."""
    await service.delete_filter_policy(db, logs, caller, str(filter_policy_id))

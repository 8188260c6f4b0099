"""Images, the administrator's Workspaces; and web filter policies: which sites their sessions may open."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query
from psycopg.rows import DictRow

from greenroom.api.deps import Db, Logs, SecretsDep, SettingsSnapshot
from greenroom.api.diagnostics.audit import audit
from greenroom.api.launch.forecast import plain_launches
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, requires
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
from greenroom.core.errors import Invalid, Refused
from greenroom.core.events import Event, Topic
from greenroom.core.launch.compatibility import unused_profile
from greenroom.core.log_codes import LogCode
from greenroom.core.masking import sealed, shown
from greenroom.core.pool.rotation import rollover
from greenroom.core.web_filter.policy import decision, require_disjoint
from greenroom.core.workspace.definition import check, token_problem
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.db.fleet.agents import find_agents
from greenroom.db.row_mapping import image_facts
from greenroom.db.workspace import filter_policies, images
from greenroom.kit.secrets import Secrets

router = APIRouter(tags=["images"])

_SHOWN: Final = tuple(name for name in images.FIELDS if name != "docker_token_encrypted")


@router.get("/images")
async def list_images(
    db: Db, page: Paging, secrets: SecretsDep, caller: Annotated[Caller, requires("images_view")]
) -> list[ImageView]:
    """All workspaces by friendly name (what a user may launch: `GET /me/images`).

    The values of variables are for those who may change workspaces; others see `(secret)`.
    """
    rows = page.slice(
        await images.list_images(db), lambda image: [image["friendly_name"].lower(), image["friendly_name"]]
    )
    return [await _view(db, as_seen(image, secrets, caller)) for image in rows]


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
    fields = body.model_dump(exclude={"groups"})
    default_groups = [ALL_USERS] if snapshot.installation.add_images_to_default_group else []
    groups = [str(group) for group in body.groups] if "groups" in body.model_fields_set else default_groups
    check(fields)
    await _require_agent(db, fields["server_id"])
    async with db.transaction() as connection:
        image_id = await images.insert_image(connection, _columns(fields, secrets), groups)
    image = await images.get_image(db, image_id)
    await db.notify(Event(Topic.IMAGES))
    audit(logs, caller, LogCode.WORKSPACE_CREATED, image["friendly_name"], after=_visible(image))
    return await _view(db, as_seen(image, secrets, caller))


@router.get("/images/{image_id}")
async def get_image(
    image_id: UUID, db: Db, secrets: SecretsDep, caller: Annotated[Caller, requires("images_view")]
) -> ImageView:
    """One workspace."""
    return await _view(db, as_seen(await images.get_image(db, str(image_id)), secrets, caller))


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
    changes = body.sent()
    groups = changes.pop("groups", None)
    seen = await images.get_image(db, str(image_id))
    await _require_agent(db, changes.get("server_id", seen["server_id"]))
    async with db.transaction() as connection:
        before = await images.lock_image(connection, str(image_id))
        stored = {name: before[name] for name in images.FIELDS}
        fields = stored | _columns(changes, secrets, stored)
        check(fields)
        keeps_token = stored["docker_token_encrypted"] is not None and "docker_token" not in changes
        if keeps_token and (problem := token_problem(stored["name"], fields["name"])):
            raise Invalid(problem)
        await images.update_image(connection, str(image_id), fields, staged=rollover(stored, fields))
        if groups is not None:
            await images.set_groups_of_image(connection, str(image_id), [str(group) for group in groups])
    after = await images.get_image(db, str(image_id))
    await db.notify(Event(Topic.IMAGES))
    old, new = _visible(before), _visible(after)
    if "docker_token" in changes:
        old["docker_token"] = "old" if stored["docker_token_encrypted"] else None
        new["docker_token"] = "new" if fields["docker_token_encrypted"] else None
    audit(logs, caller, LogCode.WORKSPACE_CHANGED, after["friendly_name"], before=old, after=new)
    return await _view(db, as_seen(after, secrets, caller))


@router.delete("/images/{image_id}", status_code=204)
async def delete_image(
    image_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("images_delete")]
) -> None:
    """Delete a workspace; 409 while sessions or staging configs use it."""
    image = await images.get_image(db, str(image_id))
    users = await images.users_of_image(db, str(image_id))
    if users:
        raise Refused(f"Workspace {image['friendly_name']} is in use: {users}. Delete those first, or disable it.")
    async with db.transaction() as connection:
        await images.delete_image(connection, str(image_id))
    await db.notify(Event(Topic.IMAGES))
    audit(logs, caller, LogCode.WORKSPACE_DELETED, image["friendly_name"], before=_visible(image))


async def _view(db: Database, image: DictRow) -> ImageView:
    doubt, path = None, image["persistent_profile_path"]
    if path:
        users = await plain_launches(db, image_facts(image))
        doubt = unused_profile(image["friendly_name"], path, (u.facts for u in users))
    return ImageView.model_validate(image | {"warnings": [doubt] if doubt else []})


async def _require_agent(db: Database, agent_id: object) -> None:
    if agent_id is not None and not await find_agents(db, str(agent_id)):
        raise Invalid(f"There is no Agent {agent_id}; restrict the workspace to another one.")


def as_seen(image: DictRow, secrets: Secrets, caller: Caller) -> DictRow:
    """A workspace as this caller may see it."""
    return shown(image, secrets.opened, plain=caller.may("images_modify"))


def _columns(fields: dict[str, Any], secrets: Secrets, stored: DictRow | None = None) -> dict[str, Any]:
    """Fields of a request as columns: the registry's token encrypted, variables sealed, ids as text."""
    columns: dict[str, Any] = sealed(fields, stored, secrets.seal)
    if "docker_token" in columns:
        token = columns.pop("docker_token")
        columns["docker_token_encrypted"] = secrets.encrypt(token) if token else None
    return columns


def _visible(image: DictRow) -> dict[str, Any]:
    return {name: image[name] for name in _SHOWN} | {"groups": image["groups"]}


filter_policy_router = APIRouter(tags=["filter-policies"])

_FIELDS: Final = tuple(FilterPolicyPatch.model_fields)

Host = Annotated[str, Query(min_length=1, max_length=255, description="a host name or an IP address")]


@filter_policy_router.get("/filter-policies", dependencies=[requires("webfilters_view")])
async def list_filter_policies(db: Db, page: Paging) -> list[FilterPolicyView]:
    """All policies by name."""
    rows = page.slice(
        await filter_policies.list_filter_policies(db), lambda policy: [policy["name"].lower(), policy["name"]]
    )
    return [FilterPolicyView.model_validate(policy) for policy in rows]


@filter_policy_router.post("/filter-policies", status_code=201)
async def create_filter_policy(
    body: FilterPolicyCreate, db: Db, logs: Logs, caller: Annotated[Caller, requires("webfilters_create")]
) -> FilterPolicyView:
    """Create a policy; it filters nothing until a workspace or a group uses it."""
    require_disjoint(body.allow, body.deny)
    async with db.transaction() as connection:
        policy_id = await filter_policies.insert_filter_policy(connection, body.model_dump())
    policy = await filter_policies.get_filter_policy(db, policy_id)
    audit(logs, caller, LogCode.WEB_FILTER_POLICY_CREATED, policy["name"], after=_settable(policy))
    return FilterPolicyView.model_validate(policy)


@filter_policy_router.get("/filter-policies/{filter_policy_id}", dependencies=[requires("webfilters_view")])
async def get_filter_policy(filter_policy_id: UUID, db: Db) -> FilterPolicyView:
    """One policy."""
    return FilterPolicyView.model_validate(await filter_policies.get_filter_policy(db, str(filter_policy_id)))


@filter_policy_router.get("/filter-policies/{filter_policy_id}/decision", dependencies=[requires("webfilters_view")])
async def explain_filter_policy(filter_policy_id: UUID, db: Db, host: Host, port: Port = 443) -> FilterDecisionView:
    """Whether the policy lets sessions open a host, and why; nothing is opened."""
    policy = await filter_policies.get_filter_policy(db, str(filter_policy_id))
    verdict = decision(filter_policies.policy_of(policy), host, port)
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
    async with db.transaction() as connection:
        before = await filter_policies.lock_filter_policy(connection, str(filter_policy_id))
        fields = _settable(before) | body.sent()
        require_disjoint(fields["allow"], fields["deny"])
        await filter_policies.update_filter_policy(connection, str(filter_policy_id), fields)
    after = await filter_policies.get_filter_policy(db, str(filter_policy_id))
    audit(
        logs,
        caller,
        LogCode.WEB_FILTER_POLICY_CHANGED,
        after["name"],
        before=_settable(before),
        after=_settable(after),
    )
    return FilterPolicyView.model_validate(after)


@filter_policy_router.delete("/filter-policies/{filter_policy_id}", status_code=204)
async def delete_filter_policy(
    filter_policy_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("webfilters_delete")]
) -> None:
    """Delete a policy; 409 while workspaces, groups or sessions use it."""
    policy = await filter_policies.get_filter_policy(db, str(filter_policy_id))
    async with db.transaction() as connection:
        await filter_policies.delete_filter_policy(connection, str(filter_policy_id))
    audit(logs, caller, LogCode.WEB_FILTER_POLICY_DELETED, policy["name"], before=_settable(policy))


def _settable(policy: DictRow) -> dict[str, Any]:
    return {name: policy[name] for name in _FIELDS}

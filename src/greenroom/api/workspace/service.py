"""Workspaces and web filter policies for both HTTP interfaces. Each change is on behalf of a caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from greenroom.api.bodies import Json
from greenroom.api.diagnostics.audit import audit
from greenroom.api.launch.forecast import plain_launches
from greenroom.api.security import Caller
from greenroom.api.workspace.schemas import FilterPolicyCreate, FilterPolicyPatch, ImageCreate, ImagePatch
from greenroom.core.errors import Invalid, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.launch.compatibility import unused_profile
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.core.masking import sealed, shown
from greenroom.core.pool.rotation import rollover
from greenroom.core.web_filter import require_disjoint
from greenroom.core.workspace.definition import Definition, check, token_problem, with_defaults
from greenroom.core.workspace.volumes import unwritable_home
from greenroom.db.access.users import ALL_USERS
from greenroom.db.catalogue import set_origin
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.fleet.views import find_agents
from greenroom.db.rows import values_of
from greenroom.db.workspace import filter_policies, images
from greenroom.db.workspace.filter_policies import PolicyFields, StoredPolicy
from greenroom.db.workspace.images import WorkspaceRow
from greenroom.kit.secrets import Secrets

GB: Final = 1_000_000_000
_IDS: Final = ("zone_id", "server_id", "filter_policy_id")
_WITH_VARIABLES: Final = ("run_config", "exec_config", "volume_mappings")


def as_seen(image: WorkspaceRow, secrets: Secrets, caller: Caller) -> WorkspaceRow:
    """Return a workspace as this caller may see it. Only callers who may change it see the values of variables."""
    plain = caller.may("images_modify")
    return replace(
        image, **{name: shown(getattr(image, name), secrets.opened, plain=plain) for name in _WITH_VARIABLES}
    )


async def with_warnings(db: Database, image: WorkspaceRow, *, of_agents: bool = True) -> WorkspaceRow:
    """Return the workspace with warnings about settings without effect.

    `of_agents`: also compare it with all Agents.
    """
    doubts = [await _too_large(db, image) if of_agents else None]
    if path := image.persistent_profile_path:
        users = await plain_launches(db, image.facts)
        doubts.append(unused_profile(image.friendly_name, path, (each.facts for each in users)))
        doubts.append(unwritable_home(path, image.run_config.get("user")))
    return replace(image, warnings=tuple(doubt for doubt in doubts if doubt))


async def _too_large(db: Database, image: WorkspaceRow) -> str | None:
    """Return the reason why no Agent can hold a session of the workspace; None if one can, or if there is no Agent."""
    offers = await images.offers_for(db, image.image_id)
    if not offers or any(one.cores >= image.cores and one.memory >= image.memory for one in offers):
        return None
    cores, memory = max(one.cores for one in offers), max(one.memory for one in offers)
    return (
        f"No Agent can hold a session of this workspace: it needs {image.cores:g} cores and {image.memory / GB:.1f} GB"
        f" of memory, and Agents offer at most {cores:g} cores and {memory / GB:.1f} GB."
    )


async def create_image(
    db: Database,
    logs: LogWriter,
    caller: Caller,
    body: ImageCreate,
    *,
    secrets: Secrets,
    default_groups: Sequence[str],
    origin: str | None = None,
    client_fields: Mapping[str, object] | None = None,
) -> WorkspaceRow:
    """Create a workspace; without `groups` it is for `default_groups`.

    Missing fields get the values that images of this maker need (`core.workspace.definition`). `origin` is its entry of
    the catalogue. `client_fields` are fields that a client of the published interface stores with it.

    Raises:
        Invalid: its fields contradict each other, or name something that does not exist.
        Duplicate: the friendly name exists, or there is a workspace of this entry.
    """
    given = with_defaults(body.name, body.model_dump(exclude={"groups"}, exclude_unset=True))
    fields = _definition(body.model_dump(exclude={"groups"}) | given, secrets)
    groups = [str(group) for group in body.groups] if "groups" in body.model_fields_set else list(default_groups)
    check(fields)
    await _require_agent(db, fields.server_id)
    async with db.transaction() as connection:
        image_id = await images.insert_image(connection, fields, groups)
        if origin is not None:
            await set_origin(connection, image_id, origin, fields.name)
        if client_fields:
            await images.add_client_fields(connection, image_id, client_fields)
    image = await images.get_image(db, image_id)
    await db.notify(ChangeEvent(Topic.IMAGES))
    audit(logs, caller, LogCode.WORKSPACE_CREATED, image.friendly_name, after=_visible(image))
    return image


def default_groups(*, for_all_users: bool) -> list[str]:
    """Return the groups of a new workspace that names none."""
    return [ALL_USERS] if for_all_users else []


async def update_image(
    db: Database,
    logs: LogWriter,
    caller: Caller,
    image_id: str,
    body: ImagePatch,
    *,
    secrets: Secrets,
    origin: str | None = None,
    client_fields: Mapping[str, object] | None = None,
) -> WorkspaceRow:
    """Change a workspace. Running sessions are not affected; staged sessions are replaced if the change affects them.

    `origin` is the entry of the catalogue that provides its image. For `client_fields` see `create_image`.

    Raises:
        NotFound: there is none with this id.
        Invalid: its fields contradict each other, or name something that does not exist.
        Duplicate: the friendly name exists.
    """
    changes = body.sent()
    groups = changes.pop("groups", None)
    seen = await images.get_image(db, image_id)
    await _require_agent(db, changes.get("server_id", seen.server_id))
    async with db.transaction() as connection:
        before = await images.lock_image(connection, image_id)
        stored = Definition(**values_of(Definition, before))
        fields = _definition(changes, secrets, stored)
        check(fields)
        keeps_token = stored.docker_token_encrypted is not None and "docker_token" not in changes
        if keeps_token and (problem := token_problem(stored.name, fields.name)):
            raise Invalid(problem)
        await images.update_image(connection, image_id, fields, staged=rollover(stored, fields))
        if origin is not None:
            await set_origin(connection, image_id, origin, fields.name)
        if client_fields:
            await images.add_client_fields(connection, image_id, client_fields)
        if groups is not None:
            await images.set_groups_of_image(connection, image_id, [str(group) for group in groups])
    after = await images.get_image(db, image_id)
    await db.notify(ChangeEvent(Topic.IMAGES))
    old, new = _visible(before), _visible(after)
    if "docker_token" in changes:
        old["docker_token"] = "old" if stored.docker_token_encrypted else None
        new["docker_token"] = "new" if fields.docker_token_encrypted else None
    audit(logs, caller, LogCode.WORKSPACE_CHANGED, after.friendly_name, before=old, after=new)
    return after


async def refresh_image(db: Database, logs: LogWriter, caller: Caller, image_id: str) -> WorkspaceRow:
    """Let all Agents request the image of a workspace from the registry again.

    Raises:
        NotFound: there is no workspace with this id.
        Refused: the workspace is disabled, or its image is named by a digest.
    """
    image = await images.get_image(db, image_id)
    if not image.enabled:
        raise Refused(f"Workspace {image.friendly_name} is disabled, so no Agent pulls its image. Enable it first.")
    if "@" in image.name:
        raise Refused(
            f"The image {image.name} is specified by its digest, so it never changes. Change the image instead."
        )
    await images.request_refresh(db, image_id)
    await db.notify(ChangeEvent(Topic.IMAGES))
    before, after = {"image": ""}, {"image": "refresh requested"}
    audit(logs, caller, LogCode.WORKSPACE_CHANGED, image.friendly_name, before=before, after=after)
    return image


async def delete_image(db: Database, logs: LogWriter, caller: Caller, image_id: str) -> None:
    """Delete a workspace.

    Raises:
        NotFound: there is none with this id.
        Refused: sessions or staging configs use it.
    """
    image = await images.get_image(db, image_id)
    users = await images.users_of_image(db, image_id)
    if users:
        raise Refused(f"Workspace {image.friendly_name} is in use: {users}. Delete those first, or disable it.")
    async with db.transaction() as connection:
        await images.delete_image(connection, image_id)
    await db.notify(ChangeEvent(Topic.IMAGES))
    audit(logs, caller, LogCode.WORKSPACE_DELETED, image.friendly_name, before=_visible(image))


async def _require_agent(db: Database, agent_id: object) -> None:
    if agent_id is not None and not await find_agents(db, str(agent_id)):
        raise Invalid(f"There is no Agent {agent_id}; restrict the workspace to another Agent.")


def _definition(sent: Json, secrets: Secrets, stored: Definition | None = None) -> Definition:
    """Return a new workspace, or `stored` with the sent fields.

    The registry token and variables are encrypted, and ids are texts.
    """
    fields: Json = sealed(sent, None if stored is None else values_of(Definition, stored), secrets.seal)
    for name in _IDS:
        if fields.get(name) is not None:
            fields[name] = str(fields[name])
    if "docker_token" in fields:
        token = fields.pop("docker_token")
        fields["docker_token_encrypted"] = secrets.encrypt(token) if token else None
    return Definition(**fields) if stored is None else replace(stored, **fields)


def _visible(image: WorkspaceRow) -> LogDetails:
    hidden = "docker_token_encrypted"
    values = {name: value for name, value in values_of(Definition, image).items() if name != hidden}
    return values | {"groups": image.groups, **image.client_fields}


async def create_filter_policy(db: Database, logs: LogWriter, caller: Caller, body: FilterPolicyCreate) -> StoredPolicy:
    """Create a policy. It filters nothing until a workspace or a group uses it.

    Raises:
        Invalid: a domain is in both lists.
        Duplicate: the name exists.
    """
    require_disjoint(body.allow, body.deny)
    async with db.transaction() as connection:
        policy_id = await filter_policies.insert_filter_policy(connection, PolicyFields(**body.model_dump()))
    policy = await filter_policies.get_filter_policy(db, policy_id)
    audit(logs, caller, LogCode.WEB_FILTER_POLICY_CREATED, policy.name, after=values_of(PolicyFields, policy))
    return policy


async def update_filter_policy(
    db: Database, logs: LogWriter, caller: Caller, policy_id: str, body: FilterPolicyPatch
) -> StoredPolicy:
    """Change a policy. Within seconds, the change also applies to running sessions.

    Raises:
        NotFound: there is none with this id.
        Invalid: a domain is in both lists.
        Duplicate: the name exists.
    """
    async with db.transaction() as connection:
        before = await filter_policies.lock_filter_policy(connection, policy_id)
        fields = replace(before, **body.sent())
        require_disjoint(fields.allow, fields.deny)
        await filter_policies.update_filter_policy(connection, policy_id, fields)
    after = await filter_policies.get_filter_policy(db, policy_id)
    old, new = values_of(PolicyFields, before), values_of(PolicyFields, after)
    audit(logs, caller, LogCode.WEB_FILTER_POLICY_CHANGED, after.name, before=old, after=new)
    return after


async def delete_filter_policy(db: Database, logs: LogWriter, caller: Caller, policy_id: str) -> None:
    """Delete a policy.

    Raises:
        NotFound: there is none with this id.
        Refused: workspaces, groups or sessions use it.
    """
    policy = await filter_policies.get_filter_policy(db, policy_id)
    async with db.transaction() as connection:
        await filter_policies.delete_filter_policy(connection, policy_id)
    audit(logs, caller, LogCode.WEB_FILTER_POLICY_DELETED, policy.name, before=values_of(PolicyFields, policy))

"""Creation and changes of workspaces, for `/api/v1` and the published interface, and the fields that callers see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from greenroom.api.access.lifecycle import access_transaction
from greenroom.api.bodies import Json
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.launch.routes import group_similar_users
from greenroom.api.security import Caller
from greenroom.api.workspace.schemas import ImageCreate, ImagePatch
from greenroom.core.errors import Invalid
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.launch.compatibility import unused_profile_warning
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.core.masking import seal_variables, unseal_variables
from greenroom.core.pool.rotation import rollover
from greenroom.core.workspace.definition import Definition, require_consistent, token_problem, with_defaults
from greenroom.core.workspace.volumes import home_write_warning, unmountable_warning
from greenroom.db.access.users import ALL_USERS
from greenroom.db.catalogue import set_origin
from greenroom.db.database import Database
from greenroom.db.fleet.views import find_agents
from greenroom.db.rows import values_of
from greenroom.db.workspace import images
from greenroom.db.workspace.images import AgentOffer, WorkspaceRow
from greenroom.kit.secrets import Secrets

GB: Final = 1_000_000_000
_ID_FIELDS: Final = ("zone_id", "server_id", "filter_policy_id")
_VARIABLE_FIELDS: Final = ("run_config", "exec_config", "volume_mappings")


def redacted_image(image: WorkspaceRow, secrets: Secrets, caller: Caller) -> WorkspaceRow:
    """Return the workspace with its variables masked, unless the caller may change workspaces."""
    plain = caller.may("images_modify")
    return replace(
        image,
        **{name: unseal_variables(getattr(image, name), secrets.unseal, plain=plain) for name in _VARIABLE_FIELDS},
    )


async def with_warnings(db: Database, image: WorkspaceRow, *, compare_agents: bool = True) -> WorkspaceRow:
    """Return the workspace with warnings about settings without effect.

    `compare_agents`: also compare it with the capacity and the images of all Agents.
    """
    warnings: list[str | None] = []
    if compare_agents:
        agents = await images.offers_for_image(db, image.image_id)
        warnings += [_capacity_warning(agents, image), _image_warning(agents, image)]
        paths = [*image.volume_mappings, *([image.persistent_profile_path] if image.persistent_profile_path else [])]
        warnings.append(unmountable_warning(paths, [(agent.hostname, agent.mount_folders) for agent in agents]))
    if path := image.persistent_profile_path:
        user_sets = await group_similar_users(db, image.facts)
        warnings.append(unused_profile_warning(image.friendly_name, path, (similar.facts for similar in user_sets)))
        warnings.append(home_write_warning(path, image.run_config.get("user")))
    return replace(image, warnings=tuple(warning for warning in warnings if warning))


def _image_warning(agents: Sequence[AgentOffer], image: WorkspaceRow) -> str | None:
    """Return a warning if the Agents have reported their images, and none of them has that of the workspace."""
    if not image.enabled or not agents or any(agent.image_state in ("present", "unknown") for agent in agents):
        return None
    failed = next((agent for agent in agents if agent.image_state == "failed"), None)
    if failed is None:
        return f"No Agent has the image {image.name} yet. Sessions can start after an Agent has pulled it."
    return f"No Agent has the image {image.name}. {failed.hostname} cannot get it: {failed.image_error}"


def _capacity_warning(agents: Sequence[AgentOffer], image: WorkspaceRow) -> str | None:
    """Return a warning if there are Agents, but none of them is large enough for the workspace; otherwise None."""
    if not agents or any(agent.cores >= image.cores and agent.memory >= image.memory for agent in agents):
        return None
    cores, memory = max(agent.cores for agent in agents), max(agent.memory for agent in agents)
    return (
        f"No Agent can hold a session of this workspace: it needs {image.cores:g} cores and {image.memory / GB:.1f} GB"
        f" of memory, and Agents offer at most {cores:g} cores and {memory / GB:.1f} GB."
    )


async def create_image(
    change: CallerChange,
    body: ImageCreate,
    *,
    origin: str | None = None,
    client_fields: Mapping[str, object] | None = None,
) -> WorkspaceRow:
    """Create a workspace; without `groups` it is for All Users (setting `add_images_to_default_group`).

    Missing fields get the values that images of their maker need (`core.workspace.definition.with_defaults`). `origin`
    is the name of the catalogue entry from which the workspace is created. `client_fields` are data of a client of the
    published interface.

    Raises:
        Invalid: its fields contradict each other, or refer to an object that does not exist.
        Duplicate: the friendly name exists, or the catalogue entry already has a workspace.
    """
    db, defaults = change.db, with_defaults(body.name, body.model_dump(exclude={"groups"}, exclude_unset=True))
    fields = _definition_to_store(body.model_dump(exclude={"groups"}) | defaults, change.secrets)
    groups = [ALL_USERS] if change.installation.add_images_to_default_group else []
    if "groups" in body.model_fields_set:
        groups = [str(group) for group in body.groups]
    require_consistent(fields)
    await _require_agent(db, fields.server_id)
    async with db.transaction() as connection:
        image_id = await images.insert_image(connection, fields, groups)
        if origin is not None:
            await set_origin(connection, image_id, origin, fields.name)
        if client_fields:
            await images.add_client_fields(connection, image_id, client_fields)
    image = await images.get_image(db, image_id)
    await db.notify(ChangeEvent(Topic.IMAGES))
    change.audit(LogCode.WORKSPACE_CREATED, image.friendly_name, after=audit_values(image))
    return image


async def update_image(
    change: CallerChange,
    image_id: str,
    body: ImagePatch,
    *,
    origin: str | None = None,
    client_fields: Mapping[str, object] | None = None,
) -> WorkspaceRow:
    """Change a workspace. Running sessions are not affected; staged sessions are replaced if the change affects them.

    `origin` is the name of the catalogue entry that provides its image. `client_fields` are data of a client of the
    published interface.

    Raises:
        NotFound: there is no such workspace.
        Invalid: its fields contradict each other, or refer to an object that does not exist.
        Duplicate: the friendly name exists.
    """
    db, changes = change.db, body.sent_fields()
    groups = changes.pop("groups", None)
    current = await images.get_image(db, image_id)
    await _require_agent(db, changes.get("server_id", current.server_id))
    async with access_transaction(db, change.logs, everyone=groups is not None) as access:
        connection = access.connection
        before = await images.lock_image(connection, image_id)
        stored = Definition(**values_of(Definition, before))
        fields = _definition_to_store(changes, change.secrets, stored)
        require_consistent(fields)
        is_token_kept = stored.docker_token_encrypted is not None and "docker_token" not in changes
        if is_token_kept and (problem := token_problem(stored.name, fields.name)):
            raise Invalid(problem)
        await images.update_image(connection, image_id, fields, rollover=rollover(stored, fields))
        if origin is not None:
            await set_origin(connection, image_id, origin, fields.name)
        if client_fields:
            await images.add_client_fields(connection, image_id, client_fields)
        if groups is not None:
            await images.set_groups_of_image(connection, image_id, [str(group) for group in groups])
    after = await images.get_image(db, image_id)
    await db.notify(ChangeEvent(Topic.IMAGES))
    old, new = audit_values(before), audit_values(after)
    if "docker_token" in changes:
        old["docker_token"] = "old" if stored.docker_token_encrypted else None
        new["docker_token"] = "new" if fields.docker_token_encrypted else None
    change.audit(LogCode.WORKSPACE_CHANGED, after.friendly_name, before=old, after=new)
    return after


async def _require_agent(db: Database, agent_id: object) -> None:
    if agent_id is not None and not await find_agents(db, str(agent_id)):
        raise Invalid(f"There is no Agent {agent_id}; restrict the workspace to another Agent.")


def _definition_to_store(sent: Json, secrets: Secrets, stored: Definition | None = None) -> Definition:
    """Return a new workspace, or `stored` with the sent fields. The registry token and variables are encrypted, and ids
    are texts."""
    fields: Json = seal_variables(sent, None if stored is None else values_of(Definition, stored), secrets.seal)
    for name in _ID_FIELDS:
        if fields.get(name) is not None:
            fields[name] = str(fields[name])
    if "docker_token" in fields:
        token = fields.pop("docker_token")
        fields["docker_token_encrypted"] = secrets.encrypt(token) if token else None
    return Definition(**fields) if stored is None else replace(stored, **fields)


def audit_values(image: WorkspaceRow) -> LogDetails:
    """Return the fields of a workspace that the audit log contains."""
    hidden = "docker_token_encrypted"
    values = {name: value for name, value in values_of(Definition, image).items() if name != hidden}
    return values | {"groups": image.groups, **image.client_fields}

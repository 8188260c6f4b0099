"""Images: the administrator's Workspaces."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter
from psycopg.rows import DictRow

from greenroom.api.audit import audit
from greenroom.api.deps import Db, InstallationSecrets, Logs
from greenroom.api.paging import Paging
from greenroom.api.schemas.images import ImageCreate, ImagePatch, ImageView
from greenroom.api.security import Caller, requires
from greenroom.core.errors import Refused
from greenroom.db import images
from greenroom.db.users import ALL_USERS
from greenroom.kit.secrets import Secrets

router = APIRouter(tags=["images"])

_SHOWN: Final = tuple(name for name in images.FIELDS if name != "docker_token_encrypted")


@router.get("/images", dependencies=[requires("images_view")])
async def list_images(db: Db, page: Paging) -> list[ImageView]:
    """All workspaces by friendly name (what a user may launch: `GET /me/images`)."""
    rows = page.slice(
        await images.list_images(db), lambda image: [image["friendly_name"].lower(), image["friendly_name"]]
    )
    return [ImageView.model_validate(image) for image in rows]


@router.post("/images", status_code=201)
async def create_image(
    body: ImageCreate,
    db: Db,
    logs: Logs,
    secrets: InstallationSecrets,
    caller: Annotated[Caller, requires("images_create")],
) -> ImageView:
    """Create a workspace; without `groups` it is for All Users."""
    fields = body.model_dump(exclude={"groups"})
    groups = [str(group) for group in body.groups] if "groups" in body.model_fields_set else [ALL_USERS]
    async with db.transaction() as connection:
        image_id = await images.insert_image(connection, _columns(fields, secrets), groups)
    image = await images.get_image(db, image_id)
    await db.notify("images:")
    audit(logs, caller, "created", "workspace", image["friendly_name"], after=_visible(image))
    return ImageView.model_validate(image)


@router.get("/images/{image_id}", dependencies=[requires("images_view")])
async def get_image(image_id: UUID, db: Db) -> ImageView:
    """One workspace."""
    return ImageView.model_validate(await images.get_image(db, str(image_id)))


@router.patch("/images/{image_id}")
async def update_image(
    image_id: UUID,
    body: ImagePatch,
    db: Db,
    logs: Logs,
    secrets: InstallationSecrets,
    caller: Annotated[Caller, requires("images_modify")],
) -> ImageView:
    """Change a workspace. Running sessions stay as they are; staged ones are replaced where the change is in them."""
    changes = body.sent()
    groups = changes.pop("groups", None)
    before = await images.get_image(db, str(image_id))
    stored = {name: before[name] for name in images.FIELDS}
    fields = stored | _columns(changes, secrets)
    outdates = any(fields[name] != stored[name] for name in images.IN_THE_CONTAINER)
    async with db.transaction() as connection:
        await images.update_image(connection, str(image_id), fields, outdates_staged=outdates)
        if groups is not None:
            await images.set_groups_of_image(connection, str(image_id), [str(group) for group in groups])
    after = await images.get_image(db, str(image_id))
    await db.notify("images:")
    new = _visible(after) | ({"docker_token": "new"} if "docker_token" in changes else {})
    audit(logs, caller, "changed", "workspace", after["friendly_name"], before=_visible(before), after=new)
    return ImageView.model_validate(after)


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
    await db.notify("images:")
    audit(logs, caller, "deleted", "workspace", image["friendly_name"], before=_visible(image))


def _columns(fields: dict[str, Any], secrets: Secrets) -> dict[str, Any]:
    """Fields of a request as columns: the registry's token encrypted, ids as text."""
    columns = dict(fields)
    if "docker_token" in columns:
        token = columns.pop("docker_token")
        columns["docker_token_encrypted"] = secrets.encrypt(token) if token else None
    return columns


def _visible(image: DictRow) -> dict[str, Any]:
    return {name: image[name] for name in _SHOWN} | {"groups": image["groups"]}

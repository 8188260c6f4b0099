"""The catalogue: its entries, adding and updating a workspace, pictures."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from fastapi import FastAPI
from PIL import Image
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage, bare_session
from tests.support import packages

from greenroom.core.catalogue.entries import Recipe
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.kit import plugins
from greenroom.recipes import shelf

FIELDS = {
    *("name", "friendly_name", "description", "categories", "image", "picture_url", "size_bytes", "first_frame_ms"),
    *("installed", "image_id", "update_available", "source"),
}
CATALOGUE = "/api/v1/catalogue"


async def entry(client: Client, name: str) -> dict[str, Any]:
    return next(each for each in await client.read(CATALOGUE) if each["name"] == name)


async def added(client: Client, name: str, **body: object) -> dict[str, Any]:
    answer = await client.post(f"{CATALOGUE}/{name}", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


def picture(kind: str = "PNG", size: tuple[int, int] = (800, 400)) -> bytes:
    made = BytesIO()
    Image.new("RGB", size, "teal").save(made, kind)
    return made.getvalue()


async def test_every_recipe_is_offered_with_its_image_and_picture(admin: Client):
    listed = await admin.read(CATALOGUE)
    assert {each["name"]: each["image"] for each in listed} == {
        recipe.name: shelf.reference(recipe) for recipe in shelf.all_recipes()
    }
    for each in listed:
        assert set(each) == FIELDS
        assert (each["installed"], each["image_id"], each["update_available"]) == (False, None, False)
        assert (each["size_bytes"], each["first_frame_ms"]) == (None, None), "nothing was measured yet"
        answer = await admin.get(each["picture_url"])
        assert answer.headers["content-type"] == "image/svg+xml"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_server_without_the_recipes_names_their_package(admin: Client):
    with packages.missing(plugins.RECIPES):
        assert await admin.read(CATALOGUE) == []
        for request, body in ((f"POST {CATALOGUE}/firefox", {}), (f"GET {CATALOGUE}/firefox/picture", None)):
            assert "pip install greenroom-desktop" in await admin.refused(404, request, body)


async def test_one_click_adds_a_workspace_with_the_defaults_of_its_recipe(admin: Client, user: Client):
    recipe = shelf.find("firefox")
    made = await added(admin, "firefox")
    assert (made["name"], made["friendly_name"]) == (shelf.reference(recipe), recipe.friendly_name)
    assert (made["cores"], made["port"]) == (recipe.workspace.cores, recipe.workspace.port)
    assert made["groups"] == [ALL_USERS]
    shown = await entry(admin, "firefox")
    assert (shown["installed"], shown["image_id"], shown["update_available"]) == (True, made["image_id"], False)
    mine = {each["friendly_name"]: each for each in await user.read("/api/v1/me/images")}
    assert (await user.get(mine[recipe.friendly_name]["image_src"])).headers["content-type"] == "image/svg+xml"


async def test_adding_again_changes_nothing_and_other_groups_are_refused(admin: Client):
    group = (await admin.make("/api/v1/groups", name="Students"))["group_id"]
    made = await added(admin, "firefox", groups=[group])
    assert made["groups"] == [group]
    assert (await added(admin, "firefox"))["image_id"] == made["image_id"]
    assert (await added(admin, "firefox", groups=[group]))["image_id"] == made["image_id"]
    refused = await admin.refused(409, f"POST {CATALOGUE}/firefox", {"groups": []})
    assert "Change the groups of the workspace" in refused
    rows_of_audit = await admin.read("/api/v1/logs", code="workspace-created")
    assert len(rows_of_audit) == 1


async def test_a_taken_friendly_name_gets_a_number(admin: Client):
    name = shelf.find("firefox").friendly_name
    await admin.make("/api/v1/images", name="mine:1", friendly_name=name)
    assert (await added(admin, "firefox"))["friendly_name"] == f"{name} 2"


async def test_what_is_not_offered_cannot_be_added(admin: Client):
    for name in ("nothing", "a/b", "a%2fb", "%00", "x" * 3000):
        assert "in the catalogue" in await admin.refused(404, f"POST {CATALOGUE}/{name}", {})
    await admin.refused(422, f"POST {CATALOGUE}/firefox", {"groups": ["everybody"]})
    await admin.refused(422, f"POST {CATALOGUE}/firefox", {"group": []})


async def test_a_changed_recipe_is_an_update_and_staged_sessions_are_replaced_gently(
    admin: Client, db: Database, stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    made = await added(admin, "firefox")
    assert await admin.refused(409, f"POST {CATALOGUE}/terminal", {"update": True}) != ""
    config = await admin.make(
        "/api/v1/staging-configs", zone_id=stage.zone_id, image_id=made["image_id"], num_sessions=1, expiration=1
    )

    def newer(recipe: Recipe) -> str:
        return f"greenroom/{recipe.name}:newer"

    monkeypatch.setattr(shelf, "reference", newer)
    assert (await entry(admin, "firefox"))["update_available"]
    assert (await added(admin, "firefox"))["name"] == made["name"], "only where it is asked for"
    updated = await added(admin, "firefox", update=True)
    assert (updated["image_id"], updated["name"]) == (made["image_id"], "greenroom/firefox:newer")
    assert not (await entry(admin, "firefox"))["update_available"]
    (row,) = await db.fetch(
        "SELECT i.revision, c.recycled IS NOT NULL AS recycled FROM images i JOIN staging_configs c USING (image_id)"
        " WHERE staging_config_id = %s",
        (config["staging_config_id"],),
    )
    assert (row["revision"], row["recycled"]) == (1, True), "claimable until each is replaced"


async def test_an_update_gives_a_workspace_the_desk_that_its_image_has(admin: Client):
    for name, desk in (("firefox", {"desk": "desk"}), ("jupyter", {})):
        made = await added(admin, name)
        before = {part: where for part, where in made["port_map"].items() if part != "desk"}
        await admin.change(f"/api/v1/images/{made['image_id']}", port_map=before)
        assert (await added(admin, name))["port_map"] == before, "only where it is asked for"
        assert (await added(admin, name, update=True))["port_map"] == before | desk


async def test_an_image_of_another_name_chosen_by_an_administrator_is_no_update(admin: Client):
    made = await added(admin, "firefox")
    await admin.change(f"/api/v1/images/{made['image_id']}", name="registry.example/firefox:1")
    assert not (await entry(admin, "firefox"))["update_available"]


async def test_size_and_first_frame_are_those_reported_and_measured(admin: Client, db: Database, agent: str):
    made = await added(admin, "firefox")
    await db.write(
        "INSERT INTO agent_images (agent_id, name, state, size_bytes) VALUES (%s, %s, 'present', 812345678)",
        (agent, made["name"]),
    )
    for seconds in (2.0, 3.5, 9.0):
        session_id = await bare_session(db, agent_id=agent)
        await db.write(
            "UPDATE sessions SET image_id = %s, started = created + make_interval(secs => %s) WHERE session_id = %s",
            (made["image_id"], seconds, session_id),
        )
    shown = await entry(admin, "firefox")
    assert (shown["size_bytes"], shown["first_frame_ms"]) == (812345678, 3500)


async def test_permissions_of_the_catalogue(with_key: MakeClient, admin: Client, anonymous: Client):
    assert (await anonymous.get(CATALOGUE)).status_code == 401
    assert (await anonymous.get(f"{CATALOGUE}/firefox/picture")).status_code == 401
    viewer = await with_key("images_view")
    assert await viewer.read(CATALOGUE)
    assert "images_create" in await viewer.refused(403, f"POST {CATALOGUE}/firefox", {})
    maker = await with_key("images_create")
    await added(maker, "firefox")
    assert "images_modify" in await maker.refused(403, f"POST {CATALOGUE}/firefox", {"update": True})


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_an_uploaded_picture_is_made_anew_and_shown_to_users_of_the_workspace(
    admin: Client, user: Client, kind: str
):
    image = await admin.only("/api/v1/images")
    address = f"/api/v1/images/{image['image_id']}/picture"
    changed = await admin.put(address, content=picture(kind))
    assert changed.status_code == 200, changed.text
    shown = await user.get(changed.json()["image_src"])
    assert shown.headers["content-type"] == "image/webp"
    assert Image.open(BytesIO(shown.content)).size == (512, 256)
    log = await admin.read("/api/v1/logs", code="workspace-changed")
    assert "image_src" in log[0]["message"]
    removed = await admin.delete(address)
    assert removed.json()["image_src"] == ""
    assert (await user.get(address)).status_code == 404


async def test_a_removed_picture_gives_a_catalogue_workspace_that_of_its_recipe(admin: Client):
    made = await added(admin, "firefox")
    address = f"/api/v1/images/{made['image_id']}/picture"
    assert (await admin.put(address, content=picture())).json()["image_src"].startswith(address)
    assert (await admin.delete(address)).json()["image_src"] == f"{CATALOGUE}/firefox/picture"


async def test_what_is_no_picture_is_refused_with_a_sentence(admin: Client, with_key: MakeClient, user: Client):
    image = await admin.only("/api/v1/images")
    address = f"/api/v1/images/{image['image_id']}/picture"
    for content, sentence in (
        (b"", "is not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "is not a picture"),
        (picture()[:200], "damaged"),
        (picture("GIF"), "is not a picture"),
    ):
        answer = await admin.put(address, content=content)
        assert (answer.status_code, sentence in answer.json()["detail"]) == (422, True), answer.text
    answer = await admin.put(address, content=picture(size=(6000, 5000)))
    assert (answer.status_code, "24 million pixels" in answer.json()["detail"]) == (413, True), answer.text
    for size in (1_000_001, 2_000_000):
        answer = await admin.put(address, content=b"x" * size)
        assert (answer.status_code, "at most 1 M" in answer.json()["detail"]) == (413, True), answer.text
    assert (await admin.only("/api/v1/images"))["image_src"] == image["image_src"]
    assert (await (await with_key("images_view")).put(address, content=picture())).status_code == 403
    assert (await user.put(address, content=picture())).status_code == 403


async def test_the_picture_of_a_workspace_is_not_for_who_may_not_use_it(admin: Client, user: Client, app: FastAPI):
    del app
    hidden = await admin.make("/api/v1/images", name="x:1", friendly_name="Hidden", groups=[])
    address = f"/api/v1/images/{hidden['image_id']}/picture"
    assert (await admin.put(address, content=picture())).status_code == 200
    assert (await user.get(address)).status_code == 404
    assert (await admin.get(address)).status_code == 200

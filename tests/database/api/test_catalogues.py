"""Lists of other registries: read from a local server, and only if a setting allows it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.database.api.client import Client, MakeClient
from tests.database.api.test_catalogue import CATALOGUE, added, entry, picture
from tests.support.played import serve

from greenroom.api.catalogue import downloads, lists
from greenroom.core.errors import Invalid
from greenroom.core.outgoing import AllowedNetworks
from greenroom.db.database import Database

CHROMIUM: dict[str, Any] = {
    "friendly_name": "Chromium",
    "description": "A browser.",
    "image_src": "chromium.png",
    "docker_registry": "https://index.docker.io/v1/",
    "categories": ["Browser"],
    "architecture": ["amd64"],
    "run_config": {"hostname": "kasm"},
    "exec_config": {"go": {"cmd": "bash -c 'custom_startup.sh --go --url \"$KASM_URL\"'"}},
    "compatibility": [
        {"version": "1.16.x", "image": "kasmweb/chromium:1.16.0", "uncompressed_size_mb": 2000, "available_tags": []},
        {"version": "1.17.x", "image": "kasmweb/chromium:1.17.0", "uncompressed_size_mb": 2170, "available_tags": []},
    ],
    "sha": "c86d91",
}


@dataclass
class Registry:
    """A server with a list and its pictures, and a record of its requests."""

    url: str = ""
    workspaces: list[Any] = field(default_factory=lambda: [CHROMIUM])
    body: bytes | None = None
    asked: list[str] = field(default_factory=list[str])
    etag: str = ""

    async def answer(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        if request.url.path.startswith("/moved"):
            return RedirectResponse(request.query_params.get("to", "/moved"))
        if request.url.path == "/long.json":
            return StreamingResponse(self._long(), media_type="application/json")
        if request.url.path == "/silent.json":
            await asyncio.sleep(60)
        if request.url.path == "/1.1/icons/chromium.png":
            return Response(picture(), media_type="image/png")
        if request.url.path != "/1.1/list.json":
            return Response("gone", 404)
        if self.etag and request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304)
        content = {"name": "Acme", "schema": "1.1", "workspaces": self.workspaces}
        body = json.dumps(content).encode() if self.body is None else self.body
        return Response(body, media_type="application/json", headers={"etag": self.etag} if self.etag else {})

    @staticmethod
    async def _long() -> AsyncIterator[bytes]:
        for _ in range(400):
            yield b" " * 65536


@pytest.fixture
async def registry(app: FastAPI, admin: Client) -> AsyncIterator[Registry]:
    del app
    made = Registry()
    served = await serve(Starlette(routes=[Route("/{path:path}", made.answer)]))
    made.url = f"http://{served.address}"
    assert (await admin.patch("/api/v1/settings", json={"catalogues_on_this_host": True})).status_code == 200
    yield made
    await served.stop()


async def subscribed(admin: Client, registry: Registry, name: str = "acme") -> dict[str, Any]:
    return await admin.make("/api/v1/catalogues", name=name, list_url=registry.url)


async def test_entries_of_another_list_stand_beside_ours_with_the_name_of_their_list(admin: Client, registry: Registry):
    made = await subscribed(admin, registry)
    assert (made["name"], made["list_url"], made["entries"], made["error"]) == (
        "acme",
        f"{registry.url}/1.1/list.json",
        1,
        "",
    )
    shown = await entry(admin, "acme/chromium")
    assert (shown["source"], shown["image"], shown["size_bytes"]) == ("acme", "kasmweb/chromium:1.17.0", 2_170_000_000)
    assert (await admin.read(CATALOGUE))[-1]["name"] == "acme/chromium", "ours come first"
    assert (await admin.get(shown["picture_url"])).headers["content-type"] == "image/webp"


async def test_an_entry_of_another_list_brings_its_picture_and_its_new_image_is_an_update(
    admin: Client, user: Client, registry: Registry
):
    catalogue = await subscribed(admin, registry)
    made = await added(admin, "acme/chromium")
    assert (made["name"], made["docker_registry"]) == ("kasmweb/chromium:1.17.0", "https://index.docker.io/v1/")
    assert made["run_config"] == {"hostname": "kasm"}
    assert (await user.get(made["image_src"])).headers["content-type"] == "image/webp"
    newer = {"version": "1.18.x", "image": "kasmweb/chromium:1.18.0"}
    registry.workspaces = [CHROMIUM | {"compatibility": [*CHROMIUM["compatibility"], newer]}]
    await admin.post(f"/api/v1/catalogues/{catalogue['catalogue_id']}/read")
    assert (await entry(admin, "acme/chromium"))["update_available"]
    assert (await added(admin, "acme/chromium", update=True))["name"] == "kasmweb/chromium:1.18.0"
    assert (await admin.delete(f"/api/v1/catalogues/{catalogue['catalogue_id']}")).status_code == 204
    assert "in the catalogue" in await admin.refused(404, f"POST {CATALOGUE}/acme/chromium", {})
    assert (await admin.read(f"/api/v1/images/{made['image_id']}"))["name"] == "kasmweb/chromium:1.18.0", "it stays"


async def test_the_same_name_in_two_lists_is_two_entries(admin: Client, registry: Registry):
    await subscribed(admin, registry)
    other = await admin.make("/api/v1/catalogues", name="other", list_url=f"{registry.url}/1.1/list.json?second")
    assert other["entries"] == 1
    names = [each["name"] for each in await admin.read(CATALOGUE) if each["friendly_name"] == "Chromium"]
    assert {"acme/chromium", "other/chromium"} <= set(names)
    first, second = await added(admin, "acme/chromium"), await added(admin, "other/chromium")
    assert first["image_id"] != second["image_id"]
    assert first["friendly_name"] != second["friendly_name"]


LIES: list[Any] = [
    7,
    {},
    {"friendly_name": 7},
    {"friendly_name": "../../etc"},
    {"friendly_name": "Line\nbreak"},
    CHROMIUM | {"friendly_name": "No image", "compatibility": []},
    CHROMIUM | {"friendly_name": "Wrong image", "compatibility": [{"image": "../../etc/passwd"}]},
    CHROMIUM | {"friendly_name": "Wrong type", "categories": "Browser"},
    CHROMIUM | {"friendly_name": "Privileged", "run_config": {"privileged": True}},
    CHROMIUM | {"friendly_name": "Elsewhere", "docker_registry": "https://evil.example"},
    CHROMIUM | {"friendly_name": "Odd command", "exec_config": {"boot": {"cmd": "true"}}},
    CHROMIUM,
]


async def test_what_is_wrong_in_a_list_is_left_out_with_a_sentence_and_the_rest_is_offered(
    admin: Client, registry: Registry
):
    registry.workspaces = [*LIES, CHROMIUM | {"friendly_name": "Usable"}]
    made = await subscribed(admin, registry)
    assert (made["entries"], len(made["left_out"])) == (2, len(LIES) - 1), made["left_out"]
    said = "\n".join(made["left_out"])
    for words in ("Workspace 1 ", "Workspace 4 ", "Privileged is omitted", "privileged", "evil.example", "boot"):
        assert words in said, said


async def test_a_huge_list_is_cut_and_says_so(admin: Client, registry: Registry):
    registry.workspaces = [CHROMIUM | {"friendly_name": f"Chromium {number}"} for number in range(700)]
    made = await subscribed(admin, registry)
    assert (made["entries"], "700 workspaces" in made["left_out"][0]) == (500, True)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"<html>", "is not a list of workspaces"),
        (b"[" * 100_000, "is not a list of workspaces"),
        (b'{"workspaces": 7}', "is not a list of workspaces"),
        (b'{"workspaces": [{"friendly_name": "\xff"}]}', ""),
        (b'{"name": "Acme"}', "is not a list of workspaces"),
        (b" " * (5 << 20), "is larger than 4 MiB"),
    ],
)
async def test_what_is_no_list_is_not_added_and_breaks_nothing(
    admin: Client, registry: Registry, body: bytes, sentence: str
):
    registry.body = body
    answer = await admin.post("/api/v1/catalogues", json={"name": "acme", "list_url": registry.url})
    assert answer.status_code == 422 or answer.json()["entries"] == 0
    assert sentence in answer.text
    assert await admin.read(CATALOGUE)


async def test_a_list_that_breaks_later_keeps_what_was_read_and_says_why(
    admin: Client, registry: Registry, db: Database, app: FastAPI
):
    registry.etag = '"1"'
    made = await subscribed(admin, registry)
    address = f"/api/v1/catalogues/{made['catalogue_id']}"
    again = (await admin.post(f"{address}/read")).json()
    assert (again["entries"], again["error"], again["looked"] > made["looked"]) == (1, "", True), "304: as it was"
    registry.etag, registry.body = "", b"nonsense"
    broken = (await admin.post(f"{address}/read")).json()
    assert (broken["entries"], "is not a list of workspaces" in broken["error"]) == (1, True)
    assert (await entry(admin, "acme/chromium"))["image"] == "kasmweb/chromium:1.17.0"
    registry.body = None
    await db.write("UPDATE catalogues SET looked = now() - interval '2 h'")
    await app.state.snapshot.reload()
    await lists.refresh_due_lists(db, app.state.snapshot)
    assert (await admin.read(address))["error"] == "", "it is read again once an hour"


async def test_an_address_of_this_host_is_asked_only_where_the_setting_allows_it(admin: Client, registry: Registry):
    await admin.patch("/api/v1/settings", json={"catalogues_on_this_host": False})
    port = registry.url.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "0.0.0.0", "2130706433"):
        body = {"name": "acme", "list_url": f"http://{host}:{port}/1.1/list.json"}
        assert "is this host" in await admin.refused(422, "POST /api/v1/catalogues", body), host
    assert registry.asked == []


async def test_addresses_that_are_no_servers_are_refused_in_any_case(admin: Client, registry: Registry):
    for url in ("http://169.254.169.254/latest", "http://[fe80::1]/x.json", "http://224.0.0.1/", "http://240.0.0.1/"):
        assert "not the address of a server" in await admin.refused(
            422, "POST /api/v1/catalogues", {"name": "acme", "list_url": url}
        )
    for url in ("file:///etc/passwd", "ftp://example.com/", "http://user:pass@127.0.0.1/", "https://", "http://x y/"):
        await admin.refused(422, "POST /api/v1/catalogues", {"name": "acme", "list_url": url})
    moved = f"{registry.url}/moved.json?to=http://169.254.169.254/x.json"
    assert "not the address of a server" in await admin.refused(
        422, "POST /api/v1/catalogues", {"name": "acme", "list_url": moved}
    ), "a redirect is checked like the address itself"


async def test_redirects_sizes_and_times_are_bounded(
    admin: Client, registry: Registry, monkeypatch: pytest.MonkeyPatch
):
    url = f"{registry.url}/moved.json?to=/moved.json"
    assert "redirects more than 3 times" in await admin.refused(
        422, "POST /api/v1/catalogues", {"name": "acme", "list_url": url}
    )
    with pytest.raises(Invalid, match="is larger than 1 MiB"):
        await downloads.download(
            f"{registry.url}/long.json", max_bytes=1 << 20, networks=AllowedNetworks(this_host=True)
        )
    monkeypatch.setattr(downloads, "TIMEOUT_S", 0.2)
    with pytest.raises(Invalid, match="did not answer within"):
        await downloads.download(
            f"{registry.url}/silent.json", max_bytes=1 << 20, networks=AllowedNetworks(this_host=True)
        )


async def test_permissions_and_audit_of_lists(admin: Client, with_key: MakeClient, registry: Registry):
    body = {"name": "acme", "list_url": registry.url}
    viewer = await with_key("catalogues_view", "images_view")
    assert "catalogues_create" in await viewer.refused(403, "POST /api/v1/catalogues", body)
    made = await subscribed(admin, registry)
    address = f"/api/v1/catalogues/{made['catalogue_id']}"
    assert [each["name"] for each in await viewer.read("/api/v1/catalogues")] == ["acme"]
    assert "catalogues_delete" in await viewer.refused(403, f"DELETE {address}")
    assert "catalogues_view" in await (await with_key("images_view")).refused(403, "GET /api/v1/catalogues")
    for wrong in ({"name": "a/b"}, {"name": ""}, {"name": "A"}):
        await admin.refused(422, "POST /api/v1/catalogues", body | wrong)
    assert "duplicate" in await admin.refused(409, "POST /api/v1/catalogues", body | {"name": "again"})
    assert "duplicate" in await admin.refused(
        409, "POST /api/v1/catalogues", body | {"list_url": f"{registry.url}/1.1/list.json?x"}
    )
    assert (await admin.delete(address)).status_code == 204
    for code in ("catalogue-created", "catalogue-deleted"):
        (row,) = await admin.read("/api/v1/logs", code=code)
        assert "acme" in row["message"]

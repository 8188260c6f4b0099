"""Foreign images in a whole instance: their pages, streams, sound and files through the gateway.

There is no registry where tests run: stand-ins (tests/stand_ins) implement the contracts of images of kasmweb and of
linuxserver, and of programs that serve a page.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from tests.acceptance.instance import Instance, wait_for
from tests.acceptance.members import Member, Running, member_of, workspace
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from greenroom.core.access.group_settings import STAGED_PERMISSIONS

pytestmark = pytest.mark.docker

ALLOWED: dict[str, bool] = dict.fromkeys(STAGED_PERMISSIONS, True)
FORBIDDEN: dict[str, bool] = dict.fromkeys(STAGED_PERMISSIONS, False)
FRAME = {"Sec-Fetch-Dest": "iframe"}
SIZE = {"cores": 0.1, "memory": 200_000_000, "memory_limit": None}


class Viewer:
    """A browser that entered a session."""

    def __init__(self, running: Running) -> None:
        self.instance, self.session_id = running.instance, running.session_id
        connection = self.instance.call("GET", f"/sessions/{self.session_id}/connection")
        self.frame_url: str = connection["frame_url"]
        self.base = self.frame_url.partition(self.session_id)[0] + self.session_id + "/"
        self.path = httpx2.URL(self.base).path
        self.http = httpx2.Client(verify=self.instance.ca(), headers=FRAME, timeout=15, trust_env=False)
        entered = self.http.get(self.frame_url)
        assert entered.status_code == 303, entered.text
        self.cookie = entered.headers["Set-Cookie"].partition(";")[0]
        self.page = self.ask(entered.headers["Location"])

    def ask(self, address: str, method: str = "GET", **options: Any) -> httpx2.Response:
        """Send a request of the page; `address` may be relative to the session."""
        return self.http.request(
            method, httpx2.URL(self.base).join(address), headers={"Cookie": self.cookie}, **options
        )

    def echo(self, address: str) -> dict[str, Any]:
        """The address at which the websocket ended, if it carries messages both ways; otherwise its status."""

        async def talk() -> dict[str, Any]:
            opening = connect(
                f"wss{self.base.removeprefix('https')}{address}",
                ssl=self.instance.ca(),
                origin=Origin(self.instance.url),
                subprotocols=[Subprotocol("binary")],
                additional_headers={"Cookie": self.cookie},
                proxy=None,
            )
            try:
                async with opening as websocket:
                    said = json.loads(await websocket.recv())
                    await websocket.send(b"hello")
                    assert await websocket.recv() == b"hello"
                    return said
            except InvalidStatus as refused:
                return {"status": refused.response.status_code}

        return asyncio.run(asyncio.wait_for(talk(), 20))


@contextmanager
def viewer_of(instance: Instance, image_id: str, **settings: Any) -> Iterator[Viewer]:
    """A user with these group settings in a session of the workspace, created on demand."""
    with member_of(instance, **settings) as ada:
        yield Viewer(ada.launch(image_id))


def staged_viewer(instance: Instance, image_id: str, ada: Member, permissions: dict[str, bool]) -> Viewer:
    """The user in a session that was staged."""
    zone_id = instance.found["zones"][0]["zone_id"]
    body = {"zone_id": zone_id, "image_id": image_id, "num_sessions": 1, "expiration": 8, **permissions}
    config_id = instance.call("POST", "/staging-configs", json=body)["staging_config_id"]
    try:
        wait_for(lambda: instance.staged(config_id) == 1, "one is staged", within_s=60)
        running = ada.launch(image_id)
        placement = instance.call("GET", f"/sessions/{running.session_id}/placement")
        assert placement["outcome"] == "staged", placement
        return Viewer(running)
    finally:
        instance.unstage(config_id)


# kasmweb ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("staged", [False, True], ids=["on demand", "staged"])
def test_an_image_of_kasmweb_with_everything_allowed(instance: Instance, kasmweb_image: str, staged: bool):
    fields = {**SIZE, "name": kasmweb_image}
    with workspace(instance, **fields) as image_id, member_of(instance, **ALLOWED) as ada:
        seen = staged_viewer(instance, image_id, ada, ALLOWED) if staged else Viewer(ada.launch(image_id))
        assert f"vnc.html?autoconnect=1&resize=remote&path={seen.path.strip('/')}/websockify" in seen.frame_url
        assert "clipboard_up=true" in seen.frame_url
        assert "A desktop of others" in seen.page.text
        assert not {"X-Frame-Options", "Set-Cookie"} & {name.title() for name in seen.page.headers}
        assert seen.echo("websockify") == {"path": "/websockify", "port": 6901}

        assert seen.echo("audio/") == {"path": "/", "port": 4901}
        assert seen.echo("audio_input") == {"path": "/", "port": 4904}
        sent = seen.ask("uploads/upload?name=a", "POST", content=b"12345")
        assert sent.text == "/upload?name=a: 5 bytes"
        assert seen.ask("Downloads/").text == "report.pdf"

        with instance.http() as http:
            asked = {"kasm_id": seen.session_id, "user_id": ada.user_id}
            port_map = http.post("/api/public/get_kasm_status", json=asked).json()["kasm"]["port_map"]
        assert {name: one["path"] for name, one in port_map.items()} == {
            "vnc": seen.path.strip("/"),
            **{name: seen.path.lstrip("/") + name for name in ("audio", "audio_input", "uploads", "gamepad", "webcam")},
            "downloads": seen.path.lstrip("/") + "Downloads",
        }


def test_an_image_of_kasmweb_with_nothing_allowed(instance: Instance, kasmweb_image: str):
    with (
        workspace(instance, **SIZE, name=kasmweb_image) as image_id,
        viewer_of(instance, image_id, **FORBIDDEN) as seen,
    ):
        assert seen.echo("websockify") == {"path": "/websockify", "port": 6901}
        for service in ("audio", "audio_input", "gamepad", "webcam"):
            assert seen.echo(f"{service}/") == {"status": 403}
        for address, what in (
            ("uploads/upload", "uploads"),
            ("Downloads/", "downloads"),
            ("%44ownloads/", "downloads"),
        ):
            refused = seen.ask(address, "POST", content=b"x")
            assert refused.status_code == 403
            assert f"may not use {what}: the groups of its user do not allow it" in refused.text
        published = Running(instance, seen.session_id).facts()["HostConfig"]["PortBindings"]
        assert set(published) == {"6901/tcp"}


# linuxserver ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("staged", [False, True], ids=["on demand", "staged"])
def test_an_image_of_linuxserver_knows_its_path(instance: Instance, linuxserver_image: str, staged: bool):
    fields = {**SIZE, "name": linuxserver_image, "ready_path": "websocket"}
    with workspace(instance, **fields) as image_id, member_of(instance, **ALLOWED) as ada:
        seen = staged_viewer(instance, image_id, ada, ALLOWED) if staged else Viewer(ada.launch(image_id))
        assert f'src="{seen.path}client.js"' in seen.page.text
        assert seen.ask("client.js").status_code == 200
        for address in ("websocket", "websockify", "audio/socket.io/?EIO=4"):
            assert seen.echo(address) == {"path": f"{seen.path}{address}", "port": 3000}
        assert seen.ask("files").text == "the files"
        environment = dict(line.split("=", 1) for line in seen.ask("environment").text.splitlines())
        assert environment["SUBFOLDER"] == seen.path
        assert environment["SELKIES_AUDIO_ENABLED"] == "true|locked"
        assert environment["SELKIES_FILE_TRANSFERS"] == "upload,download"
        assert Running(instance, seen.session_id).shell("stat -c %u /proc/1") == "1000"


def test_an_image_of_linuxserver_with_nothing_allowed(instance: Instance, linuxserver_image: str):
    with (
        workspace(instance, **SIZE, name=linuxserver_image) as image_id,
        viewer_of(instance, image_id, **FORBIDDEN) as seen,
    ):
        assert seen.echo("audio/socket.io/") == {"status": 403}
        assert seen.ask("files").status_code == 403
        environment = dict(line.split("=", 1) for line in seen.ask("environment").text.splitlines())
        assert environment["SELKIES_MICROPHONE_ENABLED"] == "false|locked"
        assert environment["SELKIES_FILE_TRANSFERS"] == "none"


# Any page ---------------------------------------------------------------------------------------------------------

PAGE = {**SIZE, "port": 8080, "protocol": "http"}


def test_a_program_with_relative_links_needs_only_its_port(instance: Instance, page_image: str):
    with workspace(instance, **PAGE, name=page_image) as image_id, viewer_of(instance, image_id) as seen:
        assert "<title>/</title><a href='lab'>" in seen.page.text
        assert "<title>/lab</title>" in seen.ask("lab").text
        assert seen.echo("stream") == {"path": "/stream", "port": 8080}


@pytest.mark.parametrize("staged", [False, True], ids=["on demand", "staged"])
def test_a_program_with_a_base_path_is_given_it_by_its_command(instance: Instance, page_image: str, staged: bool):
    knows = {"page_path": "/{path}/", "start_page": "lab?theme=dark", "run_config": {"command": ["--base=/{path}/"]}}
    with workspace(instance, **PAGE, **knows, name=page_image) as image_id, member_of(instance, **ALLOWED) as ada:
        seen = staged_viewer(instance, image_id, ada, ALLOWED) if staged else Viewer(ada.launch(image_id))
        assert f"<title>{seen.path}lab</title><a href='{seen.path}lab'>" in seen.page.text
        assert seen.echo("stream") == {"path": f"{seen.path}stream", "port": 8080}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"run_config": {"command": ["--never"]}}, "The session's page did not answer within"),
        ({"run_config": {"command": ["--broken"]}}, "The session's page answered 500."),
        ({"port": 9090}, "The session's page does not answer on port 9090 (http): "),
        (
            {"protocol": "https"},
            "Port 8080 of the container does not serve https; set the workspace's Protocol to http",
        ),
        ({"page_path": "/vnc/"}, "The session's page answered 404."),
    ],
    ids=["never answers", "answers 500", "wrong port", "https at a plain port", "wrong folder"],
)
def test_a_page_that_does_not_come_is_explained(instance: Instance, page_image: str, fields: dict[str, Any], why: str):
    """The reason that the Agent sees during the start; after its deadline it is the reason of the launch
    (test_deadlines)."""
    with workspace(instance, **{**PAGE, **fields}, name=page_image) as image_id, member_of(instance) as ada:
        session_id = ada.ask(image_id)["session_id"]

        def seen() -> str:
            rows = instance.sql("SELECT probe_error FROM session_observed WHERE session_id = %s", session_id)
            return rows[0]["probe_error"] if rows else ""

        wait_for(lambda: why in seen(), f"{why} ({seen()})", within_s=40)
        assert not instance.has_status(session_id, "running")

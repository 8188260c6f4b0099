"""A client of the Model Context Protocol uses a real desktop: through the gateway, and by `greenroom mcp`."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import types
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from PIL import Image
from tests.acceptance.instance import GREENROOM, Instance, wait_for
from tests.support.mcp_clients import answer_of, mcp_client, refusal


def basic(instance: Instance) -> str:
    key = f"{instance.found['api_key']}:{instance.found['api_key_secret']}"
    return "Basic " + base64.b64encode(key.encode()).decode()


@asynccontextmanager
async def connected(instance: Instance, way: str, user_id: str) -> AsyncIterator[Client]:
    """A client through the gateway with a key, or through the command."""
    if way == "gateway":
        async with mcp_client(f"{instance.url}/mcp", basic(instance), tls=instance.ca()) as client:
            yield client
        return
    program, *first = GREENROOM
    command = StdioServerParameters(
        command=program, args=[*first, "mcp", "--user", user_id, "--data", str(instance.data)]
    )
    async with Client(stdio_client(command)) as client:
        yield client


def picture(part: types.ContentBlock) -> Image.Image:
    assert isinstance(part, types.ImageContent)
    return Image.open(io.BytesIO(base64.b64decode(part.data)))


@pytest.mark.parametrize("way", ["gateway", "command"])
async def test_a_client_leases_a_desktop_looks_acts_and_releases(instance: Instance, way: str):
    user_id = instance.new_user()
    wish = {"workspace": "Desktop", "seconds": 600} | ({"user_id": user_id} if way == "gateway" else {})
    async with connected(instance, way, user_id) as client:
        lease = answer_of(await client.call_tool("lease", wish))
        assert (lease["status"], lease["user_id"], lease["urls"]["mcp"]) == ("running", user_id, f"{instance.url}/mcp")
        held = {"lease_id": lease["lease_id"]}
        shown = await client.call_tool("screenshot", held)
        assert picture(shown.content[0]).size == (1280, 800)
        (screen,) = [one for one in (await client.list_resources()).resources if lease["lease_id"] in one.uri]
        (content,) = (await client.read_resource(screen.uri)).contents
        assert isinstance(content, types.BlobResourceContents)
        assert base64.b64decode(content.blob).startswith(b"\x89PNG")
        await uses_the_desktop(client, held)
        await uses_what_is_inside(client, held)
        assert answer_of(await client.call_tool("release", held)) == {"released": True}
    wait_for(lambda: instance.has_status(lease["session_id"], "deleted"), "the session ends with its lease")


async def run_page(instance: Instance, folder: Path, workspace: str) -> tuple[int | None, str]:
    """Exit code and errors of the program in the how-to, with the key of a new user who may lease for themselves."""
    page = (Path(__file__).parents[2] / "docs/howto/mcp.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (folder / "program.py").write_text(program.replace('"Desktop"', f'"{workspace}"'))
    body = {"name": "mcp", "permissions": ["user"], "user_id": instance.new_user()}
    key = instance.call("POST", "/api-keys", json=body)
    words = (f"{instance.url}/mcp", key["api_key"], key["api_key_secret"])
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, str(folder / "program.py"), *words),
        env={**os.environ, "SSL_CERT_FILE": instance.found["ca_file"]},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await run.communicate()
    return run.returncode, errors.decode()


async def test_the_program_of_the_page_uses_a_desktop_and_shows_a_refusal(instance: Instance, tmp_path: Path):
    assert await run_page(instance, tmp_path, "Desktop") == (0, "")
    code, errors = await run_page(instance, tmp_path, "Nothing")
    assert code == 1
    assert "lease: There is no workspace Nothing" in errors


async def uses_the_desktop(client: Client, held: dict[str, Any]) -> None:
    """Mouse and clipboard of the desktop."""
    actions = [
        {"action": "mouse_move", "coordinate": [300, 200]},
        {"action": "cursor_position"},
        {"action": "set_clipboard", "text": "Grüße"},
        {"action": "get_clipboard"},
    ]
    done = await client.call_tool("act", held | {"actions": actions, "screenshot": True})
    results = answer_of(done)["results"]
    assert [one["done"] for one in results] == [True] * 4
    assert (results[1]["coordinate"], results[3]["text"]) == ([300, 200], "Grüße")
    assert picture(done.content[-1]).size == (1280, 800)
    outside = {"actions": [{"action": "left_click", "coordinate": [1400, 20]}]}
    assert refusal(await client.call_tool("act", held | outside)) == (
        "invalid: actions[0].coordinate: [1400, 20] is outside the screen of 1280 x 800."
    )


async def uses_what_is_inside(client: Client, held: dict[str, Any]) -> None:
    """Commands and files of the session."""
    command = held | {"command": ["sh", "-c", "cat; echo wrong >&2; exit 3"], "input": "Grüße"}
    ended = answer_of(await client.call_tool("exec", command))
    assert (ended["exit_code"], ended["stdout"], ended["stderr"]) == (3, "Grüße", "wrong\n")
    letter = held | {"path": "letters/a letter.txt"}
    answer_of(await client.call_tool("write_file", letter | {"content": "Grüße!"}))
    assert answer_of(await client.call_tool("read_file", letter))["content"] == "Grüße!"
    first = answer_of(await client.call_tool("read_file", letter | {"size_bytes": 3}))
    assert (first["content"], first["next_offset"], first["size_bytes"]) == ("Gr", 2, 8), "half a character is not read"
    rest = answer_of(await client.call_tool("read_file", letter | {"offset": 2}))
    assert (rest["content"], rest["next_offset"]) == ("üße!", None)
    binary = held | {"path": "letters/..data"}
    answer_of(await client.call_tool("write_file", binary | {"content": "AP8=", "encoding": "base64"}))
    read = answer_of(await client.call_tool("read_file", binary))
    assert (read["content"], read["encoding"]) == ("AP8=", "base64")
    answer_of(await client.call_tool("write_file", held | {"path": "letters/empty", "content": ""}))
    assert answer_of(await client.call_tool("read_file", held | {"path": "letters/empty"}))["content"] == ""
    listed = answer_of(await client.call_tool("list_files", held | {"path": "letters"}))
    assert [one["name"] for one in listed["files"]] == ["..data", "a letter.txt", "empty"]
    assert "letters" in [one["name"] for one in answer_of(await client.call_tool("list_files", held))["folders"]]
    outside = refusal(await client.call_tool("read_file", held | {"path": "../../etc/passwd"}))
    assert outside.startswith("invalid: "), outside
    assert refusal(await client.call_tool("read_file", held | {"path": "none"})).startswith("not-found: ")
    assert "elements" in answer_of(await client.call_tool("elements", held))


async def test_the_token_of_a_lease_opens_its_desktop_until_it_is_over(instance: Instance):
    wish = {"workspace": "Desktop", "seconds": 600, "user_id": instance.new_user(), "wait_s": 60}
    lease = instance.call("POST", "/leases", json=wish, timeout=70)
    async with mcp_client(lease["urls"]["mcp"], f"Bearer {lease['token']}", tls=instance.ca()) as client:
        assert picture((await client.call_tool("screenshot")).content[0]).size == (1280, 800)
        answer_of(await client.call_tool("release"))
    bearer = {"Authorization": f"Bearer {lease['token']}"}
    with instance.http() as http:
        over = http.post("/mcp", json={}, headers=bearer, auth=lambda request: request)
        assert (over.status_code, over.json()["code"]) == (401, "unauthenticated")
        assert http.get("/mcp").status_code == 405
        assert http.get("/.well-known/oauth-protected-resource").status_code == 404

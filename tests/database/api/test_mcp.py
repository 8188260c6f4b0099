"""`/mcp`: the tools of a program with an API key, and with a lease's token; the refusals and their messages."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from mcp.client import Client as McpClient
from mcp.shared.exceptions import MCPError
from tests.database.api.client import KEY, Client, MakeClient
from tests.database.api.staging import Stage
from tests.support.mcp_clients import answer_of, mcp_client, refusal
from tests.support.played import serve

from greenroom.api.desk.transport import while_connected
from greenroom.api.lease.service import MCP_PATH
from greenroom.interfaces.mcp import tools
from greenroom.interfaces.mcp.tool import Tool, ToolRequest, as_json

URL = "https://127.0.0.1:8443/mcp"
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ACCEPTED = {"Accept": "application/json, text/event-stream"}

Connect = Callable[..., AbstractAsyncContextManager[McpClient]]


def basic(key: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(key).encode()).decode()


@pytest.fixture
def follow(app: FastAPI) -> Connect:
    """Create clients of the protocol, with the installation's first key unless another credential is passed."""

    def connected(authorization: str = basic(KEY), mode: str = "auto") -> AbstractAsyncContextManager[McpClient]:
        return mcp_client(URL, authorization, transport=httpx2.ASGITransport(app), mode=mode)

    return connected


@pytest.fixture
async def wish(stage: Stage, ada: Client) -> dict[str, Any]:
    """The arguments of `lease`."""
    name = (await stage.admin.only("/api/v1/images"))["friendly_name"]
    return {"workspace": name, "seconds": 600, "user_id": await ada.own_id(), "wait_s": 0}


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_program_leases_extends_lists_and_releases(follow: Connect, wish: dict[str, Any], mode: str):
    async with follow(mode=mode) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} >= {
            "lease",
            "list_leases",
            "extend",
            "release",
        }
        lease = answer_of(await client.call_tool("lease", wish | {"tags": ["t"]}))
        assert lease["urls"]["mcp"] == URL
        held = {"lease_id": lease["lease_id"]}
        longer = answer_of(await client.call_tool("extend", held | {"seconds": 3600}))
        assert longer["expires"] > lease["expires"]
        listed = answer_of(await client.call_tool("list_leases", {"tag": "t"}))["leases"]
        assert [one["lease_id"] for one in listed] == [lease["lease_id"]]
        assert answer_of(await client.call_tool("release", held)) == {"released": True}
        over = refusal(await client.call_tool("extend", held | {"seconds": 600}))
        assert over.startswith("wrong-state: The lease is over")


async def test_screens_of_leases_are_resources(follow: Connect, wish: dict[str, Any]):
    async with follow() as client:
        assert (await client.list_resources()).resources == []
        lease = answer_of(await client.call_tool("lease", wish))
        (screen,) = (await client.list_resources()).resources
        assert (screen.uri, screen.mime_type) == (f"greenroom://leases/{lease['lease_id']}/screen", "image/png")
        for uri in ("greenroom://leases/x/screen", f"greenroom://leases/{wish['user_id']}/screen"):
            with pytest.raises(MCPError, match="There is no"):
                await client.read_resource(uri)


async def test_a_leases_token_is_for_that_lease_alone(follow: Connect, wish: dict[str, Any]):
    async with follow() as holder:
        lease, other = [answer_of(await holder.call_tool("lease", wish)) for _ in range(2)]
    async with follow(f"Bearer {lease['token']}") as client:
        names = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
        assert "lease" not in names
        assert "lease_id" not in names["release"]["required"]
        assert [one.uri.split("/")[3] for one in (await client.list_resources()).resources] == [lease["lease_id"]]
        foreign = refusal(await client.call_tool("release", {"lease_id": other["lease_id"]}))
        assert foreign.startswith("unauthenticated: This token is not valid for this lease")
        with pytest.raises(MCPError, match="There is no tool 'lease'; the tools are extend, release"):
            await client.call_tool("lease", wish)
        answer_of(await client.call_tool("release"))
    async with follow() as holder:
        listed = answer_of(await holder.call_tool("list_leases"))["leases"]
    assert {one["lease_id"] for one in listed if one["status"] != "deleting"} == {other["lease_id"]}


async def test_refusals_are_those_of_the_routes(follow: Connect, admin: Client, wish: dict[str, Any]):
    async with follow() as client:
        for changed in ({"seconds": 1}, {"workspace": "Nothing"}, {"options": {"egress": "all"}}):
            said = await admin.post("/api/v1/leases", json=wish | changed)
            assert said.is_error
            assert refusal(await client.call_tool("lease", wish | changed)) == ": ".join(
                (said.json()["code"], said.json()["detail"])
            )
        needs = "invalid: The tool release needs lease_id."
        assert refusal(await client.call_tool("release")) == needs
        no_id = "invalid: '../users' is not the id of a lease; call `list_leases` for the ids."
        assert refusal(await client.call_tool("release", {"lease_id": "../users"})) == no_id
        unknown = refusal(await client.call_tool("list_leases", {"tags": "t"}))
        assert unknown == "invalid: The tool list_leases has no argument tags; it has tag, ended."


async def test_a_workspace_that_is_not_there_is_answered_with_those_that_are(follow: Connect, wish: dict[str, Any]):
    async with follow() as client:
        said = refusal(await client.call_tool("lease", wish | {"workspace": "Chrome"}))
    assert said.startswith("not-found: There is no workspace Chrome; there are Desktop.")


async def test_a_key_without_the_permission_is_refused_by_each_tool(
    follow: Connect, with_key: MakeClient, wish: dict[str, Any]
):
    header = (await (await with_key("zones_view")).get("/api/v1/zones")).request.headers["authorization"]
    async with follow(header) as client:
        assert refusal(await client.call_tool("lease", wish)).startswith("forbidden: This needs one of the permissions")


async def test_who_shows_neither_key_nor_token_is_refused(anonymous: Client, ada: Client):
    for client, headers in (
        (anonymous, {}),
        (ada, {}),
        (anonymous, {"Authorization": basic((KEY[0], "wrong"))}),
        (anonymous, {"Authorization": "Bearer x"}),
        (anonymous, {"Authorization": "Bearer 0f6e8a52-0000-4000-8000-00000000000a.x"}),
    ):
        answer = await client.post(MCP_PATH, json=LIST, headers=ACCEPTED | headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "https://127.0.0.1:8443"}, 200),
        ({"Origin": "https://127.0.0.1:8445"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example", "Origin": "https://evil.example"}, 421),
    ],
)
async def test_pages_of_other_sites_are_refused(admin: Client, headers: dict[str, str], status: int):
    answer = await admin.post(MCP_PATH, json=LIST, headers=ACCEPTED | headers)
    assert answer.status_code == status, answer.text


async def test_messages_that_are_none_are_refused_and_there_is_nothing_to_get(admin: Client):
    assert (await admin.get(MCP_PATH, headers=ACCEPTED)).status_code == 405
    assert (await admin.delete(MCP_PATH)).status_code == 405
    headers = ACCEPTED | {"Content-Type": "application/json"}
    assert (await admin.post(MCP_PATH, content=b"{", headers=headers)).status_code == 400
    large = json.dumps(LIST | {"params": {"_meta": {"x": "x" * (1 << 20)}}}).encode()
    assert (await admin.post(MCP_PATH, content=large, headers=headers)).status_code == 413

    async def in_parts() -> AsyncIterator[bytes]:
        for begin in range(0, len(large), 1 << 16):
            yield large[begin : begin + (1 << 16)]

    assert (await admin.post(MCP_PATH, content=in_parts(), headers=headers)).status_code == 413


async def test_a_client_that_goes_away_is_one_to_the_route_too(app: FastAPI, monkeypatch: pytest.MonkeyPatch):
    """The cleanup of the route's work is not interrupted."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            ended.set()

    async def slow(request: Request) -> None:
        await while_connected(request, work())

    app.add_api_route("/api/v1/slow", slow, methods=["POST"])
    asked = ToolRequest(method="POST", path="/slow")
    tool = Tool(
        name="slow", title="", description="", make_request=lambda _, __: asked, make_result=as_json, needs_lease=False
    )
    monkeypatch.setattr(tools, "TOOLS", (tool,))
    served = await serve(app)
    call = LIST | {"method": "tools/call", "params": {"name": "slow", "arguments": {}}}
    async with httpx2.AsyncClient(auth=KEY, headers=ACCEPTED) as client:
        answer = asyncio.create_task(client.post(f"http://{served.address}{MCP_PATH}", json=call))
        await asyncio.wait_for(begun.wait(), 20)
        answer.cancel()
        await asyncio.wait_for(ended.wait(), 20)
    await served.stop()

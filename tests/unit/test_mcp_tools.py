"""The tools of the Model Context Protocol: the requests for calls, and the output for their answers."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from greenroom.core.actions.dialects import ACTION_NAMES
from greenroom.core.errors import Invalid
from greenroom.interfaces.mcp.tool import ToolRequest
from greenroom.interfaces.mcp.tools import tools_for

LEASE = "0f6e8a52-0000-4000-8000-00000000000a"


def tool_request(name: str, **given: Any) -> ToolRequest:
    return tools_for(None)[name].build_request({"lease_id": LEASE, **given}, None)


def content(data: bytes, part: str, status: int = 206) -> tuple[Any, ...]:
    """The output of `read_file` for a part: encoding, content, offset of the next part."""
    shown = tools_for(None)["read_file"].make_result(
        httpx2.Response(status, content=data, headers={"content-range": part})
    )
    assert shown.structured is not None
    return shown.structured["encoding"], shown.structured["content"], shown.structured["next_offset"]


def test_every_tool_but_those_of_all_leases_names_one():
    for tool in tools_for(None).values():
        assert ("lease_id" in tool.input_schema(has_lease_token=False)["required"]) == (
            tool.name not in ("lease", "list_leases")
        )
    own = tools_for(LEASE)
    assert set(tools_for(None)) - set(own) == {"lease", "list_leases"}
    assert own["release"].build_request({}, LEASE) == tool_request("release")


def test_the_schema_of_actions_names_all_and_is_understood_by_older_readers():
    schema = tools_for(None)["act"].input_schema(has_lease_token=False)
    action = schema["properties"]["actions"]["items"]["properties"]
    assert action["action"]["enum"] == list(ACTION_NAMES["action"])
    assert "left_click(coordinate?, text?)" in action["action"]["description"]
    assert "prefixItems" not in json.dumps(schema)


def test_every_tool_but_the_picture_describes_its_answer():
    described = {name: tool.result_schema for name, tool in tools_for(None).items()}
    assert [name for name, answers in described.items() if answers is None] == ["screenshot"]
    assert {answers["type"] for answers in described.values() if answers} == {"object"}


@pytest.mark.parametrize(
    ("path", "part"),
    [("../../x", "%2E%2E/%2E%2E/x"), ("a b/ü?#%", "a%20b/%C3%BC%3F%23%25"), ("/etc/x", "/etc/x"), ("a/./b", "a/%2E/b")],
)
def test_a_path_stays_what_it_is_in_the_address_of_a_file(path: str, part: str):
    assert tool_request("read_file", path=path).path == f"/leases/{LEASE}/files/{part}"
    assert httpx2.URL(f"https://x{tool_request('read_file', path=path).path}").path == f"/leases/{LEASE}/files/{path}"


def test_a_part_of_a_file_ends_with_a_whole_character():
    assert content("Grü".encode()[:3], "bytes 0-2/10") == ("utf-8", "Gr", 2)
    assert content("üße".encode(), "bytes 2-6/7") == ("utf-8", "üße", None)
    assert content("ü".encode()[:1], "bytes 6-6/7") == ("base64", "ww==", None), (
        "a file that ends within one is no text"
    )
    assert content(b"\xff\xfe", "bytes 4-5/10") == ("base64", "//4=", 6)
    assert content(b"", "bytes */0", 416) == ("utf-8", "", None)


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("write_file", {"path": "x", "content": "?", "encoding": "base64"}, "`content` is not base64"),
        ("write_file", {"path": "x", "content": 1}, "`content` must be a text"),
        ("write_file", {"path": "x", "content": "\ud800"}, "`content` is not utf-8"),
        ("write_file", {"path": ["x"], "content": ""}, "`path` must be the path of a file"),
        ("read_file", {"path": "x", "offset": -1}, "`offset` must be 0 or more bytes"),
        ("read_file", {"path": "x", "size_bytes": 1 << 21}, "`size_bytes` 1 to 1048576"),
        ("read_file", {}, "The tool read_file needs path"),
        ("exec", {"command": ["x"], "stream": True}, "The tool exec has no argument stream; it has lease_id, command"),
    ],
)
def test_arguments_without_a_meaning_are_refused(name: str, given: dict[str, Any], reason: str):
    with pytest.raises(Invalid, match=reason):
        tool_request(name, **given)

"""The tools, resources and prompts that the public conformance suite expects on a server under test.

They are served by the transport of `/mcp` (`greenroom.interfaces.mcp.server.answer_request`), which the suite tests.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import wave
from typing import Any

from mcp import types
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from PIL import Image
from starlette.types import Receive, Scope, Send

from greenroom.interfaces.mcp.server import answer_request

Context = ServerRequestContext[Any, Any]
Page = types.PaginatedRequestParams | None
CACHEABLE = ("tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read")
MISSING_CAPABILITY = -32021


def text(words: str) -> types.TextContent:
    return types.TextContent(text=words)


def _png() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1), "red").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _wav() -> str:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(bytes(8))
    return base64.b64encode(buffer.getvalue()).decode()


def embedded(uri: str, mime_type: str, words: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=words))


PICTURE = types.ImageContent(data=_png(), mime_type="image/png")
CONTENTS: dict[str, list[types.ContentBlock]] = {
    "test_simple_text": [text("This is a simple text response for testing.")],
    "test_image_content": [PICTURE],
    "test_audio_content": [types.AudioContent(data=_wav(), mime_type="audio/wav")],
    "test_embedded_resource": [
        embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        text("Multiple content types test:"),
        PICTURE,
        embedded("test://mixed-content-resource", "application/json", json.dumps({"test": "data", "value": 123})),
    ],
}
SCHEMA_TOOL = types.Tool(
    name="json_schema_2020_12_tool",
    description="a schema with all kinds of keywords",
    input_schema={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"city": {"type": "string"}}}},
        "properties": {
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
)
RESOURCES: dict[str, types.TextResourceContents | types.BlobResourceContents] = {
    "test://static-text": types.TextResourceContents(
        uri="test://static-text", mime_type="text/plain", text="This is the content of the static text resource."
    ),
    "test://static-binary": types.BlobResourceContents(
        uri="test://static-binary", mime_type="image/png", blob=PICTURE.data
    ),
}
PROMPTS: dict[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
}


async def _with_progress(context: Context) -> None:
    for progress in (0, 50, 100):
        await context.session.report_progress(progress, 100)
        await asyncio.sleep(0.05)


async def _needs_sampling(_: Context) -> None:
    raise MCPError(MISSING_CAPABILITY, "Sampling is needed.", data={"requiredCapabilities": {"sampling": {}}})


WORKS = {
    "test_logging_tool": _with_progress,
    "test_tool_with_progress": _with_progress,
    "test_streaming_elicitation": _with_progress,
    "test_missing_capability": _needs_sampling,
}


async def _list_tools(_: Context, __: Page) -> types.ListToolsResult:
    names = [*CONTENTS, *WORKS, "test_error_handling"]
    tools = [types.Tool(name=name, description=name, input_schema={"type": "object"}) for name in names]
    return types.ListToolsResult(tools=[*tools, SCHEMA_TOOL])


async def _call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    if params.name in CONTENTS:
        return types.CallToolResult(content=CONTENTS[params.name])
    if params.name == "test_error_handling":
        words = "This tool intentionally returns an error for testing"
        return types.CallToolResult(content=[text(words)], is_error=True)
    await WORKS[params.name](context)
    return types.CallToolResult(content=[text("done")])


async def _list_resources(_: Context, __: Page) -> types.ListResourcesResult:
    listed = [types.Resource(uri=uri, name=uri, mime_type=one.mime_type) for uri, one in RESOURCES.items()]
    return types.ListResourcesResult(resources=listed)


async def _list_templates(_: Context, __: Page) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(uri_template="test://template/{id}/data", name="template")
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def _read_resource(_: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    if params.uri in RESOURCES:
        return types.ReadResourceResult(contents=[RESOURCES[params.uri]])
    named = re.fullmatch(r"test://template/(\w+)/data", params.uri)
    if named is None:
        raise MCPError(types.INVALID_PARAMS, "Resource not found", data={"uri": params.uri})
    words = json.dumps({"id": named[1], "templateTest": True, "data": f"Data for ID: {named[1]}"})
    contents = types.TextResourceContents(uri=params.uri, mime_type="application/json", text=words)
    return types.ReadResourceResult(contents=[contents])


async def _list_prompts(_: Context, __: Page) -> types.ListPromptsResult:
    return types.ListPromptsResult(
        prompts=[
            types.Prompt(
                name=name,
                description=name,
                arguments=[types.PromptArgument(name=one, required=True) for one in arguments],
            )
            for name, arguments in PROMPTS.items()
        ]
    )


async def _get_prompt(_: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    given = params.arguments or {}
    contents: dict[str, list[types.ContentBlock]] = {
        "test_simple_prompt": [text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments": [
            text(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'")
        ],
        "test_prompt_with_embedded_resource": [
            embedded(given.get("resourceUri", ""), "text/plain", "Embedded resource content for testing."),
            text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image": [PICTURE, text("Please analyze the image above.")],
    }
    return types.GetPromptResult(
        messages=[types.PromptMessage(role="user", content=content) for content in contents[params.name]]
    )


async def _complete(_: Context, __: types.CompleteRequestParams) -> types.CompleteResult:
    return types.CompleteResult(completion=types.Completion(values=["paris", "park"]))


def fixture_server() -> Server[Any]:
    return Server(
        "fixtures",
        cache_hints=dict.fromkeys(CACHEABLE, CacheHint()),
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_templates,
        on_read_resource=_read_resource,
        on_list_prompts=_list_prompts,
        on_get_prompt=_get_prompt,
        on_completion=_complete,
    )


async def fixtures(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI application that serves the fixtures at any address."""
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    await answer_request(fixture_server(), body + message.get("body", b""), scope, receive, send)

"""The OpenAPI document of the published interface, generated from its routes and from recorded calls.

`examples.json` contains recorded calls as `{"call", "request", "reply"}`, without the API key. A test sends the
requests in the order of the file and compares the replies.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import iter_route_contexts

from greenroom.api.bodies import Json
from greenroom.api.examples.document import API_KEY, LICENSE, SERVERS
from greenroom.api.security import public_route
from greenroom.interfaces.public.calls import Answer

EXAMPLES: Final = Path(__file__).parent / "examples.json"
PREFIX: Final = "/api/public/"
SCREENSHOT_CALL: Final = "get_kasm_screenshot"
_STATUS_DESCRIPTIONS: Final = {
    401: "The API key is missing or not valid.",
    403: "The key has no permission for the call or for its values.",
    421: "The deployment does not serve this host.",
    429: "Too many requests; wait for Retry-After.",
    503: "A component is unavailable; repeat the request after Retry-After.",
}
_REFUSAL_SCHEMA: Final[Json] = {
    "type": "object",
    "required": ["error_message"],
    "properties": {"error_message": {"type": "string"}},
}
_KEY_SCHEMA: Final[Json] = {
    "type": "object",
    "required": ["api_key", "api_key_secret"],
    "properties": {"api_key": {"type": "string"}, "api_key_secret": {"type": "string"}},
    "additionalProperties": True,
}

router = APIRouter(prefix="/api/public", include_in_schema=False)


@router.get("/openapi.json", dependencies=[public_route("the description of the interface")])
async def published_document(request: Request) -> Answer:
    """Return the OpenAPI 3.1 document of `/api/public`."""
    return document(request.app)


@cache
def recorded_calls() -> list[Answer]:
    """Return the recorded calls in the order in which they were sent."""
    return json.loads(EXAMPLES.read_bytes())


def document(app: FastAPI) -> Answer:
    """Return the OpenAPI 3.1 document of the calls below `/api/public`."""
    paths = {
        path: {"post": _operation(path.removeprefix(PREFIX), getattr(context, "description", "") or "")}
        for context in iter_route_contexts(app.routes)
        for path in [context.path or ""]
        if path.startswith(PREFIX) and "POST" in (context.methods or ())
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Greenroom, published interface", "version": version("greenroom"), "license": LICENSE},
        "servers": SERVERS,
        "paths": paths,
        "components": {"schemas": {"Refused": _REFUSAL_SCHEMA}, "securitySchemes": {"apiKey": API_KEY}},
    }


def _operation(name: str, description: str) -> Answer:
    examples = [call for call in recorded_calls() if call["call"] == name]
    keys = {"api_key": "{{api_key}}", "api_key_secret": "{{api_key_secret}}"}
    requests = {f"{name} {number}": {"value": keys | example["request"]} for number, example in enumerate(examples, 1)}
    replies = {f"{name} {number}": {"value": example["reply"]} for number, example in enumerate(examples, 1)}
    content: Answer = {"application/json": {"schema": {"type": "object"}, "examples": replies}}
    if name == SCREENSHOT_CALL:
        content["image/jpeg"] = {}
    request = {"application/json": {"schema": _KEY_SCHEMA, "examples": requests}}
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refused"}}}
    return {
        "operationId": name,
        "summary": description.partition(".")[0].strip().replace("\n", " ") + ".",
        "description": description,
        "security": [{"apiKey": []}, {}],
        "requestBody": {"required": True, "content": request},
        "responses": {
            "200": {"description": "Done, or refused with error_message.", "content": content},
            **{str(status): {"description": text, "content": refusal} for status, text in _STATUS_DESCRIPTIONS.items()},
        },
    }

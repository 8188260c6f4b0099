"""Additions to the OpenAPI document: recorded examples, messages of webhooks, and credentials of operations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from greenroom.api.hardening import LOGIN_COOKIE
from greenroom.api.security import RouteAccess
from greenroom.core.webhooks import VERSION, WebhookEvent

Json = dict[str, Any]

SERVERS: Final[list[dict[str, str | Any]]] = [{"url": "/", "description": "This deployment."}]
LICENSE: Final = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
API_KEY: Final[Json] = {"type": "http", "scheme": "basic", "description": "An API key and its secret."}
SCHEMES: Final[Json] = {
    "apiKey": API_KEY,
    "logIn": {
        "type": "apiKey",
        "in": "cookie",
        "name": LOGIN_COOKIE,
        "description": "The cookie of `POST /api/v1/login`. A request that changes something also has the header"
        " `Origin` or `Sec-Fetch-Site: same-origin`.",
    },
    "leaseToken": {"type": "http", "scheme": "bearer", "description": "The token of one lease, for that lease."},
}

_CONVERTER: Final = re.compile(r":\w+}")


def add_credentials(document: Json, routes: Iterable[RouteAccess]) -> None:
    """Add the kinds of credentials, and to each operation those that it accepts (an empty list if it needs none)."""
    document["components"]["securitySchemes"] = SCHEMES
    declared_by_route = {(route.method.lower(), _CONVERTER.sub("}", route.path)): route.declared for route in routes}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            declared = declared_by_route[method, path]
            operation["security"] = [{name: []} for name in declared.credentials] if declared else []
    for hook in document["webhooks"].values():
        hook["post"]["security"] = []


FOLDER: Final = Path(__file__).parent
OPERATIONS: Final = FOLDER / "operations"
WEBHOOKS: Final = FOLDER / "webhooks.json"
METHODS: Final = frozenset({"get", "put", "post", "delete", "patch"})
_PROBLEM: Final = "application/problem+json"
_WEBHOOK_HEADERS: Final = {
    "webhook-id": "id of the message, the same for each delivery",
    "webhook-timestamp": "seconds since 1970; refuse messages that are minutes old",
    "webhook-signature": "`v1,` and the base64 HMAC-SHA256 of id.timestamp.body with the secret (Standard Webhooks)",
}


@cache
def recorded_examples() -> dict[str, Json]:
    """Return the example of each operation, by the id of the operation."""
    files = sorted(OPERATIONS.glob("*.json"))
    return {name: example for file in files for name, example in json.loads(file.read_bytes()).items()}


@cache
def recorded_messages() -> dict[str, Json]:
    """Return a message of each webhook event, by the type of the event."""
    return json.loads(WEBHOOKS.read_bytes())


def add_examples(document: Json) -> None:
    """Add the example of each operation, and the messages of webhooks."""
    for operations in document["paths"].values():
        for method, operation in operations.items():
            example = recorded_examples().get(operation["operationId"]) if method in METHODS else None
            if example is not None:
                _add_to_operation(operation, example)
    document["webhooks"] = {str(event): {"post": _webhook_operation(event, document)} for event in WebhookEvent}


def _add_to_operation(operation: Json, example: Json) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in example["parameters"]:
            parameter["example"] = example["parameters"][parameter["name"]]
    request_body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if request_body is not None and "request" in example:
        request_body["examples"] = {"request": {"value": example["request"]}}
    _add_answer(operation, example, "reply")
    _add_answer(operation, example["problem"], "problem")


def _add_answer(operation: Json, example: Json, name: str) -> None:
    """Add an example of an answer. Answers that are not text have no example."""
    media_type = _PROBLEM if name == "problem" else example.get("media_type", "application/json")
    answer = operation["responses"].get(str(example["status"]))
    if answer is None or "reply" not in example:
        return
    content = answer.setdefault("content", {}).setdefault(media_type, {})
    content["examples"] = {name: {"value": example["reply"]}}


def _webhook_operation(event: WebhookEvent, document: Json) -> Json:
    schemas = document["components"]["schemas"]
    schema_of_data = TypeAdapter(event.data).json_schema(ref_template="#/components/schemas/{model}")
    name = event.data.__name__
    schemas[name] = schema_of_data
    schema: Json = {
        "type": "object",
        "required": ["type", "version", "id", "timestamp", "data"],
        "properties": {
            "type": {"type": "string", "const": str(event)},
            "version": {"type": "integer", "const": VERSION},
            "id": {"type": "string", "format": "uuid"},
            "timestamp": {"type": "string", "format": "date-time", "description": "time of the event"},
            "data": {"$ref": f"#/components/schemas/{name}"},
        },
    }
    content: Json = {"schema": schema}
    if str(event) in recorded_messages():
        content["examples"] = {"message": {"value": recorded_messages()[str(event)]}}
    return {
        "operationId": str(event).replace(".", "_"),
        "summary": event.meaning[0].upper() + event.meaning[1:] + ".",
        "tags": ["webhooks"],
        "parameters": [
            {"name": header, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for header, text in _WEBHOOK_HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "2XX": {"description": "The message was received."},
            "410": {"description": "The webhook is gone: the message is not sent again."},
            "default": {"description": "The message is sent again for about a day; Retry-After applies."},
        },
    }

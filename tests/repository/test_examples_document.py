"""The OpenAPI document of /api/v1 shows an example of every operation and of every webhook, each as its schema says.

That they are what the api answers is tested in `tests/database/api/test_examples.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from greenroom.api.examples.document import FOLDER, METHODS, recorded_examples, recorded_messages
from greenroom.api.openapi import document
from greenroom.core.webhooks import WebhookEvent

Json = dict[str, Any]
DOCUMENT: Final[Json] = document()
OPERATIONS: Final[dict[str, Json]] = {
    operation["operationId"]: operation | {"label": f"{method.upper()} {path}"}
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if method in METHODS
}
ADVICE: Final = (
    "add a step for it to one of the lists in tests/database/api/examples, after what has to be there before it, and"
    " run script/examples, which makes the calls and writes what was asked and answered"
)
SECRET: Final = re.compile(
    r"whsec_\w{8}|PRIVATE KEY|(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{32,}(?![\w-])"
)
"""The beginnings of secrets, and long words of small letters, capital letters and digits."""


def test_every_operation_has_an_example():
    without = [operation["label"] for name, operation in OPERATIONS.items() if name not in recorded_examples()]
    assert not without, f"{', '.join(without)} has no example: {ADVICE}"
    gone = recorded_examples().keys() - OPERATIONS.keys()
    assert not gone, f"{', '.join(gone)} is not in the document any more: delete its step and run script/examples"


def validator(schema: Json) -> Draft202012Validator:
    return Draft202012Validator(
        {**schema, "components": DOCUMENT["components"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def shown(operation: Json) -> Iterator[tuple[str, Json, Any]]:
    """(where, schema, example) of all that an operation shows."""
    for parameter in operation.get("parameters", ()):
        if "example" in parameter:
            yield parameter["name"], parameter["schema"], parameter["example"]
    contents = {"request": operation.get("requestBody", {})} | operation["responses"]
    for name, part in contents.items():
        for content in part.get("content", {}).values():
            for example in content.get("examples", {}).values():
                yield name, content.get("schema", {}), example["value"]


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_what_an_operation_shows_is_valid(name: str):
    operation = OPERATIONS[name]
    found = list(shown(operation))
    wrong = [
        f"{where}: {error.json_path}: {error.message}"
        for where, schema, example in found
        for error in validator(schema).iter_errors(example)
    ]
    assert not wrong, wrong
    example = recorded_examples()[name]
    where = {where for where, _, _ in found}
    assert str(example["problem"]["status"]) in where
    assert ("request" in example) <= ("request" in where)
    assert ("reply" in example) <= (str(example["status"]) in where)
    declared = operation["responses"][str(example["status"])].get("content", {})
    assert example.get("media_type", "application/json") in declared or not declared
    assert example["parameters"].keys() <= {parameter["name"] for parameter in operation.get("parameters", ())}
    needed = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["required"]}
    assert needed <= example["parameters"].keys()
    assert "request" in example or "application/json" not in operation.get("requestBody", {}).get("content", {})


def test_every_webhook_is_described_with_a_message_that_is_valid():
    assert list(DOCUMENT["webhooks"]) == list(recorded_messages()) == list(map(str, WebhookEvent))
    for event, described in DOCUMENT["webhooks"].items():
        content = described["post"]["requestBody"]["content"]["application/json"]
        message = content["examples"]["message"]["value"]
        assert not list(validator(content["schema"]).iter_errors(message)), event
        assert (
            message["data"].keys()
            == DOCUMENT["components"]["schemas"][WebhookEvent(event).data.__name__]["properties"].keys()
        ), event


def test_no_example_has_a_secret():
    for file in FOLDER.rglob("*.json"):
        assert not SECRET.search(file.read_text()), file.name


def test_the_document_is_valid_and_the_same_each_time():
    assert DOCUMENT["openapi"].startswith("3.1")
    assert json.dumps(document.__wrapped__()) == json.dumps(DOCUMENT)

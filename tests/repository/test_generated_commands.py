"""The fields of the command line are those of the document of the api."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "script/generate_commands.py"
API: dict[str, Any] = {
    "paths": {
        "/api/v1/zones": {
            "get": {
                "parameters": [
                    {"in": "query", "name": "limit", "schema": {"type": "integer"}, "required": False},
                    {"in": "query", "name": "open", "schema": {"type": "boolean"}, "required": False},
                ]
            },
            "post": {
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ZoneCreate"}}}
                }
            },
        }
    },
    "components": {
        "schemas": {
            "ZoneCreate": {
                "required": ["zone_name"],
                "properties": {
                    "zone_name": {"type": "string", "description": "the name"},
                    "owner": {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]},
                    "words": {"type": "array", "items": {"type": "string"}},
                    "tags": {"type": "object", "patternProperties": {"^a": {"type": "number"}}},
                    "state": {"$ref": "#/components/schemas/State"},
                    "idle_disconnect": {"type": "integer"},
                },
            },
            "State": {"type": "string", "enum": ["on", "off"]},
        }
    },
}


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_a_body_has_its_fields_and_a_list_its_filters(generator: dict[str, Any]):
    setting = generator["SETTINGS"]["idle_disconnect"].description
    assert dict(generator["operations"](API)) == {
        "GET /zones": [{"name": "open", "type": "boolean"}],
        "POST /zones": [
            {"name": "zone_name", "description": "the name", "is_required": True},
            {"name": "owner", "is_nullable": True, "type": "uuid"},
            {"name": "words", "holds": "list"},
            {"name": "tags", "holds": "object", "type": "number"},
            {"name": "state", "choices": ["on", "off"]},
            {"name": "idle_disconnect", "description": setting, "type": "integer"},
        ],
    }


def test_the_file_is_current(generator: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    assert json.loads(generator["FILE"].read_text())
    assert generator["main"](["--check"]) == 0, capsys.readouterr().out

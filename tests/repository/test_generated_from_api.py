"""The fields of the command line, and the records and requests of the client, are those of the document of the api."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "script/generate_from_api.py"
FIELDS = ROOT / "packages/cli/src/greenroom/cli/api.json"
API: dict[str, Any] = {
    "paths": {
        "/api/v1/zones": {
            "get": {
                "description": "List zones. They are sorted.",
                "parameters": [
                    {"in": "query", "name": "limit", "schema": {"type": "integer"}, "required": False},
                    {"in": "query", "name": "open", "schema": {"type": "boolean"}, "required": False},
                ],
            },
            "post": {
                "description": "Create a zone.",
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ZoneCreate"}}}
                },
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
    fields = [
        {"name": "zone_name", "description": "the name", "is_required": True},
        {"name": "owner", "is_nullable": True, "type": "uuid"},
        {"name": "words", "shape": "list"},
        {"name": "tags", "shape": "object", "type": "number"},
        {"name": "state", "choices": ["on", "off"]},
        {"name": "idle_disconnect", "description": setting, "type": "integer"},
    ]
    assert list(generator["operations"](API)) == [
        ("GET /zones", "List zones.", [{"name": "open", "type": "boolean"}]),
        ("POST /zones", "Create a zone.", fields),
    ]


def test_a_record_has_the_types_of_its_schema(generator: dict[str, Any]):
    schemas = {
        "SecretView": {
            "description": "A secret.",
            "required": ["name", "made", "place", "shown"],
            "properties": {
                "name": {"type": "string", "description": "name; null = none"},
                "made": {"type": "string", "format": "date-time"},
                "owner": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "place": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "number"}]},
                "files": {"type": "array", "items": {"$ref": "#/components/schemas/FileView"}},
                "kind": {"enum": ["a", "b"], "type": "string", "default": "a"},
                "shown": {"type": "string", "contentEncoding": "base64", "description": "PNG in base64"},
            },
        }
    }
    assert generator["record"]("SecretView", schemas).splitlines() == [
        "class Secret(msgspec.Struct, frozen=True, kw_only=True):",
        '    """A secret."""',
        "",
        "    name: str",
        '    """Name; None = none."""',
        "    made: datetime",
        "    owner: str | None = None",
        "    place: tuple[int, float]",
        "    files: list[File] = []",
        """    kind: Literal["a", "b"] = 'a'""",
        "    shown: bytes",
        '    """PNG."""',
    ]


def test_a_method_of_the_client_has_the_parameters_of_its_operation(generator: dict[str, Any]):
    operation = {
        "description": "Create a zone.\n\nIt has no Agents.",
        "parameters": [{"in": "path", "name": "site", "schema": {"type": "string"}}],
        "requestBody": API["paths"]["/api/v1/zones"]["post"]["requestBody"],
        "responses": {"201": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/FileView"}}}}},
    }
    schemas = {
        "ZoneCreate": {
            "required": ["zone_name", "words"],
            "properties": {
                "zone_name": {"type": "string", "description": "name; null = none"},
                "owner": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "words": {"type": "array", "items": {"type": "string"}},
            },
        }
    }
    assert generator["method"]("create", "post", "/{site}/zones", operation, schemas).splitlines() == [
        (
            "    async def create(self, site: str, zone_name: str, words: Sequence[str], *, owner: str | None = None)"
            " -> File:"
        ),
        '        """Create a zone.',
        "",
        "        It has no Agents.",
        "",
        "        `zone_name`: name; None = none",
        '        """',
        (
            '        return await self.ask(File, "POST", f"/{site}/zones", without_none(zone_name=zone_name,'
            """ owner=owner, words=list_of_texts(words, 'words', '["…"]')))"""
        ),
    ]


def test_a_method_of_the_client_returns_what_its_operation_answers(generator: dict[str, Any]):
    def statement(verb: str, media: str, schema: dict[str, Any]) -> str:
        query = [{"in": "query", "name": "open", "schema": {"type": "boolean"}}]
        operation = {"description": "Act.", "parameters": query, "responses": {"200": {"content": {media: {}}}}}
        operation["responses"]["200"]["content"][media] = {"schema": schema}
        return generator["method"]("act", verb, "/zones", operation, {}).splitlines()[-1].strip()

    one = {"$ref": "#/components/schemas/FileView"}
    many = {"type": "array", "items": one}
    assert [statement(*case) for case in (("get", "application/json", many), ("get", "image/png", {}))] == [
        'return msgspec.convert(await self.rows("/zones", without_none(open=open)), type=list[File])',
        'return await self.download("/zones", without_none(open=open))',
    ]
    assert statement("get", "application/json", one) == (
        'return await self.ask(File, "GET", "/zones", query=without_none(open=open))'
    )
    assert statement("delete", "application/json", {}) == 'await self._delete("/zones")'


def test_the_files_are_current(generator: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    assert generator["main"](["--check"]) == 0, capsys.readouterr().out


def test_a_file_that_is_not_current_is_named(
    generator: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    functions = generator["main"].__globals__
    monkeypatch.setitem(functions, "ROOT", tmp_path)
    monkeypatch.setitem(functions, "FIELDS", tmp_path / "api.json")
    assert generator["main"](["--check"]) == 1
    assert capsys.readouterr().out == "api.json does not match the api; run script/lint --fix\n"
    assert generator["main"]([]) == 0
    assert (tmp_path / "api.json").read_text() == FIELDS.read_text()


def test_the_console_gets_the_limits_of_requests_and_the_titles_of_settings(generator: dict[str, Any]):
    cores = {"anyOf": [{"type": "number", "exclusiveMinimum": 0.0, "maximum": 4096.0}, {"type": "null"}]}
    properties = {"cores": cores, "name": {"type": "string", "maxLength": 255}, "note": {"type": "string"}}
    schemas = {
        "ImageCreate": {"properties": properties},
        "ImagePatch": {"properties": properties},
        "AgentPatch": {"properties": {"cores": cores, "tags": {"type": "array", "maxItems": 3}}},
        "ImageView": {"properties": properties},
    }
    assert generator["limits_file"]({"components": {"schemas": schemas}}).splitlines()[2:] == [
        "/** Schema of a request → field → its limits. */",
        "export const LIMITS = {",
        "  AgentPatch: {",
        "    cores: { type: 'number', exclusiveMinimum: 0, maximum: 4096 },",
        "  },",
        "  ImageCreate: {",
        "    cores: { type: 'number', exclusiveMinimum: 0, maximum: 4096 },",
        "    name: { type: 'string', maxLength: 255 },",
        "  },",
        "} as const;",
    ]
    assert "  idle_disconnect: 'Idle disconnect',\n" in generator["titles_file"]()

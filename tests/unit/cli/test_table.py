"""The table of nouns compared with the document of the api: neither has additional entries."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from greenroom.api.openapi import document
from greenroom.cli import fleet, logs
from greenroom.cli.fields import fields_of, options_of
from greenroom.cli.lazy import import_object
from greenroom.cli.main import app
from greenroom.cli.noun import Noun
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Printer

API: dict[str, Any] = document()
PATHS: dict[str, Any] = API["paths"]


def of_path(noun: Noun) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parts of the document about the list and about a single object."""
    one = next(path for path in PATHS if path.startswith(f"/api/v1{noun.path}/{{") and path.count("/") == 4)
    return PATHS[f"/api/v1{noun.path}"], PATHS[one]


def body_of(operation: dict[str, Any]) -> str:
    """The name of the schema of an operation's body."""
    return operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]


def shown_by(operation: dict[str, Any]) -> set[str]:
    """The fields of an operation's answer."""
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return set(API["components"]["schemas"][schema.get("items", schema)["$ref"].rpartition("/")[2]]["properties"])


def parameters_of(path: str) -> set[str]:
    """The query parameters of a list, without those for paging."""
    return {p["name"] for p in PATHS[path]["get"]["parameters"]} - {"limit", "cursor", "sort", "count"}


@pytest.mark.parametrize("noun", NOUNS.values(), ids=lambda noun: noun.noun)
def test_create_and_delete_are_there_where_the_api_has_them(noun: Noun):
    many, one = of_path(noun)
    assert (noun.create is not None) == ("post" in many and noun.noun != "sessions")
    assert noun.delete == ("delete" in one and noun.noun not in {"sessions", "homes"})
    if noun.create is not None:
        assert noun.create.partition(":")[2] == body_of(many["post"])
    if noun.update is not None:
        assert noun.update.partition(":")[2] == body_of(one["patch"])


@pytest.mark.parametrize("noun", NOUNS.values(), ids=lambda noun: noun.noun)
def test_lists_show_fields_that_exist(noun: Noun):
    many, one = of_path(noun)
    fields = shown_by(many["get"])
    assert fields == shown_by(one["get"])
    assert {noun.key, noun.name or noun.key} | {column.field for column in noun.columns if column.field} <= fields


@pytest.mark.parametrize("noun", NOUNS.values(), ids=lambda noun: noun.noun)
def test_lists_have_every_filter_of_the_api(noun: Noun):
    # Single rows of a list are `get` on the command line.
    wanted = parameters_of(f"/api/v1{noun.path}") - {noun.key}
    assert {field.name for field in noun.filters} == wanted


def test_logs_have_every_filter_of_the_api():
    assert {field.name for field in logs.FILTERS} == parameters_of("/api/v1/logs")


def test_requests_of_agents_have_all_filters_and_fields_of_the_api():
    path = "/api/v1/diagnostics/manager-requests"
    assert {field.name for field in fleet.REQUEST_FILTERS} == parameters_of(path)
    assert {column.field for column in fleet.COLUMNS if column.field} <= shown_by(PATHS[path]["get"])


@pytest.mark.parametrize(
    "model",
    [
        "greenroom.api.session.schemas:SessionCreate",
        *(model for noun in NOUNS.values() for model in (noun.create, noun.update) if model is not None),
    ],
)
def test_every_field_of_a_body_has_an_option(model: str):
    assert {option.field for option in options_of(fields_of(model))} == set(import_object(model).model_fields)


@pytest.mark.parametrize(("option", "default"), [("--port", "8443"), ("--managers", "1"), ("--zones", "default")])
def test_help_names_the_defaults_of_an_instance(option: str, default: str):
    shown = CliRunner().invoke(app, ["up", "--help"], env={"COLUMNS": "200"}).output
    assert re.search(rf"{option} .*\[default: \({default}\)\]", shown)


SIMPLE = {"integer": 123_456_789, "number": 123_456_789, "boolean": True}
FORMATS = {"uuid": "9756cb25-f886-495f-a612-4bb6080e87b9", "date-time": "2026-01-01T11:00:00Z"}


def example(schema: dict[str, Any]) -> Any:
    """A long value for a schema."""
    if "$ref" in schema:
        schema = API["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return example(schema["anyOf"][0])
    kind = str(schema.get("type"))
    if kind == "object":
        return {name: example(part) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema["items"])] * 3
    return SIMPLE.get(kind) or FORMATS.get(schema.get("format", ""), "a value that does not fit into its place " * 3)


@pytest.mark.parametrize("noun", NOUNS.values(), ids=lambda noun: noun.noun)
def test_a_list_fits_a_hundred_columns_and_shortens_no_id(noun: Noun):
    many, _ = of_path(noun)
    row = example(many["get"]["responses"]["200"]["content"]["application/json"]["schema"]["items"])
    row |= {name: "name-of-20-characters" for name in (noun.name, "hostname", "name") if name in row}
    printed = {}
    for wide in (False, True):
        text = io.StringIO()
        output = Printer(as_json=False, wide=wide)
        output.out = Console(file=text, width=400)
        output.rows([row], noun.columns, "")
        printed[wide] = text.getvalue()
    assert max(map(len, printed[False].splitlines())) <= 100
    assert "…" not in printed[True]
    first = noun.columns[0].field
    assert first not in {noun.key, noun.name} or row[first] in printed[False]

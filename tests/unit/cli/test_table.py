"""The table of nouns compared with the document of the api."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from tests.unit.cli.conftest import Done
from typer.testing import CliRunner

from greenroom.api.openapi import document
from greenroom.cli import fleet
from greenroom.cli.main import app
from greenroom.cli.noun import API as OPERATIONS
from greenroom.cli.noun import Noun
from greenroom.cli.nouns import NOUNS
from greenroom.cli.options import options_for
from greenroom.cli.output import Printer

Greenroom = Callable[..., Done]

API: dict[str, Any] = document()
PATHS: dict[str, Any] = API["paths"]


def of_path(noun: Noun) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parts of the document about the list and about a single object."""
    return PATHS[f"/api/v1{noun.path}"], PATHS[f"/api/v1{noun.path}/{{{noun.id_field}}}"]


def shown_by(operation: dict[str, Any]) -> set[str]:
    """The fields of an operation's answer."""
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return set(API["components"]["schemas"][schema.get("items", schema)["$ref"].rpartition("/")[2]]["properties"])


@pytest.mark.parametrize("noun", NOUNS.values(), ids=lambda noun: noun.noun)
def test_lists_show_fields_that_exist(noun: Noun):
    many, one = of_path(noun)
    fields = shown_by(many["get"])
    assert fields == shown_by(one["get"])
    assert {noun.id_field, noun.name_field or noun.id_field} | {
        column.field for column in noun.columns if column.field
    } <= fields


def test_requests_of_agents_have_fields_of_the_api():
    shown = shown_by(PATHS["/api/v1/diagnostics/manager-requests"]["get"])
    assert {column.field for column in fleet.REQUEST_COLUMNS if column.field} <= shown


@pytest.mark.parametrize("noun", NOUNS.values(), ids=lambda noun: noun.noun)
def test_actions_are_operations_of_the_api(noun: Noun):
    for action in noun.actions:
        fields = OPERATIONS[noun.operation(action.method, action.path)].fields
        assert set(action.body or ()) <= {field.name for field in fields}, action.verb


@pytest.mark.parametrize("noun", NOUNS.values(), ids=lambda noun: noun.noun)
def test_verbs_are_those_of_the_api(noun: Noun, greenroom: Greenroom):
    many, one = of_path(noun)
    offered = {"create": "post" in many, "update": "patch" in one, "delete": "delete" in one}
    own = {"sessions": {"create", "delete"}, "homes": set[str](), "managers": {"update"}}.get(noun.noun, set[str]())
    shown = set(re.findall(r"^  ([a-z-]+) ", greenroom(noun.noun, "--help").out, re.MULTILINE))
    assert shown & set(offered) == {verb for verb, is_offered in offered.items() if is_offered} - own


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name.startswith(("POST", "PATCH"))])
def test_every_field_of_a_body_has_an_option(operation: str):
    content = PATHS[f"/api/v1{operation.partition(' ')[2]}"][operation.partition(" ")[0].lower()].get("requestBody", {})
    reference = content.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    schema = API["components"]["schemas"].get(reference.rpartition("/")[2], {})
    assert {option.field for option in options_for(OPERATIONS[operation].fields)} == set(schema.get("properties", ()))


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
def test_a_list_fits_a_terminal_of_100_columns_and_shortens_no_id(noun: Noun):
    many, _ = of_path(noun)
    row = example(many["get"]["responses"]["200"]["content"]["application/json"]["schema"]["items"])
    row |= {name: "name-of-20-characters" for name in (noun.name_field, "hostname", "name") if name in row}
    printed = {}
    for wide, is_terminal in ((False, True), (True, True), (False, False)):
        text = io.StringIO()
        output = Printer(as_json=False, wide=wide)
        output.out = Console(file=text, width=100, force_terminal=is_terminal, color_system=None)
        output.print_list([row], noun.columns, "")
        printed[wide, is_terminal] = text.getvalue()
    narrow = printed[False, True]
    assert max(map(len, narrow.splitlines())) <= 100
    assert "…" not in printed[True, True]
    assert "…" not in printed[False, False]
    first = noun.columns[0].field
    assert first not in {noun.id_field, noun.name_field} or row[first] in narrow

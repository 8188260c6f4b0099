"""The text of a document: YAML, its schema, and references in place of secrets."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml
from tests.unit.configuration.documents import DOCUMENTS, KIND
from tests.unit.properties import for_all

from greenroom.cli.configuration.document import (
    Document,
    SecretReference,
    parse_document,
    reference_secrets,
    resolve_secrets,
    schema,
    to_yaml,
)
from greenroom.core.errors import Invalid
from greenroom.core.masking import MASK

SCHEMA = jsonschema.Draft202012Validator(schema())


def _without_empty_sections(document: Document) -> str:
    return to_yaml({name: rows for name, rows in document.items() if rows})


@for_all(DOCUMENTS, subject=to_yaml, mutants=[_without_empty_sections])
def test_a_document_round_trips(subject: Any, document: Document):
    text = subject(document)
    assert parse_document(text) == document
    SCHEMA.validate(yaml.safe_load(text))


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\x85", "\u2028", "\u2029"])
def test_a_line_break_in_a_value_is_kept(line_break: str):
    document: Document = {"zones": [{"zone_name": f"a{line_break}b"}]}
    assert parse_document(to_yaml(document)) == document


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("version: 2", "`version` must be one of the permitted values, not 2"),
        ("zones: []", "`version` is missing"),
        ("version: 1\nworkspaces: [{friendly_name: a, corez: 2}]", "`workspaces[0].corez` is not a known field"),
        (
            "version: 1\nworkspaces: [{friendly_name: a, cores: two}]",
            "`workspaces[0].cores` must be a number, not a text",
        ),
        ("version: 1\ngroups: [{name: a, settings: {idle: 1}}]", "`groups[0].settings.idle` is not a known field"),
        (
            "version: 1\nworkspaces: [{friendly_name: a, docker_token: plain}]",
            "`workspaces[0].docker_token` must be an object or empty, not a text",
        ),
        ("version: 1\ngroups: [{name: a}, {name: a}]", "several entries of the group a"),
        ("version: 1\nzones: []\nzones: []", "'zones' occurs twice"),
        ("version: 1\nzones: [", " at line "),
        ("", "it is empty"),
        ("version: 1\nzones: [{zone_name: !!python/name:os.system }]", "could not determine a constructor"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused_with_the_place(text: str, place: str):
    with pytest.raises(Invalid) as refused:
        parse_document(text)
    assert place in refused.value.message


def _look_up(reference: SecretReference) -> str | None:
    return {"KEY": "secret"}.get(str(reference.env))


def test_a_reference_is_resolved_only_in_the_place_of_a_secret():
    row = {
        "exec_config": {"go": {"env": "KEY"}},
        "run_config": {"environment": {"A": {"env": "KEY"}, "B": {"file": "no"}}},
    }
    found = resolve_secrets({"workspaces": [{**row, "docker_token": {"env": "KEY"}}]}, _look_up)
    assert found == {
        "workspaces": [
            {
                "exec_config": {"go": {"env": "KEY"}},
                "run_config": {"environment": {"A": "secret", "B": MASK}},
                "docker_token": "secret",
            }
        ]
    }


@pytest.mark.parametrize("reference", [{}, {"env": "A", "file": "b"}, {"vault": "A"}, {"env": 1}])
def test_a_reference_names_one_variable_or_one_file(reference: dict[str, Any]):
    with pytest.raises(Invalid, match=r"`workspaces\[0\]\.run_config\.environment\.A`"):
        resolve_secrets({"workspaces": [{"run_config": {"environment": {"A": reference}}}]}, _look_up)


def test_two_secrets_never_share_a_variable():
    taken: dict[str, tuple[str, ...]] = {}
    rows = [
        reference_secrets(KIND["workspaces"], {"friendly_name": name, "docker_token": MASK}, taken)
        for name in ("3D View", "3D-View", "Übung")
    ]
    assert [row["docker_token"]["env"] for row in rows] == [
        "_3D_VIEW_DOCKER_TOKEN",
        "_3D_VIEW_DOCKER_TOKEN_2",
        "BUNG_DOCKER_TOKEN",
    ]

"""Generate files from the OpenAPI document of `/api/v1`: script/generate_from_api.py [--check].

They are the fields of requests, from which the command line creates options, and the records of answers of the Python
client. With --check nothing is written; the exit code is 1 if a file is not current.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from greenroom.api.openapi import document
from greenroom.core.access.group_settings import SETTINGS

ROOT: Final = Path(__file__).parents[1]
FIELDS: Final = ROOT / "packages/cli/src/greenroom/cli/api.json"
MODELS: Final = ROOT / "packages/client/src/greenroom/client/models.py"
PREFIX: Final = "/api/v1"
OF_ALL_LISTS: Final = frozenset({"limit", "cursor", "sort", "count"})
"""Query parameters of lists that are no filters."""

Schema = dict[str, Any]


def resolved(schema: Schema, schemas: Schema) -> Schema:
    """Return the schema to which a reference leads."""
    return schemas[name_of(schema)] if "$ref" in schema else schema


def name_of(reference: Schema) -> str:
    """Return the name of the schema to which a reference leads."""
    return str(reference["$ref"]).rpartition("/")[2]


def not_null(schema: Schema) -> list[Schema]:
    """Return the kinds of values of a schema, without null."""
    return [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]


def is_nullable(schema: Schema) -> bool:
    """True if null is allowed."""
    return len(not_null(schema)) < len(schema.get("anyOf", [schema]))


# The fields of requests ---------------------------------------------------------------------------------------------


def operations(api: Schema) -> Iterator[tuple[str, list[Schema]]]:
    """Yield each operation with its fields: those of its JSON body, or of GET and DELETE the query parameters."""
    schemas: Schema = api["components"]["schemas"]
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            if method in {"get", "delete"}:
                query = [one for one in operation.get("parameters", ()) if one["in"] == "query"]
                found = {one["name"]: one["schema"] for one in query if one["name"] not in OF_ALL_LISTS}
                required = {one["name"] for one in query if one["required"]}
            else:
                content = operation.get("requestBody", {}).get("content", {})
                body = resolved(content.get("application/json", {}).get("schema", {}), schemas)
                found, required = body.get("properties", {}), set(body.get("required", ()))
            fields = [field(name, schema, schemas, name in required) for name, schema in found.items()]
            yield f"{method.upper()} {path.removeprefix(PREFIX)}", fields


def field(name: str, schema: Schema, schemas: Schema, is_required: bool) -> Schema:
    """Return a field as `greenroom.cli.noun.Field` reads it; values equal to its defaults are left out."""
    text = schema.get("description") or (SETTINGS[name].description if name in SETTINGS else "")
    found = {"name": name, "description": text, "is_required": is_required, "is_nullable": is_nullable(schema)}
    kind = resolved(not_null(schema)[0], schemas)
    if kind.get("type") in {"array", "object"}:
        found["holds"] = {"array": "list", "object": "object"}[kind["type"]]
        values = [*kind.get("patternProperties", {}).values(), kind.get("items"), kind.get("additionalProperties")]
        schema_of_values = next((one for one in values if isinstance(one, dict)), {})
        kind = resolved(not_null(schema_of_values)[0], schemas)
    found |= {"type": kind.get("format") or kind.get("type", "any"), "choices": kind.get("enum")}
    return {key: value for key, value in found.items() if value and (key, value) != ("type", "string")}


def fields_file(api: Schema) -> str:
    """Return the text of the file of fields: one line for each field."""
    parts: list[str] = []
    for name, fields in sorted(operations(api)):
        lines = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in fields)
        parts.append(f"{json.dumps(name)}: [" + (f"\n{lines}\n]" if lines else "]"))
    return "{\n" + ",\n".join(parts) + "\n}\n"


# The records of answers ---------------------------------------------------------------------------------------------

RECORDS: Final = {
    "LeaseUrlsView": "LeaseUrls",
    "LeaseGranted": "Lease",
    "SecretView": "Secret",
    "ExecDone": "Command",
    "FileView": "File",
    "FolderView": "Folder",
    "ListingView": "Listing",
    "ElementView": "Element",
    "ActionResultView": "ActionResult",
    "ActionsDone": "Acted",
    "RecordingView": "Recording",
    "RecordedPicture": "PictureSize",
    "RecordedRowView": "RecordedRow",
}
"""Schema → the class of the client."""
PARTS: Final = {"LeaseGranted": "LeaseView"}
"""Schema → the schema of other answers that have only some of its fields."""
TYPES: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
EMPTY: Final = {"str": '""', "bool": "False"}
HEADER: Final = '''# Written by script/generate_from_api.py from the document of the api: run script/lint --fix.
"""The answers of `/api/v1` that programs need. Fields that a later version adds are left out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
'''


def python_type(schema: Schema) -> str:
    """Return the annotation for the values of a schema."""
    if "anyOf" in schema:
        return " | ".join(map(python_type, schema["anyOf"]))
    if "$ref" in schema:
        return RECORDS[name_of(schema)]
    if "enum" in schema:
        return f"Literal[{', '.join(map(json.dumps, schema['enum']))}]"
    if schema.get("type") == "array":
        parts = ", ".join(map(python_type, schema.get("prefixItems", ())))
        return f"tuple[{parts}]" if parts else f"list[{python_type(schema['items'])}]"
    if schema.get("type") == "object":
        values = schema["additionalProperties"]
        return f"dict[str, {python_type(values) if isinstance(values, dict) else 'Any'}]"
    form = str(schema.get("format") or schema.get("contentEncoding"))
    return {"date-time": "datetime", "base64": "bytes"}.get(form) or TYPES[schema["type"]]


def default(schema: Schema, kind: str, *, is_required: bool) -> str:
    """Return the default of a field, which an answer of another version may not have; empty if there is none."""
    if kind.endswith("| None"):
        return " = None"
    if kind.startswith(("list[", "dict[")):
        return f" = {'[]' if kind.startswith('list[') else '{}'}"
    return "" if is_required else f" = {schema['default']!r}" if "default" in schema else f" = {EMPTY[kind]}"


def record(name: str, schemas: Schema) -> str:
    """Return the class for a schema."""
    every_answer = schemas[PARTS.get(name, name)]
    required = set(every_answer.get("required", ()))
    head = f"class {RECORDS[name]}(msgspec.Struct, frozen=True, kw_only=True):"
    lines = [head, _docstring(every_answer["description"]), ""]
    for field_name, part in schemas[name]["properties"].items():
        kind = python_type(part)
        if "$ref" in part and field_name not in required:
            kind += " | None"
        lines.append(f"    {field_name}: {kind}{default(part, kind, is_required=field_name in required)}")
        text = str(part.get("description", ""))
        if text:
            text = text.replace(" in base64", "") if "bytes" in kind else text
            lines.append(_docstring(f"{text[:1].upper()}{text[1:]}."))
    return "\n".join(lines)


def _docstring(text: str) -> str:
    sentence = re.sub(r"\bnull\b", "None", text)
    return f'    """{sentence}"""'


def models_file(api: Schema) -> str:
    """Return the text of the module of records, formatted by ruff."""
    text = "\n\n\n".join([HEADER, *(record(name, api["components"]["schemas"]) for name in RECORDS)]) + "\n"
    ruff = [str(Path(sys.executable).with_name("ruff")), "format", "--quiet", "--stdin-filename", str(MODELS), "-"]
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout


def main(arguments: list[str]) -> int:
    """Write the files, or with --check print those that are not current."""
    api, status = document(), 0
    for file, text in {FIELDS: fields_file(api), MODELS: models_file(api)}.items():
        if file.exists() and file.read_text() == text:
            continue
        if arguments == ["--check"]:
            print(f"{file.relative_to(ROOT)} does not match the api; run script/lint --fix")
            status = 1
        else:
            file.write_text(text)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

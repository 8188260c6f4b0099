"""Generate files from the OpenAPI document of `/api/v1`: script/generate_from_api.py [--check].

They are the fields of requests, from which the command line creates options, the records of answers and requests of the
Python client, and the titles of settings and the limits of fields for the forms of the console. With --check nothing is
written; the exit code is 1 if a file is not current.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from generated import run_ruff, write_or_check
from generated_for_console import administrator_texts, limits_file, texts_file, titles_file, user_texts

from greenroom.api.openapi import document
from greenroom.core.access.group_settings import SETTINGS
from greenroom.shared import errors

ROOT: Final = Path(__file__).parents[1]
FIELDS: Final = ROOT / "packages/cli/src/greenroom/cli/api.json"
MODELS: Final = ROOT / "packages/client/src/greenroom/client/models.py"
CLIENT: Final = MODELS.with_name("asynchronous_greenroom.py")
NAMES: Final = MODELS.with_name("names.py")
TITLES: Final = ROOT / "web/src/api/settingTitles.ts"
LIMITS: Final = TITLES.with_name("limits.ts")
USER_TEXTS: Final = TITLES.with_name("userTexts.ts")
ADMINISTRATOR_TEXTS: Final = ROOT / "web/src/pages/admin/serverTexts.ts"
PREFIX: Final = "/api/v1"
COMMON_LIST_PARAMETERS: Final = frozenset({"limit", "cursor", "sort", "count"})
"""Query parameters of lists that are no filters."""

Schema = dict[str, Any]


def resolve_reference(schema: Schema, schemas: Schema) -> Schema:
    """Return the schema to which a reference leads."""
    return schemas[referenced_name(schema)] if "$ref" in schema else schema


def referenced_name(reference: Schema) -> str:
    """Return the name of the schema to which a reference leads."""
    return str(reference["$ref"]).rpartition("/")[2]


def types_without_null(schema: Schema) -> list[Schema]:
    """Return the kinds of values of a schema, without null."""
    return [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]


def is_nullable(schema: Schema) -> bool:
    """True if null is allowed."""
    return len(types_without_null(schema)) < len(schema.get("anyOf", [schema]))


# The fields of requests ---------------------------------------------------------------------------------------------


def operations(api: Schema) -> Iterator[tuple[str, str, list[Schema]]]:
    """Yield each operation with the first sentence of its description and its fields: those of its JSON body, or of GET
    and DELETE the query parameters.
    """
    schemas: Schema = api["components"]["schemas"]
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            if method in {"get", "delete"}:
                query = [parameter for parameter in operation.get("parameters", ()) if parameter["in"] == "query"]
                properties = {
                    parameter["name"]: parameter["schema"]
                    for parameter in query
                    if parameter["name"] not in COMMON_LIST_PARAMETERS
                }
                required = {parameter["name"] for parameter in query if parameter["required"]}
            else:
                content = operation.get("requestBody", {}).get("content", {})
                body = resolve_reference(content.get("application/json", {}).get("schema", {}), schemas)
                properties, required = body.get("properties", {}), set(body.get("required", ()))
            fields = [field(name, schema, schemas, name in required) for name, schema in properties.items()]
            text = re.split(r"(?<=\.)\s", operation["description"])[0]
            yield f"{method.upper()} {path.removeprefix(PREFIX)}", text, fields


def field(name: str, schema: Schema, schemas: Schema, is_required: bool) -> Schema:
    """Return a field as `greenroom.cli.noun.Field` reads it; values equal to its defaults are left out."""
    text = schema.get("description") or (SETTINGS[name].description if name in SETTINGS else "")
    result = {"name": name, "description": text, "is_required": is_required, "is_nullable": is_nullable(schema)}
    kind = resolve_reference(types_without_null(schema)[0], schemas)
    if kind.get("type") in {"array", "object"}:
        result["shape"] = {"array": "list", "object": "object"}[kind["type"]]
        values = [*kind.get("patternProperties", {}).values(), kind.get("items"), kind.get("additionalProperties")]
        schema_of_values = next((value for value in values if isinstance(value, dict)), {})
        kind = resolve_reference(types_without_null(schema_of_values)[0], schemas)
    result |= {"type": kind.get("format") or kind.get("type", "any"), "choices": kind.get("enum")}
    return {key: value for key, value in result.items() if value and (key, value) != ("type", "string")}


def fields_file(api: Schema) -> str:
    """Return the text of the file of operations: one line for each field."""
    parts: list[str] = []
    for name, text, fields in sorted(operations(api), key=lambda operation: operation[0]):
        lines = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in fields)
        head = f'{json.dumps(name)}: {{"text": {json.dumps(text, ensure_ascii=False)}, "fields": ['
        parts.append(head + (f"\n{lines}\n]}}" if lines else "]}"))
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
        return next(RECORDS[name] for name in RECORDS if referenced_name(schema) in (name, PARTS.get(name)))
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
    """Return the text of the module of records."""
    text = "\n\n\n".join([HEADER, *(record(name, api["components"]["schemas"]) for name in RECORDS)]) + "\n"
    return run_ruff(text, MODELS, "format")


# The requests of the client -----------------------------------------------------------------------------------------

METHODS: Final = {
    "leases": "list_leases",
    "secrets": "list_secrets",
    "create_secret": "create_secret",
    "change_secret": "update_secret",
    "delete_secret": "delete_secret",
    "recordings": "list_recordings",
    "recording": "get_recording",
    "recorded_rows": "list_recorded_rows",
    "recorded_picture": "get_recorded_picture",
    "delete_recording": "delete_recording",
}
"""Method of the client → the operation."""
CLIENT_HEADER: Final = '''\
# Written by script/generate_from_api.py from the api document as asynchronous_greenroom.py: run script/lint --fix.
"""The client for programs with asyncio."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from greenroom.client.asynchronous import AsyncConnection
from greenroom.client.models import {records}
from greenroom.client.requests import list_of_texts, without_none


class AsyncGreenroom(AsyncConnection):
    """A deployment, used with an API key; a context manager.

    `ca_file` is a file with the CA certificate of the deployment, if the system does not trust that CA. A `transport`
    replaces the network.
    """

'''


def client_file(api: Schema) -> str:
    """Return the text of the module of the client with asyncio."""
    operations_by_id = {
        operation["operationId"]: (verb, path.removeprefix(PREFIX), operation)
        for path, operations in api["paths"].items()
        for verb, operation in operations.items()
    }
    methods = [
        method(name, *operations_by_id[operation], api["components"]["schemas"]) for name, operation in METHODS.items()
    ]
    records = sorted({name for name in RECORDS.values() if re.search(rf"\b{name}\b", "".join(methods))})
    return run_ruff(CLIENT_HEADER.format(records=", ".join(records)) + "\n".join(methods), CLIENT, "format")


def method(name: str, verb: str, path: str, operation: Schema, schemas: Schema) -> str:
    """Return the method that sends a request. Flags, and fields of a body that may be omitted, are keywords."""
    fields = {
        parameter["name"]: parameter["schema"]
        for parameter in operation.get("parameters", ())
        if parameter["name"] not in COMMON_LIST_PARAMETERS
    }
    in_path = re.findall(r"{(\w+)}", path)
    query = [field_name for field_name in fields if field_name not in in_path]
    media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = resolve_reference(media.get("schema", {}), schemas)
    fields |= body.get("properties", {})
    positional = [*in_path, *body.get("required", ())]
    types = {field_name: parameter_type(schema) for field_name, schema in fields.items()}
    filters = [field_name for field_name in query if types[field_name] != "bool"]
    keywords = [field_name for field_name in fields if field_name not in (*positional, *filters)]
    parameters = [
        "self",
        *(f"{field_name}: {types[field_name]}" for field_name in positional),
        *(f"{field_name}: {types[field_name]} | None = None" for field_name in filters),
        *(["*"] if keywords else []),
        *(f"{field_name}: {types[field_name]} | None = None" for field_name in keywords),
    ]
    examples = next(iter(media.get("examples", {}).values()), {}).get("value", {})
    arguments = [
        f"{field_name}="
        + _argument_expression(
            field_name, types[field_name], examples.get(field_name, ["…"]), is_optional=field_name not in positional
        )
        for field_name in fields
        if field_name not in in_path
    ]
    route = f'f"{path}"' if in_path else f'"{path}"'
    return_type, statement = _return_statement(verb, route, operation, arguments, has_body=bool(body))
    text = _method_docstring(
        operation["description"], {field_name: fields[field_name].get("description") for field_name in fields}
    )
    head = f"    async def {name}({', '.join(parameters)}) -> {return_type}:"
    return f"{head}\n{text}\n        {statement}\n"


def parameter_type(schema: Schema) -> str:
    """Return the annotation of a parameter: of each kind of values, only that which is not null."""
    kind = types_without_null(schema)[0]
    if kind.get("type") == "array":
        return f"Sequence[{parameter_type(kind['items'])}]"
    return TYPES[kind["type"]]


def _argument_expression(name: str, kind: str, example: list[str], *, is_optional: bool) -> str:
    """Return the expression for the value of a field. A list of texts must not be one text."""
    if not kind.startswith("Sequence["):
        return name
    check = f"list_of_texts({name}, {name!r}, {json.dumps(example, ensure_ascii=False)!r})"
    return f"None if {name} is None else {check}" if is_optional else check


def _return_statement(
    verb: str, route: str, operation: Schema, values: list[str], *, has_body: bool
) -> tuple[str, str]:
    """Return the type of the answer, and the statement that returns it."""
    media, content = next(iter(next(iter(operation["responses"].values())).get("content", {}).items()), ("", {}))
    fields = f", without_none({', '.join(values)})" if values else ""
    if verb == "delete":
        return "None", f"await self._delete({route})"
    if media != "application/json":
        return "bytes", f"return await self.download({route}{fields})"
    schema = content["schema"]
    if schema.get("type") == "array":
        kind = f"list[{python_type(schema['items'])}]"
        return kind, f"return msgspec.convert(await self.rows({route}{fields}), type={kind})"
    kind = python_type(schema)
    fields = fields if has_body else fields and f", query={fields.removeprefix(', ')}"
    return kind, f'return await self.ask({kind}, "{verb.upper()}", {route}{fields})'


def _method_docstring(description: str, fields: Mapping[str, str | None]) -> str:
    field_lines = [f"`{name}`: {text}" for name, text in fields.items() if text]
    paragraphs = [" ".join(part.split()) for part in description.split("\n\n")]
    lines = ["\n".join(textwrap.wrap(part, 110)) for part in paragraphs]
    lines += ["\n".join(part for line in field_lines for part in textwrap.wrap(line, 110))] if field_lines else []
    text = "\n\n".join(lines)
    text = re.sub(r"\bnull\b", "None", text)
    docstring = f'"""{text}\n"""' if "\n" in text else f'"""{text}"""'
    return textwrap.indent(docstring, " " * 8)


# The names of records and errors ------------------------------------------------------------------------------------

NAMES_TEXT: Final = '''# Written by script/generate_from_api.py from the document of the api: run script/lint --fix.
"""Names for programs: the records in answers, and the errors."""

from greenroom.client.models import {records}
from greenroom.shared.errors import {errors}

__all__ = {all}
'''


def names_file() -> str:
    """Return the text of the module with the names of all records and errors."""
    error_names = [kind.__name__ for kind in vars(errors).values() if isinstance(kind, type)]
    parts = {"records": ", ".join(RECORDS.values()), "errors": ", ".join(error_names)}
    text = NAMES_TEXT.format(**parts, all=[*RECORDS.values(), *error_names])
    return run_ruff(run_ruff(text, NAMES, "check", "--select", "I,RUF022", "--fix"), NAMES, "format")


def main(arguments: list[str]) -> int:
    """Write the files, or with --check print those that are not current."""
    api = document()
    files = {
        FIELDS: fields_file(api),
        MODELS: models_file(api),
        CLIENT: client_file(api),
        NAMES: names_file(),
        TITLES: titles_file(),
        USER_TEXTS: texts_file(user_texts()),
        ADMINISTRATOR_TEXTS: texts_file(administrator_texts()),
        LIMITS: limits_file(api),
    }
    return write_or_check(((file, text, "the api") for file, text in files.items()), ROOT, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

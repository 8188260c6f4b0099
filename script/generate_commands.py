"""Generate the fields of the requests of `/api/v1`, from which the command line creates options:
script/generate_commands.py [--check].

With --check nothing is written; the exit code is 1 if the file is not current.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from greenroom.api.openapi import document
from greenroom.core.access.group_settings import SETTINGS

ROOT: Final = Path(__file__).parents[1]
FILE: Final = ROOT / "packages/cli/src/greenroom/cli/api.json"
PREFIX: Final = "/api/v1"
OF_ALL_LISTS: Final = frozenset({"limit", "cursor", "sort", "count"})
"""Query parameters of lists that are no filters."""


def operations(api: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each operation with its fields: those of its JSON body, or without one the query parameters."""
    schemas: dict[str, Any] = api["components"]["schemas"]
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            if method in {"get", "delete"}:
                query = [one for one in operation.get("parameters", ()) if one["in"] == "query"]
                found = {one["name"]: one["schema"] for one in query if one["name"] not in OF_ALL_LISTS}
                required = {one["name"] for one in query if one["required"]}
            else:
                body = resolved(content.get("application/json", {}).get("schema", {}), schemas)
                found, required = body.get("properties", {}), set(body.get("required", ()))
            fields = [field(name, schema, schemas, name in required) for name, schema in found.items()]
            yield f"{method.upper()} {path.removeprefix(PREFIX)}", fields


def field(name: str, schema: dict[str, Any], schemas: dict[str, Any], is_required: bool) -> dict[str, Any]:
    """Return the description of a field, as `greenroom.cli.noun.Field` reads it; values equal to its defaults are left
    out.
    """
    text = schema.get("description") or (SETTINGS[name].description if name in SETTINGS else "")
    schema, is_nullable = without_null(schema, schemas)
    found = {"name": name, "description": text, "is_required": is_required, "is_nullable": is_nullable}
    if schema.get("type") == "array":
        found["holds"] = "list"
        schema, _ = without_null(schema["items"], schemas)
    elif schema.get("type") == "object":
        found["holds"] = "object"
        values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties", True)]
        schema, _ = without_null(values[0] if isinstance(values[0], dict) else {}, schemas)
    found |= {"type": schema.get("format") or schema.get("type", "any"), "choices": schema.get("enum")}
    return {key: value for key, value in found.items() if value and (key, value) != ("type", "string")}


def without_null(schema: dict[str, Any], schemas: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the schema of a value that is not null, and whether null is allowed."""
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return resolved(kinds[0], schemas), len(kinds) < len(schema.get("anyOf", kinds))


def resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema to which a reference leads."""
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def generated() -> str:
    """Return the text of the file: one line for each field."""
    parts: list[str] = []
    for name, fields in sorted(operations(document())):
        lines = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in fields)
        parts.append(f"{json.dumps(name)}: [" + (f"\n{lines}\n]" if lines else "]"))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main(arguments: list[str]) -> int:
    """Write the file, or with --check report that it is not current."""
    text = generated()
    if FILE.exists() and FILE.read_text() == text:
        return 0
    if arguments == ["--check"]:
        print(f"{FILE.relative_to(ROOT)} does not match the api; run script/lint --fix")
        return 1
    FILE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

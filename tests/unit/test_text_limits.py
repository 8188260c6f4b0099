"""Every text of every body: its announced limit is the one that applies, and an unpaired surrogate is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from pydantic import ValidationError

from greenroom.api.bodies import Body
from greenroom.api.openapi import document

JsonSchema = dict[str, Any]
Made = Callable[[Any], Any]
"""A function that returns the value of a body with this text in one of its fields."""

MAX_DEPTH: Final = 6
IMAGE: Final = "The name of the image"
"""Its limit includes the name of the registry, which a short name does not contain."""


def bodies() -> set[type[Body]]:
    document()  # imports the bodies of plug-ins, too

    def below(kind: type[Body]) -> Iterator[type[Body]]:
        for inner in kind.__subclasses__():
            yield inner
            yield from below(inner)

    return {kind for kind in below(Body) if kind.__module__.startswith("greenroom.")}


def texts(schema: JsonSchema, definitions: JsonSchema, made: Made, depth: int = 0) -> Iterator[tuple[JsonSchema, Made]]:
    """Yield the schema of each text in a value with this schema, and a function that returns a body with the text."""
    schema = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if schema.get("type") == "string" and not {"enum", "const"} & schema.keys():
        yield schema, made
    inner: list[tuple[Any, Made]] = [
        *((option, made) for kind in ("anyOf", "oneOf") for option in schema.get(kind, ())),
        (schema.get("items"), lambda text: made([text])),
        (schema.get("additionalProperties"), lambda text: made({"a": text})),
        *((each, lambda text, n=name: made({n: text})) for name, each in schema.get("properties", {}).items()),
    ]
    for each, inner_made in inner if depth < MAX_DEPTH else ():
        if isinstance(each, dict):
            yield from texts(each, definitions, inner_made, depth + 1)


def fields() -> Iterator[tuple[type[Body], JsonSchema, Made]]:
    for body in bodies():
        schema = body.model_json_schema()
        for text_schema, made in texts(schema, schema.get("$defs", {}), lambda value: value):
            yield body, text_schema, made


def errors(body: type[Body], value: Any) -> list[str]:
    """The errors of the fields that are in the value."""
    try:
        body.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        return [f"{each['type']}: {each['msg']}" for each in found if each["type"] != "missing"]
    return []


def test_a_text_of_the_announced_length_is_not_too_long():
    checked, refused = 0, list[Any]()
    for body, schema, made in fields():
        if "maxLength" not in schema:
            continue
        checked += 1
        found = errors(body, made("a" * schema["maxLength"]))
        refused += [
            (body.__name__, *made(""), text)
            for text in found
            if "too_long" in text or ("at most" in text and IMAGE not in text)
        ]
    assert checked > 200
    assert refused == []


def test_an_unpaired_surrogate_is_refused_in_every_text():
    checked, accepted = 0, list[Any]()
    for body, _, made in fields():
        checked += 1
        accepted += [] if errors(body, made("a\ud800")) else [(body.__name__, *made(""))]
    assert checked > 300
    assert accepted == []

"""Common types and base classes of all bodies."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final, Self, TypeVar, Unpack, cast, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SecretStr,
    StringConstraints,
    ValidationError,
)

from greenroom.core.errors import Invalid
from greenroom.core.text import MAX_NAME, error_text, joined_problems, normal_line, normal_name, path_of_value

Json = dict[str, Any]
"""A JSON object of a client: as it was sent, or as it is stored after validation."""
Fields = TypeVar("Fields", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class MatchesPattern:
    """The annotation of a string that must match `pattern` as a whole. The error is `must be <description>`."""

    pattern: str
    description: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return AfterValidator(self._checked).__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Json:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}

    def _checked(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"must be {self.description}")
        return text


def _without_surrogates(text: str) -> str:
    _require_encodable(text)
    return text


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character cannot be stored")
    _require_encodable(text)
    return text


def _require_encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it contains an unpaired surrogate") from error


def _storable_json(value: Json) -> Json:
    def check(part: object) -> None:
        if isinstance(part, str):
            _storable(part)
        elif isinstance(part, dict):
            for key, inner in cast("dict[object, object]", part).items():
                check(key)
                check(inner)
        elif isinstance(part, list):
            for inner in cast("list[object]", part):
                check(inner)

    check(value)
    return value


def _encodable(secret: SecretStr) -> SecretStr:
    _require_encodable(secret.get_secret_value())
    return secret


STORABLE: Final = AfterValidator(_storable)
"""For texts with a limit of their own. A limit in addition to that of `Text` or `Name` can only be a smaller one."""
Input = Annotated[str, AfterValidator(_without_surrogates)]
"""Data for a program, which may contain NUL."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), STORABLE, AfterValidator(normal_name)]
"""A name that people type or choose, with normalized Unicode, without white space at its ends."""
Text = Annotated[str, StringConstraints(max_length=4096), STORABLE]
"""A string, which may be empty."""
Line = Annotated[Text, AfterValidator(normal_line)]
"""One line of text, normalized like `Name`, which may be empty."""
Secret = Annotated[SecretStr, AfterValidator(_encodable)]
"""A string that is neither logged nor returned."""
JsonObject = Annotated[Json, AfterValidator(_storable_json)]
"""Any JSON object that PostgreSQL can store."""


class Body(BaseModel):
    """The body of a request. Unknown fields are refused. A PATCH changes only `sent_fields`."""

    model_config = ConfigDict(extra="forbid")

    def sent_fields(self) -> Json:
        """Return the validated fields of the request, including those set to null."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class View(BaseModel):
    """An answer, created from a row or dataclass. Attributes without a field of the view are omitted.

    `class UserView(View, row=UserRow)` has the fields of that dataclass except those in `without`, and declares the
    fields that are returned with another type.
    """

    model_config = ConfigDict(from_attributes=True, extra="ignore")

    def __init_subclass__(
        cls, *, row: type[Any] | None = None, without: Collection[str] = (), **config: Unpack[ConfigDict]
    ) -> None:
        if row is not None:
            types = get_type_hints(row)
            names = (field.name for field in fields(row) if field.name not in without)
            cls.__annotations__ = {name: types[name] for name in names} | cls.__annotations__
        super().__init_subclass__(**config)

    @classmethod
    def of(cls, row: object, **computed: object) -> Self:
        """Return a view with the attributes of `row`, except fields in `computed`, which have other values."""
        return cls.model_validate({n: getattr(row, n) for n in cls.model_fields if n not in computed} | computed)


def validated(body_type: type[Fields], values: Json) -> Fields:
    """Return the values as a body, validated like a request to `/api/v1`. Raises Invalid: the error contains every
    invalid field."""
    try:
        return body_type.model_validate(values)
    except ValidationError as error:
        problems = joined_problems((path_of_value(e, values), error_text(e)) for e in error.errors(include_input=False))
        raise Invalid(f"The request has values that cannot be used: {problems}.") from error

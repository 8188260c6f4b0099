"""The configuration document: its types, its JSON schema, its YAML text and its secrets.

The types are those of the requests of the api. In the document, a secret is a reference to an environment variable or a
file. PyYAML reads the text, msgspec checks the content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from itertools import count
from typing import Annotated, Any, Final, Literal, cast

import msgspec
import yaml
from msgspec import UNSET, Meta, UnsetType

from greenroom.cli.configuration.kinds import KINDS, ObjectKind
from greenroom.cli.noun import Field
from greenroom.cli.output import Row
from greenroom.core.access.group_settings import SETTINGS, Setting
from greenroom.core.access.roles import RoleName
from greenroom.core.errors import Invalid
from greenroom.core.masking import ENVIRONMENT, MASK
from greenroom.core.text import schema_problem

VERSION: Final = 1
SECRET_FIELDS: Final = frozenset({"docker_token", "client_secret", "password"})
HEADER: Final = (
    "# Configuration of Greenroom. Compare with `greenroom config plan FILE`; `greenroom config schema` prints\n"
    "# the schema. Each secret is {env: NAME}, an environment variable, or {file: PATH}.\n"
)
Document = dict[str, list[Row]]
"""Section → its objects. A plan does not change the objects of a section that the document does not have."""


class SecretReference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The place of a secret: the name of an environment variable, or the path of a file. Exactly one is set."""

    env: Annotated[str, Meta(min_length=1, description="environment variable")] | UnsetType = UNSET
    file: Annotated[str, Meta(min_length=1, description="path; a newline at its end is removed")] | UnsetType = UNSET


class GroupOfClaim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule of a sign-on provider: users with this value in the claim are members of the group."""

    claim: Annotated[str, Meta(min_length=1, description="groups, or a path such as realm_access.roles")]
    value: Annotated[str, Meta(min_length=1, description="value; * stands for any characters")]
    group: Annotated[str, Meta(min_length=1, description="name of a group")]


class RoleOfDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A role of the members of a group. Without a scope, it applies to the whole installation."""

    role: RoleName
    zones: Annotated[list[str], Meta(min_length=1, description="names of the zones of the scope")] | UnsetType = UNSET
    groups: Annotated[list[str], Meta(min_length=1, description="names of the groups of the scope")] | UnsetType = UNSET


_TYPES: Final = {"boolean": bool, "integer": int, "number": float, "any": Any}
_SETTING_TYPES: Final = {"bool": bool, "int": int, "float": float, "string": str, "mapping": dict[str, Any]}


def _type_of_setting(setting: Setting) -> Any:
    kind = Literal[setting.choices] if setting.choices else _SETTING_TYPES[setting.kind]
    return Annotated[kind, Meta(description=setting.description)]


_GROUP_SETTINGS: Final = msgspec.defstruct(
    "GroupSettings",
    [(setting.name, _type_of_setting(setting) | UnsetType, UNSET) for setting in SETTINGS.values()],
    kw_only=True,
    forbid_unknown_fields=True,
)


def _type_of_field(kind: ObjectKind, name: str, field: Field) -> Any:
    annotation: Any = Literal[field.choices] if field.choices else _TYPES.get(field.type, str)
    if name in kind.secrets:
        annotation = SecretReference
    elif name in kind.readable_secrets:
        annotation = annotation | SecretReference
    if name == "settings":
        annotation = _GROUP_SETTINGS
    elif name == "rules":
        annotation = list[GroupOfClaim]
    elif name == "roles":
        annotation = list[RoleOfDocument]
    elif field.shape == "list":
        annotation = list[annotation]
    elif field.shape == "object":
        annotation = dict[str, annotation]
    if field.is_nullable:
        annotation = annotation | None
    return Annotated[annotation, Meta(description=field.description)] if field.description else annotation


def _type_of_kind(kind: ObjectKind) -> Any:
    required = [(name, _type_of_field(kind, name, kind.fields[name])) for name in kind.identity]
    optional = [
        (name, _type_of_field(kind, name, field) | UnsetType, UNSET)
        for name, field in kind.fields.items()
        if name not in kind.identity
    ]
    title = "".join(word.capitalize() for word in kind.noun.singular.split())
    return msgspec.defstruct(title, [*required, *optional], kw_only=True, forbid_unknown_fields=True)


_DOCUMENT: Final = msgspec.defstruct(
    "Configuration",
    [
        ("version", Literal[1]),
        *((kind.section, list[_type_of_kind(kind)] | UnsetType, UNSET) for kind in KINDS),
    ],
    kw_only=True,
    forbid_unknown_fields=True,
)


def schema() -> Row:
    """Return the JSON schema of documents (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(_DOCUMENT)}


class _Loader(yaml.SafeLoader):
    """Refuses a mapping with a duplicate key. PyYAML would keep only the last value of the key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping of a node. Raises ConstructorError: a key occurs twice."""
        construct = cast("Callable[..., Hashable]", self.construct_object)  # pyright: ignore[reportUnknownMemberType]
        keys = [construct(key, deep=True) for key, _ in node.value]
        if duplicates := [key for number, key in enumerate(keys) if key in keys[:number]]:
            raise yaml.constructor.ConstructorError(None, None, f"{duplicates[0]!r} occurs twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def parse_document(text: str) -> Document:
    """Return the sections of a document. Raises Invalid: the text is not YAML, or does not match the schema; the
    message names the place."""
    try:
        content = yaml.load(text, _Loader)  # noqa: S506 -- a subclass of SafeLoader
        if content is None:
            raise Invalid("The document cannot be used: it is empty. `greenroom config export` prints an example.")
        sections = msgspec.to_builtins(msgspec.convert(content, _DOCUMENT))
    except msgspec.ValidationError as error:
        problem = schema_problem(str(error), "the document")
        raise Invalid(
            f"The document cannot be used: {problem}; `greenroom config schema` prints the fields and their values."
        ) from error
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        reason = " ".join(str(error).split()).replace('in "<unicode string>", line', "at line")
        raise Invalid(f"The document cannot be used: {reason}.") from error
    document: Document = {name: rows for name, rows in sections.items() if name != "version"}
    for kind in KINDS:
        names = [kind.name_of(row) for row in document.get(kind.section, ())]
        duplicates = {name for name in names if names.count(name) > 1}
        if duplicates and kind.section != "staging_configs":  # these may differ only in permissions
            raise Invalid(f"The document has several entries of the {kind.noun.singular} {min(duplicates)}; keep one.")
    return document


class _Dumper(yaml.SafeDumper):
    """Quotes texts with Unicode line breaks. PyYAML would fold these breaks, so the text would change."""


_LINE_BREAKS: Final = re.compile("[\x85\u2028\u2029]")


def _represent_text(_dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style='"' if _LINE_BREAKS.search(text) else None)


_Dumper.add_representer(str, _represent_text)


def to_yaml(document: Mapping[str, list[Row]]) -> str:
    """Return the YAML of a document."""
    content = {"version": VERSION, **document}
    return HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


SecretLookup = Callable[[SecretReference], str | None]
"""Returns the secret of a reference; None = it is not set."""


_READABLE_SECRETS: Final = {((kind.section,), (name,)) for kind in KINDS for name in kind.readable_secrets}


def map_secrets(value: Any, change: Callable[[Any, tuple[str, ...]], Any], place: tuple[str, ...] = ()) -> Any:
    """Return a value of a document in which `change` has replaced each secret and each environment variable of a
    container. `place` contains the keys that lead from the document to the value: it begins with the section."""
    if (place[:1], place[-1:]) in _READABLE_SECRETS:
        return change(value, place)
    if place[-1:] in {("docker_token",), ("client_secret",), ("password",)} or place[-2:-1] in {
        (ENVIRONMENT,),
        ("secrets",),
    }:
        return change(value, place)
    if isinstance(value, dict):
        return {key: map_secrets(part, change, (*place, key)) for key, part in cast("Row", value).items()}
    if isinstance(value, list):
        parts = enumerate(cast("list[Any]", value))
        return [map_secrets(part, change, (*place, str(number))) for number, part in parts]
    return value


def _path(place: tuple[str, ...]) -> str:
    return re.sub(r"\.(\d+)(?=\.)", r"[\1]", ".".join(place))


def resolve_secrets(document: Document, look_up: SecretLookup) -> Document:
    """Return the document with secrets in place of the references to them, and `MASK` for a secret that is not set.
    Raises Invalid: a value is neither a text nor a reference."""

    def secret(value: Any, place: tuple[str, ...]) -> Any:
        if not isinstance(value, dict):
            return value
        try:
            reference = msgspec.convert(cast("Row", value), SecretReference)
        except msgspec.ValidationError as error:
            problem = schema_problem(str(error), "it")
            raise Invalid(
                f"`{_path(place)}` is not a reference to a secret like {{env: NAME}} or {{file: PATH}}: {problem}."
            ) from error
        if (reference.env is UNSET) == (reference.file is UNSET):
            raise Invalid(f"`{_path(place)}` must have either `env` or `file`.")
        secret_value = look_up(reference)
        return MASK if secret_value is None else secret_value

    return map_secrets(document, secret)


def reference_secrets(kind: ObjectKind, row: Row, used_names: dict[str, tuple[str, ...]]) -> Row:
    """Return the values of an object with a reference to an environment variable in place of each secret and each
    variable of a container. `used_names` maps each environment variable of the document to the place of its secret; the
    function adds the new variables.
    """
    name = kind.name_of(row)
    return map_secrets(row, lambda _, place: {"env": _free_name(name, place, used_names)}, (kind.section,))


def _free_name(owner: str, place: tuple[str, ...], used_names: dict[str, tuple[str, ...]]) -> str:
    base = re.sub(r"\W+", "_", f"{owner}_{place[-1]}", flags=re.ASCII).strip("_").upper()
    base = f"_{base}" if base[:1].isdigit() else base
    names = (base if number == 1 else f"{base}_{number}" for number in count(1))
    return next(name for name in names if used_names.setdefault(name, (owner, *place)) == (owner, *place))

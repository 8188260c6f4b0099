"""The kinds of objects in a document, in the order in which they are created; their fields are those of the api."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from greenroom.cli.noun import API, Field, Noun
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Row
from greenroom.core.errors import Invalid
from greenroom.core.fleet.machines.model import format_schedule_entry, parse_schedule_entry
from greenroom.core.web_filter import normal_domains
from greenroom.core.workspace.definition import with_defaults

NAME_FIELDS: Final = {
    "zone_id": "zone",
    "image_id": "workspace",
    "filter_policy_id": "filter_policy",
    "server_id": "agent",
    "groups": "groups",
    "group_id": "group",
}
"""Field of the api with ids → the field of the document with names."""
SECTION_OF: Final = {
    "zone": "zones",
    "zones": "zones",
    "workspace": "workspaces",
    "filter_policy": "filter_policies",
    "agent": "agents",
    "groups": "groups",
    "group": "groups",
    "default_image": "workspaces",
    "web_filter_policy": "filter_policies",
}
"""Field of the document, or group setting, with names of objects → their section."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKind:
    """A kind of objects.

    `identity` contains the fields of the document by which objects are matched. `secrets` maps each field with
    secrets, which the api never returns, to other fields: a change of such a field also sends the secrets.
    `readable_secrets` are fields that the api returns, and whose values an export must not contain.
    `local_fields` are valid only in one installation, and are not exported. `session_key` is the field of a session
    with the id of the object; None = there is none. `is_optional`: the api of a deployment may not have this kind,
    because it belongs to a plug-in.
    """

    section: str
    noun: Noun
    identity: tuple[str, ...]
    secrets: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    readable_secrets: frozenset[str] = frozenset()
    local_fields: frozenset[str] = frozenset()
    session_key: str | None = None
    is_optional: bool = False

    @property
    def fields(self) -> Mapping[str, Field]:
        """Field of the document → its definition in the api."""
        return {NAME_FIELDS.get(field.name, field.name): field for field in API[f"POST {self.noun.path}"].fields}

    @property
    def immutable_fields(self) -> frozenset[str]:
        """The fields of the document that cannot change after the creation."""
        changeable = {field.name for field in API[self.noun.operation("PATCH")].fields}
        return frozenset(name for name, field in self.fields.items() if field.name not in changeable)

    def name_of(self, row: Row) -> str:
        """Return the name of an object for people: `Chromium`, or `Chromium in zone eu`."""
        first, *rest = (str(row[name]) for name in self.identity)
        return " in zone ".join((first, *rest))


KINDS: Final = (
    ObjectKind(section="zones", noun=NOUNS["zones"], identity=("zone_name",), session_key="zone_id"),
    ObjectKind(section="filter_policies", noun=NOUNS["filter-policies"], identity=("name",)),
    ObjectKind(section="groups", noun=NOUNS["groups"], identity=("name",)),
    ObjectKind(
        section="sign_on_providers",
        noun=NOUNS["sign-on-providers"],
        identity=("name",),
        secrets={"client_secret": frozenset({"issuer", "client_id"})},
        is_optional=True,
    ),
    ObjectKind(
        section="directories",
        noun=NOUNS["directories"],
        identity=("name",),
        secrets={"password": frozenset({"servers", "tls", "ca_pem"})},
        is_optional=True,
    ),
    ObjectKind(
        section="workspaces",
        noun=NOUNS["images"],
        identity=("friendly_name",),
        secrets={"docker_token": frozenset({"docker_registry", "docker_user"})},
        session_key="image_id",
    ),
    ObjectKind(section="staging_configs", noun=NOUNS["staging"], identity=("workspace", "zone")),
    ObjectKind(
        section="machine_pools",
        noun=NOUNS["machine-pools"],
        identity=("name",),
        secrets={"secrets": frozenset({"provider", "options"})},
        local_fields=frozenset({"join_url"}),
    ),
    ObjectKind(
        section="webhooks", noun=NOUNS["webhooks"], identity=("name",), readable_secrets=frozenset({"url"})
    ),  # who knows the address of a chat service can post there
)


def normalize_object(kind: ObjectKind, row: Row) -> Row:
    """Return the values as the api stores them: without an empty `join_url`, and with the default options of a known
    image. Raises Invalid: a domain or a line of a schedule is not valid."""
    complete = with_defaults(row["name"], row) if kind.section == "workspaces" and "name" in row else row
    values = {name: complete[name] for name in row if (name, row[name]) != ("join_url", "")}
    try:
        return {name: normalize_value(name, value) for name, value in values.items()}
    except Invalid as error:
        raise Invalid(f"The {kind.noun.singular} {kind.name_of(row)} cannot be used: {error.message}") from error


def _normal_roles(roles: list[Row]) -> list[Row]:
    """Return the roles of a group by name, each with its scope if there is one."""
    scoped = [
        {name: value if name == "role" else sorted(set(value)) for name, value in each.items() if value is not None}
        for each in roles
    ]
    return sorted(scoped, key=lambda each: each["role"])


_NORMAL_FORMS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "permissions": lambda codes: sorted(set(codes)),
    "groups": lambda names: sorted(set(names)),
    "roles": _normal_roles,
    "allow": lambda texts: sorted(set(normal_domains(texts))),
    "deny": lambda texts: sorted(set(normal_domains(texts))),
    "schedule": lambda lines: [format_schedule_entry(parse_schedule_entry(line)) for line in lines],
    "allow_origin_domain": lambda text: ",".join(part.strip() for part in text.split(",")),
    "persistent_profile_path": lambda path: path or None,
}


def normalize_value(name: str, value: Any) -> Any:
    """Return the value of a field in the form in which the api stores it. A set becomes a sorted list."""
    return _NORMAL_FORMS[name](value) if name in _NORMAL_FORMS and value is not None else value

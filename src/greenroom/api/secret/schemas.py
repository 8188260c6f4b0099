"""The bodies of secrets. Requests contain values; answers never do."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from greenroom.api.bodies import Body, MatchesPattern, Name, Secret, Text, View
from greenroom.core.named_secrets import MAX_HOSTS, PLACEHOLDER
from greenroom.db.named_secrets import StoredSecret

SecretName = Annotated[
    str,
    MatchesPattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "letters, digits, dots, - and _, at most 64"),
    Field(description="name by which leases request it"),
]
Hosts = Annotated[
    list[Name],
    Field(
        min_length=1,
        max_length=MAX_HOSTS,
        description="names such as api.example.com, or .example.com for all hosts directly below",
    ),
]
Header = Annotated[
    Name, Field(description="header that contains it; a header of this name from the program is replaced")
]
Template = Annotated[Text, Field(description=f"value of the header, with {PLACEHOLDER} in the place of the secret")]
Value = Annotated[Secret, Field(description="value of the secret; never returned")]
Users = Annotated[list[UUID], Field(max_length=1000, description="users who may use it, in addition to the owner")]
Groups = Annotated[list[UUID], Field(max_length=1000, description="groups whose members may use it")]
Keys = Annotated[
    list[Name], Field(max_length=1000, description="API keys that may use it, in addition to those of the owner")
]


class SecretCreate(Body):
    """A new secret."""

    name: SecretName
    hosts: Hosts
    value: Value
    header: Header = "Authorization"
    template: Template = f"Bearer {PLACEHOLDER}"
    description: Text = ""
    users: Users = []
    groups: Groups = []
    keys: Keys = []


class SecretPatch(SecretCreate):
    """Changes of a secret; omitted fields keep their values.

    A change of hosts, header or template needs the value, too.
    """

    name: SecretName = ""
    hosts: Hosts = []
    value: Annotated[  # pyright: ignore[reportIncompatibleVariableOverride] -- no field is assigned
        Value | None, Field(description="present or new value; null = no change")
    ] = None
    header: Header = ""
    template: Template = ""


class SecretView(View, row=StoredSecret):
    """A secret, without its value."""

    secret_id: UUID
    users: list[UUID]
    groups: list[UUID]
    owner_id: Annotated[
        UUID | None, Field(description="user who created it and may use it; null = created with the first API key")
    ]
    owner: Annotated[str | None, Field(description="name of the owner")]
    num_leases: Annotated[int, Field(description="number of leases whose web filter has it now")]

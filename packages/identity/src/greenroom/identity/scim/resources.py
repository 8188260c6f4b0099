"""The resources of the SCIM server, and their translation from and to rows. All functions are pure.

The resources have only the attributes that Greenroom uses or that clients need to recognize their users. Other
attributes of a request are accepted and dropped, because providers send many attributes by default.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from fastapi import HTTPException
from pydantic import Field, ValidationError
from scim2_models import (
    URN,
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    Context,
    Error,
    ETag,
    Extension,
    Filter,
    GroupMembership,
    Meta,
    Mutability,
    Name,
    Patch,
    PhoneNumber,
    Reference,
    Required,
    Resource,
    ResourceType,
    Schema,
    SCIMException,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    Uniqueness,
)

from greenroom.core.access.accounts import username_problem
from greenroom.core.errors import Invalid
from greenroom.core.text import normal_line, normal_name
from greenroom.db.access.users import UserFields
from greenroom.identity.rules import MAX_FIELD_CHARACTERS
from greenroom.identity.scim.statements import GroupRow, UserRow

MEDIA_TYPE: Final = "application/scim+json"
MAX_RESULTS: Final = 200
"""The maximum number of resources in an answer."""


class EmailAddress(ComplexAttribute):
    """An e-mail address. The class of the library refuses addresses in networks without a public domain."""

    value: str | None = None
    display: str | None = None
    type: str | None = Field(None, examples=["work", "home", "other"])
    primary: bool | None = None


class EnterpriseUser(Extension):
    """The organization of a user."""

    __schema__ = URN("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User")

    organization: str | None = None


class _NamedResource(Resource[Any]):
    """A resource whose schema has the name of the standard, which is the end of its URN."""

    @classmethod
    def to_schema(cls) -> Schema:
        schema = super().to_schema()
        schema.name = str(cls.__schema__).rpartition(":")[2]
        return schema


class ScimUser(_NamedResource):
    """A user that the client created."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    name: Name | None = None
    display_name: str | None = None
    active: bool | None = None
    emails: list[EmailAddress] | None = None
    phone_numbers: list[PhoneNumber] | None = None
    groups: Annotated[list[GroupMembership] | None, Mutability.read_only] = None


if TYPE_CHECKING:
    UserReference = str
else:
    UserReference = Reference["User"]  # the name of the resource type, not of a class


class GroupMember(ComplexAttribute):
    """A member of a group: a user that the client created."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    ref: Annotated[UserReference | None, Mutability.immutable] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    type: Annotated[str | None, Mutability.immutable] = Field(None, examples=["User"])


class ScimGroup(_NamedResource):
    """A group that the client created."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    display_name: Annotated[str | None, Required.true, Uniqueness.server] = None
    members: list[GroupMember] | None = None


ProvisionedUser: Final = cast("type[ScimUser]", ScimUser.__class_getitem__(EnterpriseUser))
"""The model of users with the attributes of `EnterpriseUser`."""
POLICY: Final = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
"""The deviations from the standard that requests may have. Microsoft Entra ID needs each of them."""
PROVIDER: Final = ScimProvider(
    models=[ScimUser, EnterpriseUser, ScimGroup],
    resource_types=[ResourceType.from_resource(ProvisionedUser), ResourceType.from_resource(ScimGroup)],
    config=ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=MAX_RESULTS),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=True),
        etag=ETag(supported=True),
        authentication_schemes=[
            AuthenticationScheme(
                type=AuthenticationScheme.Type.oauthbearertoken,
                name="Bearer token",
                description="The token of a SCIM client, in the header Authorization: Bearer TOKEN.",
                primary=True,
            )
        ],
    ),
    policy=POLICY,
)


@contextmanager
def translated_errors() -> Generator[None]:
    """Raise Invalid, with its `scim_type`, in place of an error of the SCIM library."""
    try:
        yield
    except ValidationError as error:
        first = Error.from_validation_error(cast("Mapping[str, Any]", error.errors(include_input=False)[0]))
        raise Invalid(_sentence(first.detail), scim_type=first.scim_type or "invalidValue") from error
    except SCIMException as error:
        raise Invalid(_sentence(error.detail), scim_type=error.scim_type or "invalidValue") from error


def _sentence(detail: str | None) -> str:
    text = (detail or "the request is not valid").removeprefix("Value error, ")
    return text[:1].upper() + text[1:].removesuffix(".") + "."


def user_fields(user: ScimUser) -> UserFields:
    """Return the fields of the account of a user. Texts that cannot be stored in a field are omitted. Raises Invalid:
    the user name cannot be used."""
    name, numbers = user.name or Name(), user.phone_numbers or []
    phone = next((number for number in numbers if number.primary), numbers[0] if numbers else PhoneNumber())
    enterprise = cast("EnterpriseUser | None", user[EnterpriseUser])
    return UserFields(
        username=_normal_username(user.user_name or ""),
        first_name=_field_text(name.given_name),
        last_name=_field_text(name.family_name),
        phone=_field_text(phone.value),
        organization=_field_text(enterprise.organization if enterprise else None),
        disabled=user.active is False,
    )


def external_id_of(resource: ScimUser | ScimGroup) -> str | None:
    """Return the id of a resource at the client. Raises Invalid: it is longer than the database can index."""
    if resource.external_id is not None and len(resource.external_id) > MAX_FIELD_CHARACTERS:
        raise Invalid(f"The externalId has more than {MAX_FIELD_CHARACTERS} characters.", scim_type="invalidValue")
    return resource.external_id


def _normal_username(text: str) -> str:
    try:
        username = normal_name(text)
    except ValueError as error:
        raise Invalid(f"The userName {error}.") from error
    if problem := username_problem(username, noun="userName"):
        raise Invalid(problem)
    return username


def group_name(group: ScimGroup) -> str:
    """Return the name of a group. Raises Invalid: it cannot be used."""
    try:
        return normal_name(group.display_name or "")
    except ValueError as error:
        raise Invalid(f"The displayName {error}.") from error


def _field_text(text: str | None) -> str:
    try:
        line = normal_line(text or "")
    except ValueError:
        return ""
    return line if len(line) <= MAX_FIELD_CHARACTERS else ""


def document_of(user: ScimUser) -> dict[str, Any]:
    """Return the attributes of a user that are stored as the client sent them."""
    document = user.model_dump(scim_ctx=Context.DEFAULT)
    for name in ("schemas", "id", "externalId", "meta", "groups", "userName"):
        document.pop(name, None)
    return document


def user_resource(row: UserRow, base_url: str) -> ScimUser:
    """Return a user as the client sees it."""
    document = row.document | {"userName": row.username, "externalId": row.external_id}
    if document.get("active", True) is not None:  # None = the client removed the attribute
        document["active"] = not row.disabled
    user = ProvisionedUser.model_validate(document, scim_policy=POLICY)
    user.id = row.user_id
    user.groups = [
        GroupMembership.model_validate(
            {
                "value": each.group_id,
                "$ref": f"{base_url}/Groups/{each.group_id}",
                "display": each.name,
                "type": "direct",
            }
        )
        for each in row.groups
    ] or None
    user.meta = _meta(user, "User", base_url, row.created, row.modified)
    return user


def group_resource(row: GroupRow, base_url: str) -> ScimGroup:
    """Return a group as the client sees it."""
    group = ScimGroup(id=row.group_id, external_id=row.external_id, display_name=row.name)
    group.members = [
        GroupMember.model_validate({"value": each.user_id, "$ref": f"{base_url}/Users/{each.user_id}", "type": "User"})
        for each in row.members
    ] or None
    group.meta = _meta(group, "Group", base_url, row.created, row.modified)
    return group


def _meta(resource: Resource[Any], kind: str, base_url: str, created: datetime, modified: datetime) -> Meta:
    content = resource.model_dump_json(scim_ctx=Context.DEFAULT)
    return Meta(
        resource_type=kind,
        created=created,
        last_modified=modified,
        location=f"{base_url}/{kind}s/{resource.id}",
        version=f'W/"{hashlib.sha256(content.encode()).hexdigest()[:20]}"',
    )


def require_version(resource: Resource[Any], if_match: str | None) -> None:
    """Check the header If-Match of a request. Raises HTTPException: 412, the resource has another version."""
    version = resource.meta.version if resource.meta else None
    if if_match is not None and if_match.strip() != "*" and version not in re.findall(r'(?:W/)?"[^"]*"', if_match):
        raise HTTPException(412, "The resource was changed meanwhile, read it again")

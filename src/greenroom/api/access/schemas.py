"""The bodies of log-ins, users, groups and API keys."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal, Self
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from greenroom.api.access.list_schemas import Density, FavoriteImages, Lists, Times
from greenroom.api.bodies import Body, JsonObject, Line, Name, Secret, Text, View
from greenroom.core.access.accounts import normal_language, username_problem
from greenroom.core.access.group_settings import SettingValues
from greenroom.core.access.permissions import unknown_codes
from greenroom.core.access.roles import PlaceKind, Role, RoleAssignment, RoleName, assignment_problem
from greenroom.core.access.second_factors import FactorKind
from greenroom.core.access.setting_definitions import Setting


def _username(text: str) -> str:
    name = unicodedata.normalize("NFC", text)
    if problem := username_problem(name):
        raise ValueError(problem)
    return name


def _permissions(codes: list[str]) -> list[str]:
    if names := unknown_codes(codes):
        raise ValueError(f"there is no permission {', '.join(names)}")
    return sorted(set(codes))


def _timezone(name: str) -> str:
    if name not in _timezones():
        raise ValueError("there is no such time zone; the names are those of the tz database, e.g. Europe/Berlin")
    return name


def _storable_time(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("it must be a time from the year 1 to 9999, also in UTC") from error


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def known_timezone(name: str | None) -> str | None:
    """Return the name of a time zone, or None for a name that the tz database of this host does not have. The tz
    database of a browser can be newer."""
    return name if name in _timezones() else None


Language = Annotated[str, AfterValidator(normal_language)]
Timezone = Annotated[str, AfterValidator(_timezone)]
Theme = Literal["auto", "light", "dark"]
Username = Annotated[str, AfterValidator(_username), Field(description="name for logging in")]
Time = Annotated[AwareDatetime, AfterValidator(_storable_time)]
Permissions = Annotated[list[Name], AfterValidator(_permissions), Field(description="permission codes")]
Locked = Annotated[bool, Field(description="the same effects as `disabled`")]
Disabled = Annotated[bool, Field(description="unable to log in")]
BreakGlass = Annotated[bool, Field(description="logs in by password only; no sign-on provider can change the account")]
Priority = Annotated[int, Field(ge=1, le=1_000_000, description="the lowest number has priority")]


class LoginBody(Body):
    """The name and password of a user."""

    username: Annotated[str, StringConstraints(max_length=255, strip_whitespace=True)]
    password: Secret


class LinkBody(Body):
    """The token of a link that logs in once."""

    token: Secret


class SecondFactorNeeded(View):
    """The password is right, and a second factor must complete the log-in. `methods` are the kinds of the user's
    factors."""

    methods: list[FactorKind]
    recovery_codes: Annotated[int, Field(description="number of unused recovery codes")]


class PasswordBody(Body):
    """A user's change of their own password."""

    password: Annotated[Secret, Field(description="present password")]
    new_password: Secret


class MembershipView(View):
    """A group that a user is a member of."""

    group_id: UUID
    name: str


class UserView(View):
    """A user."""

    user_id: UUID
    username: str
    realm: str
    first_name: str
    last_name: str
    phone: str
    organization: str
    notes: str
    password_once: bool
    locked: bool
    disabled: bool
    break_glass: BreakGlass
    anonymous: Annotated[
        bool, Field(description="created for one launch without a user; deleted some time after its last session")
    ]
    created: datetime
    last_session: datetime | None
    last_launched: Annotated[datetime | None, Field(description="last launch with a session; null = none is stored")]
    last_launched_session_id: UUID | None
    groups: list[MembershipView]
    num_sessions: int


class UserCreate(Body):
    """A new user; without a password, no one can log in as this user."""

    username: Username
    password: Secret | None = None
    first_name: Line = ""
    last_name: Line = ""
    phone: Line = ""
    organization: Line = ""
    notes: Text = ""
    locked: Locked = False
    disabled: Disabled = False
    groups: Annotated[list[UUID], Field(description="in addition to All Users")] = []


class UserPatch(UserCreate):
    """Changes of a user; omitted fields keep their values. `groups` is the whole list (All Users is always in it)."""

    username: Username = ""
    password: Secret = SecretStr("")  # pyright: ignore[reportIncompatibleVariableOverride] -- no field is assigned
    break_glass: BreakGlass = False
    groups: Annotated[list[UUID], Field(description="all groups of the user, in addition to All Users")] = []


class AttributesView(View):
    """The preferences and the SSH keys of a user; the private key is never returned."""

    user_id: UUID
    ssh_public_key: str | None
    has_ssh_private_key: bool
    preferred_language: Annotated[str | None, Field(description="e.g. de or de-DE; null = language of the workspace")]
    preferred_timezone: Annotated[
        str | None, Field(description="e.g. Europe/Berlin; null = time zone of the workspace")
    ]
    default_image: Annotated[UUID | None, Field(description="workspace of a launch without `image_id`")]
    theme: Annotated[Theme | None, Field(description="theme of the console; null = auto")]
    density: Annotated[Density | None, Field(description="height of the rows of tables; null = standard")]
    times: Annotated[Times | None, Field(description="form of times in the console; null = relative")]
    lists: Lists
    favorite_images: FavoriteImages


class AttributesPatch(Body):
    """Changes of attributes; omitted fields keep their values, null clears a field."""

    ssh_public_key: Annotated[
        Text | None, Field(description="one line as in id_*.pub; null also removes the private key")
    ] = None
    ssh_private_key: Annotated[
        Secret | None,
        Field(description="OpenSSH or PEM without a passphrase; the public key is derived from it; never returned"),
    ] = None
    preferred_language: Annotated[Language | None, Field(description="e.g. de or de-DE")] = None
    preferred_timezone: Annotated[Timezone | None, Field(description="e.g. Europe/Berlin")] = None
    default_image: Annotated[UUID | None, Field(description="workspace of a launch without `image_id`")] = None
    theme: Annotated[Theme | None, Field(description="theme of the console")] = None
    density: Annotated[Density | None, Field(description="height of the rows of tables in the console")] = None
    times: Annotated[Times | None, Field(description="form of times in the console")] = None
    lists: Annotated[
        Lists, Field(description="these replace the choices for their lists; other lists keep theirs")
    ] = {}
    favorite_images: FavoriteImages = []


class Me(View):
    """The user who is logged in, their permissions, and the settings in force for them."""

    user: UserView
    password_change_required: Annotated[
        bool, Field(description="an initial password must be changed first; other requests are refused until then")
    ]
    second_factor_required: Annotated[
        bool, Field(description="a second factor must be enrolled first; other requests are refused until then")
    ]
    permissions: Annotated[list[str], Field(description="codes for the whole installation")]
    scoped_permissions: Annotated[
        list[str], Field(description="codes that count only for objects in the scope of a role")
    ]
    settings: SettingValues
    setting_sources: Annotated[dict[str, str], Field(description="name → source of the value, as a sentence")]


class RoleOfGroup(Body):
    """A role of the members of a group, in its scope."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    role: RoleName
    zones: Annotated[list[UUID] | None, Field(description="ids of the zones of the scope; null = no scope")] = None
    groups: Annotated[list[UUID] | None, Field(description="ids of the groups of the scope; null = no scope")] = None

    @model_validator(mode="after")
    def check_scope(self) -> Self:
        """Raises ValueError: the role cannot have this scope."""
        if problem := assignment_problem(self.assignment):
            raise ValueError(problem)
        return self

    @property
    def assignment(self) -> RoleAssignment:
        """The assignment as the group has it."""
        zones, groups = (
            None if ids is None else sorted({str(each) for each in ids}) for ids in (self.zones, self.groups)
        )
        return RoleAssignment(role=self.role, zones=zones, groups=groups)


def _each_role_once(roles: list[RoleOfGroup]) -> list[RoleOfGroup]:
    names = [each.role for each in roles]
    if len(set(names)) < len(names):
        raise ValueError("each role must occur once; name all its zones or groups there")
    return sorted(roles, key=lambda each: each.role)


class RoleView(View, row=Role):
    """The definition of a role. `scope` is the kind of objects to which it can be restricted; null = none."""

    codes: list[str]
    scope: PlaceKind | None


class GroupPatch(Body):
    """Changes of a group; omitted fields keep their values, a setting set to null is removed."""

    name: Name = ""
    description: Text = ""
    priority: Priority = 100
    permissions: Permissions = []
    roles: Annotated[
        list[RoleOfGroup], AfterValidator(_each_role_once), Field(description="all roles of the members")
    ] = []
    settings: Annotated[JsonObject, Field(description="settings of the members; null removes a setting")] = {}


class GroupCreate(GroupPatch):
    """A new group."""

    name: Name = Field(...)


class SettingView(View, row=Setting, without={"looseness", "stored_with_session"}):  # internal fields
    """The definition of a setting of groups or of the installation."""

    title: Annotated[str, Field(description="name of the setting for people")]
    section: Annotated[str, Field(description="heading below which the console lists the setting")]
    kind: str
    maximum: float | None
    choices: list[str]


class EffectiveSettingView(SettingView):
    """A group setting in force for one user. `groups` are the groups that set it; empty = the default."""

    value: Any
    groups: list[str]
    trace: Annotated[str, Field(description="source of the value, as a sentence")]


class InheritedSettingView(View):
    """The value of a setting for the members of a group that does not set it: the value of All Users or the default."""

    name: str
    value: Any
    group: Annotated[str | None, Field(description="source of the value; null = the default")]
    outranked_by: Annotated[
        list[str],
        Field(
            description="groups of higher priority that set it: their members get the values of those groups instead"
        ),
    ]


class InstallationSettingView(SettingView):
    """A setting of the installation."""

    value: Any


class SettingsToTest(Body):
    """Values of settings that are not saved."""

    values: Annotated[JsonObject, Field(description="name → value; null = the default, or no value in a group")]


class SettingProblem(View):
    """A value that would be refused."""

    name: str
    problem: Annotated[str, Field(description="the reason, as a sentence")]


class PermissionView(View):
    """The definition of a permission."""

    code: str
    description: str


class KeyView(View):
    """An API key; only a hash of its secret is stored."""

    key_id: str
    name: str
    permissions: list[str]
    read_only: bool
    max_leases: int | None
    max_lease_s: int | None
    enabled: bool
    created_by: UUID | None
    owner: Annotated[str | None, Field(description="username of the owner, whose permissions limit those of the key")]
    owner_service: Annotated[bool, Field(description="the owner is a service account")]
    valid: Annotated[bool, Field(description="enabled, and neither the key nor its owner is expired or disabled")]
    old_until: Annotated[datetime | None, Field(description="end of the overlap in which the former secret is valid")]
    created: datetime
    expires: datetime | None
    last_used: datetime | None


class KeyCreated(KeyView):
    """A new API key with its secret, which is returned only once."""

    api_key: str
    api_key_secret: str


MaxLeases = Annotated[
    int | None,
    Field(ge=0, le=100_000, description="maximum number of leases at the same time; null = limit of the owner"),
]
MaxLeaseSeconds = Annotated[
    int | None, Field(ge=60, le=86400, description="maximum duration of each lease, seconds; null = no limit")
]


class KeyCreate(Body):
    """A new API key, with no more permissions than the caller has."""

    name: Name
    user_id: Annotated[UUID | None, Field(description="owner; null = the caller")] = None
    permissions: Permissions = []
    read_only: Annotated[bool, Field(description="only permissions that end in _view")] = False
    max_leases: MaxLeases = None
    max_lease_s: MaxLeaseSeconds = None
    expires: Annotated[Time | None, Field(description="null = never")] = None


class KeyPatch(Body):
    """Changes of an API key; omitted fields keep their values."""

    name: Name = ""
    permissions: Permissions = []
    read_only: Annotated[bool, Field(description="only permissions that end in _view")] = False
    max_leases: MaxLeases = None
    max_lease_s: MaxLeaseSeconds = None
    enabled: Annotated[bool, Field(description="off: requests with the key are refused")] = True
    expires: Annotated[Time | None, Field(description="null = never")] = None


MAX_OVERLAP_S = 30 * 86400


class Rotation(Body):
    """The replacement of a secret: that of an API key, or the token of a SCIM client."""

    overlap_s: Annotated[
        int, Field(ge=0, le=MAX_OVERLAP_S, description="time for which the present secret stays valid, seconds")
    ] = 0

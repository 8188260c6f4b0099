"""Log-in, users, groups and API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, SecretStr

from greenroom.api.schemas.base import Body, Name, Text, View
from greenroom.core.accounts import username_problem
from greenroom.core.permissions import unknown


def _username(name: str) -> str:
    if problem := username_problem(name):
        raise ValueError(problem)
    return name


def _permissions(codes: list[str]) -> list[str]:
    if wrong := unknown(codes):
        raise ValueError(f"there is no permission {', '.join(wrong)}")
    return sorted(set(codes))


Username = Annotated[str, AfterValidator(_username)]
Permissions = Annotated[list[str], AfterValidator(_permissions)]
Priority = Annotated[int, Field(ge=1, le=1_000_000, description="the lowest number wins")]


class LoginBody(Body):
    """Name and password of a person."""

    username: Annotated[str, Field(max_length=255)]
    password: SecretStr


class PasswordBody(Body):
    """A person changes the own password."""

    password: Annotated[SecretStr, Field(description="the present one")]
    new_password: SecretStr


class MembershipView(View):
    """A group a user is in."""

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
    created: datetime
    last_session: datetime | None
    groups: list[MembershipView]
    num_sessions: int


class UserCreate(Body):
    """A new user; without a password nobody can log in as him."""

    username: Username
    password: SecretStr | None = None
    first_name: Text = ""
    last_name: Text = ""
    phone: Text = ""
    organization: Text = ""
    notes: Text = ""
    locked: bool = False
    disabled: bool = False
    groups: Annotated[list[UUID], Field(description="besides All Users")] = []


class UserPatch(Body):
    """Changes of a user; omitted fields stay. `groups` is the whole list (All Users is always in it)."""

    username: Username = ""
    password: SecretStr = SecretStr("")
    first_name: Text = ""
    last_name: Text = ""
    phone: Text = ""
    organization: Text = ""
    notes: Text = ""
    locked: bool = False
    disabled: bool = False
    groups: list[UUID] = []


class Me(View):
    """Who is logged in, what he may do and which settings hold for him."""

    user: UserView
    permissions: list[str]
    settings: dict[str, Any]
    setting_sources: Annotated[dict[str, str], Field(description="name → where the value came from, as a sentence")]


class GroupView(View):
    """A group; `images` are the ids of the workspaces its members may use."""

    group_id: UUID
    name: str
    description: str
    priority: int
    is_system: bool
    permissions: list[str]
    settings: dict[str, Any]
    images: list[UUID]
    num_users: int


class GroupCreate(Body):
    """A new group."""

    name: Name
    description: Text = ""
    priority: Priority = 100
    permissions: Permissions = []
    settings: dict[str, Any] = {}


class GroupPatch(Body):
    """Changes of a group; omitted fields stay, a setting set to null is removed."""

    name: Name = ""
    description: Text = ""
    priority: Priority = 100
    permissions: Permissions = []
    settings: dict[str, Any] = {}


class SettingView(View):
    """A setting that exists: of groups, or of the installation (then with its value)."""

    name: str
    kind: str
    default: Any
    unit: str
    description: str
    minimum: float | None
    choices: list[str]
    excludes_staging: bool


class InstallationSettingView(SettingView):
    """A setting of the installation."""

    value: Any


class PermissionView(View):
    """A permission that exists."""

    code: str
    description: str


class KeyView(View):
    """An API key; its secret is stored nowhere."""

    key_id: str
    name: str
    permissions: list[str]
    read_only: bool
    enabled: bool
    created_by: UUID | None
    created: datetime
    expires: datetime | None
    last_used: datetime | None


class KeyCreated(KeyView):
    """A new API key with its secret, shown this one time."""

    api_key: str
    api_key_secret: str


class KeyCreate(Body):
    """A new API key; nobody gives it more than he may himself."""

    name: Name
    permissions: Permissions = []
    read_only: bool = False
    expires: AwareDatetime | None = None


class KeyPatch(Body):
    """Changes of an API key; omitted fields stay."""

    name: Name = ""
    permissions: Permissions = []
    read_only: bool = False
    enabled: bool = True
    expires: AwareDatetime | None = None

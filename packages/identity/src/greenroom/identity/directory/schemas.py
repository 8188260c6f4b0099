"""The bodies of requests and answers of directories. Requests can contain passwords; answers never do."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from greenroom.api.bodies import STORABLE, Body, Line, MatchesPattern, Name, Secret, View
from greenroom.identity.directory.client import Tls
from greenroom.identity.directory.statements import Membership
from greenroom.identity.schemas import YEAR_S, Attributes, RuleBody, RuleRequired, Rules

_ATTRIBUTE = MatchesPattern(r"[A-Za-z][A-Za-z0-9-]{0,99}", "the name of an attribute: letters, digits and -")

DirectoryName = Annotated[
    str,
    MatchesPattern(r"[a-z0-9][a-z0-9-]{0,39}", "lower-case letters, digits and -, at most 40"),
    Field(description="name of the directory; it cannot be changed"),
]
Title = Annotated[Name, Field(max_length=60, description="name in the console and in logs")]
Server = Annotated[
    str,
    MatchesPattern(r"ldaps?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?", "an address such as ldaps://host"),
]
Servers = Annotated[
    list[Server],
    Field(
        min_length=1,
        max_length=8,
        description="addresses of its servers, ldaps://… or ldap://…; the first that answers",
    ),
]
TlsMode = Annotated[
    Tls, Field(description="`starttls` for ldap://…; `none` is permitted for servers on this host only")
]
CaPem = Annotated[
    str, Field(max_length=100_000, description="certificates to trust (PEM); empty = those of the system"), STORABLE
]
BindDn = Annotated[Line, Field(max_length=1000, description="DN of the account of Greenroom; empty = anonymous")]
BindPassword = Annotated[
    Secret | None, Field(description="password of the account of Greenroom. It is encrypted and never returned")
]
Base = Annotated[Line, Field(max_length=1000, description="DN of the entry that contains the users")]
Filter = Annotated[Line, Field(max_length=2000, description="filter for users, such as (objectClass=person)")]
LoginAttributes = Annotated[
    list[Annotated[str, _ATTRIBUTE]],
    Field(min_length=1, max_length=5, description="attributes with the name of the log-in; the first is the username"),
]
IdAttribute = Annotated[
    str,
    _ATTRIBUTE,
    Field(description="attribute that identifies a user forever: entryUUID, or objectGUID of Active Directory"),
]
GroupBase = Annotated[
    Line, Field(max_length=1000, description="DN of the entry that contains the groups; empty = as users")
]
GroupFilter = Annotated[Line, Field(max_length=2000, description="filter for groups")]
HowMembership = Annotated[
    Membership,
    Field(
        description="how groups are found: `memberof` of the user, `member` of the groups, `nested` (members of"
        " members), `chain` (nested groups of Active Directory)"
    ),
]
Enabled = Annotated[bool, Field(description="off: no user can log in with a password of the directory")]
CreateUsers = Annotated[bool, Field(description="create unknown users at their first log-in; off = linked users only")]
SyncS = Annotated[int, Field(ge=0, le=YEAR_S, description="seconds between two synchronizations; 0 = none")]
GraceS = Annotated[
    int, Field(ge=0, le=YEAR_S, description="seconds for which a user may be missing before the user is disabled")
]


class _DirectorySettings(Body):
    """The settings of a directory that have default values."""

    tls: TlsMode = "ldaps"
    ca_pem: CaPem = ""
    bind_dn: BindDn = ""
    password: BindPassword = None
    user_filter: Filter = "(objectClass=person)"
    login_attributes: LoginAttributes = ["uid"]
    id_attribute: IdAttribute = "entryUUID"
    attributes: Attributes = {}
    group_base: GroupBase = ""
    group_filter: GroupFilter = "(objectClass=*)"
    membership: HowMembership = "member"
    rules: Rules = []
    enabled: Enabled = True
    create_users: CreateUsers = False
    rule_required: RuleRequired = False
    sync_s: SyncS = 3600
    grace_s: GraceS = 0


class DirectoryCreate(_DirectorySettings):
    """A new directory."""

    name: DirectoryName
    title: Title
    servers: Servers
    user_base: Base


class DirectoryPatch(_DirectorySettings):
    """Changes of a directory; omitted fields keep their values. Other servers need the password, too."""

    title: Title = ""
    servers: Servers = []
    user_base: Base = ""


class DirectoryView(View):
    """A directory, without its password."""

    directory_id: UUID
    name: str
    title: str
    servers: list[str]
    tls: Tls
    ca_pem: str
    bind_dn: str
    has_password: bool
    user_base: str
    user_filter: str
    login_attributes: list[str]
    id_attribute: str
    attributes: dict[str, str]
    group_base: str
    group_filter: str
    membership: Membership
    rules: list[RuleBody]
    enabled: bool
    create_users: bool
    rule_required: bool
    sync_s: int
    grace_s: int
    created: datetime
    synchronized: Annotated[datetime | None, Field(description="end of the last complete synchronization")]
    sync_problem: Annotated[str, Field(description="why the last synchronization stopped; empty = it did not stop")]
    num_users: Annotated[int, Field(description="number of users with an account of the directory")]


class DirectoryTest(Body):
    """The request of a test."""

    username: Annotated[Line, Field(max_length=255, description="user to look up; empty = any user")] = ""


class SyncStart(Body):
    """The request of a synchronization."""

    force: Annotated[
        bool, Field(description="also if more than 5 users and more than a fifth of all users would be disabled")
    ] = False


class SyncView(View):
    """The result of a synchronization."""

    present: Annotated[int, Field(description="users who are in the directory")]
    disabled: Annotated[
        int, Field(description="users who were disabled, because the directory has disabled or lost them")
    ]
    missing: Annotated[int, Field(description="users who are missing, and are disabled after the grace period")]


MAX_SHOWN = 100


class DisabledUser(View):
    """A user that a synchronization would disable."""

    username: str
    reason: str


class SyncPreview(View):
    """The changes that a synchronization would make now."""

    present: Annotated[int, Field(description="users who are in the directory")]
    num_disabled: Annotated[int, Field(description="number of users who would be disabled")]
    disabled: Annotated[list[DisabledUser], Field(description=f"the first {MAX_SHOWN} of them")]
    num_missing: Annotated[int, Field(description="number of users who are missing, and stay enabled for now")]
    missing: Annotated[list[str], Field(description=f"the usernames of the first {MAX_SHOWN} of them")]
    problem: Annotated[str, Field(description="why it would stop without `force`; empty = it would not stop")]

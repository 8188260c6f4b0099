"""The bodies of requests and answers of sign-on. Requests can contain client secrets; answers never do."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from pydantic import AfterValidator, Field

from greenroom.api.bodies import Body, Line, MatchesPattern, Name, Secret, Text, View
from greenroom.identity.rules import ATTRIBUTES, MAX_STARS
from greenroom.identity.statements import ClientAuth, LinkedIdentity, Protocol

MAX_RULES = 500
YEAR_S = 366 * 86400

ProviderName = Annotated[
    str,
    MatchesPattern(r"[a-z0-9][a-z0-9-]{0,39}", "lower-case letters, digits and -, at most 40"),
    Field(description="name of the provider, part of its redirect URI; it cannot be changed"),
]
Title = Annotated[Name, Field(max_length=60, description="text of its button on the log-in page")]
MAX_ISSUER_BYTES: Final = 1000
"""An index contains the issuer with the subject of a user, and an entry of an index has at most 2,704 bytes."""


def _indexable(issuer: str) -> str:
    if len(issuer.encode()) > MAX_ISSUER_BYTES:
        raise ValueError(f"must have at most {MAX_ISSUER_BYTES} bytes")
    return issuer


Issuer = Annotated[
    Line,
    AfterValidator(_indexable),
    Field(
        min_length=1,
        max_length=500,
        description="https://…, or the entity ID of SAML, exactly as the provider writes it",
    ),
]
SignOnProtocol = Annotated[Protocol, Field(description="oidc = OpenID Connect, saml = SAML 2.0; it cannot be changed")]
MetadataUrl = Annotated[Line, Field(max_length=500, description="SAML: address of the metadata of the provider")]
MetadataXml = Annotated[str, Field(max_length=200_000, description="SAML: the metadata, in place of its address")]
SubjectAttribute = Annotated[
    Line,
    Field(max_length=200, description="SAML: attribute with a permanent id of the user; empty = the persistent NameID"),
]
ClientId = Annotated[
    Name, Field(max_length=255, description="client ID, or entity ID of SAML, of Greenroom at the provider")
]
ClientSecret = Annotated[
    Secret | None, Field(description="secret of the client; null = a public client. It is encrypted and never returned")
]
Auth = Annotated[ClientAuth, Field(description="where requests to the provider contain the client secret")]
Scopes = Annotated[
    str,
    MatchesPattern(r"[\x21-\x7e]+( [\x21-\x7e]+)*", "words with one space between, such as openid profile"),
    Field(max_length=500, description="scopes that are requested; `openid` is required"),
]
Enabled = Annotated[bool, Field(description="off: no user can log in through the provider, and its log-ins end")]
CreateUsers = Annotated[bool, Field(description="create unknown users at their first log-in; off = linked users only")]
RuleRequired = Annotated[bool, Field(description="only users who match a rule can log in")]
Attributes = Annotated[
    dict[str, Annotated[Line, Field(min_length=1, max_length=200)]],
    Field(max_length=len(ATTRIBUTES), description=f"field of a user ({', '.join(ATTRIBUTES)}) → claim"),
]
CheckS = Annotated[
    int,
    Field(
        ge=0,
        le=YEAR_S,
        description="seconds between checks at the provider that a log-in is still valid; 0 = no checks",
    ),
]
GraceS = Annotated[
    int, Field(ge=0, le=YEAR_S, description="seconds for which these checks may fail before the log-in ends")
]


class RuleBody(Body):
    """A rule: users with the value in the claim are members of the group."""

    model_config = View.model_config | Body.model_config

    claim: Annotated[
        Line, Field(min_length=1, max_length=200, description="groups, or a path such as realm_access.roles")
    ]
    value: Annotated[Line, Field(min_length=1, max_length=500, description="value; * stands for any characters")]
    group_id: UUID


def _check_stars(rules: list[RuleBody]) -> list[RuleBody]:
    for rule in rules:
        if rule.value.count("*") > MAX_STARS:
            raise ValueError(f"a value must not contain more than {MAX_STARS} *")
    return rules


Rules = Annotated[
    list[RuleBody],
    AfterValidator(_check_stars),
    Field(max_length=MAX_RULES, description=f"groups of users by their claims; a value has at most {MAX_STARS} *"),
]


class _ProviderSettings(Body):
    """The settings of a provider that have default values."""

    enabled: Enabled = True
    create_users: CreateUsers = False
    rule_required: RuleRequired = False
    attributes: Attributes = {}
    rules: Rules = []
    check_s: CheckS = 0
    check_grace_s: GraceS = 3600
    metadata_url: MetadataUrl = ""
    metadata_xml: MetadataXml = ""
    subject_attribute: SubjectAttribute = ""


class ProviderCreate(_ProviderSettings):
    """A new provider."""

    name: ProviderName
    protocol: SignOnProtocol = "oidc"
    title: Title
    issuer: Issuer
    client_id: ClientId
    client_secret: ClientSecret = None
    client_auth: Auth = "client_secret_basic"
    scopes: Scopes = "openid profile email"


class ProviderPatch(_ProviderSettings):
    """Changes of a provider; omitted fields keep their values. A change of the issuer needs the client secret, too."""

    title: Title = ""
    issuer: Issuer = ""
    client_id: ClientId = ""
    client_secret: ClientSecret = None
    client_auth: Auth = "client_secret_basic"
    scopes: Scopes = ""


class ProviderView(View):
    """A provider, without its client secret."""

    provider_id: UUID
    name: str
    protocol: Protocol
    title: str
    issuer: str
    client_id: str
    has_client_secret: Annotated[bool, Field(description="false = a public client")]
    client_auth: ClientAuth
    scopes: str
    enabled: bool
    create_users: bool
    rule_required: bool
    attributes: dict[str, str]
    rules: list[RuleBody]
    check_s: int
    check_grace_s: int
    metadata_url: str
    metadata_xml: str
    subject_attribute: str
    created: datetime
    num_logins: Annotated[int, Field(description="present number of log-ins through the provider")]
    warnings: Annotated[list[str], Field(description="after a change of an enabled provider: why a log-in would fail")]
    redirect_uri: Annotated[str, Field(description="address to register at the provider")]
    service_metadata_uri: Annotated[str | None, Field(description="SAML: address of the metadata of Greenroom")]
    backchannel_logout_uri: Annotated[str, Field(description="address to which the provider sends log-out tokens")]
    frontchannel_logout_uri: Annotated[str, Field(description="address that the provider opens in a frame at log-out")]


class DiagnosisStep(View):
    """A step of the test of a provider."""

    step: Annotated[
        str,
        Field(
            description="host, connection, certificate, document, endpoints, keys, authorization, client;"
            " for SAML: program, host, connection, certificate, document, metadata, provider, authorization"
        ),
    ]
    passed: bool
    detail: Annotated[str, Field(description="what was found, or why the step failed and what to do")]
    duration_ms: float


class DiagnosisView(View):
    """The steps of a test, up to the first step that failed."""

    passed: bool
    steps: list[DiagnosisStep]


class PreviewRequest(Body):
    """Attributes and rules to try with a sample before they are stored."""

    attributes: Attributes = {}
    rules: Rules = []
    sample: Annotated[str, Field(max_length=500_000, description="claims as a JSON object, or an ID token")]


class PreviewGroup(View):
    """A group that the rules determine."""

    group_id: UUID
    name: str


class PreviewView(View):
    """The result of the attributes and rules for the claims of the sample."""

    username: str
    problem: Annotated[str | None, Field(description="why the name cannot be used; null = it can be used")]
    fields: dict[str, str]
    groups: Annotated[list[PreviewGroup], Field(description="groups of the rules that match")]
    matching_rules: Annotated[list[int], Field(description="positions of the rules that match, from 0")]


class ButtonView(View):
    """A provider on the log-in page."""

    name: str
    title: str


class SignOnView(View):
    """The providers on the log-in page."""

    providers: list[ButtonView]
    refusals: Annotated[
        dict[str, str], Field(description="sentence for each value of the parameter `sign-on` of the console's address")
    ]


class StartBody(Body):
    """The request that begins a log-in."""

    next: Annotated[Text, Field(max_length=2000, description="page of the console to show afterwards")] = "/"


class AddressView(View):
    """The address to which the browser goes."""

    url: Annotated[str, Field(description="address at the provider")]


class LogoutView(View):
    """The end of a log-in."""

    url: Annotated[str | None, Field(description="address that ends the log-in at the provider, too; null = none")]


class IdentityView(View, row=LinkedIdentity):
    """An account at an issuer that is linked to a user."""

    identity_id: UUID
    user_id: UUID


class IdentityCreate(Body):
    """An identity to link to a user."""

    issuer: Issuer
    subject: Annotated[Line, Field(min_length=1, max_length=255, description="`sub` of the user's ID tokens")]


class LinkStart(Body):
    """The request that begins to link an identity to the caller."""

    provider: ProviderName

"""The SQL of sign-on: the providers, the identities of users, and the log-ins through providers.

An identity is an issuer and a subject, never a user name or an e-mail address, because a provider may assign these to
another person.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.errors import require_row
from greenroom.core.listing import SortOrder
from greenroom.db.access.users import Membership
from greenroom.db.database import Connection, Database, returned_row, row_as, rows_as
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.rows import assignments, columns_of, insert_values, qualified, values_of

ClientAuth = Literal["client_secret_basic", "client_secret_post"]
Protocol = Literal["oidc", "saml"]


@dataclass(frozen=True, slots=True)
class GroupRule:
    """A rule: users with the `value` in the claim are members of the group. `*` stands for any characters."""

    claim: str
    value: str
    group_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFields:
    """The fields of a provider that can be changed, except the client secret."""

    title: str
    issuer: str
    client_id: str
    client_auth: ClientAuth
    scopes: str
    enabled: bool
    create_users: bool
    rule_required: bool
    """True: only users who match one of `rules` can log in."""
    attributes: dict[str, str]
    """Field of a user → the claim that contains its value."""
    rules: list[GroupRule]
    check_s: int
    """Seconds between two checks of a log-in at the provider; 0 = no checks."""
    check_grace_s: int
    """A log-in ends `check_s` + `check_grace_s` after its last successful check."""
    protocol: Protocol = "oidc"
    metadata_url: str = ""
    """SAML: the address of the metadata of the identity provider; empty = `metadata_xml` is used."""
    metadata_xml: str = ""
    subject_attribute: str = ""
    """SAML: the attribute that contains the subject; empty = the persistent NameID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOnProvider(ProviderFields):
    """A provider. `client_secret_encrypted` None = a public client, or SAML. `service_key_encrypted` None = OpenID
    Connect."""

    provider_id: str
    name: str
    client_secret_encrypted: bytes | None = field(repr=False)
    service_key_encrypted: bytes | None = field(default=None, repr=False)
    created: datetime
    num_logins: int
    revision: str = field(default="", compare=False)
    """Differs after each change of the row, and after `forget_keys`."""


FIELDS: Final = columns_of(ProviderFields)
BY_TITLE: Final = SortOrder("title")
_PROVIDERS: Final = ListDefinition(
    row_type=SignOnProvider,
    noun="sign-on provider",
    select=(
        qualified(FIELDS, "p")
        + ", p.provider_id::text, p.name, p.client_secret_encrypted, p.service_key_encrypted, p.created,"
        " p.xmin::text AS revision,"
        " (SELECT count(*) FROM provider_logins l WHERE l.provider_id = p.provider_id) AS num_logins"
    ),
    source="FROM sign_on_providers p",
    key="p.provider_id",
    columns={"title": ListColumn("lower(p.title)")},
    order=BY_TITLE,
)
list_providers: Final = _PROVIDERS.read
get_provider: Final = _PROVIDERS.get
lock_provider: Final = _PROVIDERS.lock


async def lock_unchanged_provider(connection: Connection, provider: SignOnProvider) -> bool:
    """Lock a provider against changes until the commit. Call this first in a transaction. Return False if the provider
    was deleted, was disabled, or got another issuer or client ID after `provider` was read."""
    cursor = await connection.execute(
        "SELECT 1 FROM sign_on_providers WHERE provider_id = %s AND enabled AND issuer = %s AND client_id = %s"
        " FOR SHARE",
        (provider.provider_id, provider.issuer, provider.client_id),
    )
    return await cursor.fetchone() is not None


async def find_provider(db: Database, name: str) -> SignOnProvider | None:
    """Return the provider with this name, also if the provider is disabled."""
    return await _PROVIDERS.find(db, "p.name = %s", (name,))


@dataclass(frozen=True, slots=True)
class ProviderButton:
    """The name and the title of an enabled provider, for the log-in page."""

    name: str
    title: str


async def list_buttons(db: Database) -> list[ProviderButton]:
    """Return the enabled providers, by title."""
    return await db.fetch_as(
        ProviderButton, "SELECT name, title FROM sign_on_providers WHERE enabled ORDER BY lower(title), name"
    )


async def insert_provider(
    connection: Connection,
    name: str,
    fields: ProviderFields,
    secret_encrypted: bytes | None,
    service_key_encrypted: bytes | None = None,
) -> str:
    """Store a provider, and return its id. Raises Duplicate: the name exists."""
    secrets = {"client_secret_encrypted": secret_encrypted, "service_key_encrypted": service_key_encrypted}
    columns: tuple[LiteralString, ...] = (*FIELDS, "name", "client_secret_encrypted", "service_key_encrypted")
    cursor = await connection.execute(
        "INSERT INTO sign_on_providers " + insert_values(columns) + " RETURNING provider_id::text",
        column_values(ProviderFields, fields, name=name, **secrets),
    )
    return (await returned_row(cursor))["provider_id"]


async def update_provider(
    connection: Connection, provider_id: str, fields: ProviderFields, secret_encrypted: bytes | None
) -> None:
    """Store the fields and the client secret of a provider. Call `lock_provider` before."""
    await connection.execute(
        "UPDATE sign_on_providers SET " + assignments((*FIELDS, "client_secret_encrypted")) + " WHERE provider_id ="
        " %(provider_id)s",
        {
            **column_values(ProviderFields, fields),
            "client_secret_encrypted": secret_encrypted,
            "provider_id": provider_id,
        },
    )


async def forget_keys(connection: Connection, provider_id: str) -> None:
    """Change the revision of a provider, so that every process reads its keys again."""
    await connection.execute("UPDATE sign_on_providers SET title = title WHERE provider_id = %s", (provider_id,))


async def delete_provider(connection: Connection, provider_id: str) -> None:
    """Delete a provider. The identities of its issuer remain valid for a new provider with the same issuer."""
    await connection.execute("DELETE FROM sign_on_providers WHERE provider_id = %s", (provider_id,))
    await connection.execute("DELETE FROM sign_on_problems WHERE source_id = %s", (provider_id,))


async def record_problem(db: Database, source_id: str, problem: str) -> None:
    """Store why no user can log in through a provider or a directory; empty = a log-in or a test succeeded."""
    if problem:
        await db.write(
            "INSERT INTO sign_on_problems (source_id, problem) VALUES (%s, %s)"
            " ON CONFLICT (source_id) DO UPDATE SET problem = excluded.problem",
            (source_id, problem),
        )
    else:
        await db.write("DELETE FROM sign_on_problems WHERE source_id = %s", (source_id,))


def column_values(kind: type, fields: Any, **others: object) -> dict[str, object]:
    """Return the values for the columns of a provider or a directory, with those of `others`. `kind` is the type of its
    changeable fields."""
    rules = Jsonb([asdict(rule) for rule in fields.rules])
    return values_of(kind, fields) | {"attributes": Jsonb(fields.attributes), "rules": rules} | others


@dataclass(frozen=True, slots=True)
class RuleGroup(Membership):
    """A group that a rule names. `permissions` are its grants (`core.access.roles`)."""

    permissions: list[str]


async def groups_of_rules(db: Database, rules: list[GroupRule]) -> list[RuleGroup]:
    """Return the existing groups that the rules name, by name."""
    return await db.fetch_as(
        RuleGroup,
        "SELECT group_id::text, name, ARRAY(SELECT gg.granted FROM group_grants gg WHERE gg.group_id = g.group_id)"
        " AS permissions FROM groups g WHERE group_id::text = ANY(%s) ORDER BY name",
        ([rule.group_id for rule in rules],),
    )


async def existing_groups(connection: Connection, group_ids: Collection[str]) -> list[Membership]:
    """Return the existing groups of `group_ids`, and lock them. A rule may name a deleted group."""
    cursor = await connection.execute(
        "SELECT group_id::text, name FROM groups WHERE group_id::text = ANY(%s) FOR KEY SHARE", (list(group_ids),)
    )
    return rows_as(Membership, await cursor.fetchall())


@dataclass(frozen=True, slots=True)
class LinkedIdentity:
    """An identity: the account `subject` at `issuer`, linked to a user. `last_used` is the time of the last log-in with
    the identity."""

    identity_id: str
    user_id: str
    issuer: str
    subject: str
    created: datetime
    last_used: datetime | None


_IDENTITY: Final[LiteralString] = "identity_id::text, user_id::text, issuer, subject, created, last_used"


async def list_identities(db: Database, user_id: str) -> list[LinkedIdentity]:
    """Return the identities of a user, oldest first."""
    return await db.fetch_as(
        LinkedIdentity,
        "SELECT " + _IDENTITY + " FROM identities WHERE user_id = %s ORDER BY created, identity_id",
        (user_id,),
    )


async def find_identity(connection: Connection, issuer: str, subject: str) -> LinkedIdentity | None:
    """Return the identity with this issuer and subject; None if it is not linked to a user."""
    cursor = await connection.execute(
        "SELECT " + _IDENTITY + " FROM identities WHERE issuer = %s AND subject = %s", (issuer, subject)
    )
    return row_as(LinkedIdentity, await cursor.fetchone())


async def record_identity_use(connection: Connection, issuer: str, subject: str, user_id: str) -> bool:
    """Store the time of this use of an identity. Call `users.lock_user` before. Return False if the identity is not
    linked to the user."""
    cursor = await connection.execute(
        "UPDATE identities SET last_used = now() WHERE issuer = %s AND subject = %s AND user_id = %s",
        (issuer, subject, user_id),
    )
    return cursor.rowcount > 0


async def insert_identity(connection: Connection, user_id: str, issuer: str, subject: str) -> LinkedIdentity:
    """Link an identity to a user. Raises Duplicate: the identity is already linked to a user."""
    cursor = await connection.execute(
        "INSERT INTO identities (user_id, issuer, subject) VALUES (%s, %s, %s) RETURNING " + _IDENTITY,
        (user_id, issuer, subject),
    )
    return require_row(row_as(LinkedIdentity, await cursor.fetchone()), "identity", subject)


async def delete_identity(connection: Connection, user_id: str, identity_id: str) -> LinkedIdentity:
    """Unlink an identity of a user and return it. Raises NotFound: the user has no identity with this id."""
    cursor = await connection.execute(
        "DELETE FROM identities WHERE user_id = %s AND identity_id = %s RETURNING " + _IDENTITY, (user_id, identity_id)
    )
    return require_row(row_as(LinkedIdentity, await cursor.fetchone()), "identity", identity_id)


async def list_issuers(db: Database) -> list[str]:
    """Return the issuers of all providers and directories."""
    rows = await db.fetch(
        "SELECT issuer FROM sign_on_providers UNION SELECT 'directory:' || directory_id FROM directories ORDER BY 1"
    )
    return [row["issuer"] for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProviderLogin:
    """The data of a new log-in through a provider. `sid` is the id of the log-in at the provider. `first_check_s` is
    the number of seconds until the first check of the log-in; None = no checks."""

    provider_id: str
    subject: str
    sid: str | None
    id_token_encrypted: bytes = field(repr=False)
    refresh_token_encrypted: bytes | None = field(repr=False)
    first_check_s: int | None


async def insert_provider_login(connection: Connection, login_id: str, login: NewProviderLogin) -> None:
    """Store the data of a new log-in through a provider."""
    await connection.execute(
        "INSERT INTO provider_logins (login_id, provider_id, subject, sid, id_token_encrypted, refresh_token_encrypted,"
        " due) VALUES (%(login_id)s, %(provider_id)s, %(subject)s, %(sid)s, %(id_token_encrypted)s,"
        " %(refresh_token_encrypted)s, now() + make_interval(secs => %(first_check_s)s))",
        {**asdict(login), "login_id": login_id},
    )


@dataclass(frozen=True, slots=True)
class ProviderLogin:
    """A log-in through a provider, with its ID token."""

    login_id: str
    user_id: str
    username: str
    id_token_encrypted: bytes = field(repr=False)


async def logins_at_provider(
    db: Database, provider_id: str, *, subject: str | None = None, sid: str | None = None
) -> list[ProviderLogin]:
    """Return the log-ins through a provider, only of `subject` or with the id `sid` at the provider if they are set."""
    return await db.fetch_as(
        ProviderLogin,
        "SELECT p.login_id::text, l.user_id::text, u.username, p.id_token_encrypted FROM provider_logins p"
        " JOIN login_sessions l USING (login_id) JOIN users u USING (user_id) WHERE p.provider_id = %(provider_id)s"
        " AND (%(subject)s::text IS NULL OR p.subject = %(subject)s) AND (%(sid)s::text IS NULL OR p.sid = %(sid)s)"
        " ORDER BY l.user_id, p.login_id",
        {"provider_id": provider_id, "subject": subject, "sid": sid},
    )


async def logins_of_identity(db: Database, user_id: str, issuer: str, subject: str) -> list[ProviderLogin]:
    """Return the log-ins of a user through an identity."""
    return await db.fetch_as(
        ProviderLogin,
        "SELECT p.login_id::text, l.user_id::text, u.username, p.id_token_encrypted FROM provider_logins p"
        " JOIN login_sessions l USING (login_id) JOIN users u USING (user_id)"
        " JOIN sign_on_providers s USING (provider_id) WHERE l.user_id = %s AND s.issuer = %s AND p.subject = %s"
        " ORDER BY p.login_id",
        (user_id, issuer, subject),
    )


@dataclass(frozen=True, slots=True)
class LogoutHint:
    """The data with which a browser ends a log-in also at the provider. For SAML, `id_token_encrypted` contains the
    NameID as JSON."""

    provider_name: str
    sid: str | None
    id_token_encrypted: bytes = field(repr=False)


async def find_logout_hint(db: Database, token_hash: bytes) -> LogoutHint | None:
    """Return the hint of the log-in with this token; None if it is not a log-in through a provider."""
    return await db.fetch_one_as(
        LogoutHint,
        "SELECT s.name AS provider_name, p.sid, p.id_token_encrypted FROM provider_logins p"
        " JOIN sign_on_providers s USING (provider_id) JOIN login_sessions l USING (login_id) WHERE l.token_hash = %s",
        (token_hash,),
    )


RETAKE_AFTER_S: Final = 60.0
"""The time after which a check is due again, if the process that took the log-in has stored no result."""


@dataclass(frozen=True, slots=True)
class DueLogin:
    """A log-in whose check is due. The refresh token may be sent only to `issuer` with `client_id`. `unchecked_s` is
    the number of seconds since the last successful check."""

    login_id: str
    user_id: str
    username: str
    provider_id: str
    issuer: str
    client_id: str
    refresh_token_encrypted: bytes | None = field(repr=False)
    unchecked_s: float


async def take_due_logins(db: Database, limit: int) -> list[DueLogin]:
    """Return up to `limit` log-ins whose check is due. No other process takes the same log-ins within
    `RETAKE_AFTER_S`."""
    rows = await db.write(
        "UPDATE provider_logins p SET due = clock_timestamp() + make_interval(secs => %(retake_after_s)s)"
        " FROM login_sessions l, users u, sign_on_providers s WHERE l.login_id = p.login_id AND u.user_id = l.user_id"
        " AND s.provider_id = p.provider_id AND p.login_id = ANY(ARRAY(SELECT login_id FROM provider_logins"
        "  WHERE due <= clock_timestamp() ORDER BY due LIMIT %(limit)s"
        "  FOR NO KEY UPDATE SKIP LOCKED)) RETURNING p.login_id::text, l.user_id::text, u.username,"
        " p.provider_id::text, s.issuer, s.client_id, p.refresh_token_encrypted,"
        " extract(epoch FROM clock_timestamp() - p.checked)::double precision AS unchecked_s",
        {"retake_after_s": RETAKE_AFTER_S, "limit": limit},
    )
    return rows_as(DueLogin, rows)


async def record_check(
    db: Database, login: DueLogin, refresh_token_encrypted: bytes | None, *, next_check_s: float | None, passed: bool
) -> None:
    """Store the result of a check, the refresh token, and the time until the next check; None = no further checks.

    Nothing is stored if the provider has got another issuer or client ID, or if another check has stored a refresh
    token meanwhile.
    """
    await db.write(
        "UPDATE provider_logins p SET refresh_token_encrypted = %s, due = now() + make_interval(secs => %s),"
        " checked = CASE WHEN %s THEN now() ELSE checked END FROM sign_on_providers s WHERE p.login_id = %s"
        " AND p.refresh_token_encrypted IS NOT DISTINCT FROM %s"
        " AND s.provider_id = p.provider_id AND s.issuer = %s AND s.client_id = %s",
        (
            *(refresh_token_encrypted, next_check_s, passed),
            *(login.login_id, login.refresh_token_encrypted, login.issuer, login.client_id),
        ),
    )

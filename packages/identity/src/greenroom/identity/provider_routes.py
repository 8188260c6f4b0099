"""Routes with which administrators manage providers: settings, a test, and a preview of rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from fastapi import Request

from greenroom.api.bodies import Json
from greenroom.api.deps import ChangeDep, Db
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
from greenroom.api.security import console_origin, requires
from greenroom.core.access.roles import codes_granted
from greenroom.core.diagnostics.attention import no_log_in
from greenroom.core.errors import Invalid, Refused
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.core.text import one_line
from greenroom.db.database import Connection
from greenroom.db.rows import values_of
from greenroom.identity import rules, statements
from greenroom.identity.attempts import redirect_uri
from greenroom.identity.checks import end_logins
from greenroom.identity.context import SignOnContext, SignOnContextDep
from greenroom.identity.diagnosis import Diagnosis, OidcDiagnosis, StepResult
from greenroom.identity.grants import (
    check_attributes,
    parse_rules,
    require_permission_to_grant,
    require_right_over_identities,
)
from greenroom.identity.provider import issuer_problem
from greenroom.identity.saml import statements as saml_statements
from greenroom.identity.saml.diagnosis import SamlDiagnosis
from greenroom.identity.saml.documents import SamlRefused
from greenroom.identity.saml.metadata import parse_metadata
from greenroom.identity.saml.signatures import new_service_key
from greenroom.identity.schemas import (
    DiagnosisStep,
    DiagnosisView,
    PreviewGroup,
    PreviewRequest,
    PreviewView,
    ProviderCreate,
    ProviderPatch,
    ProviderView,
)
from greenroom.identity.scim.access import require_rights_of_client
from greenroom.identity.scim.statements import hold_clients_of_provider
from greenroom.identity.statements import GroupRule, ProviderFields, SignOnProvider

router = api_router("sign-on")


@router.get("/sign-on-providers", dependencies=[requires("settings_view")])
async def list_sign_on_providers(db: Db, page: Paging, request: Request) -> list[ProviderView]:
    """List all providers by title."""
    listed = await statements.list_providers(db, after=page.after_row(statements.BY_TITLE), limit=page.limit)
    return [_view(provider, request) for provider in page.rows(listed, statements.BY_TITLE)]


@router.post("/sign-on-providers", status_code=201, dependencies=[requires("settings_modify")])
async def create_sign_on_provider(
    body: ProviderCreate, change: ChangeDep, context: SignOnContextDep, request: Request
) -> ProviderView:
    """Create a provider. Its client secret is encrypted and never returned. An enabled provider is tested; `warnings`
    has the result.

    Rules also need `groups_modify` and the permissions of their groups, and `create_users` needs `users_create`.
    """
    values = body.model_dump(exclude={"name", "client_secret"})
    fields = _parse_fields(values, has_secret=body.client_secret is not None)
    await require_permission_to_grant(change.db, change.caller, fields)
    if fields.protocol == "saml":
        await require_right_over_identities(change.db, change.caller, fields.issuer)
    secret = body.client_secret.get_secret_value() if body.client_secret else None
    encrypted = change.secrets.encrypt(secret) if secret else None
    key = await _new_service_key(change, body.name) if fields.protocol == "saml" else None
    async with change.db.transaction() as connection:
        await _require_own_issuer(connection, fields, None)
        provider_id = await statements.insert_provider(connection, body.name, fields, encrypted, key)
    created = await statements.get_provider(change.db, provider_id)
    change.audit(LogCode.SIGN_ON_PROVIDER_CREATED, created.title, after=_audit_values(created))
    return await _tested_view(created, context, request)


@router.post("/sign-on-providers/preview", dependencies=[requires("settings_modify")])
async def preview_sign_on_rules(body: PreviewRequest, db: Db) -> PreviewView:
    """Show what attributes and rules would do with the claims of a sample. Nothing is stored."""
    claims = rules.sample_claims(body.sample)
    check_attributes(body.attributes)
    group_rules = [GroupRule(rule.claim, rule.value, str(rule.group_id)) for rule in body.rules]
    matching = await asyncio.to_thread(rules.matching_rules, group_rules, claims)
    groups_of_user = await statements.groups_of_rules(db, [group_rules[position] for position in matching])
    profile = rules.user_profile(body.attributes, claims)
    return PreviewView(
        username=profile.username,
        problem=profile.problem,
        fields=profile.fields,
        groups=[
            PreviewGroup.of(group, permissions=sorted(codes_granted(group.permissions))) for group in groups_of_user
        ],
        matching_rules=matching,
    )


@router.get("/sign-on-providers/{provider_id}", dependencies=[requires("settings_view")])
async def get_sign_on_provider(provider_id: UUID, db: Db, request: Request) -> ProviderView:
    """Return one provider."""
    return _view(await statements.get_provider(db, str(provider_id)), request)


@router.patch("/sign-on-providers/{provider_id}", dependencies=[requires("settings_modify")])
async def update_sign_on_provider(
    provider_id: UUID, body: ProviderPatch, change: ChangeDep, context: SignOnContextDep, request: Request
) -> ProviderView:
    """Change a provider; omitted fields keep their values. Its log-ins end if the provider is disabled, or gets another
    issuer or client ID.

    A change of a provider with rules also needs `groups_modify`, and a new rule the permissions of its group. Another
    issuer, client ID, metadata or subject attribute needs the permissions of the groups of all rules, the right over
    each user who is linked to the old or the new issuer, and the rights for a new token of each SCIM client of the
    provider.
    """
    sent = body.sent_fields()
    async with change.db.transaction() as connection:
        before = await statements.lock_provider(connection, str(provider_id))
        await require_permission_to_grant(change.db, change.caller, before, kept=before.rules, groups_must_exist=False)
        encrypted = before.client_secret_encrypted
        if "client_secret" in sent:
            secret = sent.pop("client_secret")
            encrypted = change.secrets.encrypt(secret.get_secret_value()) if secret else None
        elif encrypted is not None and sent.get("issuer", before.issuer) != before.issuer:
            raise Invalid("The stored client secret is not sent to another issuer. Set `client_secret`, too.")
        fields = _parse_fields(
            values_of(ProviderFields, before) | body.model_dump(include=set(sent)), has_secret=encrypted is not None
        )
        is_redirected = _trust(fields) != _trust(before)
        kept = () if is_redirected else before.rules
        await require_permission_to_grant(change.db, change.caller, fields, kept=kept)
        if is_redirected:
            await _require_right_to_redirect(change, connection, before, fields.issuer)
        await _require_own_issuer(connection, fields, before.provider_id)
        is_other_client = (fields.issuer, fields.client_id) != (before.issuer, before.client_id)
        if is_other_client:  # the other client must not get the refresh tokens, so the log-ins end first
            await _disable(connection, before)
        else:
            await statements.update_provider(connection, before.provider_id, fields, encrypted)
    if is_other_client:
        reason = f"{before.title} was given another issuer or client ID."
        async with _end_logins_and_lock(change, context, before, reason) as connection:
            await _require_own_issuer(connection, fields, before.provider_id)
            await statements.update_provider(connection, before.provider_id, fields, encrypted)
    after = await statements.get_provider(change.db, before.provider_id)
    old, new = _audit_values(before), _audit_values(after)
    if encrypted != before.client_secret_encrypted:
        old, new = old | {"signing": "as before"}, new | {"signing": "changed"}  # the log masks `client_secret`
    change.audit(LogCode.SIGN_ON_PROVIDER_CHANGED, after.title, before=old, after=new)
    if not after.enabled:
        logins = await statements.logins_at_provider(change.db, after.provider_id)
        await end_logins(context, logins, f"{after.title} was disabled.")
    return await _tested_view(after, context, request)


@router.post(
    "/sign-on-providers/{provider_id}/forget-keys", status_code=204, dependencies=[requires("settings_modify")]
)
async def forget_sign_on_keys(provider_id: UUID, change: ChangeDep) -> None:
    """Read the keys of a provider, or its SAML metadata, again. From now on, no api accepts a key that the provider has
    withdrawn. Without this call, a withdrawn key is accepted for at most 10 minutes."""
    async with change.db.transaction() as connection:
        provider = await statements.lock_provider(connection, str(provider_id))
        await statements.forget_keys(connection, provider.provider_id)
    keys = {"keys": "read again"}
    change.audit(LogCode.SIGN_ON_PROVIDER_CHANGED, provider.title, before={"keys": "cached"}, after=keys)


@router.delete("/sign-on-providers/{provider_id}", status_code=204, dependencies=[requires("settings_modify")])
async def delete_sign_on_provider(provider_id: UUID, change: ChangeDep, context: SignOnContextDep) -> None:
    """Delete a provider. Its log-ins end. Users and their identities remain. The caller needs the same permissions as
    for another issuer."""
    async with change.db.transaction() as connection:
        before = await statements.lock_provider(connection, str(provider_id))
        await _require_right_to_redirect(change, connection, before, before.issuer)
        await require_permission_to_grant(change.db, change.caller, before, kept=before.rules, groups_must_exist=False)
        await _disable(connection, before)
    async with _end_logins_and_lock(change, context, before, f"{before.title} was deleted.") as connection:
        await statements.delete_provider(connection, before.provider_id)
    change.audit(LogCode.SIGN_ON_PROVIDER_DELETED, before.title, before=_audit_values(before))


async def _disable(connection: Connection, provider: SignOnProvider) -> None:
    """Disable a locked provider. After the commit, no log-in through the provider begins."""
    disabled = replace(provider, enabled=False)
    await statements.update_provider(connection, provider.provider_id, disabled, provider.client_secret_encrypted)


@asynccontextmanager
async def _end_logins_and_lock(
    change: CallerChange, context: SignOnContext, before: SignOnProvider, reason: str
) -> AsyncGenerator[Connection]:
    """End the log-ins of a disabled provider, and yield a transaction that locks the provider. `before` is the provider
    before `_disable`. If the block fails, the provider remains disabled, and a log row states this.

    Raises:
        NotFound: the provider was deleted meanwhile.
        Refused: the provider was changed meanwhile.
    """
    after = replace(before, enabled=False, num_logins=0)
    try:
        await end_logins(context, await statements.logins_at_provider(change.db, before.provider_id), reason)
        async with change.db.transaction() as connection:
            if await statements.lock_provider(connection, before.provider_id) != after:
                raise Refused(f"{before.title} was changed at the same time, and may be disabled now. Try again.")
            yield connection
    except BaseException:
        old, new = _audit_values(before), _audit_values(after)
        change.audit(LogCode.SIGN_ON_PROVIDER_CHANGED, before.title, before=old, after=new)
        raise


@router.post("/sign-on-providers/{provider_id}/test", dependencies=[requires("settings_modify")])
async def test_sign_on_provider(provider_id: UUID, context: SignOnContextDep, request: Request) -> DiagnosisView:
    """Test a provider step by step, up to the first step that fails. No user is logged in."""
    results = await _run_test(await statements.get_provider(context.db, str(provider_id)), context, request)
    return DiagnosisView(passed=results[-1].passed, steps=[DiagnosisStep.model_validate(result) for result in results])


def _parse_fields(values: Json, *, has_secret: bool) -> ProviderFields:
    """Return the fields of a provider. Raises Invalid: a value is not valid."""
    fields = replace(ProviderFields(**values), rules=parse_rules(values["rules"]))
    if fields.protocol == "saml":
        _check_saml(fields, has_secret=has_secret)
    else:
        _check_oidc(fields)
    check_attributes(fields.attributes)
    return fields


def _check_oidc(fields: ProviderFields) -> None:
    if problem := issuer_problem(fields.issuer):
        raise Invalid(problem)
    if "openid" not in fields.scopes.split():
        raise Invalid("The scopes must contain `openid`, because the provider sends no ID token without it.")
    if fields.metadata_url or fields.metadata_xml or fields.subject_attribute:
        raise Invalid("Only SAML providers have metadata and a subject attribute.")


def _check_saml(fields: ProviderFields, *, has_secret: bool) -> None:
    if has_secret:
        raise Invalid("A SAML provider has no client secret; Greenroom creates the key.")
    if fields.check_s:
        raise Invalid("SAML has no checks of log-ins; set `check_s` to 0.")
    if bool(fields.metadata_url) == bool(fields.metadata_xml):
        raise Invalid("A SAML provider needs either `metadata_url` or `metadata_xml`.")
    if fields.metadata_url and issuer_problem(fields.metadata_url.partition("?")[0]):
        raise Invalid("`metadata_url` must be an https address, because the keys are read from it.")
    if fields.metadata_xml:
        try:
            parse_metadata(fields.metadata_xml.encode(), fields.issuer, datetime.now(UTC))
        except SamlRefused as error:
            raise Invalid(str(error)) from error


async def _require_own_issuer(connection: Connection, fields: ProviderFields, provider_id: str | None) -> None:
    """Check that no other provider shares its identities with a SAML provider. Anyone can claim an entity ID, so the
    metadata of one provider could otherwise confirm the users of another. Raises Invalid: another provider, or a
    directory, has this issuer."""
    is_saml = fields.protocol == "saml"
    if is_saml and fields.issuer.startswith("directory:"):
        raise Invalid("An entity ID must not begin with `directory:`, as the issuers of directories do.")
    if await saml_statements.is_issuer_taken(connection, fields.issuer, provider_id, by_any=is_saml):
        raise Invalid(
            f"Another provider has the issuer {fields.issuer}, and a SAML provider shares its issuer with none."
        )


def _trust(fields: ProviderFields) -> tuple[str, ...]:
    """Return the fields that determine who can confirm which user."""
    return fields.issuer, fields.client_id, fields.metadata_url, fields.metadata_xml, fields.subject_attribute


async def _require_right_to_redirect(
    change: CallerChange, connection: Connection, provider: SignOnProvider, issuer: str
) -> None:
    """Check that the caller may decide who logs in as the users of a provider: those linked to its issuer or to the new
    `issuer`, and those of its SCIM clients, which link their users to the new issuer. Raises Forbidden: a permission
    is missing."""
    for each in {provider.issuer, issuer}:
        await require_right_over_identities(change.db, change.caller, each)
    for client_id in await hold_clients_of_provider(connection, provider.provider_id):
        await require_rights_of_client(change.caller, connection, client_id)


async def _new_service_key(change: CallerChange, name: str) -> bytes:
    key = await asyncio.to_thread(new_service_key, name)
    return change.secrets.encrypt(msgspec.json.encode(key).decode())


def _diagnosis_of(provider: SignOnProvider, context: SignOnContext, request: Request) -> Diagnosis:
    origin = console_origin(request)
    if provider.protocol == "saml":
        return SamlDiagnosis(context, provider, origin)
    return OidcDiagnosis(provider, context.client_secret(provider), redirect_uri(origin, provider.name))


async def _tested_view(provider: SignOnProvider, context: SignOnContext, request: Request) -> ProviderView:
    """Return the view of a saved provider. If users see it on the log-in page but cannot log in, it has a warning."""
    if not provider.enabled:
        return _view(provider, request)
    last = (await _run_test(provider, context, request))[-1]
    return _view(provider, request, [] if last.passed else [no_log_in(provider.title, last.detail)])


async def _run_test(provider: SignOnProvider, context: SignOnContext, request: Request) -> list[StepResult]:
    """Test a provider. Today lists it if the test fails."""
    results = await _diagnosis_of(provider, context, request).run()
    await statements.record_problem(
        context.db, provider.provider_id, "" if results[-1].passed else one_line(results[-1].detail)
    )
    return results


def _view(provider: SignOnProvider, request: Request, warnings: Sequence[str] = ()) -> ProviderView:
    callback = redirect_uri(console_origin(request), provider.name)
    address = callback.removesuffix("callback")
    return ProviderView.of(
        provider,
        service_metadata_uri=f"{address}metadata" if provider.protocol == "saml" else None,
        has_client_secret=provider.client_secret_encrypted is not None,
        redirect_uri=callback,
        warnings=list(warnings),
        backchannel_logout_uri=f"{address}backchannel-logout",
        frontchannel_logout_uri=f"{address}frontchannel-logout",
    )


def _audit_values(provider: SignOnProvider) -> LogDetails:
    values: dict[str, Any] = values_of(ProviderFields, provider)
    if provider.metadata_xml:
        values["metadata_xml"] = f"SHA-256 {sha256(provider.metadata_xml.encode()).hexdigest()}"
    return values | {"rules": [f"{rule.claim} = {rule.value} → {rule.group_id}" for rule in provider.rules]}

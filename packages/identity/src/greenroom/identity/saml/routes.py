"""Routes of log-ins at SAML identity providers: the metadata of Greenroom, and the address for responses."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from greenroom.api.deps import FailedAttemptsDep
from greenroom.api.problems import api_router
from greenroom.api.security import console_origin, public_route
from greenroom.core.errors import Invalid, NotFound
from greenroom.core.text import one_line
from greenroom.identity.attempts import redirect_uri
from greenroom.identity.context import SignOnContextDep
from greenroom.identity.provider import ProviderFailed
from greenroom.identity.refusals import SignOnRefused
from greenroom.identity.saml import logout, service
from greenroom.identity.saml.documents import SamlRefused
from greenroom.identity.saml.metadata import service_metadata

router = api_router("account")

MAX_STATE_CHARACTERS: Final = 80
"""The maximum length of a relay state in the SAML standard."""


def log_out_uri(origin: str, provider: str) -> str:
    """Return the address for log-out messages of an identity provider."""
    return f"{origin}/api/v1/sign-on/{provider}/saml-logout"


@router.get(
    "/sign-on/{provider_name}/metadata",
    dependencies=[public_route("identity providers read the metadata, which contains no secret")],
    include_in_schema=False,
)
async def read_service_metadata(provider_name: str, request: Request, context: SignOnContextDep) -> Response:
    """Return the SAML metadata of Greenroom for the identity provider. 404 if there is no such SAML provider."""
    try:
        provider = await context.enabled_provider(provider_name, "saml")
    except SignOnRefused as error:
        raise NotFound(error.refusal.sentence) from error
    callback = redirect_uri(console_origin(request), provider.name)
    log_out = log_out_uri(console_origin(request), provider.name)
    certificate = service.service_key_of(context, provider).x509
    content = service_metadata(provider.client_id, callback, log_out, certificate)
    return Response(content, media_type="application/samlmetadata+xml")


@router.post(
    "/sign-on/{provider_name}/callback",
    dependencies=[public_route("the signed response of the identity provider is the credential")],
    include_in_schema=False,
)
async def receive_saml_response(
    provider_name: str, request: Request, context: SignOnContextDep, failed_attempts: FailedAttemptsDep
) -> Response:
    """Check the response of an identity provider, and redirect to the callback with the code of the answer. Cookies
    have no effect.

    429 with Retry-After after too many refused answers from one address.
    """
    name = one_line(provider_name)
    failed_attempts.admit(request, "sign-on", f"through {name}")
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    try:
        provider = await context.enabled_provider(provider_name, "saml")
        recipient = redirect_uri(console_origin(request), provider.name)
        code = await service.receive_response(context, provider, form.get("SAMLResponse", [""])[0], recipient)
    except SignOnRefused as refused:
        failed_attempts.count_failure(request, "sign-on")
        await context.log_refusal(request, name, refused.refusal, refused.cause)
        return RedirectResponse(f"/?{urlencode({'sign-on': str(refused.refusal)})}", 303)
    return RedirectResponse(
        f"{recipient}?{urlencode({'state': form.get('RelayState', [''])[0][:MAX_STATE_CHARACTERS], 'code': code})}", 303
    )


@router.get(
    "/sign-on/{provider_name}/saml-logout",
    dependencies=[public_route("the signed request of the identity provider is the credential")],
    include_in_schema=False,
)
async def log_out_by_saml(
    provider_name: str, request: Request, context: SignOnContextDep, failed_attempts: FailedAttemptsDep
) -> Response:
    """End the log-ins that a log-out request of the identity provider names, and redirect to the identity provider. An
    answer to a log-out request of Greenroom redirects to the console.

    429 with Retry-After after too many wrong requests from one address.
    """
    if "SAMLResponse" in request.query_params:
        return RedirectResponse("/", 303)
    name = one_line(provider_name)
    try:
        provider = await context.enabled_provider(provider_name, "saml")
        address = log_out_uri(console_origin(request), provider.name)
        answer = await logout.answer_request(context, provider, request.url.query, address)
    except (SignOnRefused, ProviderFailed, SamlRefused) as error:
        if not isinstance(error, ProviderFailed):
            failed_attempts.count_wrong_key(request, f"by a log-out request of {name}")
        context.refusals.log_refused_sign_on(request, name, "log-out", f"The log-out request was refused: {error}")
        raise Invalid("The log-out request was refused.") from error
    if answer is None:
        return Response("You are logged out.", media_type="text/plain")
    return RedirectResponse(answer, 303)

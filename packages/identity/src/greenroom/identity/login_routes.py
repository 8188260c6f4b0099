"""Routes for log-in and log-out through providers. Browsers and the providers call them.

The log-in page reads only the database, so that a provider that hangs delays no other user. After a refusal, the
callback redirects to the log-in page, with the code of the reason in the address. The log contains the true cause.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from greenroom.api.access import login_routes
from greenroom.api.access.login_tokens import set_login_cookie
from greenroom.api.deps import Db, FailedAttemptsDep, Logs
from greenroom.api.hardening import LOGIN_COOKIE
from greenroom.api.problems import api_router
from greenroom.api.security import Caller, authenticate, client_address, console_origin, public_route, requires
from greenroom.core.errors import Forbidden, NotFound, SetupError, Unauthenticated, Unavailable
from greenroom.core.text import one_line
from greenroom.db.access import credentials
from greenroom.identity import attempts, statements
from greenroom.identity.attempts import Attempt, new_attempt
from greenroom.identity.callback import ConfirmedUser, UserBrowser, confirm_user, link_identity, log_in
from greenroom.identity.checks import end_logins
from greenroom.identity.context import SignOnContext, SignOnContextDep
from greenroom.identity.provider import ProviderFailed
from greenroom.identity.refusals import Refusal, SignOnRefused
from greenroom.identity.saml import logout as saml_logout
from greenroom.identity.saml import service as saml
from greenroom.identity.schemas import AddressView, ButtonView, LinkStart, LogoutView, SignOnView, StartBody
from greenroom.identity.statements import SignOnProvider
from greenroom.identity.tokens import TokenRefused, issue_time_s, logout_claims

MAX_HINT_CHARACTERS = 4000
"""The maximum length of an ID token in the address of a log-out (`id_token_hint`). A longer token is omitted."""
MAX_LOGIN_AGE_S = 15 * 60
"""The maximum age of a log-in that links an identity."""
MAX_CLOCK_DIFFERENCE_S = 5
"""The permitted difference between the clocks of several hosts of one provider."""

router = api_router("account")


@router.get("/sign-on", dependencies=[public_route("the log-in page shows the providers")])
async def list_sign_on(context: SignOnContextDep) -> SignOnView:
    """List the providers for the log-in page. No provider is contacted."""
    buttons = await statements.list_buttons(context.db)
    sentences = {str(refusal): refusal.sentence for refusal in Refusal}
    return SignOnView(providers=[ButtonView.model_validate(button) for button in buttons], refusals=sentences)


@router.post("/sign-on/{provider_name}/start", dependencies=[public_route("this is where a log-in begins")])
async def start_sign_on(
    provider_name: str, body: StartBody, request: Request, response: Response, context: SignOnContextDep
) -> AddressView:
    """Begin a log-in through a provider. The browser then goes to the address in the answer.

    503 if the provider does not answer.
    """
    return await _begin_attempt(context, request, response, provider_name, path=body.next)


@router.post("/me/identities", status_code=201)
async def start_link(
    body: LinkStart,
    request: Request,
    response: Response,
    context: SignOnContextDep,
    caller: Annotated[Caller, requires()],
) -> AddressView:
    """Begin to link an identity to the calling user. The browser then goes to the address in the answer.

    403 if the log-in is older than 15 minutes, or a program requested it. Otherwise, a person at a browser that was
    left unlocked, or a program, could get permanent access to the account.
    """
    caller.own_user_id()
    token_hash = caller.token_hash or b""
    if not await credentials.is_confirmed_login(context.db, token_hash, MAX_LOGIN_AGE_S):
        raise Forbidden(
            "Your log-in is older than 15 minutes, or a program requested it. Log out and in again, and then link the"
            " identity."
        )
    return await _begin_attempt(context, request, response, body.provider, path="/account", link_to=token_hash.hex())


async def _begin_attempt(
    context: SignOnContext,
    request: Request,
    response: Response,
    provider_name: str,
    *,
    path: str,
    link_to: str | None = None,
) -> AddressView:
    try:
        provider = await context.enabled_provider(provider_name)
        attempt = new_attempt(provider, console_origin(request), path=path, link_to=link_to)
        url = await _log_in_url(context, provider, attempt)
    except SignOnRefused as error:
        raise NotFound(error.refusal.sentence) from error
    except ProviderFailed as error:
        await context.log_refusal(request, provider_name, Refusal.PROVIDER_DOWN, str(error))
        raise Unavailable(Refusal.PROVIDER_DOWN.sentence) from error
    attempts.store_attempt(request, response, context.secrets, attempt)
    return AddressView(url=url)


async def _log_in_url(context: SignOnContext, provider: SignOnProvider, attempt: Attempt) -> str:
    """Return the address at which the user logs in. Raises ProviderFailed: the provider cannot be used."""
    if provider.protocol == "saml":
        return await saml.log_in_url(context, provider, attempt)
    client = await context.oidc_client(provider)
    return client.authorization_url(
        attempt.redirect_uri, state=attempt.state, nonce=attempt.nonce, verifier=attempt.verifier
    )


@router.get(
    "/sign-on/{provider_name}/callback",
    dependencies=[public_route("the state in a cookie and the code are the credential")],
    include_in_schema=False,
)
async def finish_sign_on(
    provider_name: str,
    request: Request,
    context: SignOnContextDep,
    failed_attempts: FailedAttemptsDep,
    state: str = "",
    code: str = "",
    error: str = "",
    iss: str = "",
) -> Response:
    """Complete the sign-on with the parameters from the provider, and redirect to the page that the user requested.

    429 with Retry-After after too many refused answers from one address.
    """
    failed_attempts.admit(request, "sign-on", f"through {one_line(provider_name)}")
    attempt = attempts.find_attempt(request, context.secrets, provider_name, state)
    try:
        response = await _complete_sign_on(attempt, request, context, _ProviderAnswer(state, code, error, iss))
    except SignOnRefused as refused:
        failed_attempts.count_failure(request, "sign-on")
        await context.log_refusal(request, one_line(provider_name), refused.refusal, refused.cause)
        path = attempt.next if attempt and attempt.link_to else "/"
        response = RedirectResponse(f"{path}?{urlencode({'sign-on': str(refused.refusal)})}", 303)
    attempts.delete_attempt(response, state)
    return response


class _ProviderAnswer:
    """The parameters with which a provider sends a user back."""

    def __init__(self, state: str, code: str, error: str, iss: str) -> None:
        self.state = state
        self.code = code
        self.error = error
        self.iss = iss

    def check(self, provider: SignOnProvider, *, requires_issuer: bool) -> None:
        """Check the issuer and the error. Raises SignOnRefused: another provider answers, or there is an error."""
        if self.iss != provider.issuer and (self.iss or requires_issuer):
            cause = f"The answer is from the issuer {self.iss!r} instead of {provider.issuer!r}."
            raise SignOnRefused(Refusal.WRONG_TOKEN, cause)
        if self.error or not self.code:
            raise SignOnRefused(Refusal.PROVIDER_REFUSED, f"The provider answered with {self.error or 'no code'!r}.")


async def _complete_sign_on(
    attempt: Attempt | None, request: Request, context: SignOnContext, answer: _ProviderAnswer
) -> Response:
    if attempt is None:
        raise SignOnRefused(Refusal.UNKNOWN_ATTEMPT, "The browser has not begun a log-in with this state.")
    provider = await context.enabled_provider(attempt.provider)
    if provider.issuer != attempt.issuer:
        cause = f"The log-in began at the issuer {attempt.issuer!r}; that of the provider is {provider.issuer!r} now."
        raise SignOnRefused(Refusal.UNKNOWN_ATTEMPT, cause)
    confirmed = await _confirm_user(context, provider, attempt, answer)
    response = RedirectResponse(attempt.next, 303)
    if attempt.link_to is None:
        user_agent = request.headers.get("user-agent", "").replace("\0", "")
        browser = UserBrowser(client_address(request), user_agent, request.cookies.get(LOGIN_COOKIE))
        token = await log_in(context, confirmed, browser)
        set_login_cookie(response, token, context.snapshot.installation.session_lifetime_s)
        return response
    try:
        caller = await authenticate(request)
    except Unauthenticated as error:
        raise SignOnRefused(Refusal.LINK_ENDED, "The log-in that began the link has ended.") from error
    await link_identity(context, confirmed, attempt, caller.own_user_id(), caller.token_hash or b"")
    return response


async def _confirm_user(
    context: SignOnContext, provider: SignOnProvider, attempt: Attempt, answer: _ProviderAnswer
) -> ConfirmedUser:
    if provider.protocol == "saml":
        return await saml.confirm_user(context, provider, attempt, answer.code)
    try:
        endpoints = await context.provider_cache.endpoints(provider)
    except ProviderFailed as error:
        raise SignOnRefused(Refusal.PROVIDER_DOWN, str(error)) from error
    answer.check(provider, requires_issuer=endpoints.requires_issuer)
    return await confirm_user(context, provider, attempt, answer.code)


@router.post("/sign-on/logout")
async def log_out_at_provider(
    request: Request,
    response: Response,
    db: Db,
    logs: Logs,
    context: SignOnContextDep,
    caller: Annotated[Caller, requires(with_one_time_password=True)],
) -> LogoutView:
    """End this log-in as `POST /logout` does. The answer has the address at which the browser can end the log-in at the
    provider, too."""
    hint = await statements.find_logout_hint(db, caller.token_hash or b"")
    await login_routes.logout(response, db, logs, caller)
    provider = await statements.find_provider(db, hint.provider_name) if hint else None
    if hint is None or provider is None:
        return LogoutView(url=None)
    id_token = context.secrets.decrypt(hint.id_token_encrypted)
    if provider.protocol == "saml":
        return LogoutView(url=await saml_logout.log_out_url(context, provider, id_token, hint.sid))
    try:
        endpoint = (await context.provider_cache.endpoints(provider)).end_session
    except ProviderFailed:
        endpoint = None  # the provider does not answer; the log-in at Greenroom has ended anyway
    if endpoint is None:
        return LogoutView(url=None)
    values = {"client_id": provider.client_id, "post_logout_redirect_uri": f"{console_origin(request)}/"}
    if len(id_token) <= MAX_HINT_CHARACTERS:
        values["id_token_hint"] = id_token
    separator = "&" if "?" in endpoint else "?"
    return LogoutView(url=f"{endpoint}{separator}{urlencode(values)}")


@router.post(
    "/sign-on/{provider_name}/backchannel-logout",
    dependencies=[public_route("the signed log-out token is the credential")],
    include_in_schema=False,
)
async def log_out_by_provider(
    provider_name: str, request: Request, context: SignOnContextDep, failed_attempts: FailedAttemptsDep
) -> Response:
    """End the log-ins that a log-out token of the provider names (OpenID Connect Back-Channel Logout).

    429 with Retry-After after too many wrong tokens from one address.
    """
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    try:
        provider = await context.enabled_provider(provider_name, "oidc")
        token, expected = form.get("logout_token", [""])[0], (await context.oidc_client(provider)).expected_token
        claims = await context.provider_cache.read_token(provider, lambda keys: logout_claims(token, keys, expected))
    except (SignOnRefused, ProviderFailed, TokenRefused) as error:
        if not isinstance(error, ProviderFailed):
            failed_attempts.count_wrong_key(request, f"by a log-out token of {one_line(provider_name)}")
        context.refusals.log_refused_sign_on(
            request, one_line(provider_name), "log-out", f"The log-out token was refused: {error}"
        )
        return JSONResponse({"error": "invalid_request", "error_description": "The log-out token was refused."}, 400)
    logins = await statements.logins_at_provider(
        context.db, provider.provider_id, subject=claims.get("sub"), sid=claims.get("sid")
    )
    latest_s = claims["iat"] + MAX_CLOCK_DIFFERENCE_S
    earlier_logins = [login for login in logins if _login_time_s(context, login) <= latest_s]
    await end_logins(context, earlier_logins, f"{provider.title} logged the user out.")
    return Response(status_code=200)


def _login_time_s(context: SignOnContext, login: statements.ProviderLogin) -> float:
    """Return the time of a log-in by the clock of its provider, in seconds since 1970; 0 if the stored ID token cannot
    be decrypted."""
    try:
        return issue_time_s(context.secrets.decrypt(login.id_token_encrypted))
    except SetupError:
        return 0.0


@router.get(
    "/sign-on/{provider_name}/frontchannel-logout",
    dependencies=[public_route("the provider's id of the log-in is the credential")],
    include_in_schema=False,
)
async def log_out_in_frame(
    provider_name: str,
    request: Request,
    context: SignOnContextDep,
    failed_attempts: FailedAttemptsDep,
    iss: str = "",
    sid: str = "",
) -> Response:
    """End the log-in with the id `sid` at the provider (OpenID Connect Front-Channel Logout).

    429 with Retry-After after too many wrong requests from one address.
    """
    try:
        provider = await context.enabled_provider(provider_name, "oidc")
    except SignOnRefused:
        provider = None
    if provider is None or iss != provider.issuer or not sid or not sid.isprintable():
        failed_attempts.count_wrong_key(request, f"by a log-out request of {one_line(provider_name)}")
        return Response("There is no such log-in.", 400, media_type="text/plain")
    logins = await statements.logins_at_provider(context.db, provider.provider_id, sid=sid)
    if not logins:  # the log-in has ended, or the id was guessed
        failed_attempts.count_wrong_key(request, f"by a log-out request of {one_line(provider_name)}")
    await end_logins(context, logins, f"{provider.title} logged the user out.")
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(provider.issuer))
    headers = {"Content-Security-Policy": f"default-src 'none'; frame-ancestors {origin}"}
    return Response("You are logged out.", media_type="text/plain", headers=headers)

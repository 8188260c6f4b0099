"""Log-in, log-out, and the information and changes of users about themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, Request, Response

from greenroom.api.access.failed_attempts import FailedAttempts, known_device, remember_device
from greenroom.api.access.lifecycle import access_transaction, end_login
from greenroom.api.access.login_tokens import delete_login_cookie, renew_token, set_login_cookie
from greenroom.api.access.schemas import LinkBody, LoginBody, Me, PasswordBody, SecondFactorNeeded, UserView
from greenroom.api.access.user_routes import LoginView
from greenroom.api.deps import Db, Logs, SnapshotDep
from greenroom.api.hardening import LOGIN_COOKIE
from greenroom.api.installation import SettingsSnapshot
from greenroom.api.problems import api_router
from greenroom.api.security import Caller, client_address, public_route, requires
from greenroom.core.access.accounts import MAX_LOGIN_PASSWORD_BYTES, password_problem
from greenroom.core.access.group_settings import SETTINGS, resolve
from greenroom.core.access.permissions import implied_codes
from greenroom.core.access.roles import code_of, place_of
from greenroom.core.errors import Forbidden, Invalid, Unauthenticated
from greenroom.core.log_codes import LogCode
from greenroom.core.rate_limits import source_of
from greenroom.core.text import one_line
from greenroom.db.access import credentials, groups, second_factors, users
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit import plugins
from greenroom.kit.passwords import Passwords, PasswordVerdict
from greenroom.kit.secrets import Secrets, new_secret, secret_digest

router = api_router("account")

WRONG_CREDENTIALS = "The username or the password is wrong."
ACCOUNT_CHANGED = "The account was changed while you logged in; log in again."
PENDING_ENDED = "The log-in has expired or was completed before; enter the password again."
PENDING_COOKIE = "__Host-greenroom-pending"
PENDING_VALID_S = 300


class PasswordCheck(Protocol):
    """A function of a plug-in that checks a password at another place, such as a directory. `user` is the user with the
    name; None = there is none.

    Returns the user to log in, or None: the password is wrong or the name is unknown there, too.

    Raises:
        Forbidden: the password is right, but the user may not log in.
        TooManyRequests: too many attempts failed there.
        Unavailable: the place does not answer.
    """

    async def __call__(
        self, request: Request, user: users.User | None, username: str, password: str
    ) -> users.User | None: ...


@dataclass(frozen=True, slots=True)
class _LoginAttempt:
    """The name and the password in a request. `device` is the id of a known device of this user, or None."""

    username: str
    password: str
    device: str | None

    @property
    def claimed_name(self) -> str:
        return f"as {one_line(self.username)}"


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """A request with a credential of a user, and the parts of the api that log-ins need."""

    request: Request
    response: Response
    db: Database
    logs: LogWriter
    secrets: Secrets
    passwords: Passwords
    failed_attempts: FailedAttempts
    snapshot: SettingsSnapshot

    @property
    def address(self) -> str:
        return source_of(client_address(self.request))

    def source(self, attempt: _LoginAttempt) -> str:
        """Return the source under which an attempt is counted. A known device counts separately from its address."""
        return f"device {attempt.device}" if attempt.device else self.address

    async def begin_attempt(self, username: str, password: str, user: users.User | None) -> _LoginAttempt:
        """Count an attempt with a password. Raises TooManyRequests: the address or the account has too many failed
        attempts; the error contains the time to wait."""
        settings = self.snapshot.installation
        attempt = _LoginAttempt(username, password, known_device(self.request, self.secrets, user))
        self._admit(attempt)
        wait_s = await credentials.begin_attempt(
            self.db,
            username,
            self.source(attempt),
            max_attempts=settings.max_login_attempts,
            window_s=settings.login_window_s,
            is_known=attempt.device is not None,
        )
        if wait_s is not None:
            self.failed_attempts.refuse(self.request, "account", attempt.claimed_name, wait_s)
        return attempt

    def _admit(self, attempt: _LoginAttempt) -> None:
        if attempt.device is None:
            self.failed_attempts.admit(self.request, "password", attempt.claimed_name)

    async def check_password(self, attempt: _LoginAttempt, password_hash: str | None) -> PasswordVerdict:
        """Return the verdict on the password of an attempt, and count a wrong password. The duration is the same if the
        user does not exist.
        """
        verdict = await self._verify(attempt, password_hash)
        if not verdict.is_correct:
            self.count_failure(attempt)
        return verdict

    async def _verify(self, attempt: _LoginAttempt, password_hash: str | None) -> PasswordVerdict:
        return await self.passwords.verify(
            password_hash,
            attempt.password,
            source=self.address,
            before_check=lambda: self._admit(attempt),  # other attempts failed while this one waited
        )

    def count_failure(self, attempt: _LoginAttempt, factor_problem: str = "") -> None:
        """Count and log an attempt with a wrong password, or with a second factor that was refused for this reason."""
        if attempt.device is None:
            self.failed_attempts.count_failure(self.request, "password")
        log_failed_login = self.request.app.state.refusals.log_failed_login
        log_failed_login(self.request, one_line(attempt.username), one_line(factor_problem))

    async def confirm_password(self, user: users.User, password: str) -> None:
        """Check the present password of a user who is logged in. A wrong password counts as a failed log-in. Raises
        Forbidden: the password is wrong."""
        attempt = await self.begin_attempt(user.username, password, user)
        if not (await self.check_password(attempt, user.password_hash)).is_correct:
            raise Forbidden("The present password is wrong.")
        await credentials.clear_attempts(self.db, user.username, self.source(attempt))

    async def authenticate(self, attempt: _LoginAttempt, user: users.User | None) -> users.User | None:
        """Return the user if the password is right, otherwise None. An outdated hash is replaced. Plug-ins check a
        password that is not right here. Raises the errors of `PasswordCheck`."""
        old_hash = user.password_hash if user else None
        verdict = await self._verify(attempt, old_hash)
        if not verdict.is_correct or user is None or old_hash is None:
            return await self._check_elsewhere(attempt, user)
        if verdict.outdated:
            new_hash = await self.passwords.hash(attempt.password, source=self.address)
            async with self.db.transaction() as connection:
                current = await users.lock_user(connection, user.user_id)
                if current.password_hash == old_hash:  # otherwise the password was changed meanwhile
                    user = replace(current, password_hash=new_hash)
                    await users.update_user(connection, user)
        return user

    async def _check_elsewhere(self, attempt: _LoginAttempt, user: users.User | None) -> users.User | None:
        found = None
        if attempt.device is None:  # counted before the checks, because other attempts continue during the checks
            self.failed_attempts.count_failure(self.request, "password")
        try:
            for check in plugins.login_checks():
                found = found or await check(self.request, user, attempt.username, attempt.password)
        finally:
            if attempt.device is None:
                self.failed_attempts.withdraw_failure(self.request, "password")
            if found is None:
                self.count_failure(attempt)
        return found

    async def start_login(
        self,
        user: users.User,
        *,
        pending_hash: bytes | None = None,
        must_enroll: bool = False,
        is_confirmed: bool = True,
        without_factor: bool = False,
    ) -> Me:
        """Start the log-in of an authenticated user with a new token, and end the previous log-in of the browser.

        `user` is the row at the time of authentication. `pending_hash` identifies the pending log-in that this log-in
        completes. `must_enroll` and `is_confirmed` are those of `credentials.insert_login`. `without_factor`: the user
        had no second factor, so none was checked.

        Raises:
            Forbidden: the user is disabled or locked.
            Unauthenticated: the password was changed or a second factor was added meanwhile, or the pending log-in has
                ended.
        """
        require_enabled(user)
        token, lifetime_s = new_secret(), self.snapshot.installation.session_lifetime_s
        async with self.db.transaction() as connection:
            if pending_hash is not None and not await second_factors.use_pending_login(connection, pending_hash):
                raise Unauthenticated(PENDING_ENDED)
            login_id = await credentials.insert_login(
                connection,
                secret_digest(token),
                user.user_id,
                user.password_hash,
                lifetime_s=lifetime_s,
                client_ip=client_address(self.request),
                user_agent=self.request.headers.get("user-agent", "").replace("\0", ""),
                must_enroll=must_enroll,
                is_confirmed=is_confirmed,
            )
            if login_id is None or (
                without_factor and await second_factors.count_factors(connection, user.user_id)
            ):  # insert_login has locked the user
                raise Unauthenticated(ACCOUNT_CHANGED)
            if previous_token := self.request.cookies.get(LOGIN_COOKIE):
                await credentials.delete_login(connection, secret_digest(previous_token))
        set_login_cookie(self.response, token, lifetime_s)
        remember_device(self.response, self.secrets, user)
        is_exceptional = user.break_glass
        self.logs.write(
            LogCode.BREAK_GLASS_LOGIN if is_exceptional else LogCode.LOGIN,
            f"{user.username}{', a break-glass account,' if is_exceptional else ''} logged in from"
            f" {client_address(self.request)}",
            urgent=is_exceptional,
            user_id=user.user_id,
            username=user.username,
        )
        return await _me(self.db, user.user_id, self.snapshot, must_enroll=must_enroll)


def require_enabled(user: users.User) -> None:
    """Raises Forbidden: the user is disabled or locked."""
    if user.disabled or user.locked:
        raise Forbidden("This account is disabled; ask an administrator.")


async def _login_request(request: Request, response: Response) -> LoginRequest:
    state = request.app.state
    return LoginRequest(
        request, response, state.db, state.logs, state.secrets, state.passwords, state.failed_attempts, state.snapshot
    )


LoginDep = Annotated[LoginRequest, Depends(_login_request)]


@router.post("/login", dependencies=[public_route("this is where credentials are given")])
async def login(body: LoginBody, login: LoginDep) -> Me | SecondFactorNeeded:
    """Log in with name and password. The answer sets the log-in cookie, and a cookie that identifies the device.

    For a user with second factors, the status is 202. The answer then sets a cookie that is valid for 5 minutes, with
    which `POST /login/second-factor` completes the log-in. 401 for a wrong name or password, 429 with Retry-After after
    too many failed attempts.
    """
    if "\0" in body.username:
        raise Unauthenticated(WRONG_CREDENTIALS)
    user = await users.find_user(login.db, body.username)
    password = body.password.get_secret_value()
    if len(password.encode()) > MAX_LOGIN_PASSWORD_BYTES:
        password = ""  # wrong for every name, also for names in directories, so the answer does not distinguish them
    attempt = await login.begin_attempt(body.username, password, user)
    user = await login.authenticate(attempt, user)
    if user is None:
        raise Unauthenticated(WRONG_CREDENTIALS)
    require_enabled(user)
    factors = await second_factors.list_factors(login.db, user.user_id)
    if factors:
        await credentials.withdraw_attempt(login.db, body.username, login.source(attempt))
        return await _begin_pending_login(login, user, factors)
    await credentials.clear_attempts(login.db, body.username, login.source(attempt))
    settings = resolve(await groups.groups_of_user(login.db, user.user_id))
    must_enroll = bool(settings["require_second_factor"].value)
    return await login.start_login(user, must_enroll=must_enroll, without_factor=True)


async def _begin_pending_login(
    login: LoginRequest, user: users.User, factors: Sequence[second_factors.SecondFactor]
) -> SecondFactorNeeded:
    token = new_secret()
    if not await second_factors.insert_pending_login(
        login.db, secret_digest(token), user.user_id, user.password_hash, valid_s=PENDING_VALID_S
    ):
        raise Unauthenticated(ACCOUNT_CHANGED)
    login.response.set_cookie(
        PENDING_COOKIE, token, max_age=PENDING_VALID_S, path="/", secure=True, httponly=True, samesite="strict"
    )
    login.response.status_code = 202
    return SecondFactorNeeded(
        methods=sorted({factor.kind for factor in factors}),
        recovery_codes=await second_factors.count_recovery_codes(login.db, user.user_id),
    )


@router.post("/login/link", dependencies=[public_route("the link is the credential")])
async def login_by_link(body: LinkBody, login: LoginDep) -> Me:
    """Log in once with a link that a program requested for the user (`get_login` of `/api/public`).

    401 for a token that is not valid, 429 with Retry-After after too many failed attempts.
    """
    login.failed_attempts.admit(login.request, "link", "by link")
    link_user = await credentials.use_login_link(login.db, secret_digest(body.token.get_secret_value()))
    if link_user is None:
        login.failed_attempts.count_failure(login.request, "link")
        login.request.app.state.refusals.log_wrong_link(login.request)
        raise Unauthenticated("This link has expired or was used before. Ask for another link.")
    user_id, password_hash = link_user
    user = replace(await users.get_user(login.db, user_id), password_hash=password_hash)
    return await login.start_login(user, is_confirmed=False)


@router.post("/logout", status_code=204)
async def logout(
    response: Response, db: Db, logs: Logs, caller: Annotated[Caller, requires(with_one_time_password=True)]
) -> None:
    """End this log-in. The open streams of the user are closed within seconds; the sessions continue."""
    user_id = caller.own_user_id()
    async with access_transaction(db, logs) as access:
        user = await access.lock_user(user_id)
        await credentials.delete_login(access.connection, caller.token_hash or b"")
        access.log_out(user)
    logs.write(LogCode.LOGOUT, f"{caller.name} logged out", user_id=user_id, username=caller.username)
    delete_login_cookie(response)


@router.get("/me")
async def get_me(db: Db, snapshot: SnapshotDep, caller: Annotated[Caller, requires(with_one_time_password=True)]) -> Me:
    """Return the user who is logged in, their permissions, and the settings in force for them."""
    return await _me(db, caller.own_user_id(), snapshot, must_enroll=caller.must_enroll)


@router.get("/me/logins")
async def list_own_logins(db: Db, snapshot: SnapshotDep, caller: Annotated[Caller, requires()]) -> list[LoginView]:
    """List the log-ins of the caller at the console, the last used first."""
    rows = await credentials.list_logins(
        db, caller.own_user_id(), snapshot.installation.session_idle_s, current=caller.token_hash
    )
    return [LoginView.model_validate(row) for row in rows]


@router.delete("/me/logins/{login_id}", status_code=204)
async def end_own_login(login_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires()]) -> None:
    """End one log-in of the caller, and close the open streams; the sessions continue."""
    ended = await end_login(db, logs, caller.own_user_id(), str(login_id))
    logs.write(
        LogCode.LOGOUT,
        f"{caller.name} ended the log-in from {ended.client_ip}",
        user_id=caller.user_id,
        username=caller.username,
    )


@router.post("/me/password", status_code=204)
async def change_own_password(
    body: PasswordBody, login: LoginDep, caller: Annotated[Caller, requires(with_one_time_password=True)]
) -> None:
    """Change the password of the caller. All other log-ins end, and this log-in gets a new token. A wrong present
    password counts as a failed log-in."""
    db = login.db
    user = await users.get_user(db, caller.own_user_id())
    await login.confirm_password(user, body.password.get_secret_value())
    new = body.new_password.get_secret_value()
    if problem := password_problem(new, user.username, min_length=login.snapshot.installation.min_password_length):
        raise Invalid(problem)
    password_hash = await login.passwords.hash(new, source=login.address)
    async with access_transaction(db, login.logs, keep=caller.token_hash) as access:
        current = await access.lock_user(user.user_id)
        if current.password_hash != user.password_hash:
            raise Forbidden("The password was changed in the meantime. Enter the present password.")
        current = replace(current, password_hash=password_hash, password_once=False)
        await users.update_user(access.connection, current)
        has_factors = bool(await second_factors.count_factors(access.connection, user.user_id))
        access.keep = await renew_token(login.response, access.connection, caller, is_confirmed=not has_factors)
    remember_device(login.response, login.secrets, current)
    login.logs.write(
        LogCode.PASSWORD_CHANGED,
        f"{caller.name} changed their own password",
        user_id=caller.user_id,
        username=caller.username,
    )


async def _me(db: Database, user_id: str, snapshot: SettingsSnapshot, *, must_enroll: bool) -> Me:
    user = await users.get_user(db, user_id)
    resolved = resolve(await groups.groups_of_user(db, user_id))
    codes = implied_codes(user.permissions)
    # Settings about the creation of containers are for administrators: they contain folders of hosts, and may contain
    # secrets.
    visible = {name: setting for name, setting in resolved.items() if SETTINGS[name].kind != "mapping"}
    return Me(
        user=UserView.model_validate(user),
        password_change_required=user.password_once and snapshot.installation.require_password_change,
        second_factor_required=must_enroll,
        permissions=sorted(code for code in codes if not place_of(code)),
        scoped_permissions=sorted({code_of(code) for code in codes if place_of(code)}),
        settings={name: setting.value for name, setting in visible.items()},
        setting_sources={name: setting.trace for name, setting in visible.items()},
    )

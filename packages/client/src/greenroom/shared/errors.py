"""The errors that the api returns. Each class has a stable `code`. Its docstring is the default message, and contains a
remedy.

`greenroom.core.errors` has more subclasses of `GreenroomError`, and lists all of them.
"""

from __future__ import annotations

from typing import ClassVar, Final

NO_RESOURCES: Final = (
    "No resources are available to create the requested session; try again later or contact an administrator."
)


class GreenroomError(Exception):
    """An internal error occurred in Greenroom; the log has the details."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500

    def __init_subclass__(cls, code: str | None = None, http_status: int | None = None) -> None:
        super().__init_subclass__()
        if code is not None:
            cls.code = code
        if http_status is not None:
            cls.http_status = http_status

    def __init__(self, message: str | None = None, **details: object) -> None:
        text = message or " ".join((self.__doc__ or "").split())
        super().__init__(replace_surrogates(text))
        self.details = details

    @property
    def message(self) -> str:
        return str(self.args[0])


class Unauthenticated(GreenroomError, code="unauthenticated", http_status=401):
    """The request has no valid credential; log in or send a valid API key."""


class Forbidden(GreenroomError, code="forbidden", http_status=403):
    """You are not allowed to do this; ask an administrator for the permission."""


class PasswordChangeRequired(Forbidden, code="password-change-required"):
    """You logged in with an initial password; change the password first."""


class SecondFactorRequired(Forbidden, code="second-factor-required"):
    """Your group requires a second factor; enroll an authenticator app or a passkey first."""


class ConfirmationRequired(Forbidden, code="confirmation-required"):
    """Your log-in is older than 10 minutes; confirm your password or log in again, and repeat the change."""


class NotFound(GreenroomError, code="not-found", http_status=404):
    """The requested object does not exist; it may have been deleted."""


class Refused(GreenroomError, code="refused", http_status=409):
    """The current state of the object does not allow this request; read the object, and change the request or wait."""


class LastEnabledManager(Refused, code="last-enabled-manager"):
    """This is the last enabled Manager of its zone; enable another Manager of the zone first."""


class ManagerRuns(Refused, code="manager-running"):
    """The Manager is running and would register again as a new record; disable it, stop it first, or use force."""


class Duplicate(Refused, code="duplicate"):
    """An object with these values already exists; change one of the values or edit the existing object."""


class IdempotencyMismatch(Refused, code="idempotency-mismatch"):
    """This Idempotency-Key was already used for a different request; use another key."""


class NoResources(Refused, code="no-resources"):
    """No resources are available to create the requested session; try again later or contact an administrator.

    `for_user` is the message for users who may not see the machines of the installation.
    """

    def __init__(self, message: str | None = None, *, for_user: str = "", **details: object) -> None:
        super().__init__(message or NO_RESOURCES, **details)
        self.for_user = for_user or NO_RESOURCES

    def without_machines(self) -> NoResources:
        """Return the same refusal with `for_user` as its message."""
        refusal = NoResources(self.for_user)
        refusal.details = self.details
        return refusal


class HomeInUse(Refused, code="home-in-use"):
    """The home folder is in use by a session; end the session first."""


class ProfileInUse(Refused, code="profile-in-use"):
    """The profile is in use by another session; open or end that session, or launch without the profile."""


class SessionLimit(Refused, code="session-limit"):
    """The limit of sessions for this user is reached; delete a session first."""


class LeaseLimit(Refused, code="lease-limit"):
    """The limit of leases for this user or API key is reached; release one first."""


class WrongState(Refused, code="wrong-state"):
    """The current status of the session does not allow this operation; read the status, and retry after it changed."""


class Held(Refused, code="held"):
    """A person has control of this desktop; wait until they hand it back."""


class NoScreenshot(Refused, code="no-screenshot"):
    """No screenshot of this session could be taken; try again, or open the session to see its screen."""


class Interrupted(Refused, code="interrupted"):
    """The operation was interrupted; check its effect before you repeat it."""


class IdentityConflict(Refused, code="identity-conflict"):
    """Another live process uses the id and credential of this Agent; a copy of an Agent is refused."""


class Invalid(GreenroomError, code="invalid", http_status=422):
    """The request has invalid values; the error names each of them."""


class TooLarge(GreenroomError, code="too-large", http_status=413):
    """The request is larger than this address accepts; most accept at most 1 MiB."""


class TooManyRequests(GreenroomError, code="too-many-requests", http_status=429):
    """Too many attempts; wait a moment and try again."""


class LeaseLost(GreenroomError, code="lease-lost", http_status=503):
    """This Manager is no longer Primary of its zone; the new Primary continues."""


class Unavailable(GreenroomError, code="unavailable", http_status=503):
    """A part of the system cannot be reached at the moment; try again later."""


class Busy(Unavailable, code="busy"):
    """The system has too many requests at the moment; try again later."""


class MisdirectedHost(GreenroomError, code="misdirected-host", http_status=421):
    """This address is not served here; use the address of the deployment."""


def replace_surrogates(text: str) -> str:
    """Return the text with a question mark in place of each half of a surrogate pair, which JSON cannot encode."""
    return text.encode(errors="replace").decode()

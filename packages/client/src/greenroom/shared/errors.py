"""The errors of answers. Each class has a stable `code`. Its docstring is the default message, and contains a remedy.

The server has more errors, all below `GreenroomError`; the tree of all is in `greenroom.core.errors`.
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

    def __init__(self, message: str | None = None, **details: object) -> None:
        text = message or " ".join((self.__doc__ or "").split())
        super().__init__(whole(text))
        self.details = details

    @property
    def message(self) -> str:
        return str(self.args[0])


class Unauthenticated(GreenroomError):
    """The request has no valid credential; log in or send a valid API key."""

    code = "unauthenticated"
    http_status = 401


class Forbidden(GreenroomError):
    """You are not allowed to do this; ask an administrator for the permission."""

    code = "forbidden"
    http_status = 403


class PasswordChangeRequired(Forbidden):
    """You logged in with a one-time password; change the password first."""

    code = "password-change-required"


class NotFound(GreenroomError):
    """The requested object does not exist; it may have been deleted."""

    code = "not-found"
    http_status = 404


class Refused(GreenroomError):
    """The request is not possible in the current state."""

    code = "refused"
    http_status = 409


class LastEnabledManager(Refused):
    """This is the last enabled Manager of its zone; enable another Manager of the zone first."""

    code = "last-enabled-manager"


class ManagerRuns(Refused):
    """The Manager is running and would register again as a new record; disable it, stop it first, or use force."""

    code = "manager-running"


class Duplicate(Refused):
    """An object with these values already exists; change one of the values or edit the existing object."""

    code = "duplicate"


class IdempotencyMismatch(Refused):
    """This Idempotency-Key was already used for a different request; use another key."""

    code = "idempotency-mismatch"


class NoResources(Refused):
    """No resources are available to create the requested session; try again later or contact an administrator.

    `for_user` is the message for users who may not see the machines of the installation.
    """

    code = "no-resources"

    def __init__(self, message: str | None = None, *, for_user: str = "", **details: object) -> None:
        super().__init__(message or NO_RESOURCES, **details)
        self.for_user = for_user or NO_RESOURCES

    def without_machines(self) -> NoResources:
        """Return the same refusal with `for_user` as its message."""
        refusal = NoResources(self.for_user)
        refusal.details = self.details
        return refusal


class HomeInUse(Refused):
    """The home folder is in use by a session; end the session first."""

    code = "home-in-use"


class ProfileInUse(Refused):
    """The profile is in use by another session; open or end that session, or launch without the profile."""

    code = "profile-in-use"


class SessionLimit(Refused):
    """The limit of sessions for this user is reached; delete a session first."""

    code = "session-limit"


class LeaseLimit(Refused):
    """The limit of leases for this user or API key is reached; release one first."""

    code = "lease-limit"


class WrongState(Refused):
    """The current state of the session does not allow this operation."""

    code = "wrong-state"


class Held(Refused):
    """A person has control of this desktop; wait until they hand it back."""

    code = "held"


class NoScreenshot(Refused):
    """No screenshot of this session could be taken."""

    code = "no-screenshot"


class Interrupted(Refused):
    """The operation was interrupted; check its effect before you repeat it."""

    code = "interrupted"


class IdentityConflict(Refused):
    """Another live process uses this identity; a copied identity is refused."""

    code = "identity-conflict"


class Invalid(GreenroomError):
    """The request has invalid values; the error names each of them."""

    code = "invalid"
    http_status = 422


class TooLarge(GreenroomError):
    """The request is larger than this address accepts; most accept at most 1 MiB."""

    code = "too-large"
    http_status = 413


class TooManyRequests(GreenroomError):
    """Too many attempts; wait a moment and try again."""

    code = "too-many-requests"
    http_status = 429


class LeaseLost(GreenroomError):
    """This Manager is no longer Primary of its zone; the new Primary continues."""

    code = "lease-lost"
    http_status = 503


class Unavailable(GreenroomError):
    """A part of the system cannot be reached at the moment; try again later."""

    code = "unavailable"
    http_status = 503


class Busy(Unavailable):
    """The system has too many requests at the moment; try again later."""

    code = "busy"


class MisdirectedHost(GreenroomError):
    """This address is not served here; use the address of the deployment."""

    code = "misdirected-host"
    http_status = 421


def whole(text: str) -> str:
    """Return the text with a question mark in place of each half of a surrogate pair, which JSON cannot encode."""
    return text.encode(errors="replace").decode()

"""The errors of answers. Each class has a stable `code`. Its docstring is the default message, and contains a remedy.

The server has more errors, all below `GreenroomError`; the tree of all is in `greenroom.core.errors`.
"""

from __future__ import annotations

from typing import ClassVar, Final

NO_RESOURCES: Final = (
    "No resources are available to create the requested session; try again later or contact an administrator."
)


class GreenroomError(Exception):
    """Something went wrong inside Greenroom; the log has the details."""

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
    """Please log in: no valid credential came with this request."""

    code = "unauthenticated"
    http_status = 401


class Forbidden(GreenroomError):
    """You are not allowed to do this; ask an administrator for the permission."""

    code = "forbidden"
    http_status = 403


class PasswordChangeRequired(Forbidden):
    """You logged in with a one-time password; choose a password of your own first."""

    code = "password-change-required"


class NotFound(GreenroomError):
    """There is no such thing; it may have been deleted."""

    code = "not-found"
    http_status = 404


class Refused(GreenroomError):
    """The request was understood and refused in the present state."""

    code = "refused"
    http_status = 409


class LastEnabledManager(Refused):
    """This is the last enabled Manager of its zone; enable another Manager of the zone first."""

    code = "last-enabled-manager"


class ManagerRuns(Refused):
    """The Manager runs and would register again as a new record; disable it, stop it first, or use force."""

    code = "manager-running"


class Duplicate(Refused):
    """Something with these values exists already; change one of them or edit the existing one."""

    code = "duplicate"


class IdempotencyMismatch(Refused):
    """This Idempotency-Key was used for a different request; use a new key."""

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
    """The home folder is in use by a session; end that first."""

    code = "home-in-use"


class ProfileInUse(Refused):
    """The profile is in use by another session; open that one, end it, or launch without the profile."""

    code = "profile-in-use"


class SessionLimit(Refused):
    """The limit of sessions for this user is reached; delete a session first."""

    code = "session-limit"


class LeaseLimit(Refused):
    """The limit of leases for this user or API key is reached; release one first."""

    code = "lease-limit"


class WrongState(Refused):
    """The session is not in a state in which this can be done."""

    code = "wrong-state"


class Held(Refused):
    """A person has control of this desktop; wait until they hand it back."""

    code = "held"


class NoScreenshot(Refused):
    """No screenshot of this session could be taken."""

    code = "no-screenshot"


class Interrupted(Refused):
    """This was broken off while it was done; look how far it came before it is asked for again."""

    code = "interrupted"


class IdentityConflict(Refused):
    """Another live process uses this identity; a copied identity is refused."""

    code = "identity-conflict"


class Invalid(GreenroomError):
    """The request has values that cannot be used; the problem names each of them."""

    code = "invalid"
    http_status = 422


class TooLarge(GreenroomError):
    """The request is larger than this address accepts; most accept at most 1 MiB."""

    code = "too-large"
    http_status = 413


class TooManyRequests(GreenroomError):
    """Too many attempts; wait a little and try again."""

    code = "too-many-requests"
    http_status = 429


class LeaseLost(GreenroomError):
    """This Manager is no longer Primary of its zone; the new Primary goes on."""

    code = "lease-lost"
    http_status = 503


class Unavailable(GreenroomError):
    """A part of the system cannot be reached at the moment; the request can be repeated."""

    code = "unavailable"
    http_status = 503


class Busy(Unavailable):
    """More is asked for than can be served at the moment; try again a little later."""

    code = "busy"


class MisdirectedHost(GreenroomError):
    """This address is not served here; use the address of the deployment."""

    code = "misdirected-host"
    http_status = 421


def whole(text: str) -> str:
    """Return the text with a question mark in place of each half of a surrogate pair, which JSON cannot encode."""
    return text.encode(errors="replace").decode()

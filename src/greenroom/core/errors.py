"""The tree of errors. Each class has a stable `code`; its docstring is the default message, and says what to do.

GreenroomError                       500  internal
├── Unauthenticated                  401  unauthenticated
├── Forbidden                        403  forbidden
│   ├── PasswordChangeRequired            password-change-required
│   └── MovedError                        forbidden                 agent
├── NotFound                         404  not-found
│   ├── ContainerMissing                  container-missing         runtimes
│   └── ImageMissing                      image-missing             runtimes
├── Refused                          409  refused
│   ├── LastEnabledManager                last-enabled-manager
│   ├── ManagerRuns                       manager-running
│   ├── Duplicate                         duplicate
│   ├── IdempotencyMismatch               idempotency-mismatch
│   ├── NoResources                       no-resources
│   ├── HomeInUse                         home-in-use
│   ├── ProfileInUse                      profile-in-use
│   ├── SessionLimit                      session-limit
│   ├── LeaseLimit                        lease-limit
│   ├── WrongState                        wrong-state
│   ├── Held                              held
│   ├── NoScreenshot                      no-screenshot
│   ├── Interrupted                       interrupted
│   ├── IdentityConflict                  identity-conflict
│   ├── ContainerConflict                 container-conflict        runtimes
│   └── ActionFailed                      action-failed             client
├── Invalid                          422  invalid
├── TooLarge                         413  too-large
├── TooManyRequests                  429  too-many-requests
├── LeaseLost                        503  lease-lost
├── Unavailable                      503  unavailable
│   ├── GivenUp                           unavailable
│   ├── Busy                              busy
│   ├── RuntimeUnavailable                runtime-unavailable       runtimes
│   │   └── ApiGone                       runtime-unavailable       runtimes
│   ├── NoManager                         unavailable               agent
│   └── Unreachable                       unavailable               client
├── MisdirectedHost                  421  misdirected-host
├── SetupError                       500  setup
├── Unexpected                       500  unexpected
├── StartAgain                       500  start-again
├── StartError                       500  start-failed              runtimes
├── PullError                        500  pull-failed               runtimes
├── BuildError                       500  build-failed              runtimes
├── DiskCountError                   500  disk-not-counted          runtimes
├── ScreenshotError                  500  screenshot-failed         runtimes
├── HomeError                        500  home-failed               runtimes
│   └── HomeInUseError                    home-in-use               runtimes
├── ManagerRefusedError              500  internal                  agent
├── FilterError                      500  web-filter-down           agent
├── NotSupportedError                501  not-supported             api
├── ApiError                         500  internal                  cli
├── RehearsalError                   500  internal                  cli
├── ManagerLeftError                 503  manager-disabled          manager
└── ProviderError                    500  internal                  manager

The last column is the package of a class that is not in this module.
"""

from __future__ import annotations

from typing import ClassVar, Final, TypeVar, cast

T = TypeVar("T")

NO_RESOURCES: Final = (
    "No resources are available to create the requested session; try again later or contact an administrator."
)


class GreenroomError(Exception):
    """Something went wrong inside Greenroom; the log has the details."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str | None = None, **details: object) -> None:
        text = message or " ".join((self.__doc__ or "").split())
        super().__init__(_whole(text))
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


def found(row: T | None, what: str, name: str) -> T:
    """What was looked for by this name or id.

    Raises:
        NotFound: there is none.
    """
    if row is None:
        raise NotFound(f"There is no {what} {name}; it may have been deleted.")
    return row


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

    `for_user` says the same to users who may not know the installation's machines.
    """

    code = "no-resources"

    def __init__(self, message: str | None = None, *, for_user: str = "", **details: object) -> None:
        super().__init__(message or NO_RESOURCES, **details)
        self.for_user = for_user or NO_RESOURCES

    def without_machines(self) -> NoResources:
        """The same refusal with `for_user` as its message."""
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


class GivenUp(Unavailable):
    """The database gave a statement up: it took too long, or waited for others; the request can be repeated."""


class Busy(Unavailable):
    """More is asked for than can be served at the moment; try again a little later."""

    code = "busy"


class MisdirectedHost(GreenroomError):
    """This address is not served here; use the address of the deployment."""

    code = "misdirected-host"
    http_status = 421


class SetupError(GreenroomError):
    """The instance cannot be started as asked."""

    code = "setup"
    http_status = 500


class Unexpected(GreenroomError):
    """This failed in a way that Greenroom does not expect; the log of the process has the details."""

    code = "unexpected"


class StartAgain(GreenroomError):
    """This process has to start again."""

    code = "start-again"


def single_errors(error: BaseException) -> list[BaseException]:
    """The errors in a group and in the groups inside it; the error itself where it is no group."""
    members = cast("tuple[BaseException, ...]", getattr(error, "exceptions", ()))
    return [single for member in members for single in single_errors(member)] or [error]


def reason_of(error: BaseException) -> str:
    """The reason of an error as a sentence: the message of a `GreenroomError`, the type and first line of any other
    error, and the different reasons in a group."""
    if isinstance(error, GreenroomError):
        return error.message
    if (singles := single_errors(error)) != [error]:
        return " ".join(dict.fromkeys(map(reason_of, singles)))
    first_line = str(error).strip().partition("\n")[0].rstrip(".")
    return _whole(f"{type(error).__name__}: {first_line or 'no reason was given'}.")


def _whole(text: str) -> str:
    """The text with a question mark in place of each half of a surrogate pair, which JSON cannot carry."""
    return text.encode(errors="replace").decode()

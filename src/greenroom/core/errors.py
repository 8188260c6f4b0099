"""The hierarchy of errors. Each class has a stable code. Its docstring is the default message, with the remedy.

The columns are the class, its HTTP status, its code, and its package if it is neither in this module nor in
`greenroom.shared.errors`.

GreenroomError                       500  internal
├── Unauthenticated                  401  unauthenticated
├── Forbidden                        403  forbidden
│   ├── PasswordChangeRequired            password-change-required
│   ├── SecondFactorRequired              second-factor-required
│   ├── ConfirmationRequired              confirmation-required
│   └── SessionMovedError                 forbidden                 agent
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
│   └── MalformedBody                     invalid
├── TooLarge                         413  too-large
├── TooManyRequests                  429  too-many-requests
├── LeaseLost                        503  lease-lost
├── Unavailable                      503  unavailable
│   ├── DatabaseUnavailable               unavailable
│   ├── StatementCanceled                 unavailable
│   ├── Busy                              busy
│   ├── RuntimeUnavailable                runtime-unavailable       runtimes
│   │   └── ApiGone                       runtime-unavailable       runtimes
│   ├── NoManager                         unavailable               agent
│   └── Unreachable                       unavailable               client
├── MisdirectedHost                  421  misdirected-host
├── SetupError                       500  setup
├── Unexpected                       500  unexpected
├── RestartRequired                  500  start-again
├── StartError                       500  start-failed              runtimes
├── PullError                        500  pull-failed               runtimes
├── BuildError                       500  build-failed              runtimes
├── DiskCountError                   500  disk-not-counted          runtimes
├── ScreenshotError                  500  screenshot-failed         runtimes
├── HomeError                        500  home-failed               runtimes
│   └── HomeInUseError                    home-in-use               runtimes
├── ManagerRefusedError              500  internal                  agent
├── FilterError                      500  web-filter-down           agent
├── NotSupportedError                501  not-supported             interfaces
├── ApiError                         500  internal                  cli
├── ManagerDisabledError             503  manager-disabled          manager
└── ProviderError                    500  internal                  machine_providers
"""

from __future__ import annotations

from typing import TypeVar, cast

# Other modules import all errors from this module, including those of greenroom.shared.errors.
from greenroom.shared.errors import *  # noqa: F403 -- one import for all errors # pyright: ignore[reportWildcardImportFromLibrary]
from greenroom.shared.errors import GreenroomError, Invalid, NotFound, Unavailable, replace_surrogates

T = TypeVar("T")


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached at the moment; try again later.

    `cause` is the message of the database driver, which contains addresses. Only logs and local commands display it.
    """

    def __init__(self, cause: str) -> None:
        super().__init__("The database cannot be reached at the moment; try again later.")
        self.cause = cause


class StatementCanceled(Unavailable):
    """The database canceled a statement that took too long, waited for others, or lacked disk space or memory; repeat
    the request."""


class MalformedBody(Invalid):
    """The body of the request cannot be read; send JSON in UTF-8 whose lists and objects have at most 64 levels."""


class SetupError(GreenroomError, code="setup", http_status=500):
    """The instance cannot start with these options; change the options and start it again."""


class Unexpected(GreenroomError, code="unexpected"):
    """This failed in a way that Greenroom does not expect; the log of the process has the details."""


class RestartRequired(GreenroomError, code="start-again"):
    """This process must be restarted."""


def require_row(row: T | None, kind: str, name: str) -> T:
    """Return `row`. `kind` and `name` name it in the message. Raises NotFound: the row is None."""
    if row is None:
        raise NotFound(f"There is no {kind} {name}; it may have been deleted.")
    return row


def single_errors(error: BaseException) -> list[BaseException]:
    """Return the errors in a group and its nested groups; the error itself if it is no group."""
    members = cast("tuple[BaseException, ...]", getattr(error, "exceptions", ()))
    return [single for member in members for single in single_errors(member)] or [error]


def reason_of(error: BaseException) -> str:
    """Return the error as a sentence: the message of a GreenroomError; the type and first line of another error; for a
    group, the sentences of its errors.
    """
    if isinstance(error, GreenroomError):
        return error.message
    if (singles := single_errors(error)) != [error]:
        return " ".join(dict.fromkeys(map(reason_of, singles)))
    first_line = str(error).strip().partition("\n")[0].rstrip(".")
    return replace_surrogates(f"{type(error).__name__}: {first_line or 'no reason was given'}.")

"""Translation of the API server's errors to the errors of the runtime contract."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, cast

import httpx2
import msgspec
from httpx2.websockets import WebSocketDisconnect, WebSocketNetworkError
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.models.meta_v1 import Status

from greenroom.runtimes.contract import ContainerConflict, ContainerMissing, RuntimeUnavailable, StartError

GONE: Final = 410
CONFLICT: Final = 409
NOT_FOUND: Final = 404
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
TOO_MANY: Final = 429

MESSAGES: Final[dict[int, str]] = {
    UNAUTHORIZED: "The API server of Kubernetes does not accept this Agent's log-in; renew its kubeconfig or its token",
    FORBIDDEN: "This Agent may not do this in Kubernetes; give its account the verbs of docs/reference/kubernetes.md",
    GONE: "The API server of Kubernetes no longer has this resource version; the list is read again",
    TOO_MANY: "The API server of Kubernetes limits the requests of this Agent at present",
}
QUOTA: Final = "exceeded quota"
MISSING_PERMISSION: Final = re.compile(r'User ".*" cannot ')
"""Matches the reason of a status 403 if the account lacks a permission. With any other reason, the server refuses only
the object of the request."""
TEMPORARY_REFUSALS: Final = (
    "because it is being terminated",
    "status unknown for quota",
    "not yet ready to handle request",
)
"""Parts of the reason of a status 403 after which a later attempt may succeed."""
MAX_REASON_CHARACTERS: Final = 400
"""Maximum number of quoted characters of an answer."""


class ApiGone(RuntimeUnavailable):
    """The API server no longer has the version from which a watch must continue. The caller lists the objects again."""


def code_of(error: httpx2.HTTPStatusError) -> int:
    """Return the HTTP status of an error; 0 = unknown. An error in a watch has no response, but an object with the
    status.
    """
    if isinstance(error, ApiError):
        status = cast("Status | None", error.status)
        if status is not None and status.code:
            return status.code
    response = cast("httpx2.Response | None", error.__dict__.get("response"))
    return response.status_code if response is not None else 0


def first_error(error: BaseException) -> BaseException:
    """Return the first error of a group, including nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def reason_of(error: Exception) -> str:
    """Return the server's message, for use inside a sentence."""
    if isinstance(error, WebSocketDisconnect | WebSocketNetworkError):
        return "the connection was lost"
    return str(error)[:MAX_REASON_CHARACTERS].strip().rstrip(".") or type(error).__name__


def log_in_error(error: ConfigError) -> str:
    """Return a sentence about an error of the log-in, for example a missing token file."""
    return f"The log-in at Kubernetes failed: {reason_of(error)}."


@asynccontextmanager
async def translated(*, read_only: bool = False) -> AsyncGenerator[None]:
    """Translate errors of the client to errors of the contract.

    `read_only`: the call changes nothing. Then a refusal is raised as RuntimeUnavailable, because a running session
    must not fail after it.
    """
    try:
        yield
    except httpx2.HTTPStatusError as error:
        raise _contract_error(error, read_only=read_only) from error
    except ConfigError as error:
        raise RuntimeUnavailable(log_in_error(error)) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, TimeoutError) as error:
        raise RuntimeUnavailable(f"The API server of Kubernetes does not answer ({reason_of(error)}).") from error
    except msgspec.DecodeError as error:
        raise RuntimeUnavailable(
            f"The server that answers is not an API server of Kubernetes ({reason_of(error)})."
        ) from error


def _contract_error(error: httpx2.HTTPStatusError, *, read_only: bool) -> Exception:
    code, reason = code_of(error), reason_of(error)
    if code == NOT_FOUND:
        is_namespace = reason.startswith("namespaces ")
        return (
            RuntimeUnavailable(f"Kubernetes has no such namespace: {reason}.") if is_namespace else ContainerMissing()
        )
    if code == FORBIDDEN and QUOTA in reason:
        return StartError(f"The quota of the namespace is used up: {reason}.")
    if code in MESSAGES and (code != FORBIDDEN or MISSING_PERMISSION.search(reason)):
        return (ApiGone if code == GONE else RuntimeUnavailable)(f"{MESSAGES[code]} ({reason}).")
    if code == FORBIDDEN and (read_only or any(text in reason for text in TEMPORARY_REFUSALS)):
        return RuntimeUnavailable(f"Kubernetes refuses this at present: {reason}.")
    if read_only or code >= 500 or code == 0:
        return RuntimeUnavailable(f"The API server of Kubernetes answers with an error: {reason}.")
    return (ContainerConflict if code == CONFLICT else StartError)(f"Kubernetes refused: {reason}.")

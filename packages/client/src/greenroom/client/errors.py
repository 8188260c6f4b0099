"""The exceptions for failed requests, by the error codes of the api."""

from __future__ import annotations

from typing import Any, Final, cast

import httpx

from greenroom.shared import errors as shared
from greenroom.shared.errors import GreenroomError, Invalid, Refused, Unavailable


class Unreachable(Unavailable):
    """The deployment does not answer. `details["reason"]` is the reason of a failed connection."""


class ActionFailed(Refused, code="action-failed"):
    """The action was not done."""


BY_CODE: Final = {
    kind.code: kind
    for kind in (*vars(shared).values(), ActionFailed)
    if isinstance(kind, type) and issubclass(kind, GreenroomError) and "code" in vars(kind)
}
"""Error code in a problem document → exception class."""
_BY_STATUS: Final = {kind.http_status: kind for kind in BY_CODE.values() if kind.__base__ is GreenroomError} | {
    400: Invalid,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
"""HTTP status → exception class, for an answer that is not a problem document."""
_NEEDS_TLS: Final = "plain HTTP request was sent to HTTPS port"
"""Text in the page that nginx returns with status 400 for a request without TLS."""
_HINTS: Final = {
    "CERTIFICATE_VERIFY_FAILED": " Pass the certificate of its authority as ca_file.",
    "WRONG_VERSION_NUMBER": " This port may be served without TLS; check whether the address begins with http://.",
}


def error_from(outcome: httpx.Response | httpx.HTTPError) -> GreenroomError:
    """Return the exception for a failed request.

    A problem document has a code and a sentence. For any other answer, only the status is known. `details` contains the
    code and the other members of the document. A newer server may return codes that this library does not know.
    """
    if isinstance(outcome, httpx.HTTPError):
        return _unreachable(outcome)
    try:
        problem = cast("dict[str, Any]", outcome.json())
        code, detail = problem["code"], str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        if _NEEDS_TLS in outcome.text:
            url = outcome.request.url
            address = url.netloc.decode()
            return Unreachable(f"{url.scheme}://{address} is served with TLS only. Use https://{address}.")
        request_text = f"{outcome.request.method} {outcome.request.url}"
        sentence = f"{request_text} was answered with {outcome.status_code} {outcome.reason_phrase}."
        return _BY_STATUS.get(outcome.status_code, GreenroomError)(sentence)
    details = {name: value for name, value in problem.items() if name not in ("detail", "type", "title")}
    return (BY_CODE.get(code) or _BY_STATUS.get(outcome.status_code, GreenroomError))(detail, **details)


def _unreachable(error: httpx.HTTPError) -> Unreachable:
    url = error.request.url
    reason = str(error) or type(error).__name__
    hint = next((text for part, text in _HINTS.items() if part in reason), "")
    return Unreachable(f"{url.scheme}://{url.netloc.decode()} does not answer: {reason}.{hint}", reason=reason)

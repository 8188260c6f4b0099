"""Errors as HTTP answers: RFC 9457 problem documents for `/api/v1`, `{"error_message"}` for the published interface,
and the errors of RFC 7644 for SCIM."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from greenroom.api.csrf import SAFE_METHODS
from greenroom.core.errors import (
    Busy,
    Duplicate,
    Forbidden,
    GreenroomError,
    Invalid,
    MalformedBody,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from greenroom.core.text import PydanticError, error_text, joined_problems, one_line, path_of_value, suggest_name

log = structlog.get_logger(__name__)

CLIENT_GONE: Final = 499
"""The status when the client closed the connection, as in nginx. No client reads it, but metrics count it."""
SCIM_PREFIX: Final = "/api/scim/"
OWN_PREFIXES: Final = ("/api/v1/", "/api/internal/", SCIM_PREFIX)
"""All other paths below `/api/` belong to the published interface: `/api/public/`, and calls of clients that omit
`public/`."""


OpenApi = dict[str, Any]
"""JSON in the vocabulary of OpenAPI 3.1."""

_ERROR_DESCRIPTIONS: Final = {
    401: "No valid credential came with the request.",
    403: "The permission is missing, or the request comes from another site.",
    404: "The object does not exist, or the caller may not see it.",
    409: "The request is refused; `detail` contains the reason and the solution.",
    413: "The body is too large.",
    421: "The deployment does not serve this host.",
    422: "Values are not valid; `detail` names each of them.",
    429: "Too many requests; wait for Retry-After.",
    503: "A component is unavailable; repeat the request after Retry-After.",
}
PROBLEM_RESPONSES: Final[dict[int | str, OpenApi]] = {
    status: {
        "description": sentence,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, sentence in _ERROR_DESCRIPTIONS.items()
}
"""The error answers of every route, for the OpenAPI document."""


def api_router(*tags: str, prefix: str = "/api/v1") -> APIRouter:
    """Return a router for documented routes below `prefix`. A documented route refuses unknown query parameters.

    Its routes contain the prefix, so the application needs no `include_router`, which would copy each route (25 KiB).
    """
    return APIRouter(
        prefix=prefix,
        tags=[*tags],
        responses=PROBLEM_RESPONSES,
        generate_unique_id_function=lambda route: route.name,
        dependencies=[Depends(_refuse_unknown_parameters)],
    )


_PAGING_PARAMETERS: Final = frozenset({"cursor", "limit"})
"""Clients send these to every list, also to short lists, which have a single page."""


def _query_parameters(dependant: Dependant) -> Iterator[str]:
    """Yield the names of the query parameters of a route and its dependencies. A parameter can be a model, whose fields
    are the parameters of the request."""
    for parameter in dependant.query_params:
        model = parameter.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (field.alias or name for name, field in model.model_fields.items())
        else:
            yield parameter.alias
    for dependency in dependant.dependencies:
        yield from _query_parameters(dependency)


async def _refuse_unknown_parameters(request: Request) -> None:
    """Raises Invalid: the request has a query parameter that its route does not have. A misspelt filter would
    otherwise return every row. Other programs redirect browsers to undocumented routes, with parameters of their own.
    """
    route: APIRoute = request.scope["route"]
    if not request.query_params or not route.include_in_schema:
        return
    known = sorted(set(_query_parameters(route.dependant)))
    for name in request.query_params:
        if name not in known and not (request.method == "GET" and name in _PAGING_PARAMETERS):
            remedy = suggest_name(name, known, f"the parameters are {', '.join(known)}." if known else "omit it.")
            raise Invalid(f"The query parameter {one_line(name)} is not known; {remedy}")


Problem = dict[str, Any]
"""A document of `PROBLEM_SCHEMA`."""
PROBLEM_SCHEMA: Final[OpenApi] = {
    "title": "Problem",
    "description": "RFC 9457; `code` is stable, `detail` is a sentence for users. Further members contain details.",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        **{name: {"type": "string"} for name in ("type", "title", "code", "detail")},
        "status": {"type": "integer"},
    },
    "additionalProperties": True,
}


def is_published(path: str) -> bool:
    """Return True if this path belongs to the published interface."""
    return path.startswith("/api/") and not path.startswith(OWN_PREFIXES)


class _ErrorJson(JSONResponse):
    """JSON with sentences that may contain input of the client. A lone surrogate is replaced with a question mark."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def error_response(path: str, error: GreenroomError, *, browser: bool = False) -> JSONResponse:
    """Return the answer to a request for `path` that failed with `error`.

    Browsers get no `WWW-Authenticate`, because it would cause a prompt for name and password.
    """
    headers: dict[str, str] = {}
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.details.get("retry_after_s", 1))
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.details.get("retry_after_s", 5))
    is_scim = path.startswith(SCIM_PREFIX)
    if isinstance(error, Unauthenticated) and not browser:
        headers["WWW-Authenticate"] = "Bearer" if is_scim else 'Basic realm="greenroom", charset="UTF-8"'
    if is_scim:
        return _scim_error(error, headers)
    if is_published(path):
        return _ErrorJson({"error_message": error.message}, _public_status(error), headers)
    return _ErrorJson(problem(error), error.http_status, headers, media_type="application/problem+json")


def _scim_error(error: GreenroomError, headers: Mapping[str, str]) -> JSONResponse:
    """Return the answer of RFC 7644, section 3.12. `scim_type` in the details of an Invalid is its `scimType`."""
    status, scim_type = error.http_status, None
    if isinstance(error, Invalid):
        default = "invalidSyntax" if isinstance(error, MalformedBody) else "invalidValue"
        status, scim_type = 400, error.details.get("scim_type", default)
    elif isinstance(error, Duplicate):
        scim_type = "uniqueness"
    return _scim_answer(status, error.message, headers, scim_type)


def _scim_answer(status: int, detail: str, headers: Mapping[str, str] | None, scim_type: object = None) -> JSONResponse:
    document = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": str(status), "detail": detail}
    content = document | ({"scimType": scim_type} if scim_type else {})
    return _ErrorJson(content, status, headers, media_type="application/scim+json")


def problem(error: GreenroomError) -> Problem:
    """Return the problem document: a stable `code`, the sentence for the user as `detail`, and further details."""
    document: Problem = jsonable_encoder(error.details)
    return document | _problem(error.code, error.http_status, error.message)


def _problem(code: str, status: int, sentence: str) -> Problem:
    return {
        "type": f"urn:greenroom:problem:{code}",
        "title": code.replace("-", " ").capitalize(),
        "status": status,
        "code": code,
        "detail": sentence,
    }


def _public_status(error: GreenroomError) -> int:
    """Return the HTTP status in the published interface.

    A refused operation is 200 there (docs/reference/published-api.md). Missing authentication and failures of the
    server have other statuses.
    """
    if isinstance(error, Forbidden):
        return 403 if error.details else 200  # with details, a permission is missing or the request was cross-site
    refused = 400 <= error.http_status < 500 and not isinstance(error, (Unauthenticated, TooManyRequests))
    return 200 if refused else error.http_status


def invalid_request(error: RequestValidationError, known_fields: Collection[str] = ()) -> Invalid:
    """Return an error with the name of every invalid field, without the value, which may be a password. `known_fields`
    are the fields of the body; an unknown field gets the similar ones."""
    problems = [
        (_field_path(e, error.body), error_text(e) + _similar_fields(e, known_fields), str(e["type"]))
        for e in error.errors()
    ]
    errors = [{"loc": path, "msg": text, "type": kind} for path, text, kind in problems]
    if errors and errors[0]["type"] == "json_invalid":
        character = errors[0]["loc"][-1]
        text = f"The body of the request is not JSON: it has an error at character {character}."
        return MalformedBody(text, errors=errors)
    sentences = joined_problems((path[1:] or path, text) for path, text, _ in problems)
    return Invalid(f"The request has values that cannot be used: {sentences}.", errors=errors)


def _similar_fields(error: PydanticError, known_fields: Collection[str]) -> str:
    if error["type"] != "extra_forbidden" or len(error["loc"]) != 2:  # "body" and a field that is not in an object
        return ""
    suggestion = suggest_name(str(error["loc"][1]), known_fields, "")
    return f" ({suggestion})" if suggestion else ""


def _body_fields(request: Request) -> list[str]:
    """Return the fields of the body that the route of a request accepts."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return []
    models = (parameter.field_info.annotation for parameter in route.dependant.body_params)
    return [
        field.alias or name
        for model in models
        if isinstance(model, type) and issubclass(model, BaseModel)
        for name, field in model.model_fields.items()
    ]


def _field_path(error: PydanticError, body: object) -> list[str]:
    source, *location = error["loc"]
    if source != "body" or error["type"] == "json_invalid":
        return [str(part) for part in error["loc"]]
    return [source, *path_of_value({**error, "loc": location}, body)]


def add_error_handlers(app: FastAPI) -> None:
    """Register handlers that convert every error of `app` into an answer in the format of its path."""
    for error_type in (GreenroomError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(error_type, _answer_error)
    app.add_exception_handler(ClientDisconnect, _answer_disconnected_client)


async def _answer_disconnected_client(request: Request, _error: Exception) -> Response:
    """Answer a client that disconnected before its request was read. This is not an error of the server."""
    log.info("the client went away while its request was read", path=request.url.path)
    return Response(status_code=CLIENT_GONE)


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    path, browser = request.url.path, "sec-fetch-mode" in request.headers
    if isinstance(error, RequestValidationError | HTTPException | GreenroomError):
        _forget_frames(error)
        error = _counted(request, _greenroom_error(request, error))
    if isinstance(error, GreenroomError):
        request.state.error = error  # for the audit, because the published interface answers a refusal with 200
    if isinstance(error, HTTPException):
        return _routing_response(request, error)
    if not isinstance(error, GreenroomError):  # the framework raises it again, and uvicorn logs it
        return error_response(path, GreenroomError())
    if error.http_status >= 500 and not isinstance(error, Busy):  # the launch queue logs Busy
        log.warning("request failed", path=path, code=error.code, reason=error.message)
    if isinstance(error, Forbidden) and "required" in error.details and request.method not in SAFE_METHODS:
        request.app.state.refusals.log_forbidden_change(request, error.message)
    return error_response(path, error, browser=browser)


def _forget_frames(error: BaseException | None) -> None:
    """Remove the tracebacks of an error that is answered, and of its causes. A frame of a traceback refers to the
    error and to the body of the request, and this cycle would stay in memory: the garbage collector runs rarely."""
    if error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        _forget_frames(error.__cause__)
        _forget_frames(error.__context__)


def _greenroom_error(request: Request, error: Exception) -> Exception:
    """Return the error that the client can use. FastAPI answers 400 if a body could not be received or read; the cause
    is more precise."""
    if isinstance(error, RequestValidationError):
        return invalid_request(error, _body_fields(request))
    if isinstance(error, HTTPException) and error.status_code == 400:
        return error.__cause__ if isinstance(error.__cause__, GreenroomError) else MalformedBody()
    return error


def _counted(request: Request, error: Exception) -> Exception:
    """Count a body that cannot be read, or that a client without a credential sent with invalid values. Return the
    error, or the refusal if the address of the client sent too many such bodies."""
    is_anonymous = isinstance(error, Invalid) and "errors" in error.details and not hasattr(request.state, "caller")
    if isinstance(error, MalformedBody) or is_anonymous:
        try:
            request.app.state.failed_attempts.count_malformed_body(request)
        except TooManyRequests as refusal:
            return refusal.with_traceback(None)
    return error


def _routing_response(request: Request, error: HTTPException) -> JSONResponse:
    path = request.url.path
    if error.status_code == 404:
        response = error_response(path, NotFound(f"There is no address {path}."))
        response.status_code = 404
        return response
    sentence, headers = f"{error.detail}: {request.method} {path}.", error.headers
    if error.status_code == 405:
        methods = ", ".join(_methods(request))
        sentence, headers = f"{path} does not accept {request.method}; it accepts {methods}.", {"Allow": methods}
    if path.startswith(SCIM_PREFIX):
        return _scim_answer(error.status_code, sentence, headers)
    if is_published(path):
        return _ErrorJson({"error_message": sentence}, error.status_code, headers)
    code = str(error.detail).lower().replace(" ", "-")
    document = _problem(code, error.status_code, sentence)
    return _ErrorJson(document, error.status_code, headers, media_type="application/problem+json")


def _methods(request: Request) -> list[str]:
    """Return the methods of all routes with the path of a request."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in routes if isinstance(route, Route) for method in route.methods or ()})

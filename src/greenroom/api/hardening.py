"""Checks every request before it reaches a route (served host, size and levels of the body, origin), and adds headers
to answers.

This is plain ASGI, so that streams (server-sent events) pass through unbuffered.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greenroom.api.csrf import cross_site_reason
from greenroom.api.problems import error_response, is_published
from greenroom.core.errors import Forbidden, GreenroomError, MisdirectedHost, TooLarge
from greenroom.core.fleet.addresses import not_served_text
from greenroom.core.recording.session_video import MAX_REQUEST_BYTES
from greenroom.kit.serving import LimitedBody
from greenroom.wire.viewers import SESSION_VIDEO_PATH

LOGIN_COOKIE: Final = "__Host-greenroom"
MAX_BODY_BYTES: Final = 1 << 20
HEALTH_PATH: Final = "/api/__healthcheck"
METRICS_PATH: Final = "/metrics"
ANY_HOST_PATHS: Final = frozenset({HEALTH_PATH, METRICS_PATH})
"""Paths that are served for every host name, because programs on the same host use them with a local name."""
_UPLOAD_PATH: Final = re.compile(r"/api/v1/leases/[0-9a-f-]{36}/files/")
_SIGNED_ANSWER_PATH: Final = re.compile(r"/api/v1/sign-on/[a-z0-9-]+/callback")
"""A page of an identity provider sends a SAML response to this path. The response is signed, and the route reads no
cookies."""
_HOST_HEADER: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?", re.ASCII)

DEFAULT_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer that does not override them."""


class HardeningMiddleware:
    """ASGI middleware. Hosts other than `served_hosts` (names without port) get 421, except at `ANY_HOST_PATHS`."""

    def __init__(self, app: ASGIApp, *, served_hosts: frozenset[str], public_url: str) -> None:
        self._app = app
        self._served_hosts = served_hosts
        self._public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = _max_body_bytes(scope["method"], scope["path"])
        limited = receive if max_bytes is None else LimitedBody(receive, max_bytes)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in DEFAULT_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        if refusal is not None:
            await error_response(scope["path"], refusal)(scope, receive, with_headers)
            return
        await self._app(scope, limited, with_headers)

    def _refusal(self, method: str, path: str, headers: Headers) -> GreenroomError | None:
        host = host_name(headers.get("host", ""))
        if path not in ANY_HOST_PATHS and host not in self._served_hosts:
            return MisdirectedHost(not_served_text(self._public_url))
        length, max_bytes = headers.get("content-length", "0"), _max_body_bytes(method, path)
        if not length.isdecimal() or (max_bytes is not None and int(length) > max_bytes):
            return TooLarge()
        if _SIGNED_ANSWER_PATH.fullmatch(path):
            return None
        ignores_cookie = "authorization" in headers or is_published(path)
        has_cookie = not ignores_cookie and LOGIN_COOKIE in cookie_parser(headers.get("cookie", ""))
        reason = cross_site_reason(method, headers, has_cookie=has_cookie)
        return Forbidden(reason, reason="cross-site") if reason else None


def _max_body_bytes(method: str, path: str) -> int | None:
    """Return the maximum size of a body; None = no limit: it is a file for a session, which is forwarded while it
    arrives, and the session limits its size."""
    if method == "PUT" and _UPLOAD_PATH.match(path) is not None:
        return None
    return MAX_REQUEST_BYTES if path == SESSION_VIDEO_PATH else MAX_BODY_BYTES


def host_name(host: str) -> str:
    """Return the name in a Host header, lower case, without port; `[::1]:8443` results in `::1`.

    The result is empty if `host` is neither `name` nor `name:port`. The part after the name is used in addresses
    (`$request_host$`), so `served.example:x@elsewhere.example` must not pass as `served.example`.
    """
    match = _HOST_HEADER.fullmatch(host)
    return match["name"].strip("[]").lower() if match else ""


def parse_served_hosts(names: str) -> frozenset[str]:
    """Return the setting `served_hosts`, separated by commas, as a set."""
    return frozenset(host for name in names.split(",") if (host := host_name(name.strip())))

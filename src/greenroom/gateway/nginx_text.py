"""Small pieces of nginx configuration used by both halves of it."""

from __future__ import annotations

import json
import textwrap
from typing import Final

HSTS: Final = 'add_header Strict-Transport-Security "max-age=31536000" always;'
NO_SNIFF: Final = "add_header X-Content-Type-Options nosniff always;"

QUIET: Final = (
    'add_header Permissions-Policy "accelerometer=(), bluetooth=(), browsing-topics=(), geolocation=(), gyroscope=(),'
    ' hid=(), magnetometer=(), midi=(), payment=(), serial=(), usb=()" always;'
)
"""What neither the console nor a desktop needs of a browser is closed to both, and to what a page might be made to
load."""

DRAINING_RETRY_S: Final = 30
"""`Retry-After` of a draining Manager, fixed by the CONTRACT."""

OWN_HEADERS: Final = ("Upstream", "Authorization", "Reason", "User", "Zone")
"""X-Greenroom-… headers with a meaning among our own parts; nobody outside may send one."""

WITHOUT_OWN_HEADERS: Final = "\n".join(f'proxy_set_header X-Greenroom-{name} "";' for name in OWN_HEADERS)

FORWARDED: Final = "\n".join(
    [
        "proxy_set_header Host $http_host;",
        "proxy_set_header X-Forwarded-Host $http_host;",
        "proxy_set_header X-Forwarded-Proto https;",
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "proxy_set_header X-Real-IP $remote_addr;",
        *(f'proxy_set_header X-Greenroom-{name} "";' for name in OWN_HEADERS if name != "Zone"),
    ]
)
"""Who asked, as seen here; what a client claims about it is dropped."""


def block(head: str, *body: str) -> str:
    """`head { body }`, indented."""
    return f"{head} {{\n{textwrap.indent(chr(10).join(part for part in body if part), '  ')}\n}}"


def quoted(path: str) -> str:
    """A path as one word; `parse_plan` let no quote, dollar or backslash through."""
    return f'"{path}"'


def proxied(target: str) -> tuple[str, ...]:
    """Pass on to `target` over a kept connection."""
    return (f"proxy_pass {target};", "proxy_http_version 1.1;", 'proxy_set_header Connection "";')


def too_many() -> str:
    """Where requests and connections beyond what one address may have are answered."""
    sentence = "Too many requests come from your address; try again in a moment."
    return block("location @too_many", "add_header Retry-After 5 always;", problem(429, "too-many-requests", sentence))


def problem(status: int, code: str, sentence: str) -> str:
    """Answer with a problem document (RFC 9457) that also has the public interface's `error_message`."""
    body = {"type": "about:blank", "status": status, "code": code, "detail": sentence, "error_message": sentence}
    return "\n".join(
        [
            HSTS,
            NO_SNIFF,
            "add_header Cache-Control no-store always;",
            "default_type application/problem+json;",
            f"return {status} '{json.dumps(body)}';",
        ]
    )

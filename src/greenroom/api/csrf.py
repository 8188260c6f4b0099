"""May this request have been made by somebody else's page in the viewer's browser?

Ports share cookies and count as one site, so SameSite alone does not keep the page in a session's container from
using the api as its viewer (DESIGN "A session image"). The browser says who asks: `Sec-Fetch-Site` must be
`same-origin` or `none`; where that header is missing, Origin or Referer must name the host asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def cross_site_reason(method: str, headers: Mapping[str, str], *, has_cookie: bool) -> str | None:
    """Why the request is refused, as a sentence; None = it is not cross-site.

    Args:
        method: of the request; safe methods pass, they change nothing.
        headers: with lower-case names: `sec-fetch-site`, `origin`, `referer`, `host`.
        has_cookie: the log-in cookie would count. Programs without a browser send neither cookie nor these headers.
    """
    if method in SAFE_METHODS:
        return None
    site = headers.get("sec-fetch-site")
    if site is not None:
        allowed = site in ("same-origin", "none")
        return None if allowed else f"The browser says that a page of another origin asked (Sec-Fetch-Site: {site})."
    if not has_cookie:
        return None
    source = headers.get("origin") or headers.get("referer")
    if source is None:
        return "The request has a log-in cookie, but neither Sec-Fetch-Site nor Origin nor Referer says who asked."
    if _host_of(source) != headers.get("host", "").lower():
        return f"A page of another origin asked ({source})."
    return None


def _host_of(address: str) -> str | None:
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return None

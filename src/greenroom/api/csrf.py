"""Protection against requests that pages of other sites send from the browser of a viewer.

A session may serve a page on another port of the host. Browsers send cookies to all ports of a host, and `SameSite`
does not distinguish ports, so the page could send requests with the cookie of the viewer. `Sec-Fetch-Site` must be
`same-origin` or `none`; without that header, Origin or Referer must name the requested host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def cross_site_reason(method: str, headers: Mapping[str, str], *, has_cookie: bool) -> str | None:
    """Return the reason why the request is refused, as a sentence; None = it is not cross-site.

    Safe methods pass, because they change nothing. Names in `headers` are lower-case. Requests without
    `Sec-Fetch-Site` and without the log-in cookie (`has_cookie`) pass: programs other than browsers send such requests.
    """
    if method in SAFE_METHODS:
        return None
    site = headers.get("sec-fetch-site")
    if site is not None:
        allowed = site in ("same-origin", "none")
        return None if allowed else f"A page of another origin sent the request (Sec-Fetch-Site: {site})."
    if not has_cookie:
        return None
    if not headers.get("origin") and headers.get("referer") is None:
        return "The request has a log-in cookie, but no header Sec-Fetch-Site, Origin or Referer with its origin."
    return foreign_origin_reason(headers)


def foreign_origin_reason(headers: Mapping[str, str]) -> str | None:
    """Return the reason to refuse a request whose Origin, or else Referer, contains another host than the requested
    one. None = the header contains the requested host, or both headers are missing.
    """
    source = headers.get("origin") or headers.get("referer")
    if source is None or _host_of(source) == headers.get("host", "").lower():
        return None
    return f"A page of another origin sent the request ({source})."


def _host_of(address: str) -> str | None:
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return None

"""Addresses of pages that a session is told to open."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_NEVER: Final = re.compile(r"[\s\x00-\x1f\x7f\"'`<>\\^{|}]")
"""What RFC 3986 has no place for, and the apostrophe: programs in sessions hand addresses on to shells and pages."""
_HOST: Final = re.compile(r"[^!$&()*+,;=%@/?#]+")


def web_address_problem(text: str) -> str | None:
    """Why a session cannot be told to open this, as a sentence; None = it can."""
    if not text.lower().startswith(("http://", "https://")):
        return "an address must begin with http:// or https://"
    if not text.isprintable() or _NEVER.search(text):
        return "an address must not contain spaces, quotes, control characters or any of ` < > \\ ^ { | }"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # a port that is none raises
    except ValueError:
        return "the address has a host or a port that is none"
    if not host or not _HOST.fullmatch(host):
        return "an address must name a host, like https://www.example.org/"
    return None

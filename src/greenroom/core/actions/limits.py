"""How much a batch of actions may ask for."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta

from greenroom.core.errors import Invalid

MOST_ACTIONS: Final = 100
MOST_SECONDS: Final = 30.0
"""One wait, or one key that is held."""
MOST_SECONDS_TOGETHER: Final = 60.0
MOST_TEXT_BYTES: Final = 1_000_000
MOST_NOTCHES: Final = 100
MOST_PIXELS: Final = 1_000_000
"""A coordinate this far from the screen is no coordinate."""
MOST_REF: Final = 60
"""Characters of a reference to an element."""
MOST_ADDRESS: Final = 8000
"""Characters of a web address."""
Coordinate = Annotated[int, Meta(ge=-MOST_PIXELS, le=MOST_PIXELS)]


def checked_text(text: str) -> str:
    """The text, if it can be written as UTF-8 within the limit.

    Raises:
        Invalid: it cannot.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise Invalid("the text has half of a surrogate pair, which is no character.") from error
    if size > MOST_TEXT_BYTES:
        raise Invalid(f"the text has {size} bytes; at most {MOST_TEXT_BYTES} are taken, send it in parts or as a file.")
    return text


def web_address(url: str) -> str:
    """The address, if it is one of the web.

    Raises:
        Invalid: it is not, or is too long.
    """
    try:
        parts = urlsplit(checked_text(url))
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid(f"this is no web address: {error}.") from error
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url:
        raise Invalid("a web address begins with http:// or https://, has a host, and has no spaces.")
    if len(url) > MOST_ADDRESS:
        raise Invalid(f"the address has {len(url)} characters; at most {MOST_ADDRESS} are taken.")
    return url

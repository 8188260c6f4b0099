"""The name, the notice and the support link of the installation, which the log-in page shows to everyone."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from greenroom.core.errors import Invalid
from greenroom.core.text import refused_character

BRANDING_LENGTHS: Final = {"installation_name": 60, "login_notice": 1000, "support_url": 500}
"""Setting → maximum number of characters."""


def check_branding(name: str, value: str) -> None:
    """Check the value of a setting of `BRANDING_LENGTHS`. Raises Invalid: it is too long, contains a control character
    or an invisible one, such as one that reverses the direction of writing, or is no address for a link."""
    if len(value) > BRANDING_LENGTHS[name]:
        raise Invalid(f"`{name}` may have at most {BRANDING_LENGTHS[name]} characters, not {len(value)}.")
    for line in value.split("\n"):
        if character := refused_character(line):
            raise Invalid(f"`{name}` contains a control or invisible character; remove {character}.")
    if name == "support_url" and value and not _is_link(value):
        raise Invalid("`support_url` must be an address that begins with https:// or mailto:.")


def _is_link(address: str) -> bool:
    """Return whether a browser may open the address. Other schemes, such as javascript:, could run code."""
    if any(character.isspace() for character in address):
        return False
    try:
        parts = urlsplit(address)
    except ValueError:  # e.g. https://[::1
        return False
    return (parts.scheme == "https" and bool(parts.netloc)) or (parts.scheme == "mailto" and "@" in parts.path)

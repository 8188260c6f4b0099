"""What each provider of machines has to be given, and what of it says where it is: secrets go nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from greenroom.core.fleet.machines.model import ProviderKind

PLACE: Final[dict[ProviderKind, tuple[str, ...]]] = {
    "command": ("program",),
    "webhook": ("url",),
    "libcloud": ("driver", "arguments"),
    "simulated": (),
}
"""Options that say where requests, and with them secrets, go."""
_TEXTS: Final[dict[ProviderKind, tuple[str, ...]]] = {
    "command": ("program",),
    "webhook": ("url",),
    "libcloud": ("driver", "size", "image"),
    "simulated": (),
}
_OBJECTS: Final = ("arguments", "create")
MAX_TEXT: Final = 1000


def options_problem(provider: ProviderKind, options: Mapping[str, Any]) -> str | None:
    """Why a provider cannot work with these options, as a sentence; None = it can, as far as can be seen."""
    for name in _TEXTS[provider]:
        value = options.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
            return f"The provider {provider} needs the option {name}, a text."
    if provider == "libcloud":
        wrong = next((name for name in _OBJECTS if not isinstance(options.get(name, {}), Mapping)), None)
        return f"The option {wrong} is an object of names and values." if wrong else None
    if provider == "command" and not PurePosixPath(options["program"]).is_absolute():
        return "The option program is the absolute path of a program, in a folder of GREENROOM_MACHINE_COMMANDS."
    return _url_problem(options["url"]) if provider == "webhook" else None


def _url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    is_local = host in ("127.0.0.1", "::1", "localhost")
    if not host or parts.username is not None or not (parts.scheme == "https" or (parts.scheme == "http" and is_local)):
        return (
            "The option url is an address that begins with https://, without a user name; http:// on this host alone."
        )
    return None


def is_same_place(
    provider: ProviderKind, options: Mapping[str, Any], other_provider: ProviderKind, other: Mapping[str, Any]
) -> bool:
    """Whether requests go to the same program, address or account's cloud."""
    return provider == other_provider and all(options.get(name) == other.get(name) for name in PLACE[provider])

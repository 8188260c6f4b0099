"""The version of this program, the same for every part and command."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """The installed version of Greenroom."""
    return metadata.version("greenroom")

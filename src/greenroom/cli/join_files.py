"""The folder that `greenroom join` writes on a new host: settings and secrets, readable by its owner only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from greenroom.agent.fleet.identity import write_private
from greenroom.core.errors import SetupError


def write_settings(home: Path, name: str, values: Mapping[str, str], files: Mapping[str, str]) -> Path:
    """Write a TOML file of strings and other files beside it, readable by the folder's owner only; returns the TOML
    file.

    Raises:
        SetupError: the folder cannot be written.
    """
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    try:
        for other, content in files.items():
            if content:
                write_private(home / other, content.encode(), owner_of(home))
        write_private(home / name, text.encode(), owner_of(home))
    except OSError as error:
        raise SetupError(f"The folder {home} cannot be written: {error.strerror}.") from error
    return home / name


def owner_of(home: Path) -> os.stat_result | None:
    """The files' owner, if this account can set it: a gateway's folder may belong to its account already."""
    return home.stat() if os.getuid() == 0 else None

"""The file of settings that a join writes."""

from __future__ import annotations

import tomllib
from pathlib import Path

from greenroom.cli.join import _write_settings  # pyright: ignore[reportPrivateUsage]


def test_a_path_with_letters_of_any_language_is_read_back(tmp_path: Path):
    values = {"agent_dir": "/srv/Grüne Räume 🌿/\\ \"'"}
    file = _write_settings(tmp_path, "agent.toml", values, {})
    assert tomllib.loads(file.read_text()) == values

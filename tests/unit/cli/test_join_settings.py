"""The options of a join, and the file of settings that it writes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from greenroom.cli.join import _write_settings, find_deployment  # pyright: ignore[reportPrivateUsage]
from greenroom.core.errors import SetupError


def test_a_path_with_letters_of_any_language_is_read_back(tmp_path: Path):
    values = {"agent_dir": "/srv/Grüne Räume 🌿/\\ \"'"}
    file = _write_settings(tmp_path, "agent.toml", values, {})
    assert tomllib.loads(file.read_text()) == values


def test_a_fingerprint_beside_a_file_of_the_authority_is_refused(tmp_path: Path):
    with pytest.raises(SetupError, match=r"^Pass --ca-sha256 or --ca-file, not both\.$"):
        find_deployment("https://desk.example", "ab" * 32, tmp_path / "ca.pem")

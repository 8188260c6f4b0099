"""The files that a restore of the services of several machines puts into the folder of the keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.backup.reading import DUMP_FILE
from greenroom.backup.services import _check_key, _move_missing
from greenroom.core.errors import SetupError


def test_only_missing_files_and_folders_are_restored_with_their_modes(tmp_path: Path):
    extracted, keys = tmp_path / "restoring", tmp_path / "keys"
    for folder in (extracted / "tls", keys):
        folder.mkdir(parents=True)
    for name in ("installation.key", "api.toml", "link", "tls/server.key", DUMP_FILE):
        (extracted / name).write_text("of the backup")
        (extracted / name).chmod(0o600)
    (keys / "api.toml").write_text("of this machine")
    (keys / "link").symlink_to("absent")
    _move_missing(extracted, keys)
    assert sorted(path.name for path in keys.iterdir()) == ["api.toml", "installation.key", "link", "tls"]
    assert (keys / "api.toml").read_text() == "of this machine"
    assert (keys / "link").is_symlink()
    assert (keys / "tls/server.key").read_text() == "of the backup"
    assert (keys / "installation.key").stat().st_mode & 0o777 == 0o600


def test_the_key_of_another_installation_is_refused(tmp_path: Path):
    extracted, keys = tmp_path / "restoring", tmp_path / "keys"
    for folder in (extracted, keys):
        folder.mkdir()
    (extracted / "installation.key").write_text("of the backup")
    _check_key(extracted, keys)
    (keys / "installation.key").write_text("of the backup")
    _check_key(extracted, keys)
    (keys / "installation.key").write_text("of another installation")
    with pytest.raises(SetupError, match=r"installation\.key is not the key of the backup"):
        _check_key(extracted, keys)

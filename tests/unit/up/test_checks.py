"""An instance is started only if nothing on the machine prevents it."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.core.errors import SetupError
from greenroom.up.checks import check_only_instance, instance_with_id, running_folders
from greenroom.up.layout import DataLock, Layout


def test_a_copy_of_a_running_instance_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    original, copy, other = (Layout(tmp_path / name) for name in ("original", "copy", "other"))
    for layout, installation in ((original, "1"), (copy, "1"), (other, "2")):
        layout.create_data()
        layout.installation_id.write_text(installation)
    monkeypatch.setenv("GREENROOM_DATA", str(original.data))
    check_only_instance(copy, running_folders())
    lock = DataLock.take(original)
    with pytest.raises(SetupError, match=f"{original.data} is a running instance with the installation id of"):
        check_only_instance(copy, running_folders())
    check_only_instance(original, running_folders())
    check_only_instance(other, running_folders())
    lock.release()


def test_a_new_folder_is_no_copy_of_instances_before_their_first_start(tmp_path: Path):
    starting = Layout(tmp_path / "starting")
    starting.create_data()
    assert instance_with_id("", tmp_path / "new", [starting.data]) is None
    assert instance_with_id("1", tmp_path / "new", [starting.data, tmp_path / "removed"]) is None

"""The copy of the packages for accounts that cannot read them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from greenroom.kit.config import CODE_FOLDER
from greenroom.up import programs
from greenroom.up.account import Account, Accounts


def test_all_folders_of_the_package_are_copied_for_an_account_that_cannot_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(programs, "distributions", lambda: ["greenroom", "greenroom-client"])
    monkeypatch.setattr(programs, "_can_run", lambda _account, files: CODE_FOLDER not in files)
    copied = programs.prepare_programs(tmp_path, Accounts(*[Account(None)] * 3))
    environment = copied.environment | {"PATH": os.defpath}
    listed = "import greenroom; print(*greenroom.__path__)"
    done = subprocess.run(
        [copied.python, "-S", "-c", listed], env=environment, capture_output=True, text=True, check=True
    )
    (folder,) = done.stdout.split()
    assert {"kit", "client", "shared"} <= {path.name for path in Path(folder).iterdir()}

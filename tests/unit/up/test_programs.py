"""The part of the installed packages that is copied for accounts that cannot read them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.packages import installed

from greenroom.up import programs

CODE = "class Lab:\n    title = 'the lab'\n"
LISTED = """
from importlib import metadata
print(*(entry.load().title for entry in metadata.entry_points(group="greenroom.runtimes", name="lab")))
"""


def test_a_runtime_of_a_package_that_is_installed_in_place_is_in_the_copy(tmp_path: Path):
    with installed(tmp_path, CODE, in_place=True):
        names = programs.distributions()
        packages = programs._package_folders(names)
        programs._copy_packages(["greenroom-lab"], packages[1:], tmp_path / "copy")
    assert {"greenroom", "greenroom-lab", "rich"} <= set(names)
    command, environment = [sys.executable, "-S", "-c", LISTED], {"PYTHONPATH": str(tmp_path / "copy")}
    listed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert listed.stdout == "the lab\n"


def test_another_state_of_its_code_is_another_copy(tmp_path: Path):
    with installed(tmp_path, CODE, in_place=True):
        names = programs.distributions()
        before = programs._code_digest(names, programs._package_folders(names))
        (tmp_path / "source/greenroom_lab/more.py").touch()
        assert programs._code_digest(names, programs._package_folders(names)) != before

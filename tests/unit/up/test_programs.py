"""What of the installed packages is copied for accounts that cannot read them."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.kit import plugins
from greenroom.up import programs

LISTED = """
from importlib import metadata
print(*(entry.load().title for entry in metadata.entry_points(group="greenroom.runtimes", name="lab")))
"""


@pytest.fixture
def in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with the runtime `lab` that is installed in place, like this checkout."""
    source, installed = tmp_path / "source", tmp_path / "installed"
    (source / "greenroom_lab").mkdir(parents=True)
    (source / "greenroom_lab/__init__.py").write_text("class Lab:\n    title = 'the lab'\n")
    about = installed / "greenroom_lab-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: greenroom_lab\nVersion: 1.0\nRequires-Dist: rich\n")
    (about / "entry_points.txt").write_text("[greenroom.runtimes]\nlab = greenroom_lab:Lab\n")
    (installed / "_greenroom_lab.pth").write_text(f"import sys\n\n{source}\n")
    files = ("_greenroom_lab.pth", f"{about.name}/METADATA", f"{about.name}/RECORD", f"{about.name}/entry_points.txt")
    (about / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    monkeypatch.syspath_prepend(installed)
    importlib.invalidate_caches()
    plugins.forget()
    yield
    monkeypatch.undo()
    plugins.forget()


@pytest.mark.usefixtures("in_place")
def test_a_runtime_of_a_package_that_is_installed_in_place_is_in_the_copy(tmp_path: Path):
    names = programs.distributions()
    packages = programs._packages(names)
    assert {"greenroom", "greenroom-lab", "rich"} <= set(names)
    programs._copy_packages(["greenroom-lab"], packages[1:], tmp_path / "copy")
    command = [sys.executable, "-S", "-c", LISTED]
    listed = subprocess.run(
        command, env={"PYTHONPATH": str(tmp_path / "copy")}, check=True, capture_output=True, text=True
    )
    assert listed.stdout == "the lab\n"


@pytest.mark.usefixtures("in_place")
def test_another_state_of_its_code_is_another_copy(tmp_path: Path):
    names = programs.distributions()
    before = programs._stamp(names, programs._packages(names))
    (tmp_path / "source/greenroom_lab/more.py").touch()
    assert programs._stamp(names, programs._packages(names)) != before

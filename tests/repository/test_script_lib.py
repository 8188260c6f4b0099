"""`script/up` prepares the host, and puts the command `greenroom` where the shell finds it, and never in the place of
something else.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from greenroom.cli.host import READY

LIB = Path(__file__).parents[2] / "script/lib"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with its program."""
    program = tmp_path / "checkout/.venv/bin/greenroom"
    program.parent.mkdir(parents=True)
    program.touch()
    return tmp_path / "checkout"


def linked(checkout: Path, folder: Path) -> str:
    """The messages when the command of the checkout is linked into a folder."""
    script = f'set -euo pipefail; cd "{checkout}"; . "{LIB}"; link_command "{folder}"'
    return subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stderr


def test_the_command_is_linked_once(checkout: Path, tmp_path: Path):
    folder = tmp_path / "home/.local/bin"
    said = linked(checkout, folder)
    assert (folder / "greenroom").readlink() == checkout / ".venv/bin/greenroom"
    assert f"The command greenroom is {folder}/greenroom" in said
    assert f"export PATH={folder}:$PATH" in said
    assert linked(checkout, folder) == "", "a second time there is nothing to do"


def test_a_link_of_a_checkout_that_is_gone_is_replaced(checkout: Path, tmp_path: Path):
    (tmp_path / "greenroom").symlink_to(tmp_path / "gone/.venv/bin/greenroom")
    linked(checkout, tmp_path)
    assert (tmp_path / "greenroom").readlink() == checkout / ".venv/bin/greenroom"


@pytest.mark.parametrize("target", [None, "other/.venv/bin/greenroom", "/nowhere/else"])
def test_what_is_not_ours_stays(checkout: Path, tmp_path: Path, target: str | None):
    link = tmp_path / "greenroom"
    if target is None:
        link.write_text("another file")
    else:
        link.symlink_to(tmp_path / target)
        if target.startswith("other"):
            (tmp_path / target).parent.mkdir(parents=True)
            (tmp_path / target).touch()
    before = link.lstat()
    said = linked(checkout, tmp_path)
    after = link.lstat()
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)
    assert (
        f"{link} is another program and is not replaced; the program of this checkout is {checkout}/.venv/bin/greenroom"
        in said
    )


@pytest.mark.parametrize(
    ("steps", "setup_status", "status", "calls"),
    [
        (READY, 0, 0, ["--dry-run"]),
        ("Install nginx-light: nginx is the gateway.", 0, 0, ["--dry-run", ""]),
        ("Install nginx-light: nginx is the gateway.\nRaise kernel.pid_max from 1 to 2: why.", 1, 1, ["--dry-run", ""]),
        ("Raise kernel.pid_max from 1 to 2: why.\nNothing was changed; run", 1, 0, ["--dry-run", ""]),
    ],
    ids=[
        "a ready host",
        "a host without a package",
        "a package that cannot be installed",
        "a limit that cannot be raised",
    ],
)
def test_a_host_that_is_not_ready_is_prepared(
    checkout: Path, steps: str, setup_status: int, status: int, calls: list[str]
):
    program = checkout / ".venv/bin/greenroom"
    program.write_text(
        f'#!/bin/sh\necho "$3" >>calls\n[ -n "$3" ] || exit {setup_status}\ncat <<"STEPS"\n{steps}\nSTEPS\n'
    )
    program.chmod(0o755)
    script = f'set -euo pipefail; cd "{checkout}"; . "{LIB}"; as_root() {{ "$@"; }}; need_host'
    done = subprocess.run(["bash", "-c", script], check=False, capture_output=True, text=True)
    assert (done.returncode, (checkout / "calls").read_text().splitlines()) == (status, calls), done.stderr

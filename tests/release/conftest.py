"""Builds of the last commit, which the tests of releases compare, verify and install."""

from __future__ import annotations

import fcntl
import os
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest
from _pytest.terminal import TerminalReporter

from greenroom.recipes.build import suite

ROOT: Final = Path(__file__).parents[2]
VERSION: Final = metadata.version("greenroom")
RELEASES: Final = os.environ.get("INSTALL_ON", "").split() or [suite()]
"""The releases of Debian on which a release is installed. INSTALL_ON names others than that of this host, such as
`trixie`, or files with package sources for the wheels, such as `/root/noble.sources`, separated by spaces.
"""


def release_key(folder: Path) -> Path:
    """The private key that signed the build in this folder. The public key is the file with the ending `.pub`."""
    return folder.parent / f"{folder.name}.key"


def build_release(out: Path, key: Path) -> None:
    """Build a release into the folder `out`, without images, and sign it."""
    command = ("script/release", VERSION, "--unreleased", "--no-images", "--key", str(key), "--out", str(out))
    subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a build of the last commit, which parallel processes of a run share.

    With RELEASE_FOLDER, several runs share the build in this folder.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = Path(os.environ.get("RELEASE_FOLDER") or shared / "release")
    with (shared / "release.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "SHA256SUMS").exists():
            return folder
        if subprocess.run(("git", "diff", "--quiet", "HEAD", "--"), cwd=ROOT, check=False).returncode != 0:
            pytest.skip("the checkout has uncommitted changes")
        key = release_key(folder)
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)), check=True)
        build_release(folder, key)
    return folder


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the durations that tests recorded: title of a step → seconds."""
    reports = terminalreporter.getreports("passed")
    if recorded := [one for report in reports if report.when == "call" for one in report.user_properties]:
        terminalreporter.section("seconds of each step")
        for title, seconds in recorded:
            terminalreporter.write_line(f"{title:40}{seconds:8.1f}")

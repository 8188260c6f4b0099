"""Builds of the last commit, which the tests of releases compare, verify and install."""

from __future__ import annotations

import os
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest
from _pytest.terminal import TerminalReporter

ROOT: Final = Path(__file__).parents[2]
VERSION: Final = metadata.version("greenroom")
TIMES: Final = pytest.StashKey[dict[str, float]]()


def release_key(folder: Path) -> Path:
    """The private key that signed the build in this folder. The public key is the file with the ending `.pub`."""
    return folder.parent / f"{folder.name}.key"


def build_release(out: Path, key: Path) -> None:
    """Build a release into the folder `out`, without images, and sign it."""
    command = ("script/release", VERSION, "--no-images", "--key", str(key), "--out", str(out))
    subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> dict[str, float]:
    """Title of a step → its duration in seconds, which is printed at the end."""
    return request.config.stash.setdefault(TIMES, {})


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a build of the last commit. With RELEASE_FOLDER, runs of tests share the build in this folder."""
    folder = Path(os.environ.get("RELEASE_FOLDER") or tmp_path_factory.mktemp("releases") / "release")
    if (folder / "SHA256SUMS").exists():
        return folder
    if subprocess.run(("git", "diff", "--quiet", "HEAD", "--"), cwd=ROOT, check=False).returncode != 0:
        pytest.skip("the checkout has uncommitted changes")
    key = release_key(folder)
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)), check=True)
    build_release(folder, key)
    return folder


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the durations of the steps."""
    if times := terminalreporter.config.stash.get(TIMES, {}):
        terminalreporter.section("seconds of each step")
    for title, seconds in times.items():
        terminalreporter.write_line(f"{title:40}{seconds:8.1f}")

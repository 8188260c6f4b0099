"""Two builds of the last commit, which the tests of releases compare, verify and install."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of two builds of the last commit. The key that signed them is in the folder above."""
    if subprocess.run(("git", "diff", "--quiet", "HEAD", "--"), cwd=ROOT, check=False).returncode != 0:
        pytest.skip("the checkout has uncommitted changes")
    folder = tmp_path_factory.mktemp("releases")
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")), check=True)
    outs = [folder / "first", folder / "second"]
    version = metadata.version("greenroom")
    command = ("script/release", version, "--no-images", "--key", str(folder / "key"), "--out")
    builds = [subprocess.Popen((*command, str(out)), cwd=ROOT, stdin=subprocess.DEVNULL) for out in outs]
    try:
        assert [build.wait() for build in builds] == [0, 0]
    finally:
        for build in builds:
            build.terminate()  # has no effect on a process that has ended
    return outs


@pytest.fixture(scope="session")
def release(releases: list[Path]) -> Path:
    return releases[0]

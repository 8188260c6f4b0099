"""Folders of the host whose content a session's user created freely."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from greenroom.core.workspace.session_spec import Mount
from greenroom.runtimes import host_folders
from greenroom.runtimes.contract import StartError
from greenroom.runtimes.host_folders import TRASH_PREFIX, HostFolders

DEPTH = sys.getrecursionlimit() + 100


def no_problem(*_: object) -> None:
    """Accept any folder."""


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A profile with nested folders, deeper than the recursion limit."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2 * DEPTH:
        pytest.skip("too few files may be open here")
    monkeypatch.setattr(host_folders, "source_problem", no_problem)  # nothing below /tmp may be mounted
    made = tmp_path / "ada"
    made.mkdir()
    here = os.open(made, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("inner", dir_fd=here)
        inner = os.open("inner", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    yield made
    subprocess.run([shutil.which("rm") or "rm", "-rf", *tmp_path.iterdir()], check=True)


def test_a_profile_is_reset_however_deep_its_folders_lie_in_each_other(profile: Path):
    mount = Mount(source=str(profile), target="/home/kasm-user", profile="Reset")
    with capture_logs() as logs:
        HostFolders(allowed=[str(profile.parent)]).prepare([mount], "s")
    assert list(profile.iterdir()) == []
    (moved,) = (entry.name for entry in profile.parent.iterdir() if entry != profile)
    assert moved.startswith(TRASH_PREFIX)
    assert [(row["log_level"], row["path"]) for row in logs] == [("warning", moved)]


def test_nothing_is_mounted_that_was_not_named(tmp_path: Path):
    mount = Mount(source="/srv/desks", target="/mnt/x", required=True)
    with pytest.raises(StartError) as refused:
        HostFolders(volumes_folder=f"{tmp_path}/volumes").prepare([mount], "s")
    assert refused.value.message == (
        f"/srv/desks cannot be mounted: this host allows only folders below {tmp_path}/volumes. Its"
        " administrator names others in the Agent's setting GREENROOM_VOLUME_FOLDERS."
    )


def test_the_own_folder_may_be_mounted_in_private_surroundings(tmp_path: Path):
    folders = HostFolders(private=[str(tmp_path)], volumes_folder=f"{tmp_path}/volumes")
    folders.prepare([Mount(source=f"{tmp_path}/volumes/ada", target="/mnt/x")], "s")
    assert (tmp_path / "volumes/ada").stat().st_mode & 0o777 == 0o700
    for other in (tmp_path, tmp_path / "keys", tmp_path / "volumes2"):
        with pytest.raises(StartError, match="belongs to the host itself"):
            folders.prepare([Mount(source=str(other), target="/mnt/x")], "s")


def test_the_folders_that_an_agent_reports_are_those_that_it_mounts():
    folders = HostFolders(allowed=["/srv/shared/"], volumes_folder="/srv/volumes")
    assert folders.permitted == ("/srv/shared", "/srv/volumes")
    with pytest.raises(StartError, match="only folders below /srv/shared, /srv/volumes"):
        folders.prepare([Mount(source="/srv/other", target="/x")], "s")

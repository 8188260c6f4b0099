"""`greenroom uninstall` lists what it removes and what remains."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from greenroom.cli.main import app
from greenroom.core.errors import SetupError
from greenroom.up import uninstall
from greenroom.up.layout import Layout, mounts_below
from greenroom.up.uninstall import (
    InstalledObjects,
    plan,
    read_installation,
    unmount_below,
)

DATA = Path("/srv/greenroom")
FOUND = InstalledObjects(
    data=DATA, is_running=True, images=("greenroom/desktop:xfce",), mounts=(DATA / "volumes",), accounts=("greenroom",)
)
SHARED = InstalledObjects(data=DATA, is_running=True, other_installations=("the installation 12 uses this Docker.",))


def test_everything_is_removed_except_packages_and_the_program():
    found = plan(FOUND, keep_data=False, with_accounts=True)
    assert [sentence.split(",")[0] for sentence in found.removes] == [
        "All sessions",
        "The images greenroom/desktop:xfce.",
        "The mount /srv/greenroom/volumes is unmounted; its files remain on its own file system.",
        "The folder /srv/greenroom with the database",
        "The system accounts greenroom.",
    ]
    assert found.remains[0].startswith("Debian packages and kernel limits remain")
    assert len(found.remains) == 2


def test_accounts_remain_unless_their_removal_is_requested():
    found = plan(FOUND, keep_data=False)
    assert not any("accounts" in sentence for sentence in found.removes)
    assert found.remains[0].startswith("The system accounts greenroom remain")
    assert found.remains[0].endswith("userdel greenroom")


def test_a_data_folder_in_the_environment_does_not_hide_the_standard_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own, other = Layout(tmp_path / "own"), Layout(tmp_path / "standard")
    other.data.mkdir()
    other.instance.write_text("{}")
    monkeypatch.setenv("GREENROOM_DATA", str(own.data))
    monkeypatch.setattr(uninstall, "standard_data", lambda: other.data)
    monkeypatch.setattr(uninstall, "UNITS", tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert uninstall._reasons_on_machine(own) == [f"{other.data} has another instance."]


def test_the_backups_of_upgrades_are_named():
    found = plan(replace(FOUND, backups=Layout(DATA).backups), keep_data=True)
    assert found.remains[1].endswith("delete them with: sudo rm -r /srv/greenroom-backups")


@pytest.mark.parametrize(
    ("prefix", "removal"),
    [("/usr/lib/greenroom/0.1.0", "remove its package with"), ("/opt/greenroom", "delete /opt/greenroom and the link")],
)
def test_the_program_is_removed_as_it_was_installed(monkeypatch: pytest.MonkeyPatch, prefix: str, removal: str):
    monkeypatch.setattr(sys, "prefix", prefix)
    assert plan(FOUND, keep_data=False).remains[-1].startswith(f"The program remains; {removal}")


def test_kept_data_keep_their_accounts_and_mounts():
    found = plan(FOUND, keep_data=True)
    assert len(found.removes) == 2
    assert found.remains[0] == "The data in /srv/greenroom remain; `greenroom up` continues with them."


def test_images_of_other_installations_remain():
    found = plan(SHARED, keep_data=False)
    assert found.remains[0] == "The images and system accounts remain: the installation 12 uses this Docker."
    assert len(found.removes) == 2


def test_an_external_database_and_unknown_images_are_named():
    found = plan(InstalledObjects(data=DATA, is_running=False, has_own_database=False), keep_data=False)
    assert "the database" not in found.removes[-1]
    assert found.remains[0].startswith("The external database remains")
    assert found.remains[1].startswith("Images from registries remain")


def test_a_folder_without_an_instance_is_refused(tmp_path: Path):
    with pytest.raises(SetupError, match="There is no Greenroom instance"):
        read_installation(Layout(tmp_path))
    (tmp_path / "thesis.txt").write_text("chapter one")
    with pytest.raises(SetupError, match="is not empty and contains no Greenroom instance"):
        read_installation(Layout(tmp_path))
    assert (tmp_path / "thesis.txt").exists()


def test_without_a_confirmation_nothing_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(uninstall, "read_installation", lambda _: FOUND)
    monkeypatch.setattr(uninstall, "remove", lambda *_, **__: pytest.fail("it was removed"))
    done = CliRunner().invoke(app, ["uninstall", "--data", str(tmp_path)])
    assert isinstance(done.exception, SetupError)
    assert "Add --yes" in done.exception.message
    assert "- The images greenroom/desktop:xfce." in done.stderr


def test_inner_mounts_are_first(tmp_path: Path):
    table = tmp_path / "mountinfo"
    points = ["/", "/srv/greenroom", "/srv/greenroom/a\\040b", "/srv/greenroom/a\\040b/c", "/srv/greenroom2"]
    lines = (f"{n} 1 8:1 / {point} rw - ext4 /dev/x rw" for n, point in enumerate(points))
    table.write_text("\n".join(lines))
    assert mounts_below(DATA, table) == [DATA / "a b/c", DATA / "a b"]


def test_only_a_mount_that_remains_is_an_error(monkeypatch: pytest.MonkeyPatch):
    tables = iter([[DATA / "ended"], [], [DATA / "ended"], [DATA / "new"]])
    monkeypatch.setattr(uninstall, "mounts_below", lambda _: next(tables))
    unmount_below(DATA)
    with pytest.raises(SetupError, match="/srv/greenroom/new cannot be unmounted"):
        unmount_below(DATA)

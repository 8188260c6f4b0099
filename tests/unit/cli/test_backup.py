"""The options of `greenroom backup`, and those that it has in common with `restore` and `upgrade`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.unit.backup.test_contents import HEADER
from tests.unit.cli.conftest import Done

from greenroom.backup.create import BackupOptions
from greenroom.backup.reading import VerifiedBackup
from greenroom.backup.restore import RestoredBackup
from greenroom.cli import upgrade
from greenroom.cli.backup import print_restored

Greenroom = Callable[..., Done]


def test_a_backup_needs_a_passphrase_or_a_recipient(greenroom: Greenroom, tmp_path: Path):
    done = greenroom("backup", str(tmp_path), "--data", str(tmp_path))
    assert (done.code, "specify --passphrase-file or --recipient" in done.err) == (1, True)


@pytest.mark.parametrize("text", ["", "\nsecond line"])
def test_an_empty_passphrase_is_refused(greenroom: Greenroom, tmp_path: Path, text: str):
    (tmp_path / "passphrase").write_text(text)
    done = greenroom("backup", str(tmp_path), "--passphrase-file", str(tmp_path / "passphrase"))
    assert (done.code, "is empty" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "does not exist; write the passphrase"),
        (b"\xff", "is not text in UTF-8"),
        ("folder", "cannot be read: Is a"),
    ],
)
def test_a_passphrase_file_that_cannot_be_read_is_named(
    greenroom: Greenroom, tmp_path: Path, content: bytes | str | None, problem: str
):
    file = tmp_path / "passphrase"
    if content == "folder":
        file.mkdir()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    done = greenroom("backup", str(tmp_path), "--passphrase-file", str(file))
    assert (done.code, f"The passphrase file {file} {problem}" in " ".join(done.err.split())) == (1, True)
    assert "Errno" not in done.err


def test_the_result_of_a_check_names_the_writing_and_the_installed_version(capsys: pytest.CaptureFixture[str]):
    header = msgspec.structs.replace(HEADER, version="0.2.0", installation_version="0.1.0")
    for as_json in (False, True):
        print_restored(RestoredBackup(VerifiedBackup(header, 7)), "Nothing was changed.", dry_run=True, as_json=as_json)
    text, _, printed = capsys.readouterr().out.splitlines()
    assert text.startswith("Backup of Greenroom 0.1.0 of 2026-11-26 23:00 UTC, written by Greenroom 0.2.0: PostgreSQL")
    assert (json.loads(printed)["version"], json.loads(printed)["installation_version"]) == ("0.2.0", "0.1.0")


def test_a_passphrase_and_a_recipient_exclude_each_other(greenroom: Greenroom, tmp_path: Path):
    (tmp_path / "passphrase").write_text("secret")
    options = ("--passphrase-file", str(tmp_path / "passphrase"), "--recipient", "age1x")
    assert greenroom("backup", str(tmp_path), *options).code == 2


@pytest.mark.parametrize("command", [("backup", "to"), ("restore", "/dev/null"), ("upgrade",)])
def test_options_of_several_forms_of_installation_exclude_each_other(
    greenroom: Greenroom, tmp_path: Path, command: tuple[str, ...]
):
    done = greenroom(*command, "--compose", str(tmp_path), "--kubernetes", str(tmp_path))
    assert (done.code, "--services" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("option", "required"), [("--keys", "--kubernetes"), ("--context", "--kubernetes"), ("--folder", "--services")]
)
def test_an_option_of_another_form_of_installation_is_refused(greenroom: Greenroom, option: str, required: str):
    done = greenroom("upgrade", option, "/etc")
    assert (done.code, f"{option} requires {required}" in done.err) == (2, True)


def test_a_backup_of_no_instance_is_refused(greenroom: Greenroom, tmp_path: Path):
    done = greenroom("backup", str(tmp_path / "to"), "--data", str(tmp_path / "none"), "--recipient", "age1x")
    assert (done.code, "There is no Greenroom instance in" in done.err) == (1, True)
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("command", ["backup", "upgrade"])
def test_the_url_of_the_owner_requires_services(greenroom: Greenroom, tmp_path: Path, command: str):
    argument = [str(tmp_path)] if command == "backup" else []
    done = greenroom(command, *argument, "--database-url", "host=db password=secret")
    assert (done.code, "requires --services" in done.err, "secret" in done.err) == (2, True, False)


def test_an_upgrade_deletes_older_backups_as_a_backup_does(
    greenroom: Greenroom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kept = list[int | None]()

    async def execute(_planning: object, _folder: object, backup: Callable[[], BackupOptions]) -> None:
        kept.append(backup().keep)

    monkeypatch.setattr(upgrade, "_planned", lambda *_, **__: None)
    monkeypatch.setattr(upgrade, "_execute", execute)
    (tmp_path / "passphrase").write_text("secret")
    for options in ((), ("--keep", "2")):
        done = greenroom("upgrade", "--passphrase-file", str(tmp_path / "passphrase"), *options)
        assert done.code == 0, done.err
    assert kept == [None, 2]

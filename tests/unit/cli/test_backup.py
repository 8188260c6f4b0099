"""The options of `greenroom backup`, and those that it has in common with `restore` and `upgrade`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Done

Greenroom = Callable[..., Done]


def test_a_backup_needs_a_passphrase_or_a_recipient(greenroom: Greenroom, tmp_path: Path):
    done = greenroom("backup", str(tmp_path), "--data", str(tmp_path))
    assert (done.code, "specify --passphrase-file or --recipient" in done.err) == (1, True)


@pytest.mark.parametrize("text", ["", "\nsecond line"])
def test_an_empty_passphrase_is_refused(greenroom: Greenroom, tmp_path: Path, text: str):
    (tmp_path / "passphrase").write_text(text)
    done = greenroom("backup", str(tmp_path), "--passphrase-file", str(tmp_path / "passphrase"))
    assert (done.code, "is empty" in done.err) == (1, True)


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

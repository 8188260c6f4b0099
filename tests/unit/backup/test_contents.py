"""The rules for the contents of a backup."""

from __future__ import annotations

import tarfile
from datetime import UTC, datetime
from pathlib import PurePosixPath

import msgspec
import pytest

from greenroom.backup.contents import (
    FORMAT,
    Form,
    Header,
    backups_to_delete,
    check_form,
    check_member,
    digest_problem,
    file_name,
    is_included,
    parse_tables,
    read_header,
)
from greenroom.core.errors import SetupError

INSTALLATION = "0123456789abcdef"
HEADER = Header(
    format=FORMAT,
    version="0.1.0",
    created=datetime(2026, 11, 26, 23, 0, tzinfo=UTC),
    installation_id=INSTALLATION,
    postgres=18,
    migrations={"0001_pre_installation.sql": "sum"},
    tables=["users"],
    homes=False,
    recordings=True,
    form="instance",
)


@pytest.mark.parametrize(
    "path",
    [
        "instance.json",
        "keys/installation.key",
        "tls/ca.key",
        "gateway/given.key",
        "gateway/credential",
        "agent/agent-default/identity.json",
        "manager/manager-default-1/instance_id",
        "installation/installation.key",
    ],
)
def test_keys_certificates_and_settings_are_included(path: str):
    assert is_included(PurePosixPath(path), homes=False)


@pytest.mark.parametrize(
    "path",
    [
        "lock",
        "postgres",
        "logs/api.log",
        "tmp",
        "runtime",
        "replaced-20261126T230000Z",
        "gateway/nginx.conf",
        "db",
        "upgrade.json",
    ],
)
def test_files_that_a_start_creates_are_left_out(path: str):
    assert not is_included(PurePosixPath(path), homes=True)


@pytest.mark.parametrize("path", ["volumes", "volumes/ann/notes", "agent/agent-default/homes/ann", "homes/ann"])
@pytest.mark.parametrize("homes", [True, False])
def test_homes_are_included_on_request(path: str, homes: bool):
    assert is_included(PurePosixPath(path), homes=homes) is homes


def test_a_header_is_read_as_it_was_written():
    assert read_header(msgspec.json.encode(HEADER)) == HEADER


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"format": 2, "new": true}', r"newer version of Greenroom \(format 2, this version reads 1\)"),
        (b'{"format": 1}', "not from Greenroom"),
        (b"", "not from Greenroom"),
    ],
)
def test_a_header_of_another_format_is_refused(data: bytes, sentence: str):
    with pytest.raises(SetupError, match=sentence):
        read_header(data)


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type = kind
    return found


@pytest.mark.parametrize(
    ("form", "options"),
    [("services", "with --services"), ("compose", "with --compose"), ("kubernetes", "with --kubernetes")],
)
def test_a_backup_of_another_form_is_refused_with_the_options_of_its_restore(form: Form, options: str):
    check_form(HEADER, "instance")
    with pytest.raises(SetupError, match=options):
        check_form(msgspec.structs.replace(HEADER, form=form), "instance")


@pytest.mark.parametrize(
    "unsafe",
    [
        member("/etc/passwd"),
        member("data/../../etc/passwd"),
        member("data/device", tarfile.CHRTYPE),
        member("data/hard", tarfile.LNKTYPE),
        member("data/volumes/link/passwd"),
        member("data/volumes/link"),
        member("data//etc/passwd"),
        member("data/lock"),
        member("data/postgres/data/PG_VERSION"),
        member("data/tls/restored.pem", tarfile.SYMTYPE),
        member("data/keys", tarfile.SYMTYPE),
        member("data/volumes", tarfile.SYMTYPE),
        member("data/agent/agent-default/homes", tarfile.SYMTYPE),
        member("link", tarfile.SYMTYPE),
    ],
    ids=lambda unsafe: unsafe.name,
)
def test_a_member_outside_of_its_folder_is_refused(unsafe: tarfile.TarInfo):
    links = set[str]()
    check_member(member("data/volumes/link", tarfile.SYMTYPE), links)
    check_member(member("data/volumes/linked"), links)
    check_member(member("data/agent/agent-default/homes/ann/link", tarfile.SYMTYPE), links)
    with pytest.raises(SetupError, match="unsafe"):
        check_member(unsafe, links)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"a": "1", "b": "2"}, None),
        ({"a": "1"}, "b is missing."),
        ({"a": "1", "b": "3"}, "b has another digest than at its creation."),
        ({"a": "1", "b": "2", "c": "3"}, "c is not in the list of digests."),
    ],
)
def test_each_difference_of_digests_is_named(found: dict[str, str], problem: str | None):
    assert digest_problem({"a": "1", "b": "2"}, found) == problem


def test_the_newest_backups_of_an_installation_are_kept():
    names = [file_name(INSTALLATION, datetime(2026, 11, day, tzinfo=UTC)) for day in (2, 1, 3)]
    others = ["greenroom-fedcba98-20200101T000000Z.backup", f"{names[0]}.part", "notes.txt"]
    assert backups_to_delete([*others, *names], INSTALLATION, 1) == [names[1], names[0]]
    assert backups_to_delete([*others, *names], INSTALLATION, 3) == []


def test_the_tables_with_rows_are_read_from_a_listing():
    listing = (
        "; Archive created at 2026-11-26\n"
        "215; 1259 16390 TABLE public users greenroom\n"
        "3500; 0 16390 TABLE DATA public users greenroom\n"
        "3499; 0 16380 TABLE DATA public agents greenroom\n"
    )
    assert parse_tables(listing) == ["agents", "users"]

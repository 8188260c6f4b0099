"""Databases and folders that a restore refuses, and its locks."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from pyrage import x25519  # pyright: ignore[reportAttributeAccessIssue, reportMissingTypeStubs]
from tests.support.scratch import passing_folder

from greenroom.backup import restore
from greenroom.backup.contents import REPLACED_PREFIX, RESTORING_NAME
from greenroom.backup.create import BackupOptions, create_backup
from greenroom.backup.database import REPLACED_SCHEMA
from greenroom.backup.encryption import DecryptionKey, EncryptionKey
from greenroom.backup.restore import RestoredBackup, RestoreTarget, restore_backup
from greenroom.core.errors import SetupError
from greenroom.kit.secrets import Secrets
from greenroom.up.layout import Layout, check_folder
from greenroom.up.options import Settings
from greenroom.up.progress import LineProgress

IDENTITY = x25519.Identity.generate()
KEY = EncryptionKey(recipients=[str(IDENTITY.to_public())])
DECRYPTION_KEY = DecryptionKey(identities=str(IDENTITY))
PROGRESS = LineProgress(sys.stderr)
Backup = Callable[[], Path]


@pytest.fixture
def folder() -> Iterator[Path]:
    with passing_folder("gr-backup-") as folder:
        yield folder


def new_instance(data: Path, database_url: str | None) -> Layout:
    layout = Layout(data)
    layout.keys.mkdir(parents=True)
    layout.instance.write_text(json.dumps(Settings(database_url=database_url).stored()))
    layout.ports.write_text(json.dumps({"api": 8000, "manager-default-1": 8001, "agent-default": 4444}))
    Secrets.create_file(layout.key_file)
    return layout


@pytest.fixture
def source(folder: Path, dsn: str) -> Layout:
    """The files of an instance with an external database."""
    return new_instance(folder / "source", dsn)


@pytest.fixture
def backup(source: Layout, folder: Path) -> Backup:
    def make() -> Path:
        return asyncio.run(create_backup(source, folder / "backups", BackupOptions(key=KEY), PROGRESS)).file

    return make


def add_user(dsn: str, name: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO users (username) VALUES (%s)", (name,))


def users(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        return [row[0] for row in connection.execute("SELECT username FROM users ORDER BY 1").fetchall()]


def restored(file: Path, data: Path, dsn: str | None = None) -> RestoredBackup:
    target = RestoreTarget(layout=Layout(data), database_url=dsn, replace=True)
    return asyncio.run(restore_backup(file, DECRYPTION_KEY, target, PROGRESS))


def test_the_database_of_another_machine_is_not_replaced(backup: Backup, folder: Path, dsn: str):
    file = backup()
    add_user(dsn, "later")
    here = new_instance(folder / "here", None)
    with pytest.raises(SetupError, match="which is not that of the replaced instance"):
        restored(file, here.data)
    assert users(dsn) == ["later"]
    assert json.loads(here.instance.read_text())["database_url"] is None
    restored(file, here.data, dsn)
    assert users(dsn) == []


def test_a_database_in_use_is_not_replaced(backup: Backup, source: Layout, dsn: str):
    file = backup()
    with (
        psycopg.connect(dsn, application_name="greenroom api"),
        pytest.raises(SetupError, match="A running process of Greenroom uses the database"),
    ):
        restored(file, source.data, dsn)


def test_two_full_schemas_of_an_interrupted_restore_are_kept(backup: Backup, source: Layout, dsn: str):
    file = backup()
    with psycopg.connect(dsn) as connection:
        connection.execute(f"CREATE SCHEMA {REPLACED_SCHEMA}")
    add_user(dsn, "later")
    with pytest.raises(SetupError, match="both have tables"):
        restored(file, source.data, dsn)
    assert users(dsn) == ["later"]


def test_an_instance_with_a_mount_is_not_replaced(
    backup: Backup, source: Layout, dsn: str, monkeypatch: pytest.MonkeyPatch
):
    file = backup()
    monkeypatch.setattr(restore, "mounts_below", lambda data: [data / "volumes"])
    with pytest.raises(SetupError, match="volumes is a mount"):
        restored(file, source.data, dsn)
    assert source.instance.exists()


def test_a_socket_in_a_home_is_left_out(source: Layout, folder: Path):
    home = source.data / "volumes/ann"
    home.mkdir(parents=True)
    (home / "note").write_text("text")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "agent"))
        created = asyncio.run(create_backup(source, folder / "backups", BackupOptions(key=KEY, homes=True), PROGRESS))
    target = RestoreTarget(layout=Layout(source.data), database_url=None, replace=True, homes=True)
    asyncio.run(restore_backup(created.file, DECRYPTION_KEY, target, PROGRESS))
    assert [entry.name for entry in home.iterdir()] == ["note"]


def test_homes_behind_a_link_are_refused(source: Layout, folder: Path):
    (folder / "disk").mkdir()
    (source.data / "volumes").symlink_to(folder / "disk")
    with pytest.raises(SetupError, match="volumes is a symbolic link"):
        asyncio.run(create_backup(source, folder / "backups", BackupOptions(key=KEY, homes=True), PROGRESS))


def test_a_backup_with_a_later_time_does_not_expire_the_new_one(source: Layout, backup: Backup, folder: Path):
    later = backup().rename(folder / "later")
    beginning, _, rest = backup().name.rpartition("-20")
    later.rename(folder / "backups" / f"{beginning}-21{rest}")
    options = BackupOptions(key=KEY, keep=1)
    assert asyncio.run(create_backup(source, folder / "backups", options, PROGRESS)).file.exists()


def test_an_existing_folder_is_empty_after_a_restore_that_fails(backup: Backup, folder: Path, dsn: str):
    file = backup()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    (folder / "empty").mkdir()
    with pytest.raises(SetupError, match="damaged"):
        restored(file, folder / "empty", dsn)
    check_folder(Layout(folder / "empty"))


def test_a_failed_move_puts_the_files_and_the_database_back(
    backup: Backup, source: Layout, dsn: str, monkeypatch: pytest.MonkeyPatch
):
    file = backup()
    add_user(dsn, "later")
    before = {path.name for path in source.data.iterdir()}
    rename = Path.rename

    def fail(path: Path, to: Path) -> Path:
        if path == source.data / RESTORING_NAME / source.ports.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(SetupError, match="No space left"):
        restored(file, source.data)
    monkeypatch.undo()
    assert (users(dsn), {path.name for path in source.data.iterdir()} - {"lock"}) == (["later"], before)
    restored(file, source.data)
    assert users(dsn) == []


def test_a_restore_that_was_killed_while_it_moved_files_can_be_repeated(backup: Backup, source: Layout, dsn: str):
    file = backup()
    add_user(dsn, "later")
    replaced = source.data / f"{REPLACED_PREFIX}20261127T000000Z"
    for folder in (replaced, source.data / RESTORING_NAME):
        folder.mkdir()
    source.instance.rename(replaced / source.instance.name)
    with psycopg.connect(dsn, application_name="greenroom api"), pytest.raises(SetupError, match="stop it first"):
        restored(file, source.data)
    assert not (source.data / RESTORING_NAME).exists()
    restored(file, source.data)
    assert (users(dsn), source.instance.exists()) == ([], True)

"""Backups of a real database and the files of an instance, and their restore."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import os
import resource
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyrage import x25519  # pyright: ignore[reportAttributeAccessIssue, reportMissingTypeStubs]
from tests.support.scratch import passing_folder

from greenroom.backup.contents import LOCK_NAME
from greenroom.backup.create import BackupOptions, create_backup
from greenroom.backup.database import REPLACED_SCHEMA, empty_database
from greenroom.backup.encryption import DecryptionKey, EncryptionKey
from greenroom.backup.kubernetes import KubernetesDeployment, Tools, create_kubernetes_backup
from greenroom.backup.overlay import Overlay
from greenroom.backup.restore import RestoredBackup, RestoreTarget, check_backup, restore_backup
from greenroom.core.diagnostics.watched import BackupState
from greenroom.core.errors import SetupError
from greenroom.db.diagnostics.today import read_watched
from greenroom.kit.program import version
from greenroom.kit.secrets import Secrets
from greenroom.up.checks import open_database
from greenroom.up.kubectl import Kubectl
from greenroom.up.layout import DataLock, Layout
from greenroom.up.options import Settings
from greenroom.up.postgres import PostgresCluster
from greenroom.up.progress import LineProgress
from greenroom.up.streamed import streamed_program

IDENTITY = x25519.Identity.generate()
KEY = EncryptionKey(recipients=[str(IDENTITY.to_public())])
DECRYPTION_KEY = DecryptionKey(identities=str(IDENTITY))
PROGRESS = LineProgress(sys.stderr)
ODD_NAME = os.fsdecode(b"caf\xe9")
"""A file name that is not UTF-8."""
Backup = Callable[..., Path]


@pytest.fixture
def folder() -> Iterator[Path]:
    with passing_folder("gr-backup-") as folder:
        yield folder


@pytest.fixture
def source(folder: Path, dsn: str) -> Layout:
    """The files of an instance with an external database."""
    layout = Layout(folder / "source")
    texts = {
        layout.instance: json.dumps(Settings(database_url=dsn).stored()),
        layout.ports: json.dumps(dict.fromkeys(("api", "manager-default-1", "manager-default-1-gateway"), 8000)),
        layout.manager("manager-default-1") / "instance_id": "manager-default-1-0a",
        layout.agent("agent-default") / "agent_id": str(uuid.uuid4()),
        layout.agent("agent-default") / "homes/ann/notes": "private",
        layout.log("api"): "a log",
    }
    texts[layout.ports] = json.dumps({**json.loads(texts[layout.ports]), "agent-default": 4444})
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (layout.agent("agent-default") / "homes/ann" / ODD_NAME).touch()
    (layout.agent("agent-default") / "homes/ann/link").symlink_to("/etc/passwd")
    layout.keys.mkdir()
    Secrets.create_file(layout.key_file)
    return layout


@pytest.fixture
def backup(source: Layout, folder: Path) -> Backup:
    def make(*, keep: int | None = None, homes: bool = False, recordings: bool = True) -> Path:
        options = BackupOptions(key=KEY, homes=homes, recordings=recordings, keep=keep)
        return asyncio.run(create_backup(source, folder / "backups", options, PROGRESS)).file

    return make


@pytest.fixture
def empty_dsn(cluster: PostgresCluster) -> Iterator[str]:
    """Another database of the same server, without tables."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(cluster.dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    yield cluster.dsn.replace("dbname=greenroom", f"dbname={name}")
    with psycopg.connect(cluster.dsn, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def add_user(dsn: str, name: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO users (username) VALUES (%s)", (name,))


def users(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        return [row[0] for row in connection.execute("SELECT username FROM users ORDER BY 1").fetchall()]


def commands_in_audit(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        return [row[0] for row in connection.execute("SELECT operation FROM audit_events ORDER BY event_id").fetchall()]


def restored(
    file: Path, data: Path, dsn: str | None, *, replace: bool = False, homes: bool = False, as_copy: bool = False
) -> RestoredBackup:
    target = RestoreTarget(layout=Layout(data), database_url=dsn, replace=replace, homes=homes, as_copy=as_copy)
    return asyncio.run(restore_backup(file, DECRYPTION_KEY, target, PROGRESS))


@contextmanager
def largest_file(size: int) -> Generator[None]:
    """Let this process write no larger file, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_restored_instance_has_the_rows_the_key_and_no_homes(
    backup: Backup, source: Layout, folder: Path, dsn: str, empty_dsn: str
):
    add_user(dsn, "ann")
    file = backup()
    assert [(entry.name, stat.S_IMODE(entry.stat().st_mode)) for entry in file.parent.iterdir()] == [(file.name, 0o600)]
    result = restored(file, folder / "new", empty_dsn)
    target = Layout(folder / "new")
    assert users(empty_dsn) == ["ann"]
    assert target.key_file.read_text() == source.key_file.read_text()
    assert stat.S_IMODE(target.key_file.stat().st_mode) == 0o600
    assert json.loads(target.instance.read_text())["database_url"] == empty_dsn
    assert json.loads(target.restored.read_text())["created"] == result.verified.header.created.isoformat()
    assert not (target.agent("agent-default") / "homes").exists()
    assert not (target.data / "restoring").exists()
    assert commands_in_audit(empty_dsn) == ["greenroom backup", "greenroom restore"]


def installation_of(dsn: str) -> str:
    with psycopg.connect(dsn) as connection:
        (row,) = connection.execute("SELECT installation_id::text FROM installation").fetchall()
        return row[0]


def test_a_copy_is_restored_beside_its_running_original_with_an_id_of_its_own(
    backup: Backup, source: Layout, folder: Path, dsn: str, empty_dsn: str
):
    source.installation_id.write_text(installation_of(dsn))
    (source.agent("agent-default") / "identity.json").write_text("{}")
    file = backup()
    lock = DataLock.take(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GREENROOM_DATA", str(source.data))
        with pytest.raises(SetupError, match=f"is running in {source.data}; restore a copy beside it with --as-copy"):
            restored(file, folder / "new", empty_dsn)
        assert not (folder / "new").exists()
        restored(file, folder / "new", empty_dsn, as_copy=True)
    lock.release()
    copy = Layout(folder / "new")
    assert installation_of(empty_dsn) != installation_of(dsn)
    assert copy.stored_installation_id() == ""
    assert not (copy.agent("agent-default") / "identity.json").exists()
    assert (copy.agent("agent-default") / "agent_id").exists()


class KubectlHere(Kubectl):
    """Runs the programs of the Pod on this machine. The cluster has no Secrets of Agents."""

    def run(self, *arguments: str, stdin: bytes = b"", timeout_s: float = 60.0) -> str:
        if "--" not in arguments:
            return ""
        with self.stream(*arguments[1:2], "", *arguments[4:], stdout=subprocess.PIPE) as process:
            return process.stdout.read().decode()

    def stream(self, pod: str, container: str, *command: str, **streams: Any) -> AbstractContextManager[Any]:
        return streamed_program("kubectl exec", [sys.executable, *command[1:]], **streams)


@pytest.fixture
def kubernetes_backup(source: Layout, folder: Path, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Backs up a deployment on Kubernetes, whose Pod `kasm-tools` runs."""
    kubectl = KubectlHere(namespace="desks")

    @contextmanager
    def tools(*_: object) -> Generator[Tools]:
        yield Tools(kubectl)

    monkeypatch.setenv("GREENROOM_DATABASE_URL", dsn)
    monkeypatch.setenv("GREENROOM_SECRET_KEY_FILE", str(source.key_file))
    monkeypatch.setattr(KubernetesDeployment, "tools", tools)
    deployment = KubernetesDeployment(overlay=Overlay(folder, ()), keys=source.keys, kubectl=kubectl)
    return lambda: create_kubernetes_backup(deployment, folder / "backups", BackupOptions(key=KEY), PROGRESS)


@pytest.mark.parametrize("make", ["backup", "kubernetes_backup"])
def test_a_failed_backup_is_an_event_a_log_row_and_on_today(
    make: str, folder: Path, dsn: str, request: pytest.FixtureRequest
):
    backup = request.getfixturevalue(make)

    def facts() -> tuple[list[tuple[str, str]], list[str], BackupState | None]:
        with psycopg.connect(dsn) as connection:
            events = connection.execute("SELECT code, result FROM audit_events ORDER BY event_id").fetchall()
            rows = connection.execute("SELECT message FROM logs WHERE code = 'backup-failed'").fetchall()
        return events, [row[0] for row in rows], asyncio.run(read_backups())

    async def read_backups() -> BackupState | None:
        async with open_database(dsn) as db:
            return (await read_watched(db)).backups

    (folder / "backups").touch()  # no folder
    with pytest.raises(SetupError, match="cannot be written"):
        backup()
    events, (row,), seen = facts()
    assert events == [("backup-begun", "done"), ("backup", "failed")]
    assert row.startswith(f"The backup to {folder / 'backups'} failed: The backup cannot be written to ")
    assert seen is not None
    assert (seen.succeeded, seen.failed is None, seen.warning_days) == (None, False, 2)
    (folder / "backups").unlink()
    backup()
    events, _, seen = facts()
    assert events[2:] == [("backup-begun", "done"), ("backup", "done")]
    assert seen is not None
    assert (seen.succeeded is None, seen.failed) == (False, None)


def test_homes_are_restored_with_their_links(backup: Backup, folder: Path, empty_dsn: str):
    restored(backup(homes=True), folder / "new", empty_dsn)
    home = Layout(folder / "new").agent("agent-default") / "homes/ann"
    assert ((home / "notes").read_text(), str((home / "link").readlink())) == ("private", "/etc/passwd")
    assert (home / ODD_NAME).exists()


def test_newer_homes_stay_in_place_unless_those_of_the_backup_are_requested(
    backup: Backup, source: Layout, folder: Path
):
    agent, without = source.agent("agent-default"), backup().rename(folder / "without")
    with_homes = backup(homes=True)
    notes, later = agent / "homes/ann/notes", source.data / "volumes/ben/notes"
    notes.write_text("newer")
    later.parent.mkdir(parents=True)
    later.write_text("of a later user")
    for file in (without, with_homes):
        (agent / "agent_id").write_text("another")
        result = restored(file, source.data, None, replace=True)
        assert [*map(str, result.kept_homes)] == ["volumes", "agent/agent-default/homes"]
        assert (notes.read_text(), later.read_text()) == ("newer", "of a later user")
        assert (agent / "agent_id").read_text() != "another"
        assert result.replaced is not None
        result.replaced.rename(folder / f"replaced by {file.name}")
    with pytest.raises(SetupError, match="contains no homes"):
        restored(without, source.data, None, replace=True, homes=True)
    result = restored(with_homes, source.data, None, replace=True, homes=True)
    assert (notes.read_text(), later.exists()) == ("private", False)
    assert result.replaced is not None
    assert (Layout(result.replaced).agent("agent-default") / "homes/ann/notes").read_text() == "newer"


def test_recordings_and_segments_of_videos_can_be_left_out(backup: Backup, folder: Path, dsn: str, empty_dsn: str):
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO recordings (lease_id, session_id, holder, image_friendly_name, zone_name, record, record_text)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), 'ann', 'Desktop', 'default', 'actions', false)"
        )
        connection.execute(
            "WITH v AS (INSERT INTO session_videos (session_id, username, image_friendly_name, zone_name, agent_id,"
            "  key_encrypted, begun, latest) VALUES (gen_random_uuid(), 'ann', 'Desktop', 'default', gen_random_uuid(),"
            "  'key', now(), now()) RETURNING session_id) INSERT INTO session_video_segments SELECT session_id, 1,"
            " gen_random_uuid(), now(), 1, 'sha256', 'chain', 'data' FROM v"
        )
    restored(backup(recordings=False), folder / "new", empty_dsn)
    with psycopg.connect(empty_dsn) as connection:
        for table, rows in (("recordings", 0), ("session_videos", 1), ("session_video_segments", 0)):
            assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall() == [(rows,)], table


def test_a_backup_before_an_upgrade_names_the_installed_version(backup: Backup, folder: Path, dsn: str, empty_dsn: str):
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE installation SET migrated_by = '0.0.9'")
    target = RestoreTarget(layout=Layout(folder / "new"), database_url=empty_dsn, replace=False)
    header = check_backup(backup(), DECRYPTION_KEY, target).verified.header
    assert (header.version, header.installation_version) == (version(), "0.0.9")


def test_a_dry_run_reads_everything_and_changes_nothing(backup: Backup, folder: Path, empty_dsn: str):
    file = backup()
    found = check_backup(
        file, DECRYPTION_KEY, RestoreTarget(layout=Layout(folder / "new"), database_url=empty_dsn, replace=False)
    )
    assert found.verified.members > 5
    assert not (folder / "new").exists()


def test_contents_of_the_target_are_replaced_only_on_request(backup: Backup, source: Layout, dsn: str):
    add_user(dsn, "ann")
    file = backup()
    add_user(dsn, "later")
    with pytest.raises(SetupError, match=r"already contains an instance; .* --replace"):
        restored(file, source.data, None)
    with pytest.raises(SetupError, match="The database is not empty"):
        restored(file, source.data.with_name("new"), None)
    assert not source.data.with_name("new").exists()
    assert users(dsn) == ["ann", "later"]
    key = source.key_file.read_text()
    result = restored(file, source.data, None, replace=True)
    assert users(dsn) == ["ann"]
    assert result.replaced is not None
    assert [(Layout(where).key_file.read_text()) for where in (source.data, result.replaced)] == [key, key]


def test_a_restore_that_fails_leaves_the_database_as_it_was(dsn: str):
    add_user(dsn, "ann")
    with pytest.raises(SetupError, match="failed"), empty_database(dsn, replace=True):
        raise SetupError("failed")
    assert users(dsn) == ["ann"]


def test_a_failed_restore_after_a_killed_one_puts_the_original_tables_back(dsn: str):
    add_user(dsn, "ann")
    with psycopg.connect(dsn) as connection:
        connection.execute(f"ALTER SCHEMA public RENAME TO {REPLACED_SCHEMA}".encode())
        connection.execute("CREATE SCHEMA public")
    with pytest.raises(SetupError, match="failed"), empty_database(dsn, replace=True):
        raise SetupError("failed")
    assert users(dsn) == ["ann"]


def test_a_backup_that_cannot_be_used_changes_nothing(backup: Backup, folder: Path, empty_dsn: str):
    file = backup()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    damaged, cut, foreign = (folder / name for name in ("damaged", "cut", "foreign"))
    damaged.write_bytes(data)
    cut.write_bytes(file.read_bytes()[:-30_000])
    foreign.write_text("no backup")
    for wrong, sentence in ((damaged, "damaged"), (cut, "damaged"), (foreign, "is not a backup of Greenroom")):
        with pytest.raises(SetupError, match=sentence):
            restored(wrong, folder / "new", empty_dsn)
        assert not (folder / "new").exists()
    other = DecryptionKey(identities=str(x25519.Identity.generate()))
    target = RestoreTarget(layout=Layout(folder / "new"), database_url=empty_dsn, replace=False)
    with pytest.raises(SetupError, match="The private key does not open the backup"):
        asyncio.run(restore_backup(file, other, target, PROGRESS))
    with psycopg.connect(empty_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchall() == [(0,)]


def test_a_backup_of_a_newer_version_is_refused(backup: Backup, folder: Path, dsn: str, empty_dsn: str):
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES ('9999_post_future.sql', 'x')")
    with pytest.raises(SetupError, match=r"newer version of Greenroom \(it has 9999_post_future.sql\)"):
        restored(backup(), folder / "new", empty_dsn)
    assert not (folder / "new").exists()


def test_a_full_disk_keeps_earlier_backups_and_leaves_no_partial_file(backup: Backup, monkeypatch: pytest.MonkeyPatch):
    gc.collect()  # objects of other tests
    unraisable = list[object]()
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    earlier = backup()
    with pytest.raises(SetupError, match=r"cannot be written to .*: File too large"), largest_file(50_000):
        backup()
    assert [file.name for file in earlier.parent.iterdir()] == [earlier.name]
    gc.collect()
    assert unraisable == []


def test_a_second_backup_at_the_same_time_is_refused(backup: Backup, source: Layout):
    with (source.data / LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SetupError, match=r"Another backup of .* is running"):
            backup()


def test_the_oldest_backups_of_this_installation_are_deleted(backup: Backup):
    newest = backup()
    old = newest.with_name(f"{newest.name[:18]}-20200101T000000Z.backup")
    other = newest.with_name("greenroom-00000000-20200101T000000Z.backup")
    for file in (old, other):
        file.touch()
    newest.unlink()
    newest = backup(keep=1)
    assert sorted(file.name for file in newest.parent.iterdir()) == sorted([newest.name, other.name])

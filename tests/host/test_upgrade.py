"""`greenroom upgrade` of a running instance, with the wheels of two versions of this checkout in two environments."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.processes import free_port

from greenroom.up.layout import Layout
from greenroom.up.site import site_of
from greenroom.upgrade.record import upgrade_lock

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
PYTHON = "/usr/bin/python3"
"""The Python of the distribution, which all accounts can read."""
OLD, NEW = "0.1.0", "0.2.0"
DISTRIBUTIONS = ("greenroom", *(f"greenroom_{name}" for name in ("cli", "client", "desktop", "docker", "probe")))
MIGRATIONS = {
    "9001_pre_added.sql": "ALTER TABLE zones ADD COLUMN added integer",
    "9004_post_removed.sql": "ALTER TABLE zones DROP COLUMN added",
}
BROKEN = "async def main() -> None:\n    raise SystemExit('planted')\n"


def run(*command: object, **options: Any) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(folder: Path, version: str, migrations: dict[str, str]) -> Path:
    """Build wheels of this version, install them into an environment, and return its `greenroom`."""
    source, wheels, environment = (folder / f"{name}-{version}" for name in ("source", "wheels", "environment"))
    source.mkdir()
    for name in ("src", "packages", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    project = source / "pyproject.toml"
    project.write_text(project.read_text().replace(f'\nversion = "{OLD}"', f'\nversion = "{version}"', 1))
    for name, statement in migrations.items():
        (source / "src/greenroom/db/migrations" / name).write_text(statement)
    build = ("build", "--quiet", "--all-packages", "--wheel", "--no-build-isolation", "--python", sys.executable)
    run(UV, *build, "--offline", "--out-dir", wheels, cwd=source)
    run(UV, "venv", "--quiet", "--python", PYTHON, environment)
    python = ("--quiet", "--python", environment / "bin/python")
    run(UV, "pip", "install", *python, "--require-hashes", "-r", ROOT / "requirements/run.txt")
    files = [wheels / f"{name}-{version}-py3-none-any.whl" for name in DISTRIBUTIONS]
    run(UV, "pip", "install", *python, "--no-deps", "--no-index", *files)
    return environment / "bin/greenroom"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that all accounts can traverse."""
    folder = Path(tempfile.mkdtemp(prefix="gr-upgrade-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def old(folder: Path) -> Path:
    return install(folder, OLD, {})


@pytest.fixture(scope="module")
def new(folder: Path) -> Path:
    return install(folder, NEW, MIGRATIONS)


class Upgradable:
    """An instance of the old version, with simulated sessions."""

    def __init__(self, folder: Path, old: Path, new: Path) -> None:
        self.data = folder / "data"
        self.old, self.new = old, new
        self.passphrase_file = folder / "passphrase"
        self.passphrase_file.write_text("correct horse battery")
        self.environment = {**os.environ, "GREENROOM_RUNTIME": "simulated"}
        self.run(old, "up", "--detach", "--port", str(free_port()), "--managers", "2")

    def run(self, program: Path, *words: str) -> str:
        return run(program, *words, "--data", self.data, env=self.environment)

    def fails(self, program: Path, *words: str) -> str:
        """Run a command that fails, and return its message."""
        command = [str(program), *words, "--data", str(self.data)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr.splitlines()[-1]

    @property
    def upgrade(self) -> tuple[str, ...]:
        return "upgrade", "--passphrase-file", str(self.passphrase_file)

    def plan(self) -> dict[str, Any]:
        """What the new version would change."""
        return json.loads(self.run(self.new, "upgrade", "--dry-run", "--json"))

    def versions(self) -> set[str]:
        return {role["version"] for role in self.plan()["roles"]}

    def kill_upgrade_at(self, step: str) -> None:
        """Start an upgrade to the new version, and kill it when it begins a step."""
        command = [str(self.new), *self.upgrade, "--data", str(self.data)]
        with subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            assert any(line.startswith(step) for line in process.stderr)
            process.kill()

    def columns(self) -> set[str]:
        """The columns of the table `zones`."""
        with psycopg.connect(site_of(Layout(self.data)).dsn) as connection:
            return {column.name for column in connection.execute("SELECT * FROM zones").description or ()}


@pytest.fixture
def instance(folder: Path, old: Path, new: Path) -> Iterator[Upgradable]:
    instance = Upgradable(folder, old, new)
    yield instance
    instance.run(new, "down")
    shutil.rmtree(instance.data)
    shutil.rmtree(folder / "data-backups", ignore_errors=True)


def test_a_killed_upgrade_is_continued_and_its_last_lines_lead_back(instance: Upgradable):
    plan = instance.plan()
    assert [role["name"] for role in plan["roles"]][2:] == ["api", "gateway", "agent-default"]
    assert (plan["pre_migrations"], plan["post_migrations"]) == (["9001_pre_added.sql"], ["9004_post_removed.sql"])
    assert instance.versions() == {OLD}
    with upgrade_lock(Layout(instance.data)):
        assert "Another upgrade of" in instance.fails(instance.new, *instance.upgrade)

    instance.kill_upgrade_at("Replacing gateway")
    assert "added" in instance.columns()
    said = instance.run(instance.new, *instance.upgrade).splitlines()
    assert said[0] == f"Greenroom {NEW} runs."
    assert instance.plan() == {"current": NEW, "new": NEW, "roles": [], "pre_migrations": [], "post_migrations": []}
    assert "added" not in instance.columns()
    assert f"This is Greenroom {OLD}, and the instance was used by the newer version {NEW}" in instance.fails(
        instance.old, *instance.upgrade
    )

    down, restore, up = (shlex.split(line) for line in said[-3:])
    for command in (down, [*restore, "--passphrase-file", str(instance.passphrase_file)], up):
        run(*command, env=instance.environment)
    assert instance.versions() == {OLD}


def test_a_role_that_does_not_work_returns_all_roles(instance: Upgradable):
    package = next((instance.new.parents[1] / "lib").glob("python*/site-packages/greenroom"))
    main = package / "agent/main.py"
    text = main.read_text()
    main.write_text(BROKEN)
    try:
        message = instance.fails(instance.new, *instance.upgrade)
    finally:
        main.write_text(text)
    assert "agent-default is not ready after 60 s" in message
    assert message.endswith(f"Greenroom {OLD} runs again.")
    assert instance.versions() == {OLD}
    assert "added" in instance.columns()
    instance.run(instance.old, "down")
    instance.run(instance.old, "up", "--detach")
    assert instance.versions() == {OLD}


def test_a_migration_that_fails_changes_nothing(instance: Upgradable):
    package = next((instance.new.parents[1] / "lib").glob("python*/site-packages/greenroom"))
    broken = package / "db/migrations/9003_pre_broken.sql"
    broken.write_text("SELECT no_function()")
    try:
        message = instance.fails(instance.new, *instance.upgrade)
    finally:
        broken.unlink()
    assert "The migration 9003_pre_broken.sql failed: function no_function() does not exist." in message
    assert message.endswith(f"Nothing was changed; Greenroom {OLD} runs.")
    assert "added" not in instance.columns()

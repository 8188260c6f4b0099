"""A pytest plugin: two versions of Greenroom as wheels, each in an environment that all accounts can read."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
PYTHON = "/usr/bin/python3"
"""The Python of the distribution, which all accounts can read."""
DISTRIBUTIONS = ("greenroom", *(f"greenroom_{name}" for name in ("cli", "client", "desktop", "docker", "probe")))
SOURCES = ("src", "packages", "pyproject.toml", "README.md", "LICENSE", "requirements/run.txt")
VERSION = re.compile(r'^version = "(\d+)\.(\d+)\.(\d+)"$', re.MULTILINE)
PRE, POST = "9001_pre_added.sql", "9004_post_removed.sql"
MIGRATIONS = {
    PRE: "ALTER TABLE zones ADD COLUMN added integer",
    POST: "ALTER TABLE zones DROP COLUMN added",
}
"""Migrations of the new version only: name → statement."""
BROKEN = "async def main() -> None:\n    raise SystemExit('planted')\n"
"""The text of the `main.py` of a role that does not start."""


def ending_after(seconds: float, source: str) -> str:
    """Return the text of a `main.py` of a role whose process ends some seconds after its start."""
    begin = "async def main() -> None:\n"
    end = f"    __import__('asyncio').get_running_loop().call_later({seconds}, __import__('os')._exit, 3)\n"
    assert begin in source
    return source.replace(begin, begin + end)


@dataclass(frozen=True, slots=True)
class Versions:
    """The old and the new version, and the command `greenroom` of each. `MIGRATIONS` are those of the new version."""

    old_version: str
    new_version: str
    old: Path
    new: Path

    @property
    def new_package(self) -> Path:
        """The folder of the package `greenroom` of the new version."""
        return next((self.new.parents[1] / "lib").glob("python*/site-packages/greenroom"))

    @contextmanager
    def ending(self, role: str, after_s: float) -> Generator[None]:
        """Let each process of a role of the new version end some seconds after its start, within the block."""
        with self.planted(f"{role}/main.py", ending_after(after_s, (self.new_package / role / "main.py").read_text())):
            yield

    @contextmanager
    def planted(self, file: str, text: str) -> Generator[None]:
        """Give a file of the new version another text, or add it, for the duration of the block."""
        path = self.new_package / file
        before = path.read_text() if path.exists() else None
        path.write_text(text)
        try:
            yield
        finally:
            path.unlink() if before is None else path.write_text(before)


def run(*command: object, **options: Any) -> str:
    """Run a command that must succeed; returns its stdout."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def newest_release() -> str | None:
    """The tag of the newest release, such as `v0.1.0`; None if the repository has none."""
    tags = run("git", "tag", "--list", "v[0-9]*", "--sort=-version:refname", cwd=ROOT).splitlines()
    return next((tag for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)), None)


def copy_old_source(folder: Path) -> None:
    """Copy the source of the old version: that of the newest release, or of this checkout before the first release.

    A release contains the console only in its wheels, so the old version gets the console of this checkout.
    """
    tag = newest_release()
    if tag is None:
        copy_checkout(folder)
        return
    archive = subprocess.run(("git", "archive", tag, *SOURCES), cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as source:
        source.extractall(folder, filter="data")
    console = "src/greenroom/gateway/console"
    if (ROOT / console).is_dir():
        shutil.copytree(ROOT / console, folder / console, dirs_exist_ok=True)


def copy_checkout(folder: Path) -> None:
    """Copy the source of this checkout."""
    for name in SOURCES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)


def install(source: Path, environment: Path) -> Path:
    """Build wheels of a source, install them into a new environment, and return its `greenroom`."""
    wheels = source / "dist"
    build = ("build", "--quiet", "--all-packages", "--wheel", "--no-build-isolation", "--python", sys.executable)
    run(UV, *build, "--offline", "--out-dir", wheels, cwd=source)
    run(UV, "venv", "--quiet", "--python", PYTHON, environment)
    python = ("--quiet", "--python", environment / "bin/python")
    run(UV, "pip", "install", *python, "--require-hashes", "-r", source / "requirements/run.txt")
    files = [next(wheels.glob(f"{name}-*-py3-none-any.whl")) for name in DISTRIBUTIONS]
    run(UV, "pip", "install", *python, "--no-deps", "--no-index", *files)
    return environment / "bin/greenroom"


@pytest.fixture(scope="session")
def versions() -> Iterator[Versions]:
    """The newest release, and this checkout as the next series with additional migrations."""
    folder = Path(tempfile.mkdtemp(prefix="gr-versions-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        old_source, new_source = folder / "old-source", folder / "new-source"
        copy_old_source(old_source)
        copy_checkout(new_source)
        found = VERSION.search((old_source / "pyproject.toml").read_text())
        assert found is not None
        major, minor, patch = map(int, found.groups())
        new_version = f"{major}.{minor + 1}.0"
        project = new_source / "pyproject.toml"
        project.write_text(VERSION.sub(f'version = "{new_version}"', project.read_text(), count=1))
        for name, statement in MIGRATIONS.items():
            (new_source / "src/greenroom/db/migrations" / name).write_text(statement)
        old, new = install(old_source, folder / "old"), install(new_source, folder / "new")
        yield Versions(f"{major}.{minor}.{patch}", new_version, old, new)
    finally:
        shutil.rmtree(folder)

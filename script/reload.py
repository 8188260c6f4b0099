"""Restart the roles of a running instance whose code changes: script/reload.py DATA.

Each process gets SIGTERM, and `greenroom up` restarts it like every role that ends. If the accounts of the services
cannot read the checkout or its Python, they run a copy in DATA, which this script updates.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from watchfiles import PythonFilter, watch

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = (ROOT / "src/greenroom", *ROOT.glob("packages/*/src/greenroom"))
"""The folders of the package."""

ROLES: Final = frozenset({"api", "manager", "agent", "gateway"})
ROLES_OF_PACKAGE: Final = {role: frozenset({role}) for role in ROLES} | {"runtimes": frozenset({"agent"})}
"""The roles that run the code of a package; other packages are part of every role."""
PACKAGES_OF_NO_ROLE: Final = frozenset({"up", "cli", "client"})
"""Packages that no role runs."""


def relative_path(path: Path) -> Path:
    """The path of a file relative to the package."""
    return next(path.relative_to(folder) for folder in FOLDERS if path.is_relative_to(folder))


def roles_of(changed: Iterable[Path]) -> frozenset[str]:
    """The roles that run one of these files of the package."""
    packages = {relative_path(path).parts[0] for path in changed} - PACKAGES_OF_NO_ROLE
    return frozenset[str]().union(*(ROLES_OF_PACKAGE.get(package, ROLES) for package in packages))


def copy(data: Path, changed: Iterable[Path]) -> None:
    """Update the copy of the package that an instance runs, if it runs one."""
    for target in (data / "runtime").glob("*/packages/greenroom"):
        for path in changed:
            copy_path = target / relative_path(path)
            if path.exists():
                copy_path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy_path)
            else:
                copy_path.unlink(missing_ok=True)


def restart(data: Path, roles: frozenset[str]) -> list[str]:
    """Send SIGTERM to the processes of these roles; returns their names. A role that is not running will start with
    the new code."""
    parts = json.loads((data / "run/state.json").read_text())["parts"]
    names: list[str] = []
    for part in parts:
        if part["role"] not in roles or part["pid"] is None:
            continue
        try:
            os.kill(part["pid"], signal.SIGTERM)
        except ProcessLookupError:
            continue
        names.append(part["name"])
    return names


def main(data: Path) -> None:
    """Restart the roles of changed files until Ctrl-C."""
    for changes in watch(*FOLDERS, watch_filter=PythonFilter(extra_extensions=(".sql", ".j2")), raise_interrupt=False):
        files = sorted(Path(name) for _, name in changes)
        copy(data, files)
        roles = roles_of(files)
        names = restart(data, roles and roles | {"fork-server"})  # it has loaded the old code
        paths = ", ".join(str(relative_path(path)) for path in files)
        print(f"{paths}: {', '.join(names) or 'no role'} restarted", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The files that other scripts generate: format their text, and compare or write them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def by_ruff(text: str, file: Path, *command: str) -> str:
    """Return the text for `file` as this command of ruff changes it."""
    ruff = [str(Path(sys.executable).with_name("ruff")), *command, "--quiet", "--stdin-filename", str(file), "-"]
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout


def refresh(files: Iterable[tuple[Path, str, str]], root: Path, arguments: list[str]) -> int:
    """Write each (file, text, source), or with --check print those that are not current; return the exit code."""
    status = 0
    for file, text, source in files:
        if file.exists() and file.read_text() == text:
            continue
        if arguments == ["--check"]:
            print(f"{file.relative_to(root)} does not match {source}; run script/lint --fix")
            status = 1
        else:
            file.write_text(text)
    return status

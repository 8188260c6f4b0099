"""The files that other scripts generate: format their text, and compare or write them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def run_ruff(text: str, file: Path, *command: str) -> str:
    """Return the text for `file` as this command of ruff changes it."""
    ruff_command = [
        str(Path(sys.executable).with_name("ruff")),
        *command,
        "--quiet",
        "--stdin-filename",
        str(file),
        "-",
    ]
    return subprocess.run(ruff_command, input=text, capture_output=True, text=True, check=True).stdout


def write_or_check(files: Iterable[tuple[Path, str, str]], root: Path, arguments: list[str]) -> int:
    """Write each (file, text, source), or with --check print those that are not current; return the exit code."""
    exit_code = 0
    for file, text, source in files:
        if file.exists() and file.read_text() == text:
            continue
        if arguments == ["--check"]:
            print(f"{file.relative_to(root)} does not match {source}; run script/lint --fix")
            exit_code = 1
        else:
            file.write_text(text)
    return exit_code

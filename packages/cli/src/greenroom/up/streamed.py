"""Runs a program that receives or sends data by its standard streams, such as pg_dump."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from greenroom.core.errors import SetupError


@contextmanager
def streamed_program(name: str, command: Sequence[str], **options: Any) -> Generator[Any]:
    """Run a program for the duration of the block, and yield its process. If the block fails, the program is killed.
    `options` are arguments of Popen.

    Raises:
        SetupError: the program failed.
    """
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, stderr=errors, **options) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            errors.seek(0)
            raise program_error(name, errors.read())


def program_error(name: str, errors: bytes) -> SetupError:
    """Return the error of the program `name`, with the last line of its `errors` that is not the note of kubectl about
    an exit code."""
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines() if line.strip()]
    messages = [line for line in lines if not line.startswith("command terminated with exit code")] or lines
    return SetupError(f"{name} failed: {(messages or ['(no output)'])[-1].rstrip('.')}.")

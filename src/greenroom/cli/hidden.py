"""Secrets given as options are taken off the command line, which everybody on this machine can read."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn


def begin_again_without(option: str, variable: str, secret: str) -> NoReturn:
    """Replace this process by one that has the secret in its environment instead of on its command line.

    Args:
        option: as it is typed, `--token`.
        variable: of the environment, in which the new process finds it.
        secret: the option's value.
    """
    sys.stdout.flush()
    arguments = [sys.executable, "-P", "-m", "greenroom", *without(option, sys.argv[1:])]
    # -P: not a package of this name that lies in the current folder
    os.execve(sys.executable, arguments, os.environ | {variable: secret})  # noqa: S606 -- ourselves


def without(option: str, words: Sequence[str]) -> list[str]:
    """The words of a command line without this option and its value."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == option:
            next(rest, None)
        elif not word.startswith(f"{option}="):
            kept.append(word)
    return kept

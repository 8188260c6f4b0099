"""The console of commands. No role imports this module: rich takes 10 MiB."""

from __future__ import annotations

from typing import Final

from rich.console import Console

WIDE: Final = 400
"""The width in characters if the output is not a terminal. Lines are not cut, so that the output can be searched."""


def console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """Return a console that does not highlight values. With `soft_wrap`, it breaks no line, so that each line can be
    copied.
    """
    on_terminal = Console(stderr=stderr, highlight=False, soft_wrap=soft_wrap)
    if on_terminal.is_terminal:
        return on_terminal
    return Console(stderr=stderr, highlight=False, soft_wrap=soft_wrap, width=WIDE)

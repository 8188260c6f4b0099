"""What commands print for people. No role imports it: rich is 10 MiB."""

from __future__ import annotations

from typing import Final

from rich.console import Console

WIDE: Final = 400
"""Columns where the output is no terminal: nothing is cut off, so that it can be searched."""


def console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """A console without colors of its own; with `soft_wrap` it breaks no line, so that each can be copied."""
    on_terminal = Console(stderr=stderr, highlight=False, soft_wrap=soft_wrap)
    if on_terminal.is_terminal:
        return on_terminal
    return Console(stderr=stderr, highlight=False, soft_wrap=soft_wrap, width=WIDE)

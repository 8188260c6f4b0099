"""How a process that people start ends: with one sentence on stderr and an exit code."""

from __future__ import annotations

import sys
from typing import Final, NoReturn

from greenroom.core.wording import one_line, shortened, summary

FAILED: Final = 1
INTERRUPTED: Final = 130
"""As shells have it: 128 and the number of SIGINT."""


def failed(error: Exception) -> NoReturn:
    """End with what the error says."""
    _end(f"greenroom: {shortened(one_line(summary(error)))}", FAILED)


def stopped() -> NoReturn:
    """End after Ctrl-C."""
    _end("Stopped.", INTERRUPTED)


def _end(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 -- no log may be configured
    raise SystemExit(code) from None

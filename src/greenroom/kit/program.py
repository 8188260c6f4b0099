"""The start and the end of a program: a role with only the modules that it uses; the version; the last sentence."""

from __future__ import annotations

import importlib
import resource
import sys
from collections.abc import Callable, Coroutine
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

from greenroom.core.errors import GreenroomError
from greenroom.core.text import one_line, shortened, summary

if TYPE_CHECKING:
    import asyncio


FAILED: Final = 1
INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as in shells."""


def failed(error: Exception) -> NoReturn:
    """End the process with the message of the error."""
    _end(f"greenroom: {shortened(one_line(summary(error)))}", FAILED)


def stopped() -> NoReturn:
    """End the process after Ctrl-C."""
    _end("Stopped.", INTERRUPTED)


def _end(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 -- no log may be configured
    raise SystemExit(code) from None


def leave_out(*names: str) -> None:
    """Make every import of these modules fail, unless they are already imported."""
    for name in names:
        sys.modules.setdefault(name, None)  # pyright: ignore[reportArgumentType] -- None makes an import fail


ROLES: Final = ("api", "manager", "agent", "gateway")


def load(role: str) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return `greenroom.<role>.main.main`. structlog and httpx would load rich (10 MiB) for terminals, and work without
    it; httpcore would search the disk for sniffio, which is not installed, at every request.
    """
    leave_out("rich", "sniffio")
    return importlib.import_module(f"greenroom.{role}.main").main


def run(role: str) -> None:
    """Run a role until it ends. A Greenroom error results in one sentence on stderr and exit code 1."""
    import asyncio  # noqa: PLC0415 -- the command line imports this module for the names of the roles

    try:
        main = load(role)
        raise_open_files()
        with asyncio.Runner(loop_factory=_loop(role)) as runner:
            runner.run(main())
    except GreenroomError as error:
        failed(error)


def raise_open_files() -> None:
    """Raise the limit of open files to the maximum of this account. A Manager has a connection of each Agent, and the
    usual limit is 1,024.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop(role: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the faster event loop for roles with many requests: the api with those of users, a Manager with those of
    Agents (ADR 25).
    """
    if role not in {"api", "manager"}:
        return None
    from uvicorn.loops.uvloop import uvloop_loop_factory  # noqa: PLC0415 -- no other role uses it

    return uvloop_loop_factory()


@cache
def version() -> str:
    """Return the installed version of Greenroom."""
    from importlib import metadata  # noqa: PLC0415 -- it reads the metadata of packages

    return metadata.version("greenroom")

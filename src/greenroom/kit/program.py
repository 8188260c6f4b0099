"""The start and the end of a program: the imports of a role, its event loop, and its exit with a message."""

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


EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130
"""128 plus the number of SIGINT, as in shells."""


def exit_with_error(error: Exception) -> NoReturn:
    """End the process with the message of the error."""
    _exit(f"greenroom: {shortened(one_line(summary(error)))}", EXIT_FAILED)


def exit_interrupted() -> NoReturn:
    """End the process after Ctrl-C."""
    _exit("Stopped.", EXIT_INTERRUPTED)


def _exit(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr, flush=True)  # noqa: T201 -- the log may not be set up
    raise SystemExit(code) from None


def block_imports(*names: str) -> None:
    """Make every import of these modules fail, unless they were imported before."""
    for name in names:
        sys.modules.setdefault(name, None)  # pyright: ignore[reportArgumentType] -- None makes an import fail


def block_unused_imports() -> None:
    """Block modules that libraries import if they are installed, but that no role uses: rich and greenlet (structlog),
    watchfiles (uvicorn) and h2 (httpx2). They need about 8 MiB.
    """
    block_imports("rich", "greenlet", "watchfiles", "h2")


ROLES: Final = ("api", "manager", "agent", "gateway")


def load_main(role: str) -> Callable[[], Coroutine[Any, Any, None]]:
    """Import and return `greenroom.<role>.main.main`, after `block_unused_imports`."""
    block_unused_imports()
    return importlib.import_module(f"greenroom.{role}.main").main


def run_role(role: str) -> None:
    """Run a role until it ends. After a Greenroom error, print its message to stderr and exit with code 1."""
    import asyncio  # noqa: PLC0415 -- the command line imports this module for the names of the roles

    try:
        main = load_main(role)
        raise_open_file_limit()
        with asyncio.Runner(loop_factory=_loop_factory(role)) as runner:
            runner.run(main())
    except GreenroomError as error:
        exit_with_error(error)


def raise_open_file_limit() -> None:
    """Raise the limit of open files to the maximum of this account. A Manager has a connection to each Agent, and the
    default limit is often 1,024.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory(role: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the faster event loop for roles with many requests: the api with requests of users, a Manager with
    requests of Agents (ADR 25). None = the default loop.
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

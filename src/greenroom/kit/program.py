"""How a program starts and ends: the roles, with nothing loaded but what they use; its version; its last sentence."""

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


def leave_out(*names: str) -> None:
    """Let every import of these modules fail, unless they are imported already."""
    for name in names:
        sys.modules.setdefault(name, None)  # pyright: ignore[reportArgumentType] -- None makes an import fail


ROLES: Final = ("api", "manager", "agent", "gateway")


def load(role: str) -> Callable[[], Coroutine[Any, Any, None]]:
    """`greenroom.<role>.main.main`. structlog and httpx would load rich (10 MiB) for terminals, and do without it;
    httpcore would look for sniffio, which is not installed, on the disk with every request."""
    leave_out("rich", "sniffio")
    return importlib.import_module(f"greenroom.{role}.main").main


def run(role: str) -> None:
    """Run a role until it ends; a Greenroom error is one sentence on stderr and exit code 1."""
    import asyncio  # noqa: PLC0415 -- the command line reads the names of the roles, and has no use for it

    try:
        main = load(role)
        raise_open_files()
        with asyncio.Runner(loop_factory=_loop(role)) as runner:
            runner.run(main())
    except GreenroomError as error:
        failed(error)


def raise_open_files() -> None:
    """As many as this account may have: a Manager has a connection of each Agent, and the usual limit is 1,024."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop(role: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster loop where requests are many: users' at the api, Agents' at a Manager (ADR 25)."""
    if role not in {"api", "manager"}:
        return None
    import uvloop  # noqa: PLC0415 -- by these alone

    return uvloop.new_event_loop


@cache
def version() -> str:
    """The installed version of Greenroom."""
    from importlib import metadata  # noqa: PLC0415 -- it reads the metadata of packages

    return metadata.version("greenroom")

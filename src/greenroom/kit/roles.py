"""A role as a process of its own, with nothing loaded but what it uses: the command line is no part of it."""

from __future__ import annotations

import importlib
import resource
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from greenroom.core.errors import GreenroomError
from greenroom.kit import ending
from greenroom.kit.imports import leave_out

if TYPE_CHECKING:
    import asyncio

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
        ending.failed(error)


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

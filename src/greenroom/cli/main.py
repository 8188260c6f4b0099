"""The command `greenroom`."""

from __future__ import annotations

import asyncio
import importlib
import sys

import typer

from greenroom.cli import administration, instance
from greenroom.core.errors import GreenroomError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


def _role(name: str) -> None:
    """Run `greenroom.<name>.service.main()`, a coroutine function without arguments."""
    service = importlib.import_module(f"greenroom.{name}.service")
    asyncio.run(service.main())


@app.command()
def api() -> None:
    """Run the api of a deployment (settings: GREENROOM_*)."""
    _role("api")


@app.command()
def manager() -> None:
    """Run one Manager of a zone (settings: GREENROOM_*)."""
    _role("manager")


@app.command()
def agent() -> None:
    """Run the Agent of this host (settings: GREENROOM_*)."""
    _role("agent")


@app.command()
def gateway() -> None:
    """Run the gateway of this host: nginx with generated configuration (settings: GREENROOM_*)."""
    _role("gateway")


instance.register(app)
nouns = administration.register(app)
nouns["users"].command("reset-password")(instance.reset_password)


def main() -> None:
    """Entry point; an error of ours is one sentence on stderr and exit code 1."""
    try:
        app()
    except GreenroomError as error:
        print(f"greenroom: {error.message}", file=sys.stderr)  # noqa: T201 -- the command line's own voice
        raise SystemExit(1) from error

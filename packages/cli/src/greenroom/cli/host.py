"""`greenroom host`: prepare this machine for Greenroom."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from greenroom.cli.lazy import TitledCommand, new_application
from greenroom.core.errors import SetupError
from greenroom.up import host_setup

READY: Final = "This host is ready; run `greenroom up`."
UNCHANGED: Final = "Nothing was changed; run the command as root and without --dry-run to make these changes."
"""The shell library script/lib recognizes the beginnings of both texts."""

host = new_application("Prepare this machine for Greenroom.")


@host.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] -- makes typer keep a group of one command
    pass


@host.command(cls=TitledCommand)
def setup(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the changes; change nothing.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Revert the changes of all earlier setups of this host.")
    ] = False,
) -> None:
    """Install the missing Debian packages, start Docker and raise the kernel limits of this host, as root.

    A second call changes only what is missing. All changes are recorded in /var/lib/greenroom-host/setup.json.
    """
    host_state = host_setup.read_host()
    record = host_setup.read_record()
    if (warning := host_setup.support_warning(host_state)) and not undo:
        typer.echo(warning, err=True)
    steps = host_setup.plan_undo(record, host_state) if undo else host_setup.plan(host_state)
    if dry_run:
        for step in steps:
            typer.echo(step.sentence)
    elif steps:
        if not host_state.is_root:
            raise SetupError(
                "The setup of a host requires root; run"
                f" `sudo {Path(sys.executable).with_name('greenroom')} host setup{' --undo' if undo else ''}`, or list"
                " its steps with --dry-run."
            )
        host_setup.Setup(typer.echo, record).apply(steps)
    if undo and not dry_run and host_state.is_root:
        host_setup.delete_record()
    if dry_run and steps:
        typer.echo(UNCHANGED)
    else:
        typer.echo("No recorded changes remain." if undo else READY)

"""`greenroom uninstall`: remove what `greenroom up` created on this machine."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from greenroom.cli.instance import Data, Json
from greenroom.cli.output import print_local_result
from greenroom.core.errors import SetupError
from greenroom.up import log
from greenroom.up.layout import Layout


def uninstall(
    *,
    data: Data,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without a question.")] = False,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Keep the data folder and the system accounts.")
    ] = False,
    with_accounts: Annotated[
        bool, typer.Option("--accounts", help="Also remove the system accounts. No other instance may need them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove the instance from this machine: containers, networks, images, firewall rules and data.

    The command lists what it removes and what remains, and asks. The system accounts remain without
    --accounts. The Debian packages remain until `greenroom host setup --undo`.
    """
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415 -- the imports take time
    from greenroom.up.uninstall import plan, read_installation, remove  # noqa: PLC0415

    log.configure_for_command("uninstall")
    if keep_data and with_accounts:
        raise SetupError("The kept data belong to the system accounts; specify either --keep-data or --accounts.")
    layout = Layout(data)
    installed = read_installation(layout)
    removal = plan(installed, keep_data=keep_data, with_accounts=with_accounts)
    typer.echo("\n".join(["This is removed:", *(f"- {sentence}" for sentence in removal.removes)]), err=True)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise SetupError("Nothing was removed. Add --yes to remove all of this.")
        if not typer.confirm("Remove all of this?", err=True):
            raise SetupError("Nothing was removed.")
    problems = remove(layout, installed, stderr_progress(), keep_data=keep_data, with_accounts=with_accounts)
    remains = [*problems, *removal.remains]
    result = {"data": str(data), "removed": removal.removes, "remains": remains}
    print_local_result(result, "The instance is removed.", *remains, as_json=as_json)

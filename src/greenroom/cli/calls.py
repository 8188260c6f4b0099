"""A function as a command for administrators: it is given a `Call`, the options that name the deployment are added."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from greenroom.cli.client import Client, Row
from greenroom.cli.naming import with_names
from greenroom.cli.output import Output, Parts
from greenroom.cli.server import Server, find_server

_PANEL: Final = "Deployment"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command: the deployment to ask, and where to print."""

    client: Client
    output: Output

    def one(self, row: Row, parts: Parts = ()) -> None:
        """Print one thing; for people with names in the place of ids, and its `parts` as tables."""
        self.output.one(row if self.output.as_json else with_names(self.client, row), parts)


def connect(server: Server) -> Client:
    """The client of a command."""
    return Client(server)


def common_options(
    *,
    url: Annotated[
        str | None,
        typer.Option(envvar="GREENROOM_URL", help="Its address, https://….", rich_help_panel=_PANEL),
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="GREENROOM_KEY", help="API key to use there.", rich_help_panel=_PANEL)
    ] = None,
    secret: Annotated[
        str | None, typer.Option(envvar="GREENROOM_SECRET", help="Its secret.", rich_help_panel=_PANEL)
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(envvar="GREENROOM_CA_FILE", help="Certificate of its authority, PEM.", rich_help_panel=_PANEL),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="GREENROOM_DATA",
            help="Folder of the local instance, used without --url.",
            readable=False,  # it is passed through, not listed; what lies in it says whose it is
            rich_help_panel=_PANEL,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The options every command has."""


def command(function: Callable[..., None], options: Sequence[inspect.Parameter] = ()) -> Callable[..., None]:
    """`function` as typer wants it.

    Args:
        function: its first parameter is the `Call`, the others become arguments and options.
        options: parameters made from a table; they are given by their names, or in `**given`.
    """
    made = {option.name for option in options}
    own = [
        parameter
        for parameter in list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD and parameter.name not in made
    ]
    common = inspect.signature(common_options, eval_str=True).parameters

    def run(**given: Any) -> None:
        where = {name: given.pop(name) for name in common}
        output = Output.standard(as_json=where.pop("as_json"))
        with connect(find_server(**where)) as client:
            function(Call(client, output), **given)

    run.__doc__ = function.__doc__
    run.__annotations__ = {}
    run.__signature__ = inspect.Signature([*options, *own, *common.values()])  # pyright: ignore[reportFunctionMemberAccess]
    return run

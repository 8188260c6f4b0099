"""The verbs every noun has, made from its entry in the table of nouns; and how a function becomes a command.

A function is given a `Call`; the options that name the deployment are added.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from greenroom.api.bodies import Body
from greenroom.cli.client import Client, Row
from greenroom.cli.fields import body_of, options_of
from greenroom.cli.names import find_id, with_names
from greenroom.cli.nouns import NOUNS, Noun
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
            readable=False,  # it is passed through, not listed; its content shows which account owns it
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


Limit = Annotated[int | None, typer.Option(min=1, help="Rows at most.", show_default=False)]


def noun_app(noun: Noun) -> typer.Typer:
    """The commands of a noun."""
    app = typer.Typer(no_args_is_help=True, help=noun.help)
    _add_list(app, noun)
    _add_get(app, noun)
    if noun.create is not None:
        _add_create(app, noun, noun.create)
    if noun.update is not None:
        _add_update(app, noun, noun.update)
    if noun.delete:
        _add_delete(app, noun)
    return app


def identity(noun: Noun) -> inspect.Parameter:
    """The argument that names one: `given_id`."""
    help_text = f"The {noun.what}, by {noun.called} or id." if noun.name else f"The id of the {noun.what}."
    argument = typer.Argument(metavar="ID", help=help_text, show_default=False)
    return inspect.Parameter("given_id", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[str, argument])


def article(noun: Noun) -> str:
    """`an` Agent, `a` user."""
    return "an" if noun.what.startswith("A") else "a"


def address(call: Call, noun: Noun, given_id: str) -> str:
    """Its path in /api/v1.

    Raises:
        ApiError: there is none.
    """
    return f"{noun.path}/{find_id(call.client, noun, given_id)}"


def add_change(app: typer.Typer, verb: str, noun: str, body: Row, text: str) -> None:
    """Add a verb that sets some fields of a `noun` to fixed values."""

    def change(call: Call, *, given_id: str) -> None:
        call.one(call.client.patch(address(call, NOUNS[noun], given_id), body))

    _add(app, verb, change, text, [identity(NOUNS[noun])])


def _add(
    app: typer.Typer, verb: str, function: Callable[..., None], text: str, options: list[inspect.Parameter]
) -> None:
    function.__doc__ = text
    app.command(verb)(command(function, options))


def _add_list(app: typer.Typer, noun: Noun) -> None:
    options = options_of(noun.filters, with_null=False) if noun.filters else []

    def rows(call: Call, *, limit: Limit = None, **given: Any) -> None:
        query = body_of(options, given, call.client)
        call.output.rows(call.client.rows(noun.path, query, limit), noun.columns, f"There is no {noun.what}.")

    _add(app, "list", rows, f"List {noun.many}.", [option.parameter for option in options])


def _add_get(app: typer.Typer, noun: Noun) -> None:
    def get(call: Call, *, given_id: str) -> None:
        call.one(call.client.get(address(call, noun, given_id)), noun.parts)

    _add(app, "get", get, f"Show one {noun.what} with all its fields.", [identity(noun)])


def _add_create(app: typer.Typer, noun: Noun, model: type[Body]) -> None:
    required = {name for name, info in model.model_fields.items() if info.is_required()}
    options = options_of(model, (noun.without - required) | {noun.name or ""}, with_null=False)
    arguments = [_new_name(noun, noun.name)] if noun.name else []

    def create(call: Call, **given: Any) -> None:
        body = body_of(options, given, call.client)
        if noun.name:
            body[noun.name] = given[noun.name]
        call.one(call.client.post(noun.path, body))

    _add(
        app,
        "create",
        create,
        f"Create {article(noun)} {noun.what}.",
        [*arguments, *(option.parameter for option in options)],
    )


def _new_name(noun: Noun, field: str) -> inspect.Parameter:
    argument = typer.Argument(metavar=field.upper(), help=f"The name of the new {noun.what}.", show_default=False)
    return inspect.Parameter(field, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[str, argument])


def _add_update(app: typer.Typer, noun: Noun, model: type[Body]) -> None:
    options = options_of(model, noun.without)

    def update(call: Call, *, given_id: str, **given: Any) -> None:
        body = body_of(options, given, call.client)
        if not body:
            raise typer.BadParameter("There is nothing to change; give at least one option.")
        call.one(call.client.patch(address(call, noun, given_id), body))

    text = f"Change {article(noun)} {noun.what}; what is not given stays as it is."
    _add(app, "update", update, text, [identity(noun), *(option.parameter for option in options)])


def _add_delete(app: typer.Typer, noun: Noun) -> None:
    force = typer.Option("--force", help=noun.force, show_default=False)
    options = [identity(noun)]
    if noun.force:
        kind = inspect.Parameter.KEYWORD_ONLY
        options.append(inspect.Parameter("force", kind, annotation=Annotated[bool, force], default=False))

    def delete(call: Call, *, given_id: str, **given: Any) -> None:
        found = find_id(call.client, noun, given_id)
        call.client.delete(f"{noun.path}/{found}", {"force": given.get("force") or None})
        call.output.done(f"The {noun.what} {given_id} is deleted.", {noun.key: found, "deleted": True})

    _add(app, "delete", delete, f"Delete {article(noun)} {noun.what}.", options)

"""How a function becomes a command, and the verbs of every noun, made from its entry in the table of nouns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from greenroom.api.bodies import Body
from greenroom.cli.client import Client, Row
from greenroom.cli.fields import FieldOption, body_of, options_of
from greenroom.cli.names import find_id, with_names
from greenroom.cli.noun import Change, Noun
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Output, Parts
from greenroom.cli.server import Server, find_server

_PANEL: Final = "Deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a command: the deployment, the output, and what was typed: `named` for the thing of `noun` (None: no
    thing), `fields` for the `options`."""

    client: Client
    output: Output
    noun: Noun | None = None
    named: str = ""
    options: Sequence[FieldOption] = ()
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def path(self) -> str:
        """Raises ApiError: there is none of this name or id."""
        assert self.noun is not None, "a verb of nothing"  # noqa: S101 -- only verbs `of_one` ask for it
        return f"{self.noun.path}/{find_id(self.client, self.noun, self.named)}"

    def body(self) -> Row:
        """The given fields, as the api takes them."""
        return body_of(self.options, self.fields, self.client)

    def one(self, row: Row, parts: Parts = ()) -> None:
        """Print one thing; for people with names in place of ids, and its `parts` as tables."""
        self.output.one(row if self.output.as_json else with_names(self.client, row), parts)

    def change(self, part: str = "") -> None:
        """Change the thing, or the `part` at that path below it, and print its new state.

        Raises:
            typer.BadParameter: nothing was given.
            ApiError: the server refuses.
        """
        body = self.body()
        if not body:
            raise typer.BadParameter("There is nothing to change; give at least one option.")
        self.one(self.client.patch(f"{self.path}{part}", body))


Url = Annotated[
    str | None, typer.Option(envvar="GREENROOM_URL", help="Its address, https://….", rich_help_panel=_PANEL)
]
Key = Annotated[str | None, typer.Option(envvar="GREENROOM_KEY", help="API key to use there.", rich_help_panel=_PANEL)]
KeySecret = Annotated[str | None, typer.Option(envvar="GREENROOM_SECRET", help="Its secret.", rich_help_panel=_PANEL)]
CaFile = Annotated[
    Path | None,
    typer.Option(envvar="GREENROOM_CA_FILE", help="Certificate of its authority, PEM.", rich_help_panel=_PANEL),
]


def connect(server: Server) -> Client:
    """The client of a command."""
    return Client(server)


def common_options(
    *,
    url: Url = None,
    key: Key = None,
    secret: KeySecret = None,
    ca_file: CaFile = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="GREENROOM_DATA",
            help="Folder of the local instance, used without --url.",
            readable=False,  # it is only traversed; its content shows which account owns it
            rich_help_panel=_PANEL,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The options every command has."""


_COMMON: Final = inspect.signature(common_options, eval_str=True).parameters


Run = Callable[..., None]


def verb(
    noun: str, name: str = "", *, options: Sequence[FieldOption] = (), of_one: bool = True
) -> Callable[[Run], Run]:
    """Make a function that takes a `Call` the command `greenroom NOUN NAME`; the default name is the function's.
    `options` are made from fields, and `Call.body` has their values; `of_one`: its first argument names one thing."""

    def add(function: Run) -> Run:
        thing = NOUNS[noun] if of_one else None
        APPS[noun].command(name or function.__name__.replace("_", "-"))(command(function, thing, options))
        return function

    return add


def command(function: Run, noun: Noun | None = None, options: Sequence[FieldOption] = ()) -> Run:
    """`function` with typer's signature: the thing, its options, its own parameters, and those of every command."""
    identity = [] if noun is None else [argument("given_id", "ID", f"The {noun.what}, {noun.by}.")]
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

    def run(**given: Any) -> None:
        where = {name: given.pop(name) for name in _COMMON}
        output = Output.standard(as_json=where.pop("as_json"))
        named = given.pop("given_id", "")
        fields = {option.field: given.pop(option.parameter.name) for option in options}
        with connect(find_server(**where)) as client:
            function(
                Call(client=client, output=output, noun=noun, named=named, options=options, fields=fields), **given
            )

    run.__doc__ = function.__doc__
    run.__annotations__ = {}
    parameters = [*identity, *(option.parameter for option in options), *own, *_COMMON.values()]
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return run


def argument(name: str, metavar: str, text: str) -> inspect.Parameter:
    """The positional parameter of a command."""
    annotation = Annotated[str, typer.Argument(metavar=metavar, help=text, show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


Limit = Annotated[int | None, typer.Option(min=1, help="Rows at most.", show_default=False)]


def _add_generic(app: typer.Typer, noun: Noun) -> None:
    a_noun = f"{'an' if noun.what.startswith('A') else 'a'} {noun.what}"

    def rows(call: Call, *, limit: Limit = None) -> None:
        call.output.rows(call.client.rows(noun.path, call.body(), limit), noun.columns, f"There is no {noun.what}.")

    def get(call: Call) -> None:
        call.one(call.client.get(call.path), noun.parts)

    def create(call: Call) -> None:
        call.one(call.client.post(noun.path, call.body()))

    def update(call: Call) -> None:
        call.change()

    def delete(call: Call) -> None:
        path = call.path
        call.client.delete(path, call.body())
        gone = {noun.key: path.rpartition("/")[2], "deleted": True}
        call.output.done(f"The {noun.what} {call.named} is deleted.", gone)

    filters = options_of(noun.filters, with_null=False) if noun.filters else ()
    _add(app, "list", f"List {noun.many}.", rows, options=filters)
    _add(app, "get", f"Show one {noun.what} with all its fields.", get, of=noun)
    if noun.create is not None:
        _add(app, "create", f"Create {a_noun}.", create, options=_options_of_new(noun, noun.create))
    if noun.update is not None:
        text = f"Change {a_noun}; what is not given stays as it is."
        _add(app, "update", text, update, of=noun, options=options_of(noun.update, noun.without))
    if noun.delete:
        _add(app, "delete", f"Delete {a_noun}.", delete, of=noun, options=_force(noun.force) if noun.force else ())


def _add(
    app: typer.Typer,
    name: str,
    text: str,
    function: Run,
    *,
    of: Noun | None = None,
    options: Sequence[FieldOption] = (),
) -> None:
    function.__doc__ = text
    app.command(name)(command(function, of, options))


def _noun_app(noun: Noun) -> typer.Typer:
    app = typer.Typer(no_args_is_help=True, help=noun.help)
    _add_generic(app, noun)
    for change in noun.changes:
        _add(app, change.verb, change.help, _changing(change), of=noun)
    return app


def _options_of_new(noun: Noun, model: type[Body]) -> list[FieldOption]:
    """The name of the new thing is an argument."""
    required = {name for name, info in model.model_fields.items() if info.is_required()}
    options = options_of(model, (noun.without - required) | {noun.name or ""}, with_null=False)
    if noun.name is None:
        return options
    name = argument(noun.name, noun.name.upper(), f"The name of the new {noun.what}.")
    return [FieldOption(noun.name, name, lambda given, _: given), *options]


def _force(text: str) -> list[FieldOption]:
    option = Annotated[bool, typer.Option("--force", help=text, show_default=False)]
    parameter = inspect.Parameter("force", inspect.Parameter.KEYWORD_ONLY, annotation=option, default=False)
    return [FieldOption("force", parameter, lambda given, _: given or None)]


def _changing(change: Change) -> Run:
    def run(call: Call) -> None:
        call.one(call.client.patch(call.path, change.body))

    return run


APPS: Final = {noun.noun: _noun_app(noun) for noun in NOUNS.values()} | {
    "catalogue": typer.Typer(no_args_is_help=True, help="The catalogue: workspaces that one command adds."),
    "logs": typer.Typer(no_args_is_help=True, help="Log rows of all parts of the deployment."),
    "settings": typer.Typer(no_args_is_help=True, help="Settings of the installation."),
}

"""Converts functions into commands, and creates the verbs of every noun from its entry in the table of nouns."""

from __future__ import annotations

import importlib
import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from greenroom.cli.client import Client
from greenroom.cli.fields import FieldOption, argument, body_of, fields_of, options_of
from greenroom.cli.lazy import LazyCommand, LazyGroup, command_of, group_of, text_of
from greenroom.cli.names import find_id, with_names
from greenroom.cli.noun import ChangeVerb, Field, Noun
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Parts, Printer, Row
from greenroom.cli.server import Server, find_server

_PANEL: Final = "Deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a command: the deployment, the output, and the input: `target` for the object of `noun` (None: no
    object), `fields` for the `options`.
    """

    client: Client
    output: Printer
    noun: Noun | None = None
    target: str = ""
    options: Sequence[FieldOption] = ()
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def path(self) -> str:
        """The path of the object.

        Raises:
            ApiError: there is none of this name or id.
        """
        assert self.noun is not None, "a verb of nothing"  # noqa: S101 -- only verbs `of_one` use it
        return f"{self.noun.path}/{find_id(self.client, self.noun, self.target)}"

    def body(self) -> Row:
        """Return the passed fields in the form of the api."""
        return body_of(self.options, self.fields, self.client)

    def one(self, row: Row, parts: Parts = ()) -> None:
        """Print one object, for people with names in place of ids and its `parts` as tables."""
        self.output.one(row if self.output.as_json else with_names(self.client, row), parts)

    def change(self, part: str = "") -> None:
        """Change the object, or the `part` at that path below it, and print its new state.

        Raises:
            typer.BadParameter: no field was passed.
            ApiError: the server refuses.
        """
        body = self.body()
        if not body:
            raise typer.BadParameter("No change was specified; pass at least one option.")
        self.one(self.client.patch(f"{self.path}{part}", body))


Url = Annotated[
    str | None,
    typer.Option(envvar="GREENROOM_URL", help="Address of the deployment, https://….", rich_help_panel=_PANEL),
]
Key = Annotated[str | None, typer.Option(envvar="GREENROOM_KEY", help="API key.", rich_help_panel=_PANEL)]
KeySecret = Annotated[
    str | None, typer.Option(envvar="GREENROOM_SECRET", help="Secret of the API key.", rich_help_panel=_PANEL)
]
CaFile = Annotated[
    Path | None,
    typer.Option(envvar="GREENROOM_CA_FILE", help="Certificate of the authority, PEM.", rich_help_panel=_PANEL),
]


def connect(server: Server) -> Client:
    """Return the client of a command."""
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
    wide: Annotated[bool, typer.Option("--wide", help="Show all columns and complete values in lists.")] = False,
) -> None:
    """The options of every command."""


_COMMON: Final = inspect.signature(common_options, eval_str=True).parameters


Run = Callable[..., None]
Options = Callable[[], Sequence[FieldOption]]
"""The options of a verb, which are created when it is used."""
Limit = Annotated[int | None, typer.Option(min=1, help="Maximum number of rows.", show_default=False)]

_VERBS: Final[defaultdict[str, dict[str, LazyCommand]]] = defaultdict(dict)
"""Noun → the verbs from functions."""


def no_options() -> Sequence[FieldOption]:
    """Return no options, for a verb without fields."""
    return ()


def body_options(model: str, without: Set[str] = frozenset(), *, with_null: bool = True) -> Options:
    """Return an option for each field of a model of the api, `MODULE:NAME`, except those `without`."""
    return lambda: options_of((f for f in fields_of(model) if f.name not in without), with_null=with_null)


def query_options(*fields: Field) -> Options:
    """Return an option for each query parameter."""
    return lambda: options_of(fields, with_null=False)


def group(name: str, text: str, *modules: str) -> LazyGroup:
    """Return the group of a noun: the verbs of its entry in the table, then those of functions in these modules."""
    for module in modules:
        importlib.import_module(module)
    generic = [] if name not in NOUNS else _generic(NOUNS[name])
    added = [later for _, later in sorted(_VERBS[name].items())]  # in an order that no import changes
    return group_of(name, text, [*generic, *added])


def verb(noun: str, name: str = "", *, options: Options = no_options, of_one: bool = True) -> Callable[[Run], Run]:
    """Make a function that takes a `Call` the command `greenroom NOUN NAME`; the default name is that of the function.
    `options` are created from fields, and `Call.body` has their values. `of_one`: its first argument names one object.
    """

    def add(function: Run) -> Run:
        called = name or function.__name__.replace("_", "-")
        thing = NOUNS[noun] if of_one else None
        _VERBS[noun][called] = _lazy_verb(called, text_of(function), function, thing, options)
        return function

    return add


def plain_verb(noun: str, name: str, function: Run) -> None:
    """Make a function with typer's signature, which uses no deployment, the command `greenroom NOUN NAME`."""
    _VERBS[noun][name] = LazyCommand(name, text_of(function), partial(command_of, name, function))


def command(function: Run, noun: Noun | None = None, options: Sequence[FieldOption] = ()) -> Run:
    """Return `function` with typer's signature: the object, its options, its own parameters, and those of every
    command.
    """
    identity = [] if noun is None else [argument("given_id", "ID", f"The {noun.singular}, {noun.by}.")]
    own_parameters = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

    def run(**arguments: Any) -> None:
        server_options = {name: arguments.pop(name) for name in _COMMON}
        output = Printer(as_json=server_options.pop("as_json"), wide=server_options.pop("wide"))
        target = arguments.pop("given_id", "")
        fields = {option.field: arguments.pop(option.parameter.name) for option in options}
        with connect(find_server(**server_options)) as client:
            function(
                Call(client=client, output=output, noun=noun, target=target, options=options, fields=fields),
                **arguments,
            )

    run.__doc__ = function.__doc__
    run.__annotations__ = {}
    parameters = [*identity, *(option.parameter for option in options), *own_parameters, *_COMMON.values()]
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return run


def _lazy_verb(
    name: str, text: str, function: Run, noun: Noun | None = None, options: Options = no_options
) -> LazyCommand:
    def make() -> Any:
        run = command(function, noun, options())
        run.__doc__ = text
        return command_of(name, run)

    return LazyCommand(name, text, make)


def _generic(noun: Noun) -> list[LazyCommand]:
    """Return the verbs from the entry of a noun."""
    a_noun = f"{'an' if noun.singular.startswith('A') else 'a'} {noun.singular}"

    def rows(call: Call, *, limit: Limit = None) -> None:
        call.output.rows(call.client.rows(noun.path, call.body(), limit), noun.columns, f"There is no {noun.singular}.")

    def get(call: Call) -> None:
        call.one(call.client.get(call.path), noun.parts)

    def create(call: Call) -> None:
        call.one(call.client.post(noun.path, call.body()))

    def update(call: Call) -> None:
        call.change()

    def delete(call: Call) -> None:
        path = call.path
        call.client.delete(path, call.body())
        deleted = {noun.key: path.rpartition("/")[2], "deleted": True}
        call.output.done(f"The {noun.singular} {call.target} is deleted.", deleted)

    found = [
        _lazy_verb("list", f"List {noun.plural}.", rows, options=query_options(*noun.filters)),
        _lazy_verb("get", f"Show one {noun.singular} with all its fields.", get, noun),
    ]
    if noun.create is not None:
        found.append(
            _lazy_verb("create", f"Create {a_noun}.", create, options=partial(_create_options, noun, noun.create))
        )
    if noun.update is not None:
        text = f"Update {a_noun}. Omitted options change nothing."
        found.append(_lazy_verb("update", text, update, noun, body_options(noun.update, noun.without)))
    if noun.delete:
        found.append(_lazy_verb("delete", f"Delete {a_noun}.", delete, noun, partial(_force, noun.force)))
    return [*found, *(_lazy_verb(change.verb, change.help, _change_function(change), noun) for change in noun.changes)]


def _create_options(noun: Noun, model: str) -> list[FieldOption]:
    """Return the options of `create`. The name of the new object is an argument."""
    fields = [f for f in fields_of(model) if f.name != noun.name and (f.is_required or f.name not in noun.without)]
    options = options_of(fields, with_null=False)
    if noun.name is None:
        return options
    name = argument(noun.name, noun.name.upper(), f"The name of the new {noun.singular}.")
    return [FieldOption(noun.name, name, lambda value, _: value), *options]


def _force(text: str | None) -> list[FieldOption]:
    if text is None:
        return []
    option = Annotated[bool, typer.Option("--force", help=text, show_default=False)]
    parameter = inspect.Parameter("force", inspect.Parameter.KEYWORD_ONLY, annotation=option, default=False)
    return [FieldOption("force", parameter, lambda value, _: value or None)]


def _change_function(change: ChangeVerb) -> Run:
    def run(call: Call) -> None:
        call.one(call.client.patch(call.path, change.body))

    return run
